"""``scutil`` and ``networksetup``: the system's proxies, from ``<state>/proxy.json``.

The file holds what ``scutil --proxy`` shows, such as ``{"HTTPEnable": 1, "HTTPProxy": "127.0.0.1",
"HTTPPort": 7890}``; without it the Mac has no proxy.
"""

from __future__ import annotations

import json
import os
import sys

from tests.lab.standins.here import complain, mac, root, state
from tests.lab.standins.stat_file import console_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.lab.spec import MacSpec

_SERVICES = ("Thunderbolt Bridge", "Wi-Fi", "*iPhone USB")
_PROTOCOLS = {"webproxy": "HTTP", "securewebproxy": "HTTPS", "socksfirewallproxy": "SOCKS"}


def proxies(spec: MacSpec) -> dict[str, Any]:
    """The proxy settings; ``FTPPassive`` alone means none."""
    loaded: dict[str, Any] = json.loads(state(spec, "proxy.json", '{"FTPPassive": 1}'))
    return loaded


def dictionary(value: Any, depth: int = 0) -> str:
    """A value as scutil prints it: sorted keys, two blanks a level."""
    inside, outside = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        pairs = [f"{inside}{key} : {dictionary(value[key], depth + 1)}\n" for key in sorted(value)]
        return "<dictionary> {\n" + "".join(pairs) + outside + "}"
    if isinstance(value, list):
        pairs = [f"{inside}{i} : {dictionary(entry, depth + 1)}\n" for i, entry in enumerate(value)]
        return "<array> {\n" + "".join(pairs) + outside + "}"
    return str(value)


def scutil(spec: MacSpec, argv: list[str]) -> int:
    """``--proxy``, ``--get NAME``, and ``show State:/Users/ConsoleUser`` from standard input."""
    if argv[:1] == ["--proxy"]:
        sys.stdout.write(dictionary(proxies(spec)) + "\n")
        return 0
    if argv[:1] == ["--get"] and argv[1:2] and argv[1] in ("ComputerName", "LocalHostName"):
        sys.stdout.write(spec.name + "\n")
        return 0
    if argv[:1] == ["--get"]:
        sys.stdout.write(f"{''.join(argv[1:2])}: not set\n")
        return 1
    if argv:
        complain("usage: scutil\n\tinteractive access to the dynamic store.")
        return 64
    for line in sys.stdin:
        if line.split() == ["show", "State:/Users/ConsoleUser"]:
            uid = console_owner(spec)
            name = spec.user if uid else "loginwindow"
            shown = {"GID": spec.gid, "Name": name, "UID": uid or 0}
            sys.stdout.write(dictionary(shown) + "\n")
        elif line.startswith("show"):
            sys.stdout.write("  No such key\n")
    return 0


def networksetup(spec: MacSpec, argv: list[str]) -> int:
    """The read commands for proxies, and those that set them (root)."""
    verb, *words = argv or [""]
    if verb == "-listallnetworkservices":
        sys.stdout.write("An asterisk (*) denotes that a network service is disabled.\n")
        sys.stdout.write("".join(f"{name}\n" for name in _SERVICES))
        return 0
    kind = verb.removeprefix("-get").removeprefix("-set")
    if not words or not verb.startswith(("-get", "-set")):
        complain(f"{verb}: command not recognised, see networksetup -help")
        return 4
    if words[0] not in [name.lstrip("*") for name in _SERVICES]:
        sys.stdout.write(f"{words[0]} is not a recognized network service.\n")
        sys.stdout.write("** Error: The parameters were not valid.\n")
        return 4
    values = proxies(spec)
    protocol = _PROTOCOLS.get(kind.removesuffix("state"))
    if verb.startswith("-set"):
        if not root(spec):
            sys.stdout.write("** Error: Command requires admin privileges.\n")
            return 14
        if protocol is None:
            return 4
        if kind.endswith("state"):
            values[f"{protocol}Enable"] = int(words[1] == "on")
        else:
            values |= {f"{protocol}Enable": 1, f"{protocol}Proxy": words[1]}
            values[f"{protocol}Port"] = int(words[2])
        with open(f"{spec.state}/proxy.json", "w", encoding="utf-8") as file:
            json.dump(values, file)
        return 0
    if kind == "proxybypassdomains":
        hosts = values.get("ExceptionsList", [])
        empty = f"There aren't any bypass domains set on {words[0]}."
        sys.stdout.write("\n".join(hosts or [empty]) + "\n")
    elif kind == "autoproxyurl":
        url = values.get("ProxyAutoConfigURLString", "(null)")
        on = "Yes" if values.get("ProxyAutoConfigEnable") else "No"
        sys.stdout.write(f"URL: {url}\nEnabled: {on}\n")
    elif protocol:
        own = values if words[0] == "Wi-Fi" else {}
        enabled = "Yes" if own.get(f"{protocol}Enable") else "No"
        server, port = own.get(f"{protocol}Proxy", ""), own.get(f"{protocol}Port", 0)
        sys.stdout.write(f"Enabled: {enabled}\nServer: {server}\nPort: {port}\n")
        sys.stdout.write("Authenticated Proxy Enabled: 0\n")
    else:
        complain(f"{verb}: command not recognised, see networksetup -help")
        return 4
    return 0


def main(argv: list[str]) -> int:
    """Which of the two it is, the name says under which it was called."""
    called = os.path.basename(os.environ.get("CLAWFLEET_LAB_ARGV0", "scutil"))
    return (networksetup if called == "networksetup" else scutil)(mac(), argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
