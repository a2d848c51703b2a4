"""Which commands of a Mac the stand-ins of macOS' own small tools provide."""

from __future__ import annotations

import sys

_SHELL = ("uname", "sw_vers", "xcode-select", "fdesetup", "caffeinate", "sed", "curl")
_SHIMS = ("git", "python3", "make", "clang")
_LINUX: dict[str, str] = {
    **{f"/usr/bin/{name}": f"sh/{name}" for name in _SHELL},
    **{f"/usr/bin/{name}": "sh/developer-tool" for name in _SHIMS},
    "/usr/sbin/sysctl": "sh/sysctl",
    "/usr/bin/stat": "stat_file",
    "/bin/df": "disks",
    "/usr/bin/shasum": "digests",
    "/sbin/md5": "digests",
    "/usr/bin/base64": "base_64",
    "/usr/bin/mktemp": "temporary",
    "/bin/date": "dates",
    "/usr/bin/xattr": "attributes",
    "/usr/bin/plutil": "plists",
    "/usr/bin/defaults": "preferences",
    "/bin/ps": "ps",
    "/usr/bin/pgrep": "pgrep",
    "/usr/bin/pkill": "pgrep",
    "/usr/sbin/lsof": "lsof",
    "/usr/sbin/scutil": "network",
    "/usr/sbin/networksetup": "network",
    "/usr/bin/pmset": "power",
    "/usr/sbin/system_profiler": "profiler",
    "/usr/bin/dscl": "directory",
    "/usr/bin/sqlite3": "sqlite_shell",
    "/usr/bin/sudo": "sudo",
    "/usr/bin/open": "open_app",
}
_LINUX_PORTS: dict[str, str] = {
    "/usr/bin/id": "sh/id",
    "/usr/bin/whoami": "sh/id",
    # What a Mac has not cannot be taken away here, but it can be made to fail.
    **{
        f"/usr/bin/{name}": "sh/absent"
        for name in [
            "sha256sum",
            "sha1sum",
            "md5sum",
            "timeout",
            "setsid",
            "flock",
            "pidof",
            "tac",
            "nproc",
            "ss",
            "free",
        ]
    },
}

# On a real Mac the commands are there, and right.
COMMANDS: dict[str, str] = {} if sys.platform == "darwin" else _LINUX
PORTS_COMMANDS: dict[str, str] = {} if sys.platform == "darwin" else _LINUX_PORTS
