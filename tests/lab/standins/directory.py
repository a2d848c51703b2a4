"""``dscl . -read /Users/NAME [KEY...]`` and ``-list /Users``."""

from __future__ import annotations

import sys

from tests.lab.standins.here import complain, mac


def users() -> dict[str, dict[str, str]]:
    """The accounts and what is known of them."""
    spec = mac()
    own = {
        "NFSHomeDirectory": spec.home,
        "PrimaryGroupID": str(spec.gid),
        "RealName": f"\n {spec.user.title()} of the Lab",
        "RecordName": spec.user,
        "UniqueID": str(spec.uid),
        "UserShell": "/bin/zsh",
    }
    root = {"NFSHomeDirectory": "/var/root", "PrimaryGroupID": "0", "RecordName": "root"}
    return {spec.user: own, "root": root | {"UniqueID": "0", "UserShell": "/bin/sh"}}


def main(argv: list[str]) -> int:
    """Exit code 56 for an unknown user, 64 for a wrong call."""
    known = users()
    if argv[1:] == ["-list", "/Users"]:
        sys.stdout.write("".join(f"{name}\n" for name in sorted(known)))
        return 0
    if len(argv) < 3 or argv[1] not in ("-read", "read") or not argv[2].startswith("/Users/"):
        complain("usage: dscl [options] <datasource> [<command>]")
        return 64
    entry = known.get(argv[2].removeprefix("/Users/"))
    if entry is None:
        complain("<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)")
        return 56
    for key in argv[3:] or entry:
        if key not in entry:
            sys.stdout.write(f"No such key: {key}\n")
            continue
        blank = "" if entry[key].startswith("\n") else " "
        sys.stdout.write(f"{key}:{blank}{entry[key]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
