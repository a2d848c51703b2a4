"""Show what happens to a file: a unified diff that holds no secrets.

Secrets are replaced on both sides before the comparison; a secret that changes still shows as a
changed line, because its short hash changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import unified_diff
from itertools import pairwise

from clawfleet import redact

NULL = "/dev/null"
NO_NEWLINE = "\\ No newline at end of file"

_HASH_LENGTHS = (4, 8, 16, 64)
# Cursor movements and the like, and what turns the direction of text, must not reach a terminal.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_LEAD = 20
"""Characters shown before the first difference of two lines that are cut."""

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_COLORS = {"@": "\x1b[36m", "-": "\x1b[31m", "+": "\x1b[32m"}


def unified(
    path: str,
    before: str | None,
    after: str | None,
    *,
    salt: str,
    known: Iterable[str] = (),
    width: int | None = None,
    context: int = 3,
) -> list[str]:
    """The lines of the diff, without line ends; none where the texts are equal.

    None stands for a file that is absent. `salt` and `known` are as for `redact.text`. Lines
    longer than `width` characters are cut around what differs. A carriage return shows as ``␍``
    where the two sides don't agree on it, any other control character by its code.
    """
    if before == after:
        return []
    old, new = before or "", after or ""
    known = list(known)
    for digits in _HASH_LENGTHS:
        shown_old = redact.text(old, salt=salt, known=known, digits=digits)
        shown_new = redact.text(new, salt=salt, known=known, digits=digits)
        if shown_old != shown_new or old == new:
            break
    carriage = len(_line_ends(old) | _line_ends(new)) > 1
    mark = old.startswith("\ufeff") != new.startswith("\ufeff")
    lines = list(
        unified_diff(
            _lines(shown_old, carriage=carriage, mark=mark),
            _lines(shown_new, carriage=carriage, mark=mark),
            n=context,
        )
    )[2:]
    header = [
        f"--- {NULL if before is None else _printable(path)}",
        f"+++ {NULL if after is None else _printable(path)}",
    ]
    body = _cut([_printable(line) for line in lines], width)
    out: list[str] = []
    for raw, line in zip(lines, body, strict=True):
        out.append(line)
        if not raw.startswith("@@") and not raw.endswith("\n"):
            out.append(NO_NEWLINE)
    return header + out


def color(lines: Iterable[str]) -> list[str]:
    """The lines with ANSI colours: red out, green in, cyan positions, bold names."""
    given = list(lines)
    # A line that goes out and begins with "--" looks like a header, but no "+++ " follows it.
    heads = {
        i + offset
        for i, (line, following) in enumerate(pairwise(given))
        if line.startswith("--- ") and following.startswith("+++ ")
        for offset in (0, 1)
    }
    colored: list[str] = []
    for i, line in enumerate(given):
        code = _BOLD if i in heads else _COLORS.get(line[:1], "")
        colored.append(f"{code}{line}{_RESET}" if code else line)
    return colored


def _line_ends(text: str) -> set[str]:
    return set(re.findall(r"\r?\n", text))


def _lines(text: str, *, carriage: bool, mark: bool) -> list[str]:
    if not carriage:
        text = text.replace("\r\n", "\n")
    if not mark:
        text = text.removeprefix("\ufeff")
    # Not str.splitlines(): it splits at characters that end no line of a file.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _printable(line: str) -> str:
    return _UNPRINTABLE.sub(_code, line.removesuffix("\n"))


def _code(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return "␍"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _cut(lines: list[str], width: int | None) -> list[str]:
    """Shorten the lines; of a line that became another one, show the place that differs."""
    if width is None:
        return lines
    starts = dict.fromkeys(range(len(lines)), 0)
    for first, count in _runs(lines):
        for out in range(first, first + count):
            into = out + count
            if into >= len(lines) or not lines[into].startswith("+"):
                break
            starts[out] = starts[into] = max(0, _common(lines[out], lines[into]) - _LEAD)
    return [_window(line, starts[i], max(width, _LEAD * 2)) for i, line in enumerate(lines)]


def _runs(lines: list[str]) -> list[tuple[int, int]]:
    """Where lines go out: the first of each run and how many."""
    runs: list[tuple[int, int]] = []
    for i, line in enumerate(lines):
        if not line.startswith("-"):
            continue
        if runs and sum(runs[-1]) == i:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs


def _common(one: str, other: str) -> int:
    """Characters after the mark that both lines begin with."""
    pairs = zip(one[1:], other[1:], strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)) - 1)


def _window(line: str, start: int, width: int) -> str:
    mark, body = line[:1], line[1:]
    if len(body) < width:
        return line
    room = width - 3
    start = max(0, min(start, len(body) - room))
    left = "…" if start else ""
    right = "…" if start + room < len(body) else ""
    return f"{mark}{left}{body[start : start + room]}{right}"
