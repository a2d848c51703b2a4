"""The figures in docs/models.md are the planner's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from clawfleet import memory, memory_table, promise
from clawfleet.architecture import Cache, known
from clawfleet.memory import GIB, Load, Serving
from tests.unit.factory import REPO, bare, settings

PAGE = REPO / "docs" / "models.md"
GPT = Load(13_793_441_244, known("gpt-oss:20b"))
QWEN = Load(18_556_688_736, known("qwen3-coder"))
SERVICE = memory.serving(memory.SERVICE)
APP = Serving()


def needs() -> Iterator[str]:
    models = ("gpt-oss:20b", "qwen3-coder")
    yield f"| context | {' | '.join(f'{m}, {k}' for m in models for k in ('f16', 'q8_0'))} |"
    yield "|---|---|---|---|---|"
    kinds: list[Cache] = ["f16", "q8_0"]
    for tokens in (4096, 32768, 65536, 131072):
        sizes = [
            memory.needed(load, tokens, Serving(kind, flash=True))
            for load in (GPT, QWEN)
            for kind in kinds
        ]
        yield f"| {tokens} | {' | '.join(f'{(size or 0) / 1e9:.1f}' for size in sizes)} |"


def largest() -> Iterator[str]:
    yield (
        "| Mac | GPU | gpt-oss:20b, service | gpt-oss:20b, app | qwen3-coder, service | "
        "qwen3-coder, app | both together, service |"
    )
    yield "|---|---|---|---|---|---|---|"
    for gigabytes in (8, 16, 24, 32, 36, 48, 64, 128):
        limit = memory.gpu_limit(gigabytes * GIB)
        cells = [
            str(memory.largest(load, limit, how) or "–")
            for load in (GPT, QWEN)
            for how in (SERVICE, APP)
        ]
        sizes = [memory.needed(load, 32768, SERVICE) for load in (GPT, QWEN)]
        cells.append("yes" if memory.together(sizes, limit, SERVICE) else "no")
        yield f"| {gigabytes} GB | {limit / 1e9:.1f} GB | {' | '.join(cells)} |"


@pytest.mark.parametrize(("mark", "rows"), [("memory", needs), ("largest", largest)])
def test_the_tables(mark: str, rows: object) -> None:
    """CLAWFLEET_WRITE_DOCS=1 writes them anew."""
    assert callable(rows)
    table = "\n".join(rows())
    start = f"<!-- {mark} -->\n"
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(start)
    assert rest, f"no {start.strip()} in {PAGE}"
    old = "\n".join(line for line in rest.partition("\n\n")[0].splitlines() if line.startswith("|"))
    if os.environ.get("CLAWFLEET_WRITE_DOCS"):
        tail = rest.removeprefix(old)
        glue = "" if tail.startswith("\n\n") else "\n"
        PAGE.write_text(f"{head}{start}{table}{glue}{tail}", encoding="utf-8")
    assert table in PAGE.read_text(encoding="utf-8")


def test_the_dry_runs_table() -> None:
    wished = settings(context_window=131072)
    lines = memory_table.lines(bare(), wished, promise.weigh(bare(), wished))
    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8")
