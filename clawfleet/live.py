"""One line per Mac that is replaced in place, where stderr is a terminal.

The lines stand above pyinfra's own spinner. Before pyinfra logs anything they are taken away, and
drawn again below it, so that neither overwrites the other.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from pyinfra import logger

EVERY = 0.2
"""Seconds between two drawings."""


class Board:
    """The lines of all Macs, in the order in which they came; `stream` is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lines: dict[str, str] = {}
        self._drawn = 0
        self._at = 0.0

    def show(self, name: str, text: str | None) -> None:
        """Replace a line; None takes it away."""
        if text is None:
            self.lines.pop(name, None)
        else:
            self.lines[name] = text
        if text is None or time.monotonic() - self._at >= EVERY:
            self.draw()

    def draw(self) -> None:
        """Draw all lines in the place of those that were drawn before."""
        size = _size(self.stream)
        shown = list(self.lines.values())
        room = max(1, size.lines - 2)
        if len(shown) > room:
            shown = [*shown[: room - 1], f"... and {len(shown) - room + 1} more"]
        # One character less than there is place for: a full line would wrap.
        text = "".join(f"    {line}"[: size.columns - 1] + "\n" for line in shown)
        self.stream.write(self._up() + text)
        self.stream.flush()
        self._drawn, self._at = len(shown), time.monotonic()

    def clear(self) -> None:
        """Take the drawn lines off the screen."""
        if self._drawn:
            self.stream.write(self._up())
            self.stream.flush()
            self._drawn = 0

    def _up(self) -> str:
        return f"\r\x1b[{self._drawn}A\x1b[J" if self._drawn else "\r\x1b[K"


class _Before(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 (logging's signature)
        if _BOARD:
            _BOARD.clear()


class _After(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        if _BOARD and _BOARD.lines:
            _BOARD.draw()


_BOARD: Board | None = None


def _board() -> Board | None:
    """The terminal's board, made when first asked for; None where stderr is no
    terminal, or nothing shall move on it."""
    global _BOARD
    # The variable turns pyinfra's own spinner off.
    if _BOARD is None and sys.stderr.isatty() and os.environ.get("PYINFRA_PROGRESS") != "off":
        _BOARD = Board(sys.stderr)
        # pyinfra's own handler stands between them.
        logger.handlers.insert(0, _Before())
        logger.handlers.append(_After())
    return _BOARD


class Line:
    """A Mac's line for the time of a ``with`` block."""

    def __init__(self, name: str) -> None:
        self.name = name

    def show(self, text: str) -> bool:
        """Whether there is a terminal that shows it."""
        board = _board()
        if board:
            board.show(self.name, text)
        return board is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if board := _board():
            board.show(self.name, None)


def _size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except OSError:
        return os.terminal_size((80, 24))
