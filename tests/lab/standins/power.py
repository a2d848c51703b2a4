"""``pmset``: settings in ``<state>/pmset.json``, as text by key."""

from __future__ import annotations

import json
import sys

from tests.lab.standins.here import complain, mac, root, state

CUSTOM = {
    "Sleep On Power Button": "1",
    "autorestartatconnect": "0",
    "lowpowermode": "0",
    "standby": "0",
    "ttyskeepawake": "1",
    "powernap": "1",
    "displaysleep": "10",
    "womp": "1",
    "networkoversleep": "0",
    "sleep": "1",
    "tcpkeepalive": "1",
    "autorestart": "0",
    "disksleep": "10",
}
"""A Mac mini as it is bought: it sleeps, and stays off after a power cut."""
_LIVE = ("autorestart", "autorestartatconnect", "lowpowermode")


def lines(values: dict[str, str]) -> str:
    """The settings as pmset shows them: one blank, the key in 20 columns, a blank, the value."""
    return "".join(f" {key:<20} {value}\n" for key, value in values.items())


def main(argv: list[str]) -> int:
    """Exit code 77 for a change without root, 64 for an unknown call."""
    spec = mac()
    values: dict[str, str] = CUSTOM | json.loads(state(spec, "pmset.json", "{}"))
    if argv in (["-g", "custom"], ["-g", "disksleep"]):
        sys.stdout.write("AC Power:\n" + lines(values))
        return 0
    if argv in (["-g"], ["-g", "live"]):
        disabled = values.pop("disablesleep", "0")
        sys.stdout.write(f"System-wide power settings:\n SleepDisabled\t\t{disabled}\n")
        if values["sleep"] != "0":
            values["sleep"] += " (sleep prevented by powerd, sharingd)"
        shown = {key: value for key, value in values.items() if key not in _LIVE}
        sys.stdout.write("Currently in use:\n" + lines(shown))
        return 0
    if not argv or argv[0] not in ("-a", "-c", "-b", "-u"):
        complain("Usage:  pmset <options>\n        See pmset(1) for details: 'man pmset'")
        return 64
    if not root(spec):
        sys.stdout.write("'pmset' must be run as root...\n")
        return 77
    own = json.loads(state(spec, "pmset.json", "{}"))
    own |= dict(zip(argv[1::2], argv[2::2], strict=False))
    with open(f"{spec.state}/pmset.json", "w", encoding="utf-8") as file:
        json.dump(own, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
