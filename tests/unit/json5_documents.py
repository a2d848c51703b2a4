"""Generated JSON5 documents, and an independent reading of what a merge means."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from clawfleet.json5 import is_name
from clawfleet.merge import Item, Set

DATA = Path(__file__).parent / "data" / "json5"
CORPUS = {
    path.name: path.read_bytes().decode() for path in sorted(DATA.iterdir()) if path.is_file()
}

KEYS = ["models", "providers", "ollama", "id", "name", "a", "b c", "名", "x:y", "it's", "z//"]

_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["it's", 'say "hi"', "// no", "/* no */", "{[,]}", "\\", "\u2028", "🦞"]),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        st.lists(inner, max_size=4),
        st.lists(_elements, max_size=3, unique_by=lambda part: str(part["id"])),
    )


_elements: st.SearchStrategy[Any] = st.builds(
    lambda part, name: part | {"id": name},
    st.dictionaries(st.sampled_from(KEYS), _scalars, max_size=3),
    st.sampled_from(["x", "y", "z"]),
)

values: st.SearchStrategy[Any] = st.recursive(_scalars, _containers, max_leaves=12)
objects: st.SearchStrategy[Any] = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)


@dataclass(frozen=True)
class Written:
    """A document as text, with the value it stands for and its comments in order."""

    text: str
    value: dict[str, Any]
    comments: list[str]


class _Writer:
    """Writes a value in any way JSON5 allows; each comment is told apart by its number."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.out: list[str] = []
        self.comments: list[str] = []
        self.newline = self.random.choice(["\n", "\n", "\r\n"])
        self.noise = self.random.choice([0.0, 0.1, 0.4])
        self.odd_blanks = self.random.random() < 0.3
        self.unit = self.random.choice(["  ", "    ", "\t"])

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def gap(self) -> None:
        """Blanks and comments between two tokens."""
        while self.chance(self.noise):
            self.out.append(self.random.choice(["", " "]))
            self.comment()
        if self.odd_blanks and self.chance(0.2):
            self.out.append(self.random.choice([" ", "\t", self.newline, "\u00a0", "\u2028"]))

    def comment(self) -> None:
        number = len(self.comments)
        if self.chance(0.5):
            text, end = f'// c{number} {{ "a": 1, ', self.newline
            end = "\u2028" if self.odd_blanks and self.chance(0.1) else end
        else:
            inner = self.random.choice(["", self.newline, " // ", '"x": 1, *'])
            text, end = f"/* c{number}{inner}*/", self.random.choice(["", " ", self.newline])
        self.comments.append(text)
        self.out += [text, end]

    def value(self, value: Any, depth: int) -> None:
        if isinstance(value, dict | list):
            self.container(value, depth)
        else:
            self.out.append(self.scalar(value))

    def container(self, value: dict[str, Any] | list[Any], depth: int) -> None:
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        spread = self.chance(0.6)
        line = self.newline + self.unit * (depth + 1) if spread else ""
        pad = " " if self.chance(0.5) else ""
        entries = list(value.items()) if isinstance(value, dict) else [(None, v) for v in value]
        self.out.append(opening)
        self.gap()
        for i, (key, part) in enumerate(entries):
            self.out.append(line or (pad if i == 0 else self.random.choice(["", " "])))
            self.gap()
            if key is not None:
                self.out.append(self.key(key))
                self.gap()
                self.out.append(self.random.choice([":", ": "]))
                self.gap()
            self.value(part, depth + 1)
            self.gap()
            if i < len(entries) - 1 or self.chance(0.3):
                self.out.append(",")
                self.gap()
        if spread and (entries or self.chance(0.3)):
            self.out.append(self.newline + self.unit * depth)
        else:
            self.out.append(pad)
        self.gap()
        self.out.append(closing)

    def key(self, key: str) -> str:
        if is_name(key) and self.chance(0.5):
            return key
        return self.string(key)

    def string(self, value: str) -> str:
        text = json.dumps(value, ensure_ascii=self.chance(0.3))
        if self.chance(0.3):
            text = "'" + text[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
        if self.chance(0.1):
            text = f"{text[0]}\\{self.newline}{text[1:]}"
        return text

    def scalar(self, value: Any) -> str:
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, int) and not isinstance(value, bool) and self.chance(0.3):
            return f"{'-' if value < 0 else '+'}0x{abs(value):X}"
        return json.dumps(value)


def write(value: dict[str, Any], seed: int) -> Written:
    """The value as a JSON5 document in a manner that the seed decides."""
    writer = _Writer(seed)
    writer.out.append(writer.random.choice(["", "", "\ufeff"]))
    writer.gap()
    writer.value(value, 0)
    writer.gap()
    writer.out.append(writer.random.choice(["", writer.newline]))
    return Written("".join(writer.out), value, writer.comments)


documents: st.SearchStrategy[Written] = st.builds(write, objects, st.integers(0, 2**32))


@dataclass(frozen=True)
class Case:
    """A document and wishes for it of which none leads to or through what another one touches."""

    document: Written
    edits: list[Set]


@st.composite
def cases(draw: st.DrawFn, *, edits: int = 1) -> Case:
    """Wishes that lead through what is there as often as beside it, and mostly fit it."""
    document = draw(documents)
    wishes: list[Set] = []
    for _ in range(edits):
        path, node = _walk(draw, document.value)
        fitting: st.SearchStrategy[Any] = _scalars
        if isinstance(node, dict) or isinstance(path[-1], Item):
            fitting = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
        elif isinstance(node, list):
            fitting = st.lists(draw(st.sampled_from([_scalars, _elements])), max_size=4)
        wanted = draw(fitting if draw(st.integers(0, 9)) else values)
        if isinstance(path[-1], Item):
            part = wanted if isinstance(wanted, dict) else {}
            wanted = part | {path[-1].key: path[-1].value}
        if all(disjoint(path, other.path) for other in wishes):
            wishes.append(Set(path, distinct(wanted)))
    return Case(document, wishes)


@st.composite
def replacements(draw: st.DrawFn) -> Case:
    """A scalar somewhere in a document, and the wish for another one in its place."""
    value = draw(objects)
    path = tuple(draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4)))
    node = value
    for key in path[:-1]:
        node[key] = dict(node[key]) if isinstance(node.get(key), dict) else {}
        node = node[key]
    node[path[-1]] = draw(_scalars)
    document = write(value, draw(st.integers(0, 2**32)))
    return Case(document, [Set(path, draw(st.sampled_from(["it's new", 1.25, {"new": [1]}])))])


def distinct(value: Any) -> Any:
    """The value without elements of lists that repeat an id: no document could satisfy both."""
    if isinstance(value, dict):
        return {key: distinct(part) for key, part in value.items()}
    if not isinstance(value, list):
        return value
    parts: dict[str, Any] = {}
    for index, part in enumerate(value):
        named = isinstance(part, dict) and "id" in part
        parts.setdefault(repr(part["id"]) if named else f"#{index}", distinct(part))
    return list(parts.values())


def _walk(draw: st.DrawFn, node: Any) -> tuple[tuple[str | Item, ...], Any]:
    path: list[str | Item] = []
    length = draw(st.integers(1, 4))
    while len(path) < length:
        if isinstance(node, dict) or node is None:
            selector = path[-1].key if path and isinstance(path[-1], Item) else None
            there = [key for key in sorted(node or {}) * 2 + KEYS if key != selector]
            step: str | Item = draw(st.sampled_from(there))
            node = node.get(step) if isinstance(node, dict) else None
        elif isinstance(node, list):
            step = Item("id", draw(st.sampled_from(["x", "y"])))
            node = next((p for p in node if isinstance(p, dict) and _selected(p, step)), None)
        else:
            break
        path.append(step)
    return tuple(path), node


def disjoint(one: tuple[str | Item, ...], other: tuple[str | Item, ...]) -> bool:
    """Whether neither path leads to or through what the other one touches."""
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            # The key that selects an element is written by whoever makes the element.
            return isinstance(mine, Item) == isinstance(theirs, Item) and "id" not in (mine, theirs)
    return False


def unordered(value: Any) -> Any:
    """The value with the named elements of lists last, by name: whose turn came first is open."""
    if isinstance(value, dict):
        return {key: unordered(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [unordered(part) for part in value]
        named = [part for part in parts if isinstance(part, dict) and "id" in part]
        others = [part for part in parts if not any(part is one for one in named)]
        return others + sorted(named, key=lambda part: repr(part["id"]))
    return value


def expected(value: dict[str, Any], edit: Set) -> dict[str, Any]:
    """What a merge should come to, on values alone. For edits that are not refused."""
    result = copy.deepcopy(value)
    node: Any = result
    for step, following in zip(edit.path, [*edit.path[1:], None], strict=True):
        if following is None:
            _put(node, step, edit.value)
        elif isinstance(step, str):
            node = node.setdefault(step, [] if isinstance(following, Item) else {})
        else:
            found = [part for part in node if isinstance(part, dict) and _selected(part, step)]
            if not found:
                found = [{step.key: step.value}]
                node.append(found[0])
            node = found[0]
    return result


def _selected(part: dict[str, Any], step: Item) -> bool:
    return part.get(step.key) == step.value


def _put(node: Any, step: str | Item, wanted: Any) -> None:
    if isinstance(step, str):
        node[step] = _merged(node[step], wanted) if step in node else copy.deepcopy(wanted)
        return
    for index, part in enumerate(node):
        if isinstance(part, dict) and _selected(part, step):
            node[index] = _merged(part, wanted)
            return
    node.append(copy.deepcopy(wanted))


def _merged(old: Any, wanted: Any) -> Any:
    if isinstance(old, dict) and isinstance(wanted, dict):
        both = dict(old)
        for key, part in wanted.items():
            _put(both, key, part)
        return both
    if isinstance(old, list) and isinstance(wanted, list):
        if wanted and all(isinstance(part, dict) and "id" in part for part in wanted):
            both_lists = list(old)
            for part in wanted:
                _put(both_lists, Item("id", part["id"]), part)
            return both_lists
        if not wanted and any(isinstance(part, dict | list) for part in old):
            return old
    return copy.deepcopy(wanted)
