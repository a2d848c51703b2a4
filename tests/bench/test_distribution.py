"""What the benchmark prints, from given measurements."""

from __future__ import annotations

import os

from tests.bench.distribution import Cost, scaled, table
from tests.lab.standins.ollama_models import SCALE_ENV


def test_table() -> None:
    costs = [
        Cost(8, "none", 84.04, 1_651_200_000, 16, 0),
        Cost(8, "lan", 21.01, 206_400_000, 2, 1_466_000_000),
    ]
    assert table(costs).splitlines()[2:] == [
        "| 8 | each from the internet | 84.0 s | 1.00 | 1651.2 MB | 16 | 0 MB |",
        "| 8 | one download | 21.0 s | 0.25 | 206.4 MB | 2 | 1466 MB |",
    ]


def test_the_models_have_the_wanted_size() -> None:
    before = os.environ.get(SCALE_ENV)
    with scaled(206) as whole:
        assert abs(whole - 206e6) < 10
        assert float(os.environ[SCALE_ENV]) > 1
    assert os.environ.get(SCALE_ENV) == before
