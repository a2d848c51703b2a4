"""Texts of environment files (~/.openclaw/.env): read as OpenClaw does, edited line by line."""

from __future__ import annotations

import re
from collections.abc import Callable

MARK = "# clawfleet"
"""Stands behind the value in our lines, so that one that is no longer wanted can be taken out."""

# How the npm package dotenv, which OpenClaw uses, finds an assignment.
_ASSIGNMENT = re.compile(
    r"^[\s\ufeff]*(?P<whole>(?:export\s+)?(?P<name>[\w.-]+)(?:\s*=\s*?|:\s+?)"
    r"(?P<value>\s*'(?:\\'|[^'])*'|\s*\"(?:\\\"|[^\"])*\"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?"
    r"[^\S\r\n]*(?P<comment>#[^\r\n]*)?)(?=\r?$)",
    re.MULTILINE,
)
_LINE_END = re.compile(r"\r?\n?")


def values(text: str) -> dict[str, str]:
    """The variables in the text: name -> value; of several the last one, as it wins."""
    return {match["name"]: _value(match) for match in _ASSIGNMENT.finditer(text)}


def ours(text: str) -> set[str]:
    """Names of the variables that stand in lines of ours."""
    return {match["name"] for match in _ASSIGNMENT.finditer(text) if _is_ours(match)}


def put(text: str, name: str, value: str, *, mark: str = MARK, export: bool = False) -> str:
    """The text in which the variable has the value, every other line as it was.

    Another value's line is replaced and keeps its comment; else a line is added, with `export`
    where that is wanted. The value may hold no single quote, backslash or control character: then
    dotenv and sh read the same.
    """
    found = _assignments(text, name)
    line = f"{name}='{value}' {mark}".rstrip()
    if not found:
        end = "\r\n" if "\r\n" in text else "\n"
        glue = "" if not text or text.endswith("\n") else end
        return f"{text}{glue}{'export ' if export else ''}{line}{end}"
    last = found[-1]
    if _value(last) == value:
        return text
    exported = "export " if last["whole"].startswith("export") else ""
    comment = (last["comment"] or "").removeprefix(MARK if _is_ours(last) else "").strip()
    kept = f" {comment}" if comment else ""
    return f"{text[: last.start('whole')]}{exported}{line}{kept}{text[last.end('whole') :]}"


def withdraw(text: str, name: str, before: str) -> str:
    """The text without our line for the variable.

    The line that stood there in the text `before` our first one comes back in its place.
    """
    former = [match["whole"] for match in _assignments(before, name) if not _is_ours(match)]
    if not former:
        return _cut(text, name, _is_ours)
    for match in reversed(_assignments(text, name)):
        if _is_ours(match):
            text = f"{text[: match.start('whole')]}{former[-1]}{text[match.end('whole') :]}"
    return text


def without(text: str, name: str) -> str:
    """The text without any line for the variable."""
    return _cut(text, name, lambda _: True)


def _assignments(text: str, name: str) -> list[re.Match[str]]:
    return [match for match in _ASSIGNMENT.finditer(text) if match["name"] == name]


def _value(match: re.Match[str]) -> str:
    value = (match["value"] or "").strip()
    quoted = len(value) > 1 and value[0] in "\"'`" and value[0] == value[-1]
    return value[1:-1] if quoted else value


def _is_ours(match: re.Match[str]) -> bool:
    return re.match(rf"{MARK}\b", match["comment"] or "") is not None


def _cut(text: str, name: str, which: Callable[[re.Match[str]], bool]) -> str:
    for match in reversed(_assignments(text, name)):
        if which(match):
            # From the start of its line, so that no indentation is left behind.
            start = text.rfind("\n", 0, match.start("whole")) + 1
            start = start or (1 if text.startswith("\ufeff") else 0)
            line_end = _LINE_END.match(text, match.end("whole"))
            text = text[:start] + text[line_end.end() if line_end else len(text) :]
    return text
