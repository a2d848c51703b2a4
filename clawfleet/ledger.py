"""What is ours in a Mac's files: written down, compared with what is there, and taken back.

A record says that one value of a document is ours, as long as it is what we wrote: whoever
changes it makes it his own. Everything goes by value, for OpenClaw writes its file anew, without
comments, at each ``openclaw config set``. What we added goes as a whole, with the comments in it;
where others put something beside our parts, only our parts go. A list of plain values (fallbacks)
is compared as one value, but taken back element by element.

The records of a document are taken back in the reverse order of their making. So a value of the
user's inside an object of ours that we changed later has a record of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clawfleet.edits import (
    UNKNOWN,
    Change,
    Edit,
    Path,
    Refused,
    Remove,
    Set,
    is_reference,
    leads,
    part_of,
)
from clawfleet.json5 import COMMENT, Container, Node, parse, plain, same
from clawfleet.json5_edit import Source
from clawfleet.merge import apply
from clawfleet.patch import reverse
from clawfleet.plan import FileChange
from clawfleet.records import (
    Document,
    Ledger,
    LedgerError,
    Lines,
    Record,
    dumps,
    is_blank,
    loads,
)
from clawfleet.shares import at, parts_of, put, rest_of, without_ours

__all__ = [
    "Document",
    "Drift",
    "Ledger",
    "LedgerError",
    "Lines",
    "Record",
    "Undone",
    "bare",
    "drift",
    "dumps",
    "loads",
    "record",
    "stale",
    "undo",
]


@dataclass(frozen=True)
class Drift:
    """A value of ours that is still wanted and that somebody changed since."""

    path: Path
    written: Any
    found: Any
    """`UNKNOWN` where it is gone."""
    wanted: Any


@dataclass(frozen=True)
class Undone:
    """A document without what we wrote."""

    text: str | None
    """None: the file goes, there was none before us."""
    left: tuple[Path, ...] = ()
    """Values that somebody changed since, or that can't be reached: left as they are."""


def record(ledger: Ledger, changes: Iterable[FileChange]) -> Ledger:
    """The ledger after these files were written.

    A file that was changed between two runs of ours is not taken for ours: lines of a text that
    are neither from before us nor ours become part of what is restored.
    """
    documents, lines = dict(ledger.documents), dict(ledger.lines)
    for change in changes:
        if change.gone:
            documents.pop(change.path, None)
            lines.pop(change.path, None)
        elif change.merged is None and change.path in documents:
            # Put back as a whole: what we wrote in it is no longer known to be there.
            del documents[change.path]
        elif change.merged is None:
            known = _texts(lines.pop(change.path, None), change)
            if known.before != known.after:
                lines[change.path] = known
        else:
            document = _folded(documents.pop(change.path, None), change, change.merged)
            if document.records or document.blank is not None:
                documents[change.path] = document
    return Ledger(documents, lines)


def _texts(known: Lines | None, change: FileChange) -> Lines:
    found = None if change.file.content is None else change.file.loose_text
    after = change.after.decode("utf-8", "surrogateescape")
    if known is None or found is None:
        return Lines(found, after)
    return Lines(reverse(known.before, known.after, found)[0], after)


def _folded(document: Document | None, change: FileChange, merged: Sequence[Change]) -> Document:
    found = change.file.loose_text
    if merged and is_blank(found):
        # Whatever we wrote in an earlier file of this name went with it.
        document = Document((), found, change.file.content is None)
    document = document or Document()
    records = document.records
    for one in merged:
        records = _fold(records, one)
    return replace(document, records=records)


def _source(text: str, node: Node | None, path: Path) -> str:
    """The text of the value at a path, "" where there is none."""
    for step in path:
        entries = node.entries if isinstance(node, Container) else []
        node = next((entry.value for entry in reversed(entries) if leads(entry, step)), None)
    return text[node.start : node.end] if node else ""


def _fold(records: tuple[Record, ...], change: Change) -> tuple[Record, ...]:
    """The records after one change: what changes inside a value of ours is part of its record."""
    path = change.path
    # What lay below a value that came anew went with the old one.
    kept = [one for one in records if one.path == path or one.path[: len(path)] != path]
    above = [index for index, one in enumerate(kept) if path[: len(one.path)] == one.path]
    for index in sorted(above, key=lambda index: len(kept[index].path), reverse=True):
        owner, inner = kept[index], path[len(kept[index].path) :]
        if not _has_place(owner.after, inner, change.kind):
            continue
        before, after = kept[:index], kept[index + 1 :]
        restored = owner.source and not inner and same(change.after, plain(parse(owner.source)))
        if restored or (change.kind == "remove" and not inner):
            return (*before, *after)
        if change.kind == "remove":
            return (*before, replace(owner, after=put(owner.after, inner, UNKNOWN)), *after)
        others = _others(owner, inner, change)
        if not others:
            new = replace(owner, after=put(owner.after, inner, change.after))
            return (*before, new, *after)
        # Others put elements into this list of ours: from now on it is theirs, which we replace.
        if inner:
            before = [*before, replace(owner, after=put(owner.after, inner, UNKNOWN))]
        if not same(change.after, plain(parse(others))):
            after = [Record(path, "set", change.after, others), *after]
        return (*before, *after)
    if change.kind != "remove":
        kept.append(Record(path, change.kind, change.after, change.source))
    return tuple(kept)


def _has_place(after: Any, inner: Path, kind: str) -> bool:
    """Whether what we wrote has the place of a change inside it."""
    if kind != "add" or not inner:
        return at(after, inner) is not UNKNOWN
    return isinstance(at(after, inner[:-1]), dict if isinstance(inner[-1], str) else list)


def _others(owner: Record, inner: Path, change: Change) -> str:
    """The text of a list as others have it, who put elements into ours; "": nobody did."""
    written, source = at(owner.after, inner), "" if inner else owner.source
    before = _list_in(source)
    others = without_ours(change.before, written, before)
    if others is None or same(change.before, written) or same(others, before):
        return ""
    # Their comments stay where only our elements go.
    wrapped = f"{{list:{change.source}}}"
    result = apply(wrapped, [Set(("list",), others, written=change.before)]).text
    return _source(result, parse(result), ("list",))


def _list_in(source: str) -> list[Any]:
    """The list that we replaced, empty where it was something else or nothing."""
    value = plain(parse(source)) if source else []
    return value if isinstance(value, list) else []


def bare(text: str, document: Document | None) -> Any:
    """The value of the document without what we wrote, {} where nothing is left.

    Raises `Json5Error` where the text is not JSON5.
    """
    left = undo(text, document).text if document else text
    return {} if left is None or is_blank(left) else plain(parse(left))


def undo(text: str, document: Document) -> Undone:
    """The document without what we wrote.

    Where nobody else changed it, these are the bytes from before our first run; else everybody
    else's bytes stay. Raises `Json5Error` where the text is not JSON5.
    """
    left: list[Path] = []
    records = () if is_blank(text) else document.records
    value = {} if is_blank(text) else plain(parse(text))
    for one in reversed(records):
        source = one.source if one.kind == "set" else None
        due = _taken(one.path, one.after, at(value, one.path), source, left)
        text, made = _made(text, due, left)
        value = plain(parse(text)) if made else value
    different = tuple(path for index, path in enumerate(left) if path not in left[:index])
    if document.blank is not None and _is_hollow(text):
        return Undone(None if document.absent else document.blank, different)
    return Undone(text, different)


def stale(text: str, document: Document | None, wanted: dict[str, Any]) -> list[Edit]:
    """The edits that take out what we wrote and is no longer wanted.

    A value that we replaced comes back, also where just that is wanted now. So does one that a
    merge of what is wanted would take for the user's, such as an object that becomes a string.
    What somebody changed since, or what can't be reached, is left. Raises `Json5Error` where the
    text is not JSON5.
    """
    edits: list[Edit] = []
    if document is None or is_blank(text):
        return edits
    value = plain(parse(text))
    for one in reversed(document.records):
        source = one.source if one.kind == "set" else None
        due = _outdated(one.path, one.after, at(value, one.path), at(wanted, one.path), source)
        text, made = _made(text, due, [])
        value = plain(parse(text)) if made else value
        edits += made
    return edits


def drift(text: str, document: Document | None, wanted: dict[str, Any]) -> list[Drift]:
    """What we wrote and still want, and what now is something else; in the order of writing.

    A value that is gone is named once, not with each of its parts. Raises `Json5Error` where the
    text is not JSON5.
    """
    if document is None or is_blank(text):
        return []
    value = plain(parse(text))
    return [
        one
        for r in document.records
        for one in _drifted(r.path, r.after, at(value, r.path), at(wanted, r.path))
    ]


def _drifted(path: Path, written: Any, found: Any, wanted: Any) -> Iterator[Drift]:
    if wanted is UNKNOWN or same(found, written) or _satisfies(found, wanted):
        return
    parts = parts_of(written, path, found, wanted)
    if parts is None:
        yield Drift(path, written, found, wanted)
    for step, part in parts or ():
        yield from _drifted((*path, step), part, part_of(found, step), part_of(wanted, step))


def _satisfies(found: Any, wanted: Any) -> bool:
    """Whether a merge of what is wanted would change nothing."""
    parts = parts_of(wanted, (), found)
    if parts is not None:
        return all(_satisfies(part_of(found, step), part) for step, part in parts)
    holds = isinstance(found, list) and any(isinstance(part, dict | list) for part in found)
    return same(found, wanted) or (wanted == [] and holds)


def _outdated(
    path: Path, written: Any, found: Any, wanted: Any, source: str | None
) -> Iterator[Edit]:
    if wanted is UNKNOWN or (source is not None and same(wanted, plain(parse(source)))):
        if found is not UNKNOWN:
            yield from _taken(path, written, found, source, [])
        return
    parts = parts_of(written, path, wanted)
    for step, part in parts or ():
        yield from _outdated((*path, step), part, part_of(found, step), part_of(wanted, step), None)
    if parts is None and not same(written, wanted) and not _makes_place(written, wanted):
        yield from _taken(path, written, found, source, [])


def _makes_place(written: Any, wanted: Any) -> bool:
    """Whether a merge replaces the one by the other without being told that it is ours."""
    if isinstance(written, list) and not isinstance(wanted, list):
        return False
    values = [*written, *wanted] if isinstance(written, list) else [written]
    return not any(isinstance(one, dict | list) or is_reference(one) for one in values)


def _taken(
    path: Path, written: Any, found: Any, source: str | None, left: list[Path]
) -> Iterator[Edit]:
    """The edits that take one value of ours back; `left` grows by what others made of it."""
    if found is UNKNOWN:
        # Somebody took out what stood in the place of his own value.
        left += [path] if source is not None else []
        return
    before = _list_in(source or "")
    others = None if same(found, written) else without_ours(found, written, before)
    parts = parts_of(written, path, found)
    if others is not None and same(others, found):
        left += [path] if source is None or not same(found, plain(parse(source))) else []
    elif same(others, before) or (others is None and rest_of(found, written, path) is UNKNOWN):
        yield Remove(path, found) if source is None else Set(path, Source(source), found)
    elif others is not None:
        yield Set(path, others, found)
    else:
        for step, part in parts or ():
            yield from _taken((*path, step), part, part_of(found, step), None, left)
        left += [path] if parts is None or source is not None else []


def _made(text: str, edits: Iterable[Edit], left: list[Path]) -> tuple[str, list[Edit]]:
    """The text with the edits made, and those of them that were not refused."""
    made: list[Edit] = []
    for edit in edits:
        try:
            text = apply(text, [edit]).text
        except Refused:
            left.append(edit.path)
        else:
            made.append(edit)
    return text, made


def _is_hollow(text: str) -> bool:
    root = Container(0, 0, True) if is_blank(text) else parse(text)
    empty = isinstance(root, Container) and root.is_object and not root.entries
    return empty and not COMMENT.search(text)
