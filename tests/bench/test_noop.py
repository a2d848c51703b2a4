"""What the benchmark prints, from given measurements."""

from __future__ import annotations

from tests.bench.noop import Cost, table


def test_table() -> None:
    costs = [
        Cost(1, 0, "converged", 2.61, 2.94, 1, 13_198, 29_283, 77.6),
        Cost(8, 20, "dry run", 12.0, 12.25, 3, 1_300_400, 900, 149.5),
    ]
    assert table(costs).splitlines()[2:] == [
        "| 1 | 0 ms | converged | 2.6 s (2.9) | 1 | 13 / 29 | 78 MB |",
        "| 8 | 20 ms | dry run | 12.0 s (12.2) | 3 | 1300 / 1 | 150 MB |",
    ]
