"""What a merge promises, over generated documents and wishes."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from clawfleet.edits import leads
from clawfleet.json5 import Container, Entry, Node, loads, parse, same
from clawfleet.merge import Merged, Path, Refused, Remove, apply, undo
from tests.unit.json5_documents import (
    Case,
    Written,
    cases,
    documents,
    expected,
    replacements,
    unordered,
)


def merged(case: Case) -> Merged:
    """The merge, where it is not refused: refusals have their own tests."""
    try:
        return apply(case.document.text, case.edits)
    except Refused:
        assume(False)
        raise


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(char in rest for char in part)


def in_order(comments: list[str], text: str) -> bool:
    at = 0
    for comment in comments:
        at = text.find(comment, at)
        if at < 0:
            return False
        at += len(comment)
    return True


def entry_at(text: str, path: Path) -> Entry:
    node: Node = parse(text)
    for step in path:
        assert isinstance(node, Container)
        entry = next(entry for entry in node.entries if leads(entry, step))
        node = entry.value
    return entry


@given(cases())
def test_a_set_gives_the_value_that_was_wanted_and_leaves_the_others(case: Case) -> None:
    result = merged(case)
    wanted = case.document.value
    for edit in case.edits:
        wanted = expected(wanted, edit)
    assert same(loads(result.text), wanted)


@given(cases(edits=3))
def test_a_second_merge_changes_nothing(case: Case) -> None:
    once = merged(case)
    assert apply(once.text, case.edits) == Merged(once.text, [])


@given(cases())
def test_the_text_changes_exactly_when_the_value_does(case: Case) -> None:
    result = merged(case)
    differs = not same(loads(result.text), case.document.value)
    assert (result.text != case.document.text) == differs == bool(result.changes)


@given(cases(edits=3))
def test_undo_gives_the_bytes_before(case: Case) -> None:
    result = merged(case)
    assert apply(result.text, undo(result.changes)).text == case.document.text


@given(cases(edits=2))
def test_removing_what_was_absent_before_gives_the_bytes_before(case: Case) -> None:
    result = merged(case)
    assume(result.changes and all(change.kind == "add" for change in result.changes))
    # In the order of the additions too: none leans on another one.
    for changes in (result.changes, result.changes[::-1]):
        removals = [Remove(change.path) for change in changes]
        assert apply(result.text, removals).text == case.document.text


@given(cases(edits=2))
def test_comments_survive_in_their_order(case: Case) -> None:
    result = merged(case)
    replaced = [change.source for change in result.changes if change.kind == "set"]
    kept = [c for c in case.document.comments if not any(c in source for source in replaced)]
    assert in_order(kept, result.text)


@given(cases(edits=3))
def test_where_keys_are_only_added_every_old_character_stays(case: Case) -> None:
    result = merged(case)
    assume(all(change.kind == "add" for change in result.changes))
    assert is_subsequence(case.document.text, result.text)


@given(replacements())
def test_a_value_that_is_replaced_leaves_all_bytes_around_it(case: Case) -> None:
    result = merged(case)
    text = case.document.text
    node = entry_at(text, case.edits[0].path).value
    (change,) = result.changes
    assert change.source == text[node.start : node.end]
    assert result.text.startswith(text[: node.start])
    assert result.text.endswith(text[node.end :])


@given(cases(edits=2))
def test_the_order_of_disjoint_edits_does_not_matter(case: Case) -> None:
    other = merged(Case(case.document, case.edits[::-1]))
    assert same(unordered(loads(merged(case).text)), unordered(loads(other.text)))


@given(documents, st.data())
def test_removing_takes_one_value_and_keeps_the_rest(
    document: Written, data: st.DataObject
) -> None:
    assume(document.value)
    path: tuple[str, ...] = ()
    wanted = node = loads(document.text)
    parent: Any = None
    while isinstance(node, dict) and node and (not path or data.draw(st.booleans())):
        parent = node
        path = (*path, data.draw(st.sampled_from(sorted(node))))
        node = node[path[-1]]
    del parent[path[-1]]
    entry = entry_at(document.text, path)
    taken = document.text[entry.start : entry.value.end]
    result = apply(document.text, [Remove(path)])
    assert same(loads(result.text), wanted)
    assert is_subsequence(result.text, document.text)
    assert in_order([c for c in document.comments if c not in taken], result.text)
    assert apply(result.text, [Remove(path)]) == Merged(result.text, [])
