"""Surgery on JSON5 text: put one value in, take one out, in the style of what stands around it.

Each function takes the text and the containers from the root down to the one concerned (as
`clawfleet.json5.parse` read them from that very text) and returns the new text. Nothing outside
the value concerned changes, but for the comma that separates it. `remove` takes back exactly the
bytes that `append` put in, which is why both follow the same reading of blanks and comments.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clawfleet.json5 import BLANKS, COMMENT, NEWLINES, Container, Entry, Scalar

_NEWLINE = re.compile(rf"[{NEWLINES}]")
_BLANKS = re.compile(rf"[{BLANKS}]*")
_INDENT = re.compile(r"[ \t]*")
_SAME_LINE_COMMENTS = re.compile(rf"(?:[{BLANKS}]*(?://[^{NEWLINES}]*|/\*[\s\S]*?\*/))*")
_COLON = re.compile(r"[ \t]*:[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TO_ESCAPE = re.compile("[\ud800-\udfff\u2028\u2029]")

Chain = Sequence[Container]
"""The containers from the root (first) to the one that is edited (last)."""


@dataclass(frozen=True)
class Source:
    """A value given as JSON5 text, which is written as it is."""

    text: str


@dataclass(frozen=True)
class Style:
    """How a new value is written. `key_quote` is empty where keys stand without quotes."""

    newline: str = "\n"
    unit: str = "  "
    key_quote: str = '"'
    quote: str = '"'
    colon: str = ": "
    pad: str = ""

    @property
    def comma(self) -> str:
        """The separator inside one line."""
        return ", " if self.colon.endswith(" ") else ","


def render(value: Any, style: Style, indent: str | None) -> str:
    """The value as JSON5, without a final newline.

    `indent` is the indentation of the line that the value begins on; None: all on one line.
    """
    if isinstance(value, Source):
        return value.text
    if isinstance(value, dict):
        parts = [_member(key, item, style, _deeper(indent, style)) for key, item in value.items()]
        return _bracket(parts, "{}", style, indent, style.pad)
    if isinstance(value, list | tuple):
        parts = [render(item, style, _deeper(indent, style)) for item in value]
        return _bracket(parts, "[]", style, indent, "")
    return _scalar(value, style.quote)


def _member(key: str, value: Any, style: Style, indent: str | None) -> str:
    quote = style.key_quote or ("" if _BARE_KEY.fullmatch(key) else style.quote)
    return f"{_string(key, quote) if quote else key}{style.colon}{render(value, style, indent)}"


def _deeper(indent: str | None, style: Style) -> str | None:
    return None if indent is None else indent + style.unit


def _bracket(parts: list[str], brackets: str, style: Style, indent: str | None, pad: str) -> str:
    opening, closing = brackets[0], brackets[1]
    if not parts:
        return brackets
    if indent is None:
        return f"{opening}{pad}{style.comma.join(parts)}{pad}{closing}"
    line = f"{style.newline}{indent}"
    inner = f",{line}{style.unit}".join(parts)
    return f"{opening}{line}{style.unit}{inner}{line}{closing}"


def _scalar(value: Any, quote: str) -> str:
    if isinstance(value, str):
        return _string(value, quote)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _string(value: str, quote: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if quote == "'":
        text = "'" + text[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def style_of(text: str, chain: Chain) -> Style:
    """The style of the nearest neighbours: the container's own values first, then outwards."""
    found: dict[str, str] = {}
    for container in reversed(chain):
        for entry in reversed(container.entries):
            _note_entry(text, entry, found)
            if isinstance(entry.value, Container):
                _note_pad(text, entry.value, found)
                for nested in reversed(entry.value.entries):
                    _note_entry(text, nested, found)
        _note_pad(text, container, found)
        if container.entries and "unit" not in found:
            inner = line_indent(text, container.entries[-1].start)
            outer = line_indent(text, container.start)
            if is_spread(text, [container]) and inner != outer and inner.startswith(outer):
                found["unit"] = inner[len(outer) :]
    if "quote" not in found and found.get("key_quote"):
        found["quote"] = found["key_quote"]
    return Style(newline=_newline(text), **found)


def _newline(text: str) -> str:
    first = re.search(r"\r\n|[\n\r]", text)
    return first[0] if first else "\n"


def _note_entry(text: str, entry: Entry, found: dict[str, str]) -> None:
    value = entry.value
    if isinstance(value, Scalar) and isinstance(value.value, str):
        found.setdefault("quote", text[value.start])
    if entry.key is None:
        return
    first = text[entry.start]
    found.setdefault("key_quote", first if first in "\"'" else "")
    colon = _COLON.fullmatch(text, entry.key_end, value.start)
    if colon:
        found.setdefault("colon", colon[0])


def _note_pad(text: str, container: Container, found: dict[str, str]) -> None:
    if container.is_object and container.entries:
        gap = text[container.start + 1 : container.entries[0].start]
        if gap in ("", " "):
            found.setdefault("pad", gap)


def line_indent(text: str, offset: int) -> str:
    """The blanks at the beginning of the line that the offset is in."""
    start = max(text.rfind(char, 0, offset) for char in NEWLINES) + 1
    blanks = _INDENT.match(text, start, offset)
    return blanks[0] if blanks else ""


def is_spread(text: str, chain: Chain) -> bool:
    """Whether a new value in the last container of the chain goes to a line of its own."""
    container = chain[-1]
    if container.entries:
        return bool(_NEWLINE.search(text, *_gap(container, len(container.entries) - 1)))
    tail, comment = _after_comments(text, container.start + 1, container.end - 1)
    if comment or _NEWLINE.search(text, tail, container.end - 1):
        return bool(_NEWLINE.search(text, tail, container.end - 1))
    return len(chain) == 1 or is_spread(text, chain[:-1])


def _gap(container: Container, index: int) -> tuple[int, int]:
    """Between the comma (or bracket) before an entry and the entry."""
    before = container.entries[index - 1].comma if index else container.start
    return (container.start if before is None else before) + 1, container.entries[index].start


def _after_comments(text: str, start: int, end: int) -> tuple[int, str]:
    """Where the last comment between two offsets ends (or the first offset), and that comment."""
    last = ""
    while match := COMMENT.search(text, start, end):
        start, last = match.end(), match[0]
    return start, last


def append(text: str, chain: Chain, value: Any, key: str | None = None) -> str:
    """Put a value last into the last container of the chain."""
    container = chain[-1]
    style = style_of(text, chain)
    spread = is_spread(text, chain)
    if not container.entries:
        return _fill(text, chain, value, key, style, spread)
    last = container.entries[-1]
    gap = text[slice(*_gap(container, len(container.entries) - 1))]
    indent = line_indent(text, last.start)
    written = _written(text, container, value, key, style, indent if spread else None)
    anchor = last.value.end if last.comma is None else last.comma + 1
    at = anchor
    if spread:
        comments = _SAME_LINE_COMMENTS.match(text, anchor)
        at = comments.end() if comments else anchor
        written = f"{style.newline}{indent}{written}"
    elif len(container.entries) > 1 and not gap.strip(" \t"):
        written = gap + written
    else:
        written = style.comma[1:] + written
    if last.comma is None:
        end = last.value.end
        return f"{text[:end]},{text[end:at]}{written}{text[at:]}"
    return f"{text[:at]}{written},{text[at:]}"


def _written(
    text: str, container: Container, value: Any, key: str | None, style: Style, indent: str | None
) -> str:
    if key is not None:
        return _member(key, value, style, indent)
    sibling = container.entries[-1].value if container.entries else None
    if isinstance(sibling, Container) and sibling.entries and isinstance(value, dict):
        # A new element of a list looks like the one before it.
        spread = is_spread(text, [sibling])
        indent = line_indent(text, container.entries[-1].start) if spread else None
    return render(value, style, indent)


def _fill(text: str, chain: Chain, value: Any, key: str | None, style: Style, spread: bool) -> str:
    container = chain[-1]
    start, end = container.start + 1, container.end - 1
    at, comment = _after_comments(text, start, end)
    outer = line_indent(text, container.start)
    inner = outer + style.unit
    if comment and _NEWLINE.search(text, start, at - len(comment)):
        inner = line_indent(text, at - len(comment))
    written = _written(text, container, value, key, style, inner if spread else None)
    if spread:
        # Whatever blanks stood between the brackets stay behind, so that `remove` finds them.
        closing = "" if comment else style.newline + outer
        return f"{text[:at]}{style.newline}{inner}{written}{closing}{text[at:]}"
    before = " " if comment else text[at:end]
    return f"{text[:at]}{before}{written}{text[at:]}"


def insert_before(text: str, chain: Chain, index: int, value: Any) -> str:
    """Put an element in front of another one of the list that ends the chain."""
    container = chain[-1]
    style = style_of(text, chain)
    start = container.entries[index].start
    gap = _gap(container, index)
    spread = bool(_NEWLINE.search(text, *gap))
    indent = line_indent(text, start)
    separator = f"{style.newline}{indent}" if spread else style.comma[1:]
    written = render(value, style, indent if spread else None)
    return f"{text[:start]}{written},{separator}{text[start:]}"


def replace(text: str, chain: Chain, index: int, value: Any) -> str:
    """Put a value in the place of an entry's; a string keeps the quotes of the old one."""
    node = chain[-1].entries[index].value
    style = style_of(text, chain)
    if isinstance(value, str) and isinstance(node, Scalar) and isinstance(node.value, str):
        written = _string(value, text[node.start])
    else:
        indent = line_indent(text, node.start) if is_spread(text, chain) else None
        written = render(value, style, indent)
    return text[: node.start] + written + text[node.end :]


def remove(text: str, container: Container, index: int) -> str:
    """Take an entry out; comments around it stay, those inside its value go with it."""
    entries = container.entries
    entry = entries[index]
    gap = _gap(container, index)
    lead, comment = _after_comments(text, *gap)
    after = entry.value.end if entry.comma is None else entry.comma + 1
    cuts = [(lead, entry.value.end)]
    if _keeps_blanks(text, container, index, after, lead, comment):
        commented = COMMENT.search(text, entry.value.end, after)
        blanks = _BLANKS.match(text, entry.value.end if commented else after)
        cuts = [(entry.start, entry.value.end), *([blanks.span()] if blanks else [])]
    elif len(entries) == 1 and not comment and _NEWLINE.search(text, *gap):
        closing = _newline(text) + line_indent(text, container.start)
        rest = text[after : container.end - 1]
        if rest.startswith(closing) and not COMMENT.search(rest):
            cuts.append((after, after + len(closing)))
    if entry.comma is not None:
        cuts.append((entry.comma, entry.comma + 1))
    elif index and (before := entries[index - 1].comma) is not None:
        cuts.append((before, before + 1))
    return _without(text, cuts)


def _keeps_blanks(
    text: str, container: Container, index: int, after: int, lead: int, comment: str
) -> bool:
    """Whether the blanks before the entry (from `lead`, after `comment`) are for what follows."""
    entry = container.entries[index]
    own_line = bool(_NEWLINE.search(text, lead, entry.start))
    commented = bool(COMMENT.search(text, entry.value.end, after))
    blanks = _BLANKS.match(text, after)
    rest = text[blanks.end() if blanks else after :][:1]
    if rest in ("}", "]"):
        return own_line and (commented or comment.startswith("//"))
    if own_line:
        return commented or rest not in NEWLINES
    return index == 0 and not commented and rest not in NEWLINES


def _without(text: str, cuts: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in sorted(cuts):
        kept.append(text[at : max(start, at)])
        at = max(at, end)
    return "".join(kept) + text[at:]
