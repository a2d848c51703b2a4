"""What is wanted of a JSON5 document, as data, and how a path is followed in its tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from clawfleet.json5 import Container, Entry, Json5Error, Node, Scalar, parse, plain, same
from clawfleet.json5_edit import Source

INCLUDE = "$include"
_REFERENCE = re.compile(r"(?<!\$)\$\{[A-Z_][A-Z0-9_]*\}")
ID = "id"


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()
"""Nothing is known of what an earlier run wrote."""


@dataclass(frozen=True)
class Item:
    """In a path: the element of a list of objects whose `key` has this value."""

    key: str
    value: str | int | float | bool


Path: TypeAlias = tuple[str | Item, ...]


@dataclass(frozen=True)
class Set:
    """Make the value at `path` what is wanted, by the rules of `clawfleet.merge`.

    A value that still equals `written`, which an earlier run of ours put there, is replaced
    whatever its shape: it is ours.
    """

    path: Path
    value: Any
    written: Any = UNKNOWN


@dataclass(frozen=True)
class Remove:
    """Take the value at `path` out; nothing happens where there is none.

    With `prune`, parents that this leaves empty go too: objects and lists without any content
    or comment, and elements of a list that hold nothing but the key they are selected by.
    A reference (``${ENV}``) is only taken out where it equals `written`.
    """

    path: Path
    written: Any = UNKNOWN
    prune: bool = False


Edit: TypeAlias = Set | Remove


@dataclass(frozen=True)
class Change:
    """What happened to one value. `before` is None for "add", `after` for "remove".

    `source` is the old value's own text ("" for "add"), so that `clawfleet.merge.undo` restores
    its bytes.
    """

    path: Path
    kind: Literal["add", "set", "remove"]
    before: Any
    after: Any
    source: str = ""


class Refused(Json5Error):
    """An edit that would take something of the user's away. The text was left alone."""

    def __init__(self, path: Path, line: int, column: int, reason: str) -> None:
        super().__init__(line, column, f"{show(path)}: {reason}")
        self.path = path
        self.reason = reason


def show(path: Path) -> str:
    """The path in words, such as ``models.providers.ollama.models[id=gpt-oss:20b].name``."""
    text = ""
    for step in path:
        text += f"[{step.key}={step.value}]" if isinstance(step, Item) else f".{step}"
    return text.removeprefix(".") or "the document"


def values(node: Container) -> list[Node]:
    """The values in an object or list, in order."""
    return [entry.value for entry in node.entries]


def equals(node: Node, written: Any) -> bool:
    """Whether a value is what an earlier run is known to have written."""
    return written is not UNKNOWN and same(plain(node), plain_value(written))


def is_reference(value: Any) -> bool:
    """Whether OpenClaw would put environment variables into the string (``$${X}`` is literal)."""
    return isinstance(value, str) and bool(_REFERENCE.search(value))


def include_of(node: Container) -> Entry | None:
    """The member by which an object takes its content from another file."""
    return next((entry for entry in node.entries if entry.key == INCLUDE), None)


def kind_of(node: Node) -> str:
    """The type of a value in words."""
    if isinstance(node, Container):
        return "an object" if node.is_object else "a list"
    if node.value is None:
        return "null"
    names = {str: "a string", bool: "a boolean"}
    return names.get(type(node.value), "a number")


def member_of(node: Node, key: str) -> Any:
    """The value of a scalar member of an object, else UNKNOWN."""
    if isinstance(node, Container):
        for entry in reversed(node.entries):
            if entry.key == key:
                return entry.value.value if isinstance(entry.value, Scalar) else UNKNOWN
    return UNKNOWN


def leads(entry: Entry, step: str | Item) -> bool:
    """Whether a step of a path means this entry."""
    if isinstance(step, str):
        return entry.key == step
    return entry.key is None and same(member_of(entry.value, step.key), step.value)


def obstacle_to(node: Container, step: str | Item, found: list[int]) -> tuple[int, str] | None:
    """Why nothing may change behind a step that `found` these entries: offset and reason."""
    if len(found) > 1:
        return node.entries[found[-1]].start, "this is there twice, and only the last one counts"
    if isinstance(step, str):
        entry = include_of(node)
        if entry and step != INCLUDE:
            return entry.start, f"this object is filled from another file ({INCLUDE})"
        return None
    for entry in node.entries if not found else ():
        value = entry.value
        if isinstance(value, Container) and include_of(value):
            return value.start, f"the list has an element from another file ({INCLUDE})"
        if is_reference(member_of(value, step.key)) or (
            isinstance(value, Scalar) and is_reference(value.value)
        ):
            return value.start, "the list has an element from the environment (${...})"
    return None


def element(item: Item, value: Any) -> Any:
    """The new element of a list, with the key that selects it in front."""
    if isinstance(value, Source):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"the element {show((item,))} must be an object")
    if not same(value.get(item.key, item.value), item.value):
        raise ValueError(f"the element {show((item,))} can't have another {item.key}")
    return {item.key: item.value, **value}


def part_of(written: Any, step: str | Item) -> Any:
    """What was written at one step below something that was written."""
    if isinstance(step, str):
        return written.get(step, UNKNOWN) if isinstance(written, dict) else UNKNOWN
    for part in written if isinstance(written, list | tuple) else ():
        if isinstance(part, dict) and same(part.get(step.key, UNKNOWN), step.value):
            return part
    return UNKNOWN


def plain_value(value: Any) -> Any:
    """A wanted value without `Source` in it."""
    if isinstance(value, Source):
        return plain(parse(value.text))
    if isinstance(value, dict):
        return {key: plain_value(part) for key, part in value.items()}
    return [plain_value(part) for part in value] if isinstance(value, list | tuple) else value
