"""The planner's sums, against figures that were published or computed by hand (docs/models.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clawfleet import memory
from clawfleet.architecture import Cache, known
from clawfleet.memory import GIB, Load, Serving

GPT = Load(13_793_441_244, known("gpt-oss:20b"))
QWEN = Load(18_556_688_736, known("qwen3-coder"))
F16 = Serving()
Q8 = memory.serving(memory.SERVICE)
Q4 = Serving("q4_0", flash=True)
HOW = {"f16": F16, "q8_0": Q8, "q4_0": Q4}


@pytest.mark.parametrize(
    ("gigabytes", "megabytes"),
    [
        (8, 5726.62),
        (16, 11453.25),
        (24, 17179.87),
        (32, 22906.50),
        (64, 51539.61),
        (128, 103079.22),
    ],
)
def test_what_a_mac_gives_its_gpu(gigabytes: int, megabytes: float) -> None:
    """16, 32 and 64 GB as Metal logged them; llama.cpp prints millions of bytes."""
    assert memory.gpu_limit(gigabytes * GIB) / 1e6 == pytest.approx(megabytes, abs=0.02)


def test_a_limit_that_was_set_counts_in_mebibytes() -> None:
    assert memory.gpu_limit(32 * GIB, 24576) == 24 * GIB
    assert memory.gpu_limit(0) == 0


@pytest.mark.parametrize(
    ("load", "cache", "tokens", "gigabytes"),
    [
        (QWEN, "f16", 4096, 19.0),
        (QWEN, "f16", 32768, 21.8),
        (QWEN, "f16", 65536, 25.0),
        (QWEN, "f16", 131072, 31.4),
        (QWEN, "q8_0", 4096, 18.8),
        (QWEN, "q8_0", 32768, 20.2),
        (QWEN, "q8_0", 65536, 21.8),
        (QWEN, "q8_0", 131072, 25.0),
        (GPT, "f16", 4096, 14.0),
        (GPT, "f16", 32768, 14.7),
        (GPT, "f16", 65536, 15.5),
        (GPT, "f16", 131072, 17.1),
    ],
)
def test_weights_and_cache(load: Load, cache: Cache, tokens: int, gigabytes: float) -> None:
    """Published sums, which leave out the scales of a smaller cache (a sixteenth of it)."""
    assert load.architecture
    total = (load.weights + load.architecture.cache(tokens, cache)) / 1e9
    scales = {"f16": 0.0, "q8_0": (total - load.weights / 1e9) / 17}[cache]
    assert total - scales == pytest.approx(gigabytes, abs=0.06)


FITS = [
    # GB, cache: the largest context of gpt-oss:20b, of qwen3-coder; both together at 32768
    (8, "f16", 0, 0, False),
    (8, "q4_0", 0, 0, False),
    (16, "q8_0", 0, 0, False),
    (24, "f16", 81920, 0, False),
    (24, "q8_0", 131072, 0, False),
    (32, "f16", 131072, 32768, False),
    (32, "q8_0", 131072, 61440, False),
    (32, "q4_0", 131072, 110592, False),
    (36, "f16", 131072, 61440, False),
    (36, "q8_0", 131072, 114688, False),
    (48, "f16", 131072, 188416, True),
    (48, "q8_0", 131072, 262144, True),
    (64, "f16", 131072, 262144, True),
    (128, "f16", 131072, 262144, True),
]


@pytest.mark.parametrize(("gigabytes", "cache", "gpt", "qwen", "both"), FITS)
def test_the_largest_context(gigabytes: int, cache: str, gpt: int, qwen: int, both: bool) -> None:
    limit, how = memory.gpu_limit(gigabytes * GIB), HOW[cache]
    assert memory.largest(GPT, limit, how) == gpt
    assert memory.largest(QWEN, limit, how) == qwen
    sizes = [memory.needed(load, 32768, how) for load in (GPT, QWEN)]
    assert memory.together(sizes, limit, how) is both


@pytest.mark.parametrize("gigabytes", [8, 16, 24, 32, 36, 48, 64, 128])
@pytest.mark.parametrize("load", [GPT, QWEN])
@pytest.mark.parametrize("cache", ["f16", "q8_0", "q4_0"])
def test_the_largest_context_fits_and_the_next_does_not(
    gigabytes: int, load: Load, cache: str
) -> None:
    limit, how = memory.gpu_limit(gigabytes * GIB), HOW[cache]
    tokens = memory.largest(load, limit, how)
    assert tokens is not None
    assert load.architecture
    assert tokens == 0 or memory.fits(load, tokens, limit, how)
    if tokens < (load.architecture.trained or 0):
        assert memory.fits(load, tokens + memory.STEP, limit, how) is False
    assert tokens % memory.STEP == 0


def test_each_request_at_once_has_a_context_of_its_own() -> None:
    limit = memory.gpu_limit(32 * GIB)
    four = replace(Q8, slots=4)
    one, all_four = memory.largest(QWEN, limit, Q8), memory.largest(QWEN, limit, four)
    assert one is not None
    assert all_four == one // 4 // memory.STEP * memory.STEP


def test_a_small_cache_needs_flash_attention() -> None:
    off = replace(Q8, flash=False)
    assert off.kept == "f16"
    limit = memory.gpu_limit(32 * GIB)
    assert (memory.largest(QWEN, limit, off) or 0) < (memory.largest(QWEN, limit, F16) or 0)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Serving()),
        (memory.SERVICE, Serving("q8_0", flash=True)),
        ({"OLLAMA_KV_CACHE_TYPE": " Q4_0 "}, Serving("q4_0")),
        ({"OLLAMA_KV_CACHE_TYPE": "q5_1"}, Serving()),
        ({"OLLAMA_FLASH_ATTENTION": "false"}, Serving(flash=False)),
        ({"OLLAMA_NUM_PARALLEL": "3", "OLLAMA_MAX_LOADED_MODELS": "1"}, Serving(slots=3, loaded=1)),
        ({"OLLAMA_NUM_PARALLEL": "0", "OLLAMA_MAX_LOADED_MODELS": "many"}, Serving()),
    ],
)
def test_how_a_server_keeps_its_models(variables: dict[str, str], expected: Serving) -> None:
    assert memory.serving(variables) == expected


def test_more_models_than_the_server_keeps_are_not_together() -> None:
    assert memory.together([1, 1], GIB, replace(F16, loaded=1)) is False
    assert memory.together([1, 1, 1, 1], GIB, F16) is False
    assert memory.together([1, None], GIB, F16) is None
    assert memory.together([GIB, None], GIB, F16) is False


@pytest.mark.parametrize("load", [Load(0, known("gpt-oss:20b")), Load(5, None), Load(0, None)])
def test_nothing_is_claimed_of_what_is_not_known(load: Load) -> None:
    assert memory.needed(load, 4096, F16) is None
    assert memory.fits(load, 4096, 10**12, F16) is None
    assert memory.largest(load, 10**12, F16) is None
