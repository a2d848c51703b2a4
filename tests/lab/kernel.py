"""The few Linux calls the lab needs and the standard library of Python 3.11 lacks."""

from __future__ import annotations

import ctypes
import os
import platform

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
RDONLY, REMOUNT, BIND, REC, PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_DETACH = 2
_SET_NAME = 15
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the named namespaces for new ones; OSError where the kernel refuses."""
    _checked(_libc.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """``mount -t KIND -o OPTIONS SOURCE TARGET``; OSError names both ends."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(result, f"mount {kind} {source} on {target}")


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show a folder or file of the machine below at another place."""
    mount(source, target, flags=BIND | REC)
    if read_only:
        mount("none", target, flags=BIND | REMOUNT | RDONLY)


def pivot_root(new: str) -> None:
    """Make ``new`` (a mount point) the root of this mount namespace and forget the old one."""
    os.chdir(new)
    os.makedirs("oldroot", exist_ok=True)
    number = _PIVOT_ROOT[platform.machine()]
    _checked(_libc.syscall(number, b".", b"oldroot"), "pivot_root")
    os.chdir("/")
    _checked(_libc.umount2(b"/oldroot", _DETACH), "umount /oldroot")
    os.rmdir("/oldroot")


def name_process(name: str) -> None:
    """Set the name that ``/proc/PID/comm`` shows (at most 15 bytes)."""
    _libc.prctl(_SET_NAME, name.encode(), 0, 0, 0)


def children(pid: int) -> list[int]:
    """Process ids of the direct children of ``pid``, ascending; empty when it is gone."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and parent(int(entry)) == pid:
            found.append(int(entry))
    return sorted(found)


def parent(pid: int) -> int | None:
    """Process id of the parent, or None when ``pid`` is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def started(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process, which tell two with one pid apart."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def command_name(pid: int) -> str:
    """The content of ``/proc/PID/comm``, or an empty text when the process is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
