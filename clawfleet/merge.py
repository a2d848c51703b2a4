"""Merge what we own into a JSON5 document of the user's, and take it out again.

What is wanted is data: a list of `Set` and `Remove`. `apply` changes the bytes of those values
and nothing else; where every value is already as wanted, the text comes back as it was.

    apply("{ gateway: { mode: 'remote' }, /* mine */ }", [Set(("gateway", "mode"), "local")])

A value merges into what is there:

- an object key by key: keys that are not in it stay;
- a list of objects with an `id`: by that id, elements and keys that are not in it stay;
- any other list as a whole, but written only as far as it differs;
- anything else by equality of value: 131072 is 0x20000.

What can't be merged without taking something of the user's away raises `Refused`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from clawfleet import json5_edit
from clawfleet.edits import (
    ID,
    INCLUDE,
    UNKNOWN,
    Change,
    Edit,
    Item,
    Path,
    Refused,
    Remove,
    Set,
    element,
    equals,
    include_of,
    is_reference,
    kind_of,
    leads,
    obstacle_to,
    part_of,
    plain_value,
    show,
    values,
)
from clawfleet.json5 import COMMENT, Container, Entry, Node, Scalar, parse, plain, position, same
from clawfleet.json5_edit import Source

__all__ = [
    "UNKNOWN",
    "Change",
    "Edit",
    "Item",
    "Merged",
    "Path",
    "Refused",
    "Remove",
    "Set",
    "Source",
    "apply",
    "create",
    "show",
    "undo",
]


@dataclass(frozen=True)
class Merged:
    """The new text, and the changes in the order they were made (empty: same text)."""

    text: str
    changes: list[Change]


def create(value: Any) -> str:
    """A fresh file: JSON with two spaces, as OpenClaw itself writes it, and a final newline."""
    return json5_edit.render(value, json5_edit.Style(), "") + "\n"


def apply(text: str, edits: Iterable[Edit]) -> Merged:
    """The text with the edits made, in their order.

    An empty text becomes a new document. Raises `Json5Error` where the text is not JSON5 and
    `Refused` (which is one too) where an edit can't be made.
    """
    blank = not text.strip("\ufeff \t\r\n")
    document = _Document("{}" if blank else text)
    for edit in edits:
        try:
            document.edit(edit)
        except Refused:
            # The place it names lies in the text as changed so far; the user has the text before.
            if document.changes and not blank:
                _Document(text).edit(edit)
            raise
    if not document.changes:
        return Merged(text, [])
    if blank:
        bom = "\ufeff" if text.startswith("\ufeff") else ""
        return Merged(f"{bom}{document.text}\n", document.changes)
    return Merged(document.text, document.changes)


def _check(edit: Edit) -> None:
    """Raise `ValueError` for an edit that no document could satisfy: a mistake of the caller."""
    if not edit.path:
        raise ValueError("an edit needs a path: the document itself is never ours")
    for item, step in pairwise(edit.path):
        if isinstance(item, Item) and step == item.key:
            raise ValueError(f"{show(edit.path)}: the key that selects an element can't be edited")
    if isinstance(edit, Set):
        if isinstance(edit.path[-1], Item):
            element(edit.path[-1], edit.value)
        _check_ids(edit)


def _check_ids(edit: Set) -> None:
    waiting = [edit.value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
            ids = [repr(part[ID]) for part in value if isinstance(part, dict) and ID in part]
            if len(ids) != len(set(ids)):
                raise ValueError(f"{show(edit.path)}: two elements of the list have the same id")


def undo(changes: Sequence[Change]) -> list[Edit]:
    """The edits that give the text before the changes, byte by byte where none was a removal.

    A removed value comes back, but as the last of its object or list.
    """
    edits: list[Edit] = []
    for change in reversed(changes):
        if change.kind == "add":
            edits.append(Remove(change.path, written=change.after))
        else:
            edits.append(Set(change.path, Source(change.source), written=change.after))
    return edits


@dataclass(frozen=True)
class _Place:
    """Where a path leads: the containers passed, the entry found, the steps that lead nowhere.

    `obstacle` is a reason not to change anything here, with its offset.
    """

    chain: list[Container]
    index: int
    missing: Path
    obstacle: tuple[int, str] | None

    @property
    def entry(self) -> Entry:
        return self.chain[-1].entries[self.index]


class _Document:
    """The text between two edits, with its tree."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = parse(text)
        self.changes: list[Change] = []

    def edit(self, edit: Edit) -> None:
        _check(edit)
        if isinstance(edit, Remove):
            self._remove(edit.path, edit.written, edit.prune)
        else:
            self._set(edit.path, edit.value, edit.written)

    def _refuse(self, path: Path, offset: int, reason: str) -> Refused:
        return Refused(path, *position(self.text, offset), reason)

    def _guard(self, path: Path, place: _Place) -> None:
        if place.obstacle:
            raise self._refuse(path, *place.obstacle)

    def _became(self, text: str, change: Change) -> None:
        self._reread(text)
        self.changes.append(change)

    def _locate(self, path: Path) -> _Place:
        node: Node = self.root
        chain: list[Container] = []
        obstacle: tuple[int, str] | None = None
        index = -1
        for depth, step in enumerate(path):
            if isinstance(node, Scalar) or node.is_object != isinstance(step, str):
                wanted = "an object" if isinstance(step, str) else "a list"
                reason = f"{show(path[:depth])} is {kind_of(node)} and not {wanted}"
                return _Place(chain, -1, path[depth:], obstacle or (node.start, reason))
            chain.append(node)
            found = [i for i, entry in enumerate(node.entries) if leads(entry, step)]
            obstacle = obstacle or obstacle_to(node, step, found)
            if not found:
                return _Place(chain, -1, path[depth:], obstacle)
            index = found[-1]
            node = node.entries[index].value
        return _Place(chain, index, (), obstacle)

    def _set(self, path: Path, value: Any, written: Any) -> None:
        place = self._locate(path)
        if place.missing:
            self._guard(path, place)
            self._add(path, place, value)
            return
        node = place.entry.value
        if isinstance(value, Source):
            if self.text[node.start : node.end] != value.text:
                self._replace(path, value, written)
        elif same(plain(node), value):
            return
        elif isinstance(value, dict) and isinstance(node, Container) and node.is_object:
            for key, part in value.items():
                self._set((*path, key), part, part_of(written, key))
        elif isinstance(value, list | tuple) and isinstance(node, Container) and not node.is_object:
            self._set_list(path, node, list(value), written)
        else:
            self._replace(path, value, written)

    def _add(self, path: Path, place: _Place, value: Any) -> None:
        step, *rest = place.missing
        for inner in reversed(rest):
            value = {inner: value} if isinstance(inner, str) else [element(inner, value)]
        key = step if isinstance(step, str) else None
        if isinstance(step, Item):
            value = element(step, value)
        text = json5_edit.append(self.text, place.chain, value, key)
        added = path[: len(path) - len(rest)]
        self._became(text, Change(added, "add", None, plain_value(value)))

    def _replace(self, path: Path, value: Any, written: Any) -> None:
        place = self._locate(path)
        self._guard(path, place)
        node = place.entry.value
        if not equals(node, written):
            self._keep_reference(path, node)
            if isinstance(node, Container):
                reason = f"{kind_of(node)} stands here, which this value would take away"
                raise self._refuse(path, node.start, reason)
        source = self.text[node.start : node.end]
        text = json5_edit.replace(self.text, place.chain, place.index, value)
        self._became(text, Change(path, "set", plain(node), plain_value(value), source))

    def _keep_reference(self, path: Path, node: Node) -> None:
        if isinstance(node, Scalar) and is_reference(node.value):
            reason = "the value comes from the environment (${...}) and is not replaced"
            raise self._refuse(path, node.start, reason)
        if isinstance(node, Container) and (entry := include_of(node)):
            reason = f"the value comes from another file ({INCLUDE}) and is not replaced"
            raise self._refuse(path, entry.start, reason)

    def _set_list(self, path: Path, node: Container, value: list[Any], written: Any) -> None:
        if value and all(isinstance(part, dict) and ID in part for part in value):
            for part in value:
                item = Item(ID, part[ID])
                self._set((*path, item), part, part_of(written, item))
        elif not any(isinstance(entry.value, Container) for entry in node.entries):
            self._set_flat_list(path, node, value, ours=equals(node, written))
        elif equals(node, written):
            self._replace(path, value, written)
        elif value:
            reason = "the list holds objects or lists, which this value would take away"
            raise self._refuse(path, node.start, reason)

    def _set_flat_list(self, path: Path, node: Container, value: list[Any], *, ours: bool) -> None:
        self._guard(path, self._locate(path))
        old = [json5_edit.render(plain(node), json5_edit.Style(), None) for node in values(node)]
        new = [json5_edit.render(part, json5_edit.Style(), None) for part in value]
        steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        change = Change(path, "set", plain(node), value, self.text[node.start : node.end])
        # From the back, so that the positions in front stay what they are.
        for kind, start, end, new_start, new_end in reversed(steps):
            if kind == "equal":
                continue
            for part in values(node)[start:end] if not ours else ():
                self._keep_reference(path, part)
            both = min(end - start, new_end - new_start)
            for index in reversed(range(start + both, end)):
                self._reread(json5_edit.remove(self.text, self._list(path)[-1], index))
            for part in reversed(value[new_start + both : new_end]):
                self._insert(self._list(path), start + both, part)
            for index in range(both):
                chain = self._list(path)
                part = value[new_start + index]
                self._reread(json5_edit.replace(self.text, chain, start + index, part))
        self.changes.append(change)

    def _list(self, path: Path) -> list[Container]:
        place = self._locate(path)
        node = place.entry.value
        return [*place.chain, node] if isinstance(node, Container) else place.chain

    def _insert(self, chain: list[Container], index: int, value: Any) -> None:
        if index < len(chain[-1].entries):
            self._reread(json5_edit.insert_before(self.text, chain, index, value))
        else:
            self._reread(json5_edit.append(self.text, chain, value))

    def _reread(self, text: str) -> None:
        self.text, self.root = text, parse(text)

    def _remove(self, path: Path, written: Any, prune: bool) -> None:
        place = self._locate(path)
        if place.missing:
            return
        self._guard(path, place)
        node = place.entry.value
        if not equals(node, written):
            self._keep_reference(path, node)
            if isinstance(node, Container) and isinstance(written, dict | list):
                self._remove_parts(path, node, written)
                return
        source = self.text[node.start : node.end]
        text = json5_edit.remove(self.text, place.chain[-1], place.index)
        self._became(text, Change(path, "remove", plain(node), None, source))
        if prune:
            self._prune(path[:-1])

    def _remove_parts(self, path: Path, node: Container, written: Any) -> None:
        """Take out what was written of an object or list that holds the user's parts as well."""
        if isinstance(written, dict) and node.is_object:
            selector = path[-1].key if isinstance(path[-1], Item) else None
            for key, part in written.items():
                if key != selector:
                    self._remove((*path, key), part, prune=False)
        elif isinstance(written, list) and not node.is_object:
            for part in written:
                if isinstance(part, dict) and ID in part:
                    self._remove((*path, Item(ID, part[ID])), part, prune=False)
        self._prune(path)

    def _prune(self, path: Path) -> None:
        while path:
            place = self._locate(path)
            if place.missing or place.obstacle or not self._is_hollow(place.entry.value, path[-1]):
                return
            self._remove(path, UNKNOWN, prune=False)
            path = path[:-1]

    def _is_hollow(self, node: Node, step: str | Item) -> bool:
        if isinstance(node, Scalar) or (node.entries and isinstance(step, str)):
            return False
        if isinstance(step, Item) and any(entry.key != step.key for entry in node.entries):
            return False
        # Inside the brackets there is at most the selecting key, whose text is no comment's place.
        rest = self.text[node.start + 1 : node.end - 1]
        for entry in node.entries:
            rest = self.text[node.start + 1 : entry.start] + self.text[entry.value.end : node.end]
        return not COMMENT.search(rest)
