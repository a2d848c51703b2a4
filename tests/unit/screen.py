"""What stands on a terminal after the text and control sequences that were written to it."""

from __future__ import annotations

import re

_PARTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", re.S)


class Screen:
    """As much of a terminal as is written to here: \\r, \\n, wrapping, and CSI A, B, J, K, m."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0

    def text(self) -> list[str]:
        """The lines without blanks at their ends; empty ones at the end are left out."""
        lines = ["".join(row).rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def feed(self, written: str) -> None:
        """Take what was written. AssertionError for a sequence that is not known here."""
        for part in _PARTS.findall(written):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self._down()
                self.column = 0
            elif part.startswith("\x1b"):
                self._control(part)
            else:
                for char in part:
                    self._put(char)

    def _down(self) -> None:
        self.row += 1
        while len(self.rows) <= self.row:
            self.rows.append([])

    def _put(self, char: str) -> None:
        if self.column == self.columns:
            self._down()
            self.column = 0
        row = self.rows[self.row]
        row.extend(" " * (self.column + 1 - len(row)))
        row[self.column] = char
        self.column += 1

    def _control(self, sequence: str) -> None:
        count = int(re.sub(r"\D", "", sequence) or 1)
        kind = sequence[-1]
        if kind == "A":
            self.row = max(0, self.row - count)
        elif kind == "B":
            self.row = min(len(self.rows) - 1, self.row + count)
        elif sequence in ("\x1b[K", "\x1b[J", "\x1b[0J", "\x1b[0K"):
            del self.rows[self.row][self.column :]
            if kind == "J":
                del self.rows[self.row + 1 :]
        else:
            colour = kind == "m" and re.fullmatch(r"\x1b\[(0|1|3\d|4\d|9\d)?(;\d+)*m", sequence)
            assert colour, repr(sequence)
