"""Read JSON5 into a tree that knows where each value stands in the text.

The grammar is that of JSON5 1.0.0 as the npm package ``json5`` reads it, because that is what
OpenClaw reads its configuration with. One thing is stricter here: a raw control character other
than a tab inside a string is an error. That package (2.2.3) lets all of them through, but such a
file is more often damaged than meant.

The tree is for surgery on the text (see `clawfleet.merge`): nothing is ever printed back from it,
so whatever is not touched stays as it is, byte by byte.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, TypeAlias

DEEPEST = 128
"""Levels of nesting that are read; deeper text is an error rather than an exhausted stack."""

NEWLINES = "\n\r\u2028\u2029"
BLANKS = r"\t\v\f \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\ufeff"
"""For a character class: what separates tokens without ending the line."""

_TRIVIA = re.compile(rf"(?:[{BLANKS}{NEWLINES}]++|//[^{NEWLINES}]*+|/\*[\s\S]*?\*/)*+")
COMMENT = re.compile(rf"//[^{NEWLINES}]*+|/\*[\s\S]*?\*/")

_CONTROL = r"\x00-\x08\x0a-\x1f"
_TAIL = r"(?:\\(?:\r\n|[^{c}]|[\n\r])[^{q}\\{c}]*+)*+{q}"
_STRING = "|".join(rf"{q}[^{q}\\{_CONTROL}]*+" + _TAIL.format(q=q, c=_CONTROL) for q in "\"'")
_DECIMAL = r"(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})"
    rf"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]++|{_DECIMAL}|Infinity|NaN))"
    r"|(?P<word>true|false|null)"
)
_ESCAPE = re.compile(r"\\(?:\r\n|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([\s\S]))")
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*+(?![^\x00-\x7f]|\\)")
_NAME_PART = re.compile(r"\\u([0-9a-fA-F]{4})|([^\\])")
_DIGIT = re.compile(r"[0-9]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_SINGLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_START = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nl"})
_CONTINUE = _START | {"Mn", "Mc", "Nd", "Pc"}

_LONGEST_NUMBER = 300
"""Digits above which a number is read as a double: none of that size is exact in OpenClaw, and
CPython refuses to turn very long digit strings into integers."""


class Json5Error(ValueError):
    """Text that is not JSON5, or that can't be carried through an edit.

    `line` and `column` count from 1, columns in characters. `message` never quotes more of the
    text than one character: it may be shown where secrets may not.
    """

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.message = message


@dataclass(slots=True, eq=False)
class Scalar:
    """A string, number, boolean or null: ``text[start:end]``."""

    start: int
    end: int
    value: str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Entry:
    """A member of an object (with `key`) or an element of an array (`key` is None).

    `start` is where the key or the element begins, `key_end` where the key ends (for an element
    as `start`), `comma` the offset of the comma after the value.
    """

    start: int
    key_end: int
    key: str | None
    value: Node
    comma: int | None = None


@dataclass(slots=True, eq=False)
class Container:
    """An object or an array: ``text[start:end]`` with its brackets."""

    start: int
    end: int
    is_object: bool
    entries: list[Entry] = field(default_factory=list)


Node: TypeAlias = Scalar | Container


def position(text: str, offset: int) -> tuple[int, int]:
    r"""Line and column, from 1, of an offset. ``\n``, ``\r\n`` and ``\r`` end a line."""
    lines = re.split(r"\r\n|[\n\r]", text[:offset])
    # A byte order mark takes no column in any editor.
    column = len(lines[-1].removeprefix("\ufeff")) if len(lines) == 1 else len(lines[-1])
    return len(lines), column + 1


def error_at(text: str, offset: int, message: str) -> Json5Error:
    """The error for an offset in the text."""
    return Json5Error(*position(text, offset), message)


def loads(text: str) -> Any:
    """The value as `json.loads` would give it; of a repeated key the last one counts.

    Integers that are written without point or exponent are `int`, other numbers `float`.
    Raises `Json5Error`.
    """
    return plain(parse(text))


def plain(node: Node) -> Any:
    """The value of a part of the tree as dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if node.is_object:
        return {entry.key: plain(entry.value) for entry in node.entries}
    return [plain(entry.value) for entry in node.entries]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal to OpenClaw: 131072 equals 131072.0, but 1 is not true."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        one, other = _double(one), _double(other)
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, str) and isinstance(other, str) and one == other


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def is_name(text: str) -> bool:
    """Whether a key may stand without quotes."""
    return bool(text) and all(_is_name_part(char, first=i == 0) for i, char in enumerate(text))


def _is_name_part(char: str, *, first: bool) -> bool:
    if char in "$_":
        return True
    if first:
        return unicodedata.category(char) in _START
    return unicodedata.category(char) in _CONTINUE or char in "\u200c\u200d"


def parse(text: str) -> Node:
    """The tree of the text. Raises `Json5Error`."""
    root, end = _value(text, _skip(text, 0), 0)
    end = _skip(text, end)
    if end < len(text):
        raise _unexpected(text, end, "the end of the text")
    return root


def _skip(text: str, offset: int) -> int:
    match = _TRIVIA.match(text, offset)
    end = match.end() if match else offset
    if text.startswith("/*", end):
        raise error_at(text, end, "this comment is never closed")
    return end


def _value(text: str, offset: int, depth: int) -> tuple[Node, int]:
    first = text[offset : offset + 1]
    if first in ("{", "["):
        if depth == DEEPEST:
            raise error_at(text, offset, f"nested deeper than {DEEPEST} levels")
        container = _container(text, offset, first == "{", depth)
        return container, container.end
    match = _TOKEN.match(text, offset)
    if match is None:
        if first in ('"', "'"):
            raise _broken_string(text, offset)
        raise _unexpected(text, offset, "a value")
    token, end = match.group(), match.end()
    if match.lastgroup == "string":
        return Scalar(offset, end, _unescape(text, token, offset)), end
    if match.lastgroup == "number":
        return Scalar(offset, end, _number(token)), end
    return Scalar(offset, end, _WORDS[token]), end


def _container(text: str, offset: int, is_object: bool, depth: int) -> Container:
    close = "}" if is_object else "]"
    container = Container(offset, offset, is_object)
    at = _skip(text, offset + 1)
    while not text.startswith(close, at):
        start, key_end, key = at, at, None
        if is_object:
            key, key_end = _key(text, at)
            at = _skip(text, key_end)
            if not text.startswith(":", at):
                raise _unexpected(text, at, "':' after the key")
            at = _skip(text, at + 1)
        value, at = _value(text, at, depth + 1)
        entry = Entry(start, key_end, key, value)
        container.entries.append(entry)
        at = _skip(text, at)
        if text.startswith(",", at):
            entry.comma = at
            at = _skip(text, at + 1)
        elif not text.startswith(close, at):
            raise _unexpected(text, at, f"',' or '{close}'")
    container.end = at + 1
    return container


def _key(text: str, offset: int) -> tuple[str, int]:
    if text.startswith(('"', "'"), offset):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _broken_string(text, offset)
        return _unescape(text, match.group(), offset), match.end()
    match = _PLAIN_NAME.match(text, offset)
    if match:
        return match.group(), match.end()
    name, at = "", offset
    while match := _NAME_PART.match(text, at):
        char = chr(int(match[1], 16)) if match[1] else match[2]
        if not _is_name_part(char, first=not name):
            if match[1]:
                raise error_at(text, at, "this character may not stand in a key without quotes")
            break
        name += char
        at = match.end()
    if not name or text.startswith("\\", at):
        raise _unexpected(text, at, "a key or '}'")
    return name, at


def _number(token: str) -> int | float:
    digits = token.lstrip("+-")
    sign = -1 if token[0] == "-" else 1
    if digits in ("Infinity", "NaN"):
        return sign * float(digits)
    if digits[:2] in ("0x", "0X"):
        number = int(digits, 16)
        return sign * number if len(digits) <= _LONGEST_NUMBER else sign * _double(number)
    if len(digits) <= _LONGEST_NUMBER and digits.isdigit():
        return sign * int(digits)
    return sign * float(digits)


def _unescape(text: str, token: str, offset: int) -> str:
    body = token[1:-1]
    if "\\" not in body:
        return body

    def char(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if code:
            return chr(int(code, 16))
        letter = match[3]
        at = offset + 1 + match.start()
        if letter is None or letter in NEWLINES:
            return ""
        if letter in "123456789" or (letter == "0" and _DIGIT.match(body, match.end())):
            raise error_at(text, at, "octal escapes are not JSON5")
        if letter in "xu":
            raise error_at(text, at, f"'\\{letter}' needs {2 if letter == 'x' else 4} hex digits")
        return _SINGLE.get(letter, letter)

    value = _ESCAPE.sub(char, body)
    if _SURROGATE.search(value):
        # JavaScript's strings are UTF-16: two escaped halves make one character.
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return value


def _broken_string(text: str, offset: int) -> Json5Error:
    quote, at = text[offset], offset + 1
    while at < len(text) and text[at] != quote:
        if text[at] in "\n\r":
            return error_at(text, at, "the line ends inside a string")
        if _is_control(text[at]):
            return error_at(text, at, f"raw control character U+{ord(text[at]):04X} in a string")
        if text[at] != "\\":
            at += 1
        elif text.startswith("\r\n", at + 1):
            at += 3
        elif text[at + 1 : at + 2] in ("\n", "\r"):
            at += 2
        else:
            # A raw control character is an error after a backslash too.
            at += 1 if _is_control(text[at + 1 : at + 2]) else 2
    return error_at(text, offset, "this string is never closed")


def _is_control(char: str) -> bool:
    return char < " " and char != "\t"


def _unexpected(text: str, offset: int, wanted: str) -> Json5Error:
    if offset >= len(text):
        return error_at(text, len(text), f"the text ends where {wanted} should be")
    char = text[offset]
    shown = f"'{char}'" if char.isprintable() else f"U+{ord(char):04X}"
    return error_at(text, offset, f"{shown} where {wanted} should be")
