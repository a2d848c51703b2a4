"""Why there is no connection to a Mac, from what pyinfra and paramiko raised."""

from __future__ import annotations

import socket
from typing import Any

from paramiko import AuthenticationException, BadHostKeyException, PKey, SSHException
from pyinfra.api import Host

from clawfleet.plan import Trouble, quote

_SETTING = "ssh_strict_host_key_checking"


def why(host: Host, error: BaseException | None) -> Trouble:
    """What was found, what was expected and what mends it; without an error only the address."""
    address, port = str(host.data.get("ssh_hostname") or host.name), _port(host)
    place = f"{address} port {port}"
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, BadHostKeyException):
            return _changed(host, cause)
        if isinstance(cause, SSHException) and "StrictPolicy" in str(cause):
            return Trouble(
                f"the host key of {place} is not in {_known_hosts(host)}, "
                f"and {_SETTING} is {host.data.get(_SETTING)!r}",
                expected="the Mac's own key there",
                fix=f"{_ssh(host)} true asks and writes it down; compare what it shows with "
                "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the Mac",
            )
        if isinstance(cause, SSHException) and "StrictHostKeyChecking=" in str(cause):
            return Trouble(
                f"{_SETTING} is {host.data.get(_SETTING)!r}",
                expected="accept-new, yes, ask or no",
                fix=f"correct {_SETTING} in the settings of {host.name}",
            )
        if isinstance(cause, AuthenticationException):
            return Trouble(
                f"{place} accepts no key of yours for {_user(host) or 'your own user name'}",
                expected="a public key of yours in that user's ~/.ssh/authorized_keys",
                fix=f"{_ssh(host, 'ssh-copy-id')}, or name the key: ansible_ssh_private_key_file",
            )
        if isinstance(cause, socket.gaierror):
            return Trouble(
                f"nobody knows the name {address}",
                expected="a name or an address that leads to the Mac",
                fix=f"correct ansible_host of {host.name} in hosts.yml",
            )
    said = f": {causes[-1]}" if causes and str(causes[-1]) else ""
    return Trouble(
        f"no SSH connection to {place}{said}",
        expected="Remote Login, and a key that the Mac accepts",
        fix=f"{_ssh(host)} true shows why",
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _changed(host: Host, error: BadHostKeyException) -> Trouble:
    file = _known_hosts(host)
    port = _port(host)
    entry = error.hostname if port == 22 else f"[{error.hostname}]:{port}"
    named = f" -f {quote(file)}" if host.data.get("ssh_known_hosts_file") else ""
    return Trouble(
        f"{host.name} shows another host key than before: {_shown(error.key)} at {error.hostname} "
        f"port {port}, {_shown(error.expected_key)} in {file}",
        expected="the key from before: with another one it may be another machine that listens in",
        fix=f"only if you know why it changed (macOS set up anew, another Mac at that address): "
        f"ssh-keygen -R {quote(entry)}{named}",
    )


def _shown(key: PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _known_hosts(host: Host) -> str:
    return str(host.data.get("ssh_known_hosts_file") or "~/.ssh/known_hosts")


def _port(host: Host) -> int:
    port: Any = host.data.get("ssh_port")
    return int(port or 22)


def _user(host: Host) -> str:
    return str(host.data.get("ssh_user") or "")


def _ssh(host: Host, program: str = "ssh") -> str:
    """The command by which a person reaches the same Mac."""
    address = str(host.data.get("ssh_hostname") or host.name)
    words = [program]
    if _port(host) != 22:
        words += ["-p", str(_port(host))]
    if file := host.data.get("ssh_known_hosts_file"):
        words += ["-o", f"UserKnownHostsFile={file}"]
    words.append(f"{_user(host)}@{address}" if _user(host) else address)
    return " ".join(map(quote, words))
