"""The table of restarts."""

from __future__ import annotations

from tests.bench.restart import Restart, row, table


def test_percentiles_are_values_that_were_measured() -> None:
    line = row("x", [float(n) for n in range(1, 21)], 20)
    assert line == "| x | 20 | 20 | 1.0 s | 10.5 s | 19.0 s | 20.0 s |"
    assert row("x", [3.0], 1) == "| x | 1 | 1 | 3.0 s | 3.0 s | 3.0 s | 3.0 s |"


def test_the_table() -> None:
    lines = table([Restart(4.0, 9.0), Restart(6.0, 9.5)], [3.0]).splitlines()
    assert lines[2].startswith("| a run that changes openclaw.json and .env | 2 | 2 | 4.0 s |")
    assert lines[3].startswith("| bare bootout and bootstrap | 1 | 1 | 3.0 s")
