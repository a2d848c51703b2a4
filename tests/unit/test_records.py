"""The ledger as a file, and what it keeps of texts without keys."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from clawfleet import ledger
from clawfleet.edits import Item
from clawfleet.ledger import Document, Ledger, LedgerError, Lines, Record
from clawfleet.plan import FileChange
from clawfleet.snapshot import File

ENV = "/Users/mac/.openclaw/.env"


def lines(before: str | None, after: str, **more: Any) -> FileChange:
    content = None if before is None else before.encode("utf-8", "surrogateescape")
    return FileChange(File(ENV, content), after.encode("utf-8", "surrogateescape"), **more)


def test_texts_of_lines_are_kept_from_before_the_first_change() -> None:
    known = ledger.record(Ledger(), [lines("A=1\n\udce9", "A=1\n\udce9X\n")])
    assert known == Ledger({}, {ENV: Lines("A=1\n\udce9", "A=1\n\udce9X\n")})
    assert ledger.loads(ledger.dumps(known)) == known
    known = ledger.record(known, [lines("A=1\n\udce9X\n", "Y\n")])
    assert known.lines == {ENV: Lines("A=1\n\udce9", "Y\n")}
    assert ledger.record(known, [lines("Y\n", "A=1\n\udce9")]) == Ledger()
    assert ledger.record(known, [lines("Y\n", "", gone=True)]) == Ledger()
    assert ledger.record(Ledger(), [lines("same\n", "same\n")]) == Ledger()
    assert ledger.record(Ledger(), [lines(None, "")]).lines == {ENV: Lines(None, "")}


def test_lines_that_somebody_wrote_between_two_runs_are_his() -> None:
    known = ledger.record(Ledger(), [lines("A=1\n", "A=1\nX=1\n")])
    known = ledger.record(known, [lines("A=1\nMINE=1\nX=1\n", "A=1\nMINE=1\nX=2\n")])
    assert known.lines == {ENV: Lines("A=1\nMINE=1\n", "A=1\nMINE=1\nX=2\n")}
    assert ledger.record(known, [lines(None, "X=3\n")]).lines == {ENV: Lines(None, "X=3\n")}


LEDGER = Ledger(
    {
        "/a": Document(
            (
                Record(("k", Item("id", 'x"y')), "add", {"id": 'x"y', "n": [1.5, None, True]}),
                Record(("k", Item("n", 2.5), "ü"), "set", {}, "'it\\'s'"),
                Record(("big",), "add", [2**70, 1e300, -0.0, math.inf, -math.inf, "\ud83e"]),
            ),
        ),
        "/b": Document((), "\ufeff\n", absent=False),
        "/c": Document((Record(("k",), "add", 1),), "", absent=True),
    },
    {"/d": Lines(None, "x"), "/e": Lines("\u2028\r\n", "\udcff")},
)


def test_a_ledger_survives_its_file() -> None:
    text = ledger.dumps(LEDGER)
    assert ledger.loads(text) == LEDGER
    assert ledger.dumps(ledger.loads(text)) == text
    assert text.isascii()
    assert text.endswith("}\n")
    backwards = Ledger(
        dict(reversed(list(LEDGER.documents.items()))),
        dict(reversed(list(LEDGER.lines.items()))),
    )
    assert ledger.dumps(backwards) == text
    nan = ledger.loads(ledger.dumps(Ledger({"/a": Document((Record(("k",), "add", math.nan),))})))
    assert math.isnan(nan.documents["/a"].records[0].after)
    assert ledger.loads(None) == ledger.loads("") == Ledger()


def content() -> Any:
    return json.loads(ledger.dumps(LEDGER))


def changed(*path: Any, to: Any) -> str:
    whole = part = content()
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = copy.deepcopy(to)
    return json.dumps(whole)


FIRST = ("documents", "/a", "records", 0)
SECOND = ("documents", "/a", "records", 1)
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, column 2"),
        ("\ufeff{}", "line 1"),
        ("nope", "line 1, column 1"),
        ("[" * 100_000, "nested deeper"),
        ("9" * 5000, "too long"),
        (" " * (16 * 1024 * 1024 + 1), "longer than"),
        ("[]", "the ledger must be an object"),
        ("{}", "schema, documents, lines"),
        (changed("more", to=1), "nothing else"),
        (changed("schema", to=2), "schema is not 1"),
        (changed("schema", to=True), "schema is not 1"),
        (changed("documents", to=[]), "documents must be an object"),
        (changed("lines", "relative", to={}), "absolute paths"),
        (changed("lines", "/d", to=[]), "/d must be an object"),
        (changed("lines", "/d", "after", to=None), "must be texts"),
        (changed("lines", "/d", "before", to=1), "must be texts"),
        (changed("documents", "/a", "blank", to="{}"), "nothing but blanks"),
        (changed("documents", "/a", "blank", to=0), "nothing but blanks"),
        (changed("documents", "/a", "absent", to=1), "absent must be"),
        (changed("documents", "/a", "absent", to=True), "absent must be"),
        (changed("documents", "/a", "records", to={}), "records must be a list"),
        (changed(*FIRST, to=None), "kind of a record"),
        (changed(*FIRST, "kind", to="remove"), "kind of a record"),
        (changed(*FIRST, "kind", to=[]), "kind of a record"),
        (changed(*FIRST, "source", to="1"), "a record must be an object"),
        (changed(*FIRST, "path", to=[]), "list of steps"),
        (changed(*FIRST, "path", to="k"), "list of steps"),
        (changed(*FIRST, "path", to=[1]), "a step of a path"),
        (changed(*FIRST, "path", to=[{}]), "a step of a path"),
        (changed(*FIRST, "path", to=[{"id": []}]), "a step of a path"),
        (changed(*FIRST, "path", to=[{"id": "x"}, "id"]), "selects an element"),
        (changed(*FIRST, "after", to=1), "must be an object"),
        (changed(*SECOND, "after", to=DEEP), "nested deeper than 128"),
        (changed(*SECOND, "source", to=None), "source is no value"),
        (changed(*SECOND, "source", to=""), "source is no value"),
        (changed(*SECOND, "source", to="1, z: 2"), "source is no value"),
        (changed(*SECOND, "source", to="1 // rest"), "source is no value"),
    ],
)
def test_what_is_no_ledger_is_an_error_without_its_values(text: str, words: str) -> None:
    with pytest.raises(LedgerError, match=words) as caught:
        ledger.loads(text)
    assert len(str(caught.value)) < 200
