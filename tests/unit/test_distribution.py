"""Who gets a model from whom."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet.distribution import (
    AT_ONCE,
    PULLERS,
    TRIES,
    Board,
    Choice,
    Copy,
    Download,
    Outcome,
    Wait,
    origin,
    rounds,
)

MODEL = "gpt-oss:20b"


def macs(number: int) -> list[str]:
    return [f"mac{i:02}" for i in range(1, number + 1)]


def lacking(names: list[str], *models: str) -> dict[str, list[str]]:
    return {name: [*models] for name in names}


@given(st.integers(1, 40), st.integers(1, 40))
def test_everybody_gets_it_in_the_time_of_a_tree(receivers: int, sources: int) -> None:
    names = macs(receivers + sources)
    board = Board(holders={MODEL: set(names[:sources])})
    plan = rounds(board, lacking(names[sources:], MODEL))
    assert sorted(mac for now in plan for mac in now) == names[sources:]
    assert len(plan) == math.ceil(math.log2((receivers + sources) / sources))
    for now in plan:
        fed = Counter(choice.source for _, choice in now.values() if isinstance(choice, Copy))
        assert fed.total() == len(now)
        assert max(fed.values()) <= AT_ONCE


@given(st.integers(1, 40), st.integers(1, 3))
def test_one_download_for_each_model(number: int, models: int) -> None:
    wanted = [f"m{i}" for i in range(models)]
    plan = rounds(Board(), lacking(macs(number), *wanted))
    done = [(mac, model) for now in plan for mac, (model, _) in now.items()]
    assert len(done) == len(set(done)) == number * models
    pulled = [m for now in plan for m, choice in now.values() if isinstance(choice, Download)]
    assert sorted(pulled) == sorted(wanted)
    assert len(plan) <= models * (math.ceil(math.log2(number)) + 1)


OUTCOMES: list[Outcome] = ["done", "unseen", "broke", "foreign", "lost", "other", "ours"]


@given(st.data(), st.integers(2, 12), st.integers(0, 4))
def test_whatever_goes_wrong_it_ends(data: st.DataObject, number: int, sources: int) -> None:
    """Transfers that end in any way, in any order: nobody waits for ever, nobody gets it from a Mac
    that has it not or that sent foreign bytes, and at the worst each one pulls for itself."""
    names = macs(number)
    holders = set(names[:sources])
    board = Board(holders={MODEL: set(holders)})
    left, busy, foreign = set(names) - holders, dict[str, Choice](), set[str]()
    steps = 0
    while left:
        steps += 1
        assert steps < 50 * number**2
        for mac in sorted(left - busy.keys()):
            choice = board.choose(mac, MODEL)
            if isinstance(choice, Wait):
                continue
            if isinstance(choice, Copy):
                assert choice.source in holders - foreign - {mac}
                serving = [c.source for c in busy.values() if isinstance(c, Copy)]
                assert serving.count(choice.source) < AT_ONCE
            board.begin(mac, MODEL, choice)
            busy[mac] = choice
        assert busy, "everybody waits, and nobody is on the way"
        mac = data.draw(st.sampled_from(sorted(busy)))
        choice = busy.pop(mac)
        if isinstance(choice, Download):
            outcome: Outcome = data.draw(st.sampled_from(["done", "failed"]))
            left -= {mac} if outcome == "failed" else set()  # it is stopped, alone
        else:
            outcome = data.draw(st.sampled_from(OUTCOMES))
            if outcome == "foreign" and isinstance(choice, Copy):
                foreign.add(choice.source)
        board.end(mac, MODEL, choice, outcome)
        if outcome == "done":
            holders.add(mac)
            left.discard(mac)


def ended(board: Board, mac: str, outcome: Outcome) -> Choice:
    choice = board.choose(mac, MODEL)
    board.begin(mac, MODEL, choice)
    board.end(mac, MODEL, choice, outcome)
    return choice


def test_macs_that_do_not_see_each_other_go_through_this_machine() -> None:
    board = Board(holders={MODEL: {"a", "b"}})
    assert ended(board, "c", "unseen") == Copy("a")
    assert ended(board, "c", "unseen") == Copy("b")
    assert ended(board, "c", "unseen") == Copy("a", direct=False)
    assert ended(board, "c", "broke") == Copy("b", direct=False)
    assert ended(board, "c", "broke") == Copy("b", direct=False)
    assert ended(board, "c", "done") == Download()
    assert board.choose("d", MODEL) == Copy("a")


def test_who_reaches_nobody_does_not_try_each_of_them() -> None:
    board = Board(holders={MODEL: set(macs(9))})
    tries = [ended(board, "x", "unseen") for _ in range(4)]
    assert [isinstance(choice, Copy) and choice.direct for choice in tries] == [
        *(True, True),
        *(False, False),
    ]


def test_a_copy_that_breaks_is_tried_again_and_then_not() -> None:
    board = Board(holders={MODEL: {"a"}})
    assert [ended(board, "b", "broke") for _ in range(TRIES)] == [Copy("a")] * TRIES
    assert board.choose("b", MODEL) == Download()


@pytest.mark.parametrize("outcome", ["foreign", "lost"])
def test_such_a_source_feeds_nobody_any_more(outcome: Outcome) -> None:
    board = Board(holders={MODEL: {"a"}, "other": {"a"}})
    ended(board, "b", outcome)
    assert board.choose("c", MODEL) == Download()
    assert board.choose("c", "other") == Download()


def test_a_mac_with_another_build_still_gives_other_models() -> None:
    board = Board(holders={MODEL: {"a"}, "other": {"a"}})
    ended(board, "b", "other")
    assert board.choose("c", MODEL) == Download()
    assert board.choose("c", "other") == Copy("a")


def test_one_pulls_and_the_others_wait_for_it() -> None:
    board = Board()
    board.begin("a", MODEL, board.choose("a", MODEL))
    assert board.choose("b", MODEL) == Wait("a gets it first")
    board.end("a", MODEL, Download(), "failed")
    assert board.choose("b", MODEL) == Download()


def test_in_the_end_each_pulls_for_itself() -> None:
    board = Board()
    for mac in macs(PULLERS):
        assert ended(board, mac, "failed") == Download()
    for mac in ("x", "y"):
        choice = board.choose(mac, MODEL)
        assert choice == Download(alone=True)
        board.begin(mac, MODEL, choice)


def test_a_mac_that_can_take_nothing_does_not_try_the_next_source() -> None:
    board = Board(holders={MODEL: {"a", "b"}})
    ended(board, "c", "ours")
    assert board.choose("c", MODEL) == Download(alone=True)


def test_where_it_comes_from_is_told_before() -> None:
    board = Board(holders={MODEL: {"a"}})
    wanted = lacking(["b", "c"], MODEL) | {"d": [MODEL, "other"]}
    assert origin(board, wanted, "b", MODEL) == "from a over the LAN"
    assert origin(board, wanted, "d", MODEL) == "from b over the LAN, once that has it"
    assert origin(board, wanted, "d", "other") == "from the internet"
    assert origin(Board(), wanted, "b", MODEL) == "from the internet, for the others too"
    assert origin(Board(), wanted, "c", MODEL) == "from b over the LAN, once that has it"
