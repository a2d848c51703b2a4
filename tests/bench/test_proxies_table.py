"""What the benchmark prints, from given figures."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.proxies import Row, table


def test_table_and_what_counts_as_good() -> None:
    unset = Row("2026.2.17", "unset", 6, 100, 100, 0, cloud=False)
    bypass = Row("2026.9.6", "bypass", 8, 100, 100, 0, cloud=True)
    assert table([unset, bypass]).splitlines()[2:] == [
        "| 2026.2.17 | unset | 6 | 100 | 100 | 0 | not reached |",
        "| 2026.9.6 | bypass | 8 | 100 | 100 | 0 | through the proxy |",
    ]
    assert unset.good
    assert bypass.good
    for bad in (
        replace(unset, before=0),
        replace(unset, answered=99),
        replace(unset, hits=1),
        replace(unset, cloud=True),
        replace(bypass, cloud=False),
    ):
        assert not bad.good
