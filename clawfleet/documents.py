"""OpenClaw's JSON5 files as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clawfleet import json5
from clawfleet.plan import Trouble, quote
from clawfleet.snapshot import File


def text(file: File) -> str:
    """The file's text, empty when absent; Trouble when it can't be read or is not UTF-8."""
    if file.trouble:
        raise Trouble(
            f"{file.path} is {file.trouble}",
            expected="a file that this user can read and write",
            fix=f"on the Mac: ls -l {quote(file.path)}",
        )
    try:
        return file.text or ""
    except UnicodeDecodeError as error:
        raise Trouble(
            f"{file.path} is not UTF-8 (byte {error.start})",
            expected="UTF-8, as OpenClaw reads it",
            fix=f"on the Mac: iconv -f utf-8 {quote(file.path)} shows the place; "
            "nothing was changed",
        ) from error


def blank(source: str) -> bool:
    """Whether a file's text holds no document at all."""
    return not source.strip("\ufeff \t\r\n")


def read(file: File) -> dict[str, Any]:
    """The object in a JSON5 file, {} when absent or empty; Trouble with line and column else."""
    source = text(file)
    if blank(source):
        return {}
    try:
        value = json5.loads(source)
    except json5.Json5Error as error:
        raise Trouble(
            f"{file.path} line {error.line}, column {error.column}: {error.message}",
            expected="JSON5 that OpenClaw can read",
            fix=f"edit {file.path} there on the Mac; nothing was changed",
        ) from error
    if not isinstance(value, dict):
        raise Trouble(
            f"{file.path} holds no object",
            expected="an object { ... } at the top",
            fix=f"edit {file.path} on the Mac; nothing was changed",
        )
    return value


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """What lies at a path of keys, None when nothing does."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value
