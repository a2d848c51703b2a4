"""JSON5 for stand-ins that may import nothing but the standard library."""

from __future__ import annotations

import re
from typing import Any

_SPACE = re.compile(r"(?:[\s\ufeff]+|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(
    r"[+-]?(?:Infinity|NaN|0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
)
_NAME = re.compile(r"[$_A-Za-z\u0080-\uffff][$\w\u0080-\uffff]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None}


class Json5Error(ValueError):
    """The text is no JSON5; worded as by the JavaScript package ``json5``."""


Path = tuple[str | int, ...]


def loads(text: str) -> Any:
    """The value of a JSON5 text; Json5Error with line and column."""
    return parse(text)[0]


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The value, and for each key and element in it (by its path) the line where it begins."""
    parser = _Parser(text)
    value = parser.value(())
    parser.space()
    if parser.at < len(text):
        raise parser.error()
    return value, parser.lines


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[Path, int] = {}

    def error(self) -> Json5Error:
        before = self.text[: self.at]
        line, column = before.count("\n") + 1, self.at - (before.rfind("\n") + 1)
        if self.at >= len(self.text):
            return Json5Error(f"JSON5: invalid end of input at {line}:{column + 1}")
        character = self.text[self.at]
        return Json5Error(f"JSON5: invalid character '{character}' at {line}:{column + 1}")

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def peek(self) -> str:
        self.space()
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.error()
        self.at += 1

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def value(self, path: Path) -> Any:
        first = self.peek()
        if first == "{":
            return self.object(path)
        if first == "[":
            return self.array(path)
        if first in ("'", '"') and first:
            return self.string()
        number = self.match(_NUMBER)
        if number is not None:
            return _number(number)
        name = _NAME.match(self.text, self.at)
        if name and name[0] in _WORDS:
            self.at = name.end()
            return _WORDS[name[0]]
        raise self.error()

    def string(self) -> str:
        raw = self.match(_STRING)
        if raw is None:
            self.at = len(self.text)
            raise self.error()
        return _ESCAPE.sub(_escape, raw[1:-1])

    def key(self) -> str:
        if self.peek() in ("'", '"') and self.peek():
            return self.string()
        name = self.match(_NAME)
        if name is None:
            raise self.error()
        return name

    def object(self, path: Path) -> dict[str, Any]:
        self.take("{")
        found: dict[str, Any] = {}
        while self.peek() != "}":
            at = self.at
            key = self.key()
            self.lines[(*path, key)] = self.text.count("\n", 0, at) + 1
            self.take(":")
            found[key] = self.value((*path, key))
            if self.peek() != "}":
                self.take(",")
        self.at += 1
        return found

    def array(self, path: Path) -> list[Any]:
        self.take("[")
        found: list[Any] = []
        while self.peek() != "]":
            self.lines[(*path, len(found))] = self.text.count("\n", 0, self.at) + 1
            found.append(self.value((*path, len(found))))
            if self.peek() != "]":
                self.take(",")
        self.at += 1
        return found


def _number(text: str) -> int | float:
    sign = -1 if text.startswith("-") else 1
    plain = text.lstrip("+-")
    if plain[:2].lower() == "0x":
        return sign * int(plain, 16)
    if plain.isdigit():
        return sign * int(plain)
    return sign * float(plain)


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code in ("\n", "\r\n"):
        return ""
    return _ESCAPES.get(code, code)
