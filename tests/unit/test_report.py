from __future__ import annotations

import gc
from typing import Any

import pytest

from clawfleet import report
from clawfleet.proof import Check, as_data


def results(detail: str) -> dict[str, dict[str, Any]]:
    return {
        "mini-1": as_data([Check("ollama", True, "version 0.32.3", 0.1)], []),
        "mini-2": {"trouble": {"found": detail, "expected": "x", "fix": "do [this] :warning:"}},
    }


def test_the_table_shows_every_mac_once() -> None:
    lines = report.table(results("no Homebrew"), width=100)
    text = "\n".join(lines)
    assert sum("mini-1" in line for line in lines) == 1
    for word in (
        "ollama",
        "version 0.32.3",
        "failed",
        "no Homebrew",
        "to fix: do [this] :warning:",
    ):
        assert word in text
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize(
    "detail",
    ["[/]", "[red]x[/red]", "[agents/auth-profiles] lost", "[::1]:11434", "a\\[b", ":boom:"],
)
def test_what_was_found_is_text_and_no_markup(detail: str) -> None:
    assert detail in "\n".join(report.table(results(detail), width=120))


def test_a_long_finding_is_wrapped_and_not_cut() -> None:
    words = [f"word{number}" for number in range(60)]
    text = "\n".join(report.table(results(" ".join(words)), width=80))
    assert all(word in text for word in words)


def test_a_table_leaves_no_file_open() -> None:
    report.table(results("x"), width=80)
    gc.collect()  # an open file would be a ResourceWarning, which is an error here


def test_nothing_to_show() -> None:
    assert report.table({}, width=80)
