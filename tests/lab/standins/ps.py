"""``ps``: BSD's options and columns."""

from __future__ import annotations

import os
import sys
import time

from tests.lab.spec import faults
from tests.lab.standins.here import complain, mac, root
from tests.lab.standins.running import Process, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.spec import MacSpec

_USAGE = "usage: ps [-AaCcEefhjlMmrSTvwXx] [-O fmt | -o fmt] [-G gid[,gid...]]\n"
_USAGE += "          [-g grp[,grp...]] [-u [uid,uid...]]\n"
_USAGE += "          [-p pid[,pid...]] [-t tty[,tty...]] [-U user[,user...]]\n       ps [-L]"


def elapsed(seconds: int) -> str:
    """``[[dd-]hh:]mm:ss`` as etime shows it."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{minute:02d}:{second:02d}"
    if hours:
        text = f"{hour:02d}:{text}"
    return f"{days:02d}-{text}" if days else text


def _cpu(process: Process) -> str:
    minutes, seconds = divmod(process.cpu, 60)
    return f"{int(minutes)}:{seconds:05.2f}"


def _began(process: Process) -> str:
    form = "%l:%M%p" if process.seconds < 86400 else "%a%I%p"
    return time.strftime(form, time.localtime(process.started)).strip()


# Keyword: heading, width (0: the last column), aligned right, value.
_COLUMNS: dict[str, tuple[str, int, bool, Callable[[Process], str]]] = {
    "pid": ("PID", 5, True, lambda p: str(p.pid)),
    "ppid": ("PPID", 5, True, lambda p: str(p.parent)),
    "pgid": ("PGID", 5, True, lambda p: str(p.group)),
    "uid": ("UID", 5, True, lambda p: str(p.uid)),
    "user": ("USER", 16, False, lambda p: p.user),
    "ruser": ("RUSER", 16, False, lambda p: p.user),
    "etime": ("ELAPSED", 11, True, lambda p: elapsed(p.seconds)),
    "lstart": ("STARTED", 28, False, lambda p: time.strftime("%c", time.localtime(p.started))),
    "start": ("STARTED", 7, True, _began),
    "time": ("TIME", 9, True, _cpu),
    "stat": ("STAT", 4, False, lambda p: p.letter),
    "state": ("STAT", 4, False, lambda p: p.letter),
    "tty": ("TTY", 8, False, lambda p: p.tty),
    "tt": ("TT", 4, True, lambda p: p.tty.removeprefix("tty")),
    "rss": ("RSS", 6, True, lambda p: str(p.memory[0])),
    "vsz": ("VSZ", 8, True, lambda p: str(p.memory[1])),
    "%cpu": ("%CPU", 5, True, lambda p: f"{100 * p.cpu / max(p.seconds, 1):.1f}"),
    "%mem": ("%MEM", 4, True, lambda p: f"{100 * 1024 * p.memory[0] / p.spec.memory:.1f}"),
    "ucomm": ("UCOMM", 16, False, lambda p: p.name),
    "comm": ("COMM", 0, False, lambda p: p.argv[0] if p.argv else f"({p.comm})"),
    "command": ("COMMAND", 0, False, lambda p: p.command),
    "args": ("ARGS", 0, False, lambda p: p.command),
}
_ALIASES = {"pcpu": "%cpu", "pmem": "%mem", "vsize": "vsz", "cputime": "time", "ruid": "uid"}
_DEFAULT = ["pid", "tty", "time", "command"]
_FORMS = {
    "u": ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tt", "stat", "start", "time", "command"],
    "f": ["uid", "pid", "ppid", "start", "tty", "time", "command"],
    "j": ["user", "pid", "ppid", "pgid", "stat", "tt", "time", "command"],
    "l": ["uid", "pid", "ppid", "vsz", "rss", "stat", "tt", "time", "command"],
}


class Call:
    """What one call asks for."""

    def __init__(self) -> None:
        self.columns: list[tuple[str, str]] = []
        self.everyone = self.without_tty = self.environment = self.short = False
        self.pids: list[int] | None = None
        self.users: list[str] | None = None

    def add_columns(self, text: str) -> None:
        """``pid,command`` or ``pid=`` or ``pid=Heading``; KeyError for an unknown keyword."""
        names, sign, heading = text.partition("=")
        keywords = names.replace(",", " ").split()
        for number, keyword in enumerate(keywords):
            key = _ALIASES.get(keyword, keyword)
            own = _COLUMNS[key][0] if key not in ("comm", "ucomm", "args") else key.upper()
            own = "COMMAND" if key == "args" and keyword == "command" else own
            last = number == len(keywords) - 1
            self.columns.append((key, heading if sign and last else own))

    def flag(self, letter: str) -> bool:
        """Take one option without a value; False when BSD's ps has none of that letter."""
        if letter in "Aae":
            self.everyone = True
            self.without_tty = self.without_tty or letter in "Ae"
        elif letter == "x":
            self.without_tty = True
        elif letter == "E":
            self.environment = True
        elif letter == "c":
            self.short = True
        elif letter in _FORMS:
            self.columns = [(key, _COLUMNS[key][0]) for key in _FORMS[letter]]
        elif letter not in "wrmSThvMCX":
            return False
        return True


def parse(argv: list[str]) -> Call:
    """The options; ValueError with the letter that is none, KeyError with an unknown keyword."""
    call, words = Call(), ["aux" if word == "-aux" else word for word in argv]
    if words and not words[0].startswith("-") and not words[0][0].isdigit():
        first = words.pop(0)
        # Without a dash "e" shows the environment: ps eww.
        call.environment = "e" in first
        for letter in first.replace("e", ""):
            if not call.flag(letter):
                raise ValueError(letter)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            call.pids = [*(call.pids or []), *(int(pid) for pid in word.replace(",", " ").split())]
            continue
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            if letter in "opuUtOgG" and not (letter == "u" and not rest and _no_value(words)):
                if not rest and not words:
                    raise ValueError(letter)
                value, rest = rest or words.pop(0), ""
                if letter == "o":
                    call.add_columns(value)
                elif letter == "p":
                    pids = [int(pid) for pid in value.replace(",", " ").split()]
                    call.pids = [*(call.pids or []), *pids]
                elif letter in "uU":
                    call.users, call.without_tty = value.split(","), True
            elif not call.flag(letter):
                raise ValueError(letter)
    return call


def _no_value(words: list[str]) -> bool:
    return not words or words[0].startswith("-")


def chosen(spec: MacSpec, call: Call) -> list[Process]:
    """The processes that the call selects."""
    everything = processes(spec)
    if call.pids is not None:
        return [process for process in everything if process.pid in call.pids]
    if call.users is not None:
        return [p for p in everything if p.user in call.users or str(p.uid) in call.users]
    me = os.geteuid()
    return [
        process
        for process in everything
        if (call.everyone or process.uid == me) and (call.without_tty or process.tty != "??")
    ]


def visible(process: Process) -> str:
    """The environment after the command, without the lab's own variables; with the fault
    ``ps.environment`` only the command, as macOS shows programs that it protects."""
    if "ps.environment" in faults(process.spec):
        return process.command
    hidden = ("CLAWFLEET_LAB", "PYTHONPATH")
    pairs = [f"{key}={value}" for key, value in process.environment.items()]
    return " ".join([process.command, *(pair for pair in pairs if not pair.startswith(hidden))])


def main(argv: list[str]) -> int:
    """Exit code 1 when no process is selected or the call is wrong."""
    try:
        call = parse(argv)
    except ValueError as error:
        letter = str(error) if len(str(error)) == 1 else "-"
        complain(f"ps: illegal option -- {letter}\n{_USAGE}")
        return 1
    except KeyError as error:
        complain(f"ps: {error.args[0]}: keyword not found\nps: no valid keywords; valid keywords:")
        return 1
    spec = mac()
    columns = call.columns or [(key, _COLUMNS[key][0]) for key in _DEFAULT]
    found = chosen(spec, call)
    lines = [[heading for _, heading in columns]] if any(h for _, h in columns) else []
    for process in found:
        line = [_COLUMNS[key][3](process) for key, _ in columns]
        if call.short or (call.environment and (root(spec) or process.uid == os.geteuid())):
            text = process.name if call.short else visible(process)
            line = [
                text if key in ("command", "args") else value
                for (key, _), value in zip(columns, line, strict=True)
            ]
        lines.append(line)
    for line in lines:
        parts = []
        for number, ((key, heading), value) in enumerate(zip(columns, line, strict=True)):
            _, width, right, _ = _COLUMNS[key]
            wide = max(width, len(heading))
            last = number == len(columns) - 1
            parts.append(value.rjust(wide) if right else value if last else value.ljust(wide))
        sys.stdout.write(" ".join(parts) + "\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
