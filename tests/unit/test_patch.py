"""Taking a change of lines back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet.patch import reverse

# name, before, after, now, what must come out, whether all of it came out
CASES: list[tuple[str, str | None, str, str, str | None, bool]] = [
    ("as we left it", "a\n", "a\nX\n", "a\nX\n", "a\n", True),
    ("there was no file", None, "X\n", "X\n", None, True),
    ("there was an empty file", "", "X\n", "X\n", "", True),
    ("no file, and a line of somebody's", None, "X\n", "X\nmine\n", "mine\n", True),
    ("no file, and ours went", None, "X\n", "", None, True),
    ("emptied", "a\nold\n", "a\n", "\n", "\n", True),
    ("taken back by hand", "a\n", "a\nX\n", "a\n", "a\n", True),
    ("a line in front, one behind", "a\n", "a\nX\n", "m\na\nX\nn\n", "m\na\nn\n", True),
    ("a line between ours", "a\n", "a\nX\nY\n", "a\nX\nm\nY\n", "a\nm\n", True),
    ("one of ours was taken out", "a\n", "a\nX\nY\n", "a\nY\n", "a\n", True),
    ("one of ours was altered", "a\n", "a\nX=1\nY\n", "a\nX=2\nY\n", "a\nX=2\nY\n", False),
    ("ours was moved", "a\nb\n", "a\nb\nX\n", "X\na\nb\n", "X\na\nb\n", False),
    ("we took a line out", "a\nold\nb\n", "a\nb\n", "m\na\nb\n", "m\na\nold\nb\n", True),
    ("at the top", "old\na\n", "a\n", "a\nm\n", "old\na\nm\n", True),
    ("somebody put it back", "a\nold\nb\n", "a\nb\n", "a\nold\nb\nm\n", "a\nold\nb\nm\n", True),
    ("its neighbour went", "a\nold\nb\n", "a\nb\n", "b\nm\n", "old\nb\nm\n", True),
    ("both went", "a\nold\nb\nc\n", "a\nb\nc\n", "c\nm\n", "c\nm\n", False),
    ("we replaced a line", "a\nold\nb\n", "a\nX\nb\n", "a\nX\nb\nm\n", "a\nold\nb\nm\n", True),
    ("it was altered", "a\nold\nb\n", "a\nX\nb\n", "a\nZ\nb\n", "a\nZ\nb\n", False),
    ("it was split", "old\n", "X\nY\n", "X\nm\nY\n", "X\nm\nY\n", False),
    ("it was put back", "a\nold\nb\n", "a\nX\nb\n", "a\nold\nb\nm\n", "a\nold\nb\nm\n", True),
    ("no final line end", "a", "a\nX\n", "a\nX\nm\n", "a\nm", True),
    ("line ends of DOS", "a\r\n", "a\r\nX\r\n", "m\r\na\r\nX\r\n", "m\r\na\r\n", True),
    ("a line twice", "X\na\n", "X\na\nX\n", "X\na\n", "X\na\n", True),
    ("two at one place", "a\nL\nb\nR\n", "a\nb\nX\n", "a\nX\nm\n", "a\nL\nR\nm\n", True),
    ("twice in one place", "a\nL\nb\nR\nc\n", "a\nb\nc\n", "a\nc\nm\n", "a\nL\nR\nc\nm\n", True),
    ("we moved a line", "b\na\n", "X\na\nb\n", "m\nb\n", "m\nb\n", False),
    ("two changes", "a\nb\nc\n", "X\na\nb\nY\n", "X\na\nb\nZ\n", "a\nb\nZ\n", False),
]


@pytest.mark.parametrize(
    ("before", "after", "now", "wanted", "whole"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_reverse(before: str | None, after: str, now: str, wanted: str | None, whole: bool) -> None:
    assert reverse(before, after, now) == (wanted, whole)


texts = st.lists(st.sampled_from(["a", "b", "c", "", "a\r"]), max_size=6).map("\n".join)
ours = st.lists(st.sampled_from(["a", "b", "X", "Y", ""]), max_size=6).map("\n".join)


@given(texts | st.none(), ours)
def test_a_text_that_nobody_else_changed_comes_back(before: str | None, after: str) -> None:
    assert reverse(before, after, after) == (before, True)
    assert reverse(before, after, before or "") == (before, True)


@given(texts, ours, st.lists(st.tuples(st.integers(0, 20), st.sampled_from("mno")), max_size=4))
def test_lines_that_somebody_adds_stay(
    before: str, after: str, added: list[tuple[int, str]]
) -> None:
    lines = after.split("\n")
    for place, line in added:
        lines.insert(place % (len(lines) + 1), line)
    text, _ = reverse(before, after, "\n".join(lines))
    mine = [line for line in lines if line in set("mno")]
    assert [line for line in (text or "").split("\n") if line in set("mno")] == mine


@given(texts, ours, st.lists(st.sampled_from(["a", "b", "X", "m", ""]), max_size=8))
def test_no_line_is_lost_that_is_not_ours(before: str, after: str, now: list[str]) -> None:
    text, whole = reverse(before, after, "\n".join(now))
    left = (text or "").split("\n")
    for line in set(now) - {""}:
        ours_of_it = max(after.split("\n").count(line) - before.split("\n").count(line), 0)
        assert left.count(line) >= now.count(line) - ours_of_it
    if whole and "X" not in now:
        assert "X" not in left


@given(texts, st.lists(st.sampled_from(["X", "Y"]), min_size=1, max_size=3))
def test_our_lines_go_wherever_they_were_put(before: str, added: list[str]) -> None:
    lines = before.split("\n")
    for place in range(len(lines) + 1):
        after = "\n".join([*lines[:place], *added, *lines[place:]])
        for now, wanted in ((f"m\n{after}", f"m\n{before}"), (f"{after}\nm", f"{before}\nm")):
            assert reverse(before, after, now) == (wanted, True)
