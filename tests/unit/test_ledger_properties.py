"""What the ledger promises, over generated documents, wishes and edits of the user's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clawfleet import ledger, shares
from clawfleet.edits import UNKNOWN, Path, leads
from clawfleet.json5 import Container, Node, loads, parse, same
from clawfleet.ledger import Document, Ledger
from clawfleet.merge import Edit, Item, Refused, Remove, Set, apply, create
from clawfleet.plan import FileChange
from clawfleet.snapshot import File
from tests.unit.json5_documents import Written, distinct, documents

PATH = "/Users/mac/.openclaw/openclaw.json"
NEW_KEYS = ["new", "n w", "新"]


class Wisher:
    """Makes values that could be wanted in the place of others, in a manner the seed decides."""

    def __init__(self, seed: int, *, marked: bool = False) -> None:
        self.random = random.Random(seed)
        self.marked = marked
        """Whether every new plain value can be told from the user's."""

    def instead(self, value: Any) -> Any:
        """Beside what is in a value, inside it, or now and then instead of it."""
        if self.random.random() < 0.04:
            return self.fresh(2)
        if isinstance(value, dict):
            return self.inside(value)
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            there = [p for p in value if isinstance(p, dict) and isinstance(p.get("id"), str)]
            names = {part["id"]: part for part in there if self.random.random() < 0.5}
            names |= {name: {} for name in "uv" if self.random.random() < 0.5}
            return [self.inside(part) | {"id": name} for name, part in names.items()]
        if isinstance(value, list):
            flat = [part for part in value if not isinstance(part, list)]
            kept = [part for part in flat if self.random.random() < 0.7]
            kept += [self.scalar() for _ in range(self.random.randrange(3))]
            self.random.shuffle(kept)
            return kept
        return value if self.random.random() < 0.3 else self.fresh(self.random.choice([0, 0, 0, 2]))

    def inside(self, value: dict[str, Any]) -> dict[str, Any]:
        there = [key for key in value if self.random.random() < 0.5]
        new = [key for key in NEW_KEYS if key not in value and self.random.random() < 0.25]
        return {key: self.instead(value[key]) for key in there} | {
            key: self.fresh(2) for key in new
        }

    def fresh(self, depth: int) -> Any:
        kind = self.random.randrange(5) if depth else 0
        if kind in (1, 2):
            return {key: self.fresh(depth - 1) for key in NEW_KEYS if self.random.random() < 0.5}
        if kind == 3:
            return [self.scalar() for _ in range(self.random.randrange(3))]
        if kind == 4:
            names = [name for name in "uvw" if self.random.random() < 0.5]
            return [{"id": name, **self.part()} for name in names]
        return self.scalar()

    def part(self) -> dict[str, Any]:
        return {key: self.fresh(1) for key in NEW_KEYS if self.random.random() < 0.5}

    def scalar(self) -> Any:
        if self.marked:
            return f"ours {self.random.randrange(10)}"
        return self.random.choice(
            [None, True, 0, 1, 2.5, "", "it's", "新 // no", "${X_Y}", "b", "a"]
        )


@dataclass(frozen=True)
class Case:
    document: Written
    wanted: list[dict[str, Any]]
    """One time after the other."""


def _case(document: Written, seeds: list[int], *, marked: bool = False) -> Case:
    wanted: list[dict[str, Any]] = []
    base: Any = document.value
    for seed in seeds:
        one = Wisher(seed, marked=marked).instead(base)
        if isinstance(one, dict):
            wanted.append(one)
            # The next one also meets what this one has left.
            base = {key: one.get(key, document.value.get(key)) for key in [*document.value, *one]}
    return Case(document, wanted)


seeds = st.integers(0, 2**32)
four = st.lists(seeds, min_size=1, max_size=4)
cases = st.builds(_case, documents, four)
marked_cases = st.builds(partial(_case, marked=True), documents, four)


def deploy(text: str | None, known: Ledger, wanted: dict[str, Any]) -> tuple[str | None, Ledger]:
    """One run: what is no longer wanted goes, what is wanted comes. Refused: nothing happened."""
    source = text or ""
    edits = ledger.stale(source, known.documents.get(PATH), wanted)
    merged = apply(source, [*edits, *(Set((key,), value) for key, value in wanted.items())])
    if not merged.changes:
        return text, known
    file = File(PATH, None if text is None else text.encode())
    change = FileChange(file, merged.text.encode(), merged=tuple(merged.changes))
    after = ledger.record(known, [change])
    assert ledger.loads(ledger.dumps(after)) == after
    return merged.text, after


def deployed(text: str | None, wanted: list[dict[str, Any]]) -> tuple[str | None, Document]:
    known = Ledger()
    for one in wanted:
        try:
            text, known = deploy(text, known, one)
        except Refused:
            continue
    return text, known.documents.get(PATH, Document())


def text_at(text: str, node: Node, path: Path) -> str:
    for step in path:
        assert isinstance(node, Container)
        node = next(entry.value for entry in node.entries if leads(entry, step))
    return text[node.start : node.end]


@given(cases)
def test_deploying_any_wishes_and_taking_ours_out_gives_the_bytes_from_before(case: Case) -> None:
    text, known = deployed(case.document.text, case.wanted)
    assert text is not None
    assert ledger.undo(text, known) == ledger.Undone(case.document.text)


@given(st.sampled_from([None, "", "\n", "\ufeff"]), four)
def test_a_file_of_ours_alone_goes_as_it_came(blank: str | None, seeds: list[int]) -> None:
    text, known = deployed(blank, _case(Written("", {}, []), seeds).wanted)
    if text != blank:
        assert ledger.undo(text or "", known) == ledger.Undone(blank)


@given(cases)
def test_a_second_run_changes_nothing(case: Case) -> None:
    text: str | None = case.document.text
    known = Ledger()
    for wanted in case.wanted:
        try:
            text, known = deploy(text, known, wanted)
        except Refused:
            continue
        assert text is not None
        document = known.documents.get(PATH)
        assert ledger.stale(text, document, wanted) == []
        assert ledger.drift(text, document, wanted) == []
        assert deploy(text, known, wanted) == (text, known)


@given(cases)
def test_what_the_user_has_by_himself_is_never_taken_for_ours(case: Case) -> None:
    text, known = deployed(case.document.text, case.wanted)
    assert text is not None
    assert same(ledger.bare(text, known), case.document.value)
    root = parse(case.document.text)
    for one in known.records:
        before = shares.at(case.document.value, one.path)
        if one.kind == "add":
            assert before is UNKNOWN
        else:
            assert one.source == text_at(case.document.text, root, one.path)


@given(cases)
def test_without_wishes_everything_of_ours_goes(case: Case) -> None:
    text, known = deployed(case.document.text, case.wanted)
    assert text is not None
    merged = apply(text, ledger.stale(text, known, {}))
    assert merged.text == case.document.text
    change = FileChange(
        File(PATH, text.encode()), merged.text.encode(), merged=tuple(merged.changes)
    )
    assert ledger.record(Ledger({PATH: known}), [change]) == Ledger()


class User:
    """Somebody who edits a document of ours and his, in a manner the seed decides."""

    def __init__(self, text: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.text = text
        self.added: list[tuple[Path, str]] = []
        """Where he put what."""
        self.touched: list[Path] = []
        for number in range(self.random.randrange(1, 5)):
            self.edit(f"mine {number}")
        if self.random.random() < 0.3:
            # As OpenClaw writes it after each of its own commands.
            self.text = create(loads(self.text))

    def edit(self, mine: str) -> None:
        path, value = self.random.choice(list(places(loads(self.text))))
        edits: list[Edit] = []
        if isinstance(value, dict):
            path = (*path, mine)
            edits = [Set(path, mine)]
        elif isinstance(value, list) and value and any(isinstance(p, dict) for p in value):
            path = (*path, Item("id", mine))
            edits = [Set(path, {"id": mine})]
        elif isinstance(value, list):
            if not same(value, distinct(value)):
                return  # Nobody can wish for a list in which two elements have one id.
            at = self.random.randrange(len(value) + 1)
            edits = [Set(path, [*value[:at], mine, *value[at:]])]
        elif path and self.random.random() < 0.5:
            edits = [Set(path, mine)]
        elif path:
            edits = [Remove(path)]
        try:
            self.text = apply(self.text, edits).text
        except Refused:
            return
        self.touched.append(path)
        if not isinstance(value, dict | list):
            self.added = [one for one in self.added if one[0][: len(path)] != path]
        if not any(isinstance(edit, Remove) for edit in edits):
            self.added.append((path, mine))


def is_there(value: Any, path: Path, mine: str) -> bool:
    found = shares.at(value, path)
    return (
        mine == found.get("id")
        if isinstance(found, dict)
        else found is not UNKNOWN and mine in found
    )


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every part of a value that a path leads to."""
    yield path, value
    parts: list[tuple[str | Item, Any]] = []
    if isinstance(value, dict):
        parts = [
            (key, p)
            for key, p in value.items()
            if not path or not isinstance(path[-1], Item) or key != "id"
        ]
    elif isinstance(value, list):
        ids = [part.get("id") for part in value if isinstance(part, dict)]
        named = [
            part for part in value if isinstance(part, dict) and ids.count(part.get("id")) == 1
        ]
        parts = [(Item("id", p["id"]), p) for p in named if isinstance(p.get("id"), str)]
    for step, part in parts:
        yield from places(part, (*path, step))


def leads_through(path: Path, others: Iterable[Path]) -> bool:
    """Whether one of the others is this path, or lies on the way to it or behind it."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


@given(marked_cases, seeds)
def test_undo_keeps_what_the_user_did_and_takes_what_we_did(case: Case, seed: int) -> None:
    text, known = deployed(case.document.text, case.wanted)
    assert text is not None
    user = User(text, seed)
    undone = ledger.undo(user.text, known)
    value = loads(undone.text or "{}")
    for path, mine in user.added:
        assert is_there(value, path, mine)
    assert "ours " not in json.dumps(value)
    for path, before in places(case.document.value):
        if not isinstance(before, dict | list) and not leads_through(path, user.touched):
            assert same(shares.at(value, path), before) or leads_through(path, undone.left)
    # What he has by himself is that; and nothing of it is ours.
    assert same(ledger.bare(user.text, known), value)


def in_list(text: str, path: Path) -> bool:
    return isinstance(shares.at(loads(text), path), list)


@given(marked_cases, seeds)
def test_what_the_user_adds_between_two_runs_stays(case: Case, seed: int) -> None:
    half = len(case.wanted) // 2
    text, known = deployed(case.document.text, case.wanted[:half])
    assert text is not None
    user = User(text, seed)
    once: str | None = user.text
    ours = Ledger({PATH: known})
    for wanted in case.wanted[half:]:
        try:
            once, ours = deploy(once, ours, wanted)
        except Refused:
            continue
    value = loads(ledger.undo(once or "", ours.documents.get(PATH, Document())).text or "{}")
    for path, mine in user.added:
        # In the place of a plain value of ours the next run puts ours again, and says so.
        if mine in (path[-1], getattr(path[-1], "value", "")) or in_list(user.text, path):
            assert is_there(value, path, mine)
