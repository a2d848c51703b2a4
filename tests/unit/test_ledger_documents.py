"""What the ledger does with whole documents, and with those that are in its way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from clawfleet import ledger
from clawfleet.edits import Path
from clawfleet.json5 import Json5Error, loads
from clawfleet.ledger import Document, Ledger, Record, Undone
from clawfleet.merge import Change, apply, create
from clawfleet.plan import FileChange
from clawfleet.snapshot import File
from tests.unit.json5_documents import CORPUS
from tests.unit.ledger_runs import (
    PATH,
    USERS,
    deploy,
    wanted,
    without_qwen,
)

# --- what can't be reached --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("{ z: 1, $include: './x', k: { a: 1 } }", ("k",)),
        ("{ z: 1, k: { a: 1 }, k: { a: 1 } }", ("k",)),
        ("{ z: 1, k: { $include: './x', a: 1 } }", ("k", "a")),
        ("{ z: 1, k: { a: '${A}' } }", ("k", "a")),
        ("{ z: 1, k: 'mine' }", ("k",)),
    ],
)
def test_what_cannot_be_reached_is_left_and_said(now: str, left: Path) -> None:
    _, known = deploy("{ z: 1 }", {"k": {"a": 1}})
    assert ledger.undo(now, known) == Undone(now, (left,))
    assert ledger.stale(now, known, {}) == []
    assert ledger.stale(now, known, {"k": 5}) == []


def test_a_reference_of_ours_can_be_taken_out() -> None:
    text, known = deploy("{ z: 1 }", {"k": "${KEY}", "o": {"p": "${KEY}"}})
    assert ledger.undo(text, known) == Undone("{ z: 1 }")


@pytest.mark.parametrize("now", ["[]", "1", "{ k: [] }"])
def test_another_document_holds_nothing_of_ours(now: str) -> None:
    _, known = deploy("{ z: 1 }", {"k": {"a": 1}})
    assert ledger.undo(now, known).text == now
    assert ledger.stale(now, known, {}) == []


def test_a_text_that_is_no_json5() -> None:
    known = Document((Record(("k",), "add", 1),))
    for call in (
        lambda: ledger.undo("{", known),
        lambda: ledger.bare("{", known),
        lambda: ledger.bare("{", None),
        lambda: ledger.stale("{", known, {}),
        lambda: ledger.drift("{", known, {}),
    ):
        with pytest.raises(Json5Error):
            call()


# --- whole files ------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "", "\n", "\ufeff \r\n"])
def test_a_file_that_we_made_goes(before: str | None) -> None:
    text, known = deploy(before, wanted())
    assert (known.blank, known.absent) == (before or "", before is None)
    assert ledger.undo(text, known) == Undone(before)
    assert ledger.undo(create(loads(text)), known) == Undone(before)
    assert ledger.undo("", known) == Undone(before)
    # Something of somebody's in it, even if it is but a comment: it stays.
    mine = text.replace("{", "{ // mine", 1)
    assert "// mine" in (ledger.undo(mine, known).text or "")
    kept = ledger.undo(text.replace("{", '{ "mine": 1,', 1), known)
    assert loads(kept.text or "") == {"mine": 1}


def test_an_empty_document_of_the_users_stays() -> None:
    for users in ("{}", "{ /* nothing yet */ }\n"):
        text, known = deploy(users, wanted())
        assert ledger.undo(text, known) == Undone(users)


def test_a_file_that_was_taken_away_meanwhile_begins_anew() -> None:
    _, known = deploy(USERS, wanted())
    text, later = deploy(None, {"a": 1}, known)
    assert later == Document((Record(("a",), "add", 1),), "", absent=True)
    assert ledger.undo(text, later) == Undone(None)


def test_all_of_ours_went_but_the_file_is_still_ours() -> None:
    text, known = deploy(None, {"a": 1})
    text, later = deploy(text, {}, known)
    assert (text, later) == ("{}\n", Document((), "", absent=True))
    assert ledger.undo(text, later) == Undone(None)


def test_a_document_that_is_taken_away_or_put_back_as_a_whole_is_no_longer_ours() -> None:
    text, known = deploy(USERS, wanted())
    file = File(PATH, text.encode())
    for change in (FileChange(file, b"", gone=True), FileChange(file, USERS.encode())):
        assert ledger.record(Ledger({PATH: known}), [change]) == Ledger()


def test_a_change_without_a_change_claims_nothing() -> None:
    change = FileChange(File(PATH, b"{}"), b"{}", merged=())
    assert ledger.record(Ledger(), [change]) == Ledger()
    absent = FileChange(File(PATH, None), b"", merged=())
    assert ledger.record(Ledger(), [absent]) == Ledger()


def takes(text: str) -> bool:
    try:
        return bool(deploy(text, wanted()))
    except Json5Error:
        return False


TAKING = [name for name, text in sorted(CORPUS.items()) if takes(text)]


@pytest.mark.parametrize("name", TAKING)
def test_the_corpus_is_given_back(name: str) -> None:
    text = CORPUS[name]
    once, known = deploy(text, wanted())
    twice, later = deploy(once, without_qwen(), known)
    assert ledger.undo(once, known) == ledger.undo(twice, later) == Undone(text)
    assert apply(twice, ledger.stale(twice, later, {})).text == text


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_a_file_that_somebody_put_in_the_place_of_ours_is_no_error(name: str) -> None:
    ours = loads(json.dumps(wanted()).replace('": "', '": "ours '))
    _, known = deploy(USERS, ours)
    now = CORPUS[name]
    assert ledger.undo(now, known).text == now
    assert ledger.stale(now, known, {}) == []
    assert ledger.drift(now, known, ours)


def test_a_change_of_kind_remove_that_meets_no_record_is_no_record() -> None:
    remove = Change(("k", "a"), "remove", 1, None, "1")
    change = FileChange(File(PATH, b"{ k: { a: 1 } }"), b"{ k: {} }", merged=(remove,))
    assert ledger.record(Ledger(), [change]) == Ledger()
    inside = Document((Record(("k",), "add", {"b": 1}),))
    assert ledger.record(Ledger({PATH: inside}), [change]) == Ledger({PATH: inside})
    below = replace(inside, records=(Record(("k", "a", "b"), "add", 1),))
    assert ledger.record(Ledger({PATH: below}), [change]) == Ledger()
