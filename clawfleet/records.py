"""The ledger as data and as a file: what earlier runs wrote, and what was there before.

``~/.clawfleet/owned.json`` holds it: for each JSON5 document the values that we wrote, one by one,
and for each other text both texts. It may hold secrets, as the files themselves do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from clawfleet.edits import Item, Path, show
from clawfleet.json5 import DEEPEST, Json5Error, parse

SCHEMA = 1
LARGEST = 16 * 1024 * 1024
"""Characters of a ledger that are read at all."""


@dataclass(frozen=True)
class Record:
    """One value that we wrote."""

    path: Path
    kind: Literal["add", "set"]
    after: Any
    """As our last run left it; what others put inside an object or list is not in it."""
    source: str = ""
    """The text of the value that it replaced, "" for "add"."""


@dataclass(frozen=True)
class Document:
    """What we wrote in one JSON5 file, in the order in which it was first written."""

    records: tuple[Record, ...] = ()
    blank: str | None = None
    """The file's text before our first run where it held no document ("" for an absent file
    as well), None where there was one."""
    absent: bool = False
    """There was no file."""


@dataclass(frozen=True)
class Lines:
    """A text file without keys. None: there is no file."""

    before: str | None
    after: str


@dataclass(frozen=True)
class Ledger:
    """Everything that we wrote on one Mac, by absolute path."""

    documents: Mapping[str, Document] = field(default_factory=dict)
    lines: Mapping[str, Lines] = field(default_factory=dict)


class LedgerError(ValueError):
    """A text that is no ledger. The message quotes no value of it."""


def is_blank(text: str) -> bool:
    """Whether a file's text holds no document at all."""
    return not text.strip("\ufeff \t\r\n")


def dumps(ledger: Ledger) -> str:
    """The ledger as JSON with a final newline; `loads` gives an equal one back."""
    documents: dict[str, Any] = {
        path: {
            "blank": document.blank,
            "absent": document.absent,
            "records": [_plain_record(record) for record in document.records],
        }
        for path, document in sorted(ledger.documents.items())
    }
    lines = {
        path: {"before": text.before, "after": text.after}
        for path, text in sorted(ledger.lines.items())
    }
    content = {"schema": SCHEMA, "documents": documents, "lines": lines}
    return json.dumps(content, indent=2) + "\n"


def _plain_record(record: Record) -> dict[str, Any]:
    steps = [{s.key: s.value} if isinstance(s, Item) else s for s in record.path]
    kept = {"path": steps, "kind": record.kind, "after": record.after}
    return kept | ({"source": record.source} if record.kind == "set" else {})


def loads(text: str | None) -> Ledger:
    """The ledger in a text; an empty one for None and "". LedgerError for anything else."""
    if not text:
        return Ledger()
    if len(text) > LARGEST:
        raise LedgerError(f"longer than {LARGEST} characters")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise LedgerError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise LedgerError(f"nested deeper than {DEEPEST} levels") from None
    except ValueError:
        raise LedgerError("a number in it is too long") from None
    whole = _members(content, "the ledger", "schema", "documents", "lines")
    if type(whole["schema"]) is not int or whole["schema"] != SCHEMA:
        raise LedgerError(f"its schema is not {SCHEMA}")
    return Ledger(
        {path: _document(path, part) for path, part in _files(whole["documents"], "documents")},
        {path: _lines(path, part) for path, part in _files(whole["lines"], "lines")},
    )


def _members(value: Any, where: str, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != set(names):
        raise LedgerError(f"{where} must be an object with {', '.join(names)} and nothing else")
    return value


def _files(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not all(path.startswith("/") for path in value):
        raise LedgerError(f"{where} must be an object with absolute paths as its keys")
    return list(value.items())


def _lines(path: str, value: Any) -> Lines:
    part = _members(value, path, "before", "after")
    before, after = part["before"], part["after"]
    if not (before is None or isinstance(before, str)) or not isinstance(after, str):
        raise LedgerError(f"{path}: before and after must be texts")
    return Lines(before, after)


def _document(path: str, value: Any) -> Document:
    part = _members(value, path, "blank", "absent", "records")
    blank, absent, records = part["blank"], part["absent"], part["records"]
    if not (blank is None or (isinstance(blank, str) and is_blank(blank))):
        raise LedgerError(f"{path}: blank must be null or a text of nothing but blanks")
    if not isinstance(absent, bool) or (absent and blank != ""):
        raise LedgerError(f"{path}: absent must be true or false, and true only with an empty text")
    if not isinstance(records, list):
        raise LedgerError(f"{path}: records must be a list")
    return Document(tuple(_record(path, record) for record in records), blank, absent)


def _record(file: str, value: Any) -> Record:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in ("add", "set"):
        raise LedgerError(f"{file}: the kind of a record must be add or set")
    names = ("path", "kind", "after", *(["source"] if kind == "set" else []))
    part = _members(value, f"{file}: a record", *names)
    path, after = _path(file, part["path"]), part["after"]
    where = f"{file}: {show(path)}"
    if _depth(after) > DEEPEST:
        raise LedgerError(f"{where}: nested deeper than {DEEPEST} levels")
    if isinstance(path[-1], Item) and not isinstance(after, dict):
        raise LedgerError(f"{where}: an element of a list must be an object")
    if kind == "add":
        return Record(path, "add", after)
    source = part["source"]
    if not isinstance(source, str) or not _is_value(source):
        raise LedgerError(f"{where}: its source is no value")
    return Record(path, "set", after, source)


def _path(file: str, value: Any) -> Path:
    steps = [_step(file, step) for step in value] if isinstance(value, list) else []
    if not steps:
        raise LedgerError(f"{file}: the path of a record must be a list of steps")
    for item, step in pairwise(steps):
        if isinstance(item, Item) and step == item.key:
            raise LedgerError(f"{file}: a record can't own the key that selects an element")
    return tuple(steps)


def _step(file: str, value: Any) -> str | Item:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((key, selected),) = value.items()
        if isinstance(selected, str | int | float):
            return Item(key, selected)
    raise LedgerError(f"{file}: a step of a path must be a text or one key with its value")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion: the value may come from anywhere."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [p for part in level for p in (part.values() if isinstance(part, dict) else part)]
    return depth


def _is_value(text: str) -> bool:
    """Whether a text is one value with nothing around it, so that it can stand anywhere."""
    try:
        node = parse(text)
    except Json5Error:
        return False
    return (node.start, node.end) == (0, len(text))
