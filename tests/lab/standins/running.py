"""The processes of a Mac, read from /proc and shown as a Mac would show them.

What runs in the lab's interpreter appears under the path of its stand-in, launchd's stand-in is
pid 1, and a Mac that is only a folder (level "ports") sees no processes but its own.
"""

from __future__ import annotations

import os

from tests.lab.standins.stat_file import user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.spec import MacSpec

ARGV0 = "CLAWFLEET_LAB_ARGV0"
_MODULE = "tests.lab.standins."
LAUNCHD = "/sbin/launchd"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def read(path: str) -> bytes:
    """Content of a file of /proc, empty when it is gone or not ours."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def shown(argv: list[str], environment: dict[str, str]) -> list[str]:
    """The command line a Mac would show: without the lab's interpreter before it."""
    called = environment.get(ARGV0, "")
    if "-m" in argv[:5]:
        at = argv.index("-m") + 1
        if at < len(argv) and argv[at].startswith(_MODULE):
            # The environment of root's processes is closed to others; launchd is one of them.
            module = argv[at].removeprefix(_MODULE)
            called = called or (LAUNCHD if module == "launchd" else module)
            rest = argv[at + 1 :]
            if argv[at] == f"{_MODULE}openclaw_small":
                # The first argument says which version it plays; a node shows its script there.
                rest = [environment.get("CLAWFLEET_LAB_ENTRY", "openclaw"), *rest[1:]]
            return [called, *rest]
    if os.path.basename(called) == "node" and argv and os.path.basename(argv[0]) == "node":
        return [called, *argv[1:]]
    return argv


class Process:
    """One process; attributes as ``ps`` names them."""

    def __init__(self, spec: MacSpec, pid: int, stat: list[str]) -> None:
        self.spec, self.pid, self._stat = spec, pid, stat
        self.real_pid = pid
        self.parent = int(stat[1])
        self.group = int(stat[2])
        pairs = read(f"/proc/{pid}/environ").decode(errors="replace").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        words = read(f"/proc/{pid}/cmdline").rstrip(b"\0").decode(errors="replace").split("\0")
        self.argv = shown([word for word in words if word or len(words) > 1], self.environment)
        self.comm = read(f"/proc/{pid}/comm").decode(errors="replace").strip()

    @property
    def uid(self) -> int:
        """Effective uid."""
        try:
            return os.stat(f"/proc/{self.real_pid}").st_uid
        except FileNotFoundError:
            return 0

    @property
    def user(self) -> str:
        """Name of the user on this Mac."""
        return user_name(self.spec, self.uid)

    @property
    def name(self) -> str:
        """Base name of the program, as lsof and pgrep show it."""
        return os.path.basename(self.argv[0].split(" ")[0]).rstrip(":") if self.argv else self.comm

    @property
    def command(self) -> str:
        """The whole command line; a zombie's is its name in parentheses."""
        return " ".join(self.argv) if self.argv else f"({self.comm})"

    @property
    def seconds(self) -> int:
        """Seconds since it was started."""
        up = float(read("/proc/uptime").split()[0])
        return max(0, int(up - self.born))

    @property
    def born(self) -> float:
        """When it was started, in seconds since boot."""
        return int(self._stat[19]) / _TICKS

    @property
    def started(self) -> float:
        """When it was started, in seconds since 1970; the same at every call, as OpenClaw 2026.9
        tells its gateway by it."""
        lines = read("/proc/stat").decode().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return boot + self.born

    @property
    def cpu(self) -> float:
        """Seconds of processor time."""
        return (int(self._stat[11]) + int(self._stat[12])) / _TICKS

    @property
    def memory(self) -> tuple[int, int]:
        """Resident and virtual size in KiB."""
        return int(self._stat[21]) * _PAGE >> 10, int(self._stat[20]) >> 10

    @property
    def letter(self) -> str:
        """State: R, S, Z, T, with BSD's ``s`` for a session's leader."""
        state = {"D": "U", "I": "S", "t": "T"}.get(self._stat[0], self._stat[0])
        return state + ("s" if int(self._stat[3]) == self.pid else "")

    @property
    def tty(self) -> str:
        """``ttys000``, or ``??`` without a terminal."""
        number = int(self._stat[4])
        return f"ttys{number & 0xFF:03d}" if number else "??"


def belongs(spec: MacSpec, process: Process) -> bool:
    """Whether it is one of this Mac's; with a process table of its own each is."""
    if spec.level == "namespaces":
        return True
    below = spec.root + "/"
    values = process.environment
    return values.get("HOME", "").startswith(below) or any(
        values.get(key, "").startswith(below) for key in ("CLAWFLEET_LAB_MAC", "TMPDIR")
    )


def processes(spec: MacSpec) -> list[Process]:
    """All processes of this Mac by pid; launchd's stand-in has become pid 1."""
    found: dict[int, Process] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = read(f"/proc/{entry}/stat").rpartition(b")")[2].decode().split()
        if not fields:
            continue
        process = Process(spec, int(entry), fields)
        if belongs(spec, process):
            found[process.pid] = process
    launchds = {pid for pid, process in found.items() if process.argv[:1] == [LAUNCHD]}
    for process in found.values():
        if process.parent in launchds or process.parent not in found:
            process.parent = 1
    for pid in launchds | {1}:
        first = found.pop(pid, None)
        if first is not None and (pid != 1 or not launchds):
            first.pid, first.parent, first.argv = 1, 0, [LAUNCHD]
            found[1] = first
    return sorted(found.values(), key=lambda process: process.pid)


def ancestors(pid: int) -> Iterator[int]:
    """The process itself, its parent, and so on."""
    while pid > 0:
        yield pid
        fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if fields else 0
