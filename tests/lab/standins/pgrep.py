"""``pgrep`` and ``pkill``; neither finds itself nor what called it."""

from __future__ import annotations

import os
import re
import signal
import sys

from tests.lab.standins.here import complain, mac
from tests.lab.standins.running import Process, ancestors, processes

_USAGE = "usage: {} [-Lafilnoqvx] [-F pidfile] [-G gid] [-P ppid] [-U uid] [-d delim]\n"
_USAGE += "             [-g pgrp] [-t tty] [-u euid] pattern ..."


def number_of(word: str) -> signal.Signals | None:
    """The signal of ``-9``, ``-KILL`` or ``-SIGKILL``; None when the word is none."""
    text = word[1:].removeprefix("SIG")
    for known in signal.Signals:
        if text in (str(known.value), known.name.removeprefix("SIG")):
            return known
    return None


class Call:
    """The options of one call; ValueError with the letter of an unknown one."""

    def __init__(self, argv: list[str], kill: bool) -> None:
        self.flags, self.patterns, self.signal = "", list[str](), signal.SIGTERM
        self.users: list[str] | None = None
        self.parents: list[int] | None = None
        words = list(argv)
        while words:
            word = words.pop(0)
            if not word.startswith("-") or word == "-":
                self.patterns.append(word)
                continue
            if word == "--":
                self.patterns += words
                break
            if kill and (number := number_of(word)):
                self.signal = number
                continue
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter in "uUPGgtdF" and (rest or words):
                    value, rest = rest or words.pop(0), ""
                    if letter in "uU":
                        self.users = value.split(",")
                    elif letter == "P":
                        self.parents = [int(pid) for pid in value.split(",")]
                elif letter in "afilnoqvxL":
                    self.flags += letter
                else:
                    raise ValueError(letter)

    def matches(self, process: Process) -> bool:
        """Whether the options select that process."""
        if self.users is not None and not {process.user, str(process.uid)} & set(self.users):
            return False
        if self.parents is not None and process.parent not in self.parents:
            return False
        text = process.command if "f" in self.flags else process.name
        case = re.IGNORECASE if "i" in self.flags else 0
        find = re.fullmatch if "x" in self.flags else re.search
        hit = not self.patterns or any(find(pattern, text, case) for pattern in self.patterns)
        return hit != ("v" in self.flags)


def main(argv: list[str]) -> int:
    """Exit code 1 when nothing matched, 2 for a wrong call."""
    name = os.path.basename(os.environ.get("CLAWFLEET_LAB_ARGV0", "pgrep"))
    kill = name == "pkill"
    try:
        call = Call(argv, kill)
    except ValueError as error:
        complain(f"{name}: illegal option -- {error}\n{_USAGE.format(name)}")
        return 2
    if not call.patterns and call.users is None and call.parents is None:
        complain(_USAGE.format(name))
        return 2
    spare = set(ancestors(os.getpid()))
    found = [p for p in processes(mac()) if p.real_pid not in spare and call.matches(p)]
    if "n" in call.flags or "o" in call.flags:
        found = sorted(found, key=lambda p: p.seconds)[:: 1 if "n" in call.flags else -1][:1]
    for process in found:
        if kill:
            try:
                os.kill(process.real_pid, call.signal)
            except PermissionError:
                complain(f"pkill: signalling pid {process.pid}: Operation not permitted")
            except ProcessLookupError:
                continue
        elif "q" not in call.flags:
            shown = process.command if "f" in call.flags else process.name
            sys.stdout.write(
                f"{process.pid} {shown}\n" if "l" in call.flags else f"{process.pid}\n"
            )
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
