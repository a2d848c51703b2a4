"""Changes as data: what a deploy would do to one Mac, before anything becomes a command.

The dry run prints these, the operations turn them into commands, the report names them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from clawfleet.snapshot import File


class Trouble(Exception):
    """Why this Mac can't go on: what was found, what was expected, and the command that fixes it.

    Which Mac it is, the caller adds.
    """

    def __init__(self, found: str, *, expected: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.fix = fix

    def lines(self) -> list[str]:
        """For a person; further lines of what was found are indented below the first."""
        found = self.found.splitlines() or [""]
        return [
            f"found:    {found[0]}",
            *(f"          {line}" for line in found[1:]),
            f"expected: {self.expected}",
            f"to fix:   {self.fix}",
        ]


@dataclass(frozen=True)
class Step:
    """One sh script that changes a Mac."""

    title: str
    """What a person reads: ``install Homebrew``."""
    reason: str
    script: str
    """Sent over stdin, so that it stands in no argument list."""
    fix: str
    """What a person can run when it fails."""
    timeout: int = 900
    """Seconds."""
    show: str = ""
    """The command as a person would type it, for the dry run; empty: only the title."""


@dataclass(frozen=True)
class FileChange:
    """New bytes for one file on a Mac."""

    file: File
    """As it was read; its hash is compared again on the Mac before the new bytes replace it."""
    after: bytes
    mode: str = "600"
    reasons: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def same(self) -> bool:
        return self.file.content == self.after


def target(file: File, home: str) -> File:
    """The file that a change has to replace: a link's own target, so that the link stays.

    Trouble when it can't be read, or when the link leads out of the user's home.
    """
    if file.trouble:
        raise Trouble(
            f"{file.path} is {file.trouble}",
            expected="a file that this user can read and write",
            fix=f"on the Mac: ls -ld {quote(file.path)}",
        )
    if not file.link:
        return file
    if not file.link.startswith(f"{home}/"):
        raise Trouble(
            f"{file.path} is a link to {file.link}",
            expected=f"a file below {home}",
            fix=f"on the Mac, put the file itself in the link's place: ls -l {quote(file.path)}",
        )
    return replace(file, path=file.link)


def quote(value: str) -> str:
    """A value as one word of sh."""
    return shlex.quote(value)
