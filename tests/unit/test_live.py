"""Lines that are replaced in place, seen as a terminal would show them."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator

import pytest
from pyinfra import logger

from clawfleet import live
from tests.unit.screen import Screen


class Terminal:
    """A pseudo-terminal to write to, and what stands on it."""

    def __init__(self, columns: int = 40, lines: int = 8) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        mode = termios.tcgetattr(theirs)
        mode[1] &= ~termios.OPOST  # line feeds as they are written
        termios.tcsetattr(theirs, termios.TCSANOW, mode)
        self.stream = os.fdopen(theirs, "w", encoding="utf-8", buffering=1)
        self.screen = Screen(columns)

    def shown(self) -> list[str]:
        self.stream.flush()
        os.set_blocking(self.ours, False)
        while True:
            try:
                self.screen.feed(os.read(self.ours, 65536).decode())
            except (BlockingIOError, OSError):
                return self.screen.text()

    def close(self) -> None:
        self.stream.close()
        os.close(self.ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal()
    monkeypatch.setattr(live, "EVERY", 0.0)
    yield made
    made.close()


def test_lines_are_replaced_in_place(terminal: Terminal) -> None:
    board = live.Board(terminal.stream)
    board.show("mac1", "[mac1] 1 %")
    board.show("mac2", "[mac2] 5 %")
    board.show("mac1", "[mac1] 2 %")
    assert terminal.shown() == ["    [mac1] 2 %", "    [mac2] 5 %"]
    board.show("mac1", None)
    assert terminal.shown() == ["    [mac2] 5 %"]
    board.show("mac2", None)
    assert terminal.shown() == []


def test_a_long_line_does_not_wrap_and_many_fit(terminal: Terminal) -> None:
    board = live.Board(terminal.stream)
    for number in range(20):
        board.show(f"mac{number}", f"[mac{number}] " + "x" * 100)
    lines = terminal.shown()
    assert len(lines) == 6
    assert all(len(line) < 40 for line in lines)
    assert lines[-1] == "    ... and 15 more"
    board.clear()
    assert terminal.shown() == []


def test_it_is_not_drawn_for_every_word(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", 1000.0)
    board = live.Board(terminal.stream)
    for number in range(100):
        board.show("mac1", f"{number} %")
    assert terminal.shown() == ["    0 %"]
    board.draw()
    assert terminal.shown() == ["    99 %"]


def test_what_pyinfra_logs_stands_above_and_its_spinner_below(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = logging.StreamHandler(terminal.stream)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(live, "_BOARD", None)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    logger.setLevel(logging.INFO)
    with live.Line("mac1") as line, live.Line("mac2") as other:
        assert line.show("[mac1] 1 %")
        assert other.show("[mac2] 9 %")
        # As pyinfra's _print_spinner writes it.
        terminal.stream.write("    - {mac1, mac2}\r")
        terminal.stream.write("\x1b[K")
        assert terminal.shown() == ["    [mac1] 1 %", "    [mac2] 9 %"]
        terminal.stream.write("    / {mac1, mac2}\r")
        logger.info("    [mac2] something else")
        terminal.stream.write("    | {mac1, mac2}\r")
        line.show("[mac1] 2 %")
        assert terminal.shown() == ["    [mac2] something else", "    [mac1] 2 %", "    [mac2] 9 %"]
    assert terminal.shown() == ["    [mac2] something else"]
    assert live._BOARD is not None
    monkeypatch.setattr(live, "_BOARD", None)


def test_without_a_terminal_nothing_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "_BOARD", None)
    with live.Line("mac1") as line:
        assert not line.show("[mac1] 1 %")
    assert capsys.readouterr().err == ""


def test_the_screen_of_these_tests_is_a_terminal() -> None:
    screen = Screen(10)
    screen.feed("one\ntwo\nthree\r\x1b[1AT\x1b[1B\rx\x1b[K")
    assert screen.text() == ["one", "Two", "x"]
    screen.feed("\r\x1b[2A\x1b[Jnew\n" + "y" * 12)
    assert screen.text() == ["new", "y" * 10, "yy"]
    with pytest.raises(AssertionError, match=re.escape("'\\x1b[5m'")):
        screen.feed("\x1b[5m")
