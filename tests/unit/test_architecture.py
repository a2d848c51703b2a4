from __future__ import annotations

from typing import Any

import pytest

from clawfleet import architecture
from clawfleet.architecture import QWEN3_CODER, Cache, gptoss

QWEN: dict[str, Any] = {
    "general.architecture": "qwen3moe",
    "qwen3moe.attention.head_count": 32,
    "qwen3moe.attention.head_count_kv": 4,
    "qwen3moe.attention.key_length": 128,
    "qwen3moe.attention.value_length": 128,
    "qwen3moe.block_count": 48,
    "qwen3moe.context_length": 262144,
    "qwen3moe.embedding_length": 2048,
    "tokenizer.ggml.tokens": None,
}
GPT: dict[str, Any] = {
    "general.architecture": "gptoss",
    "general.parameter_count": 20914757184,
    "gptoss.attention.sliding_window": 128,
    "gptoss.block_count": 24,
    "gptoss.context_length": 131072,
    "gptoss.embedding_length": 2880,
}


def test_what_is_shown_of_the_known_models_is_what_is_known_of_them() -> None:
    assert architecture.read(QWEN) == architecture.known("qwen3-coder") == QWEN3_CODER
    assert architecture.read(GPT) == architecture.known("GPT-OSS:20b") == gptoss(24)
    assert architecture.known("registry.ollama.ai/library/qwen3-coder:30b") == QWEN3_CODER
    assert architecture.known("team/qwen3-coder:30b") is None


@pytest.mark.parametrize(
    ("model", "kind", "each"),
    [
        # 48 layers x 4 heads x 128 x keys and values x 2 bytes
        ("qwen3-coder", "f16", 98_304),
        # a block of 32 numbers: 32 bytes and a scale of 2
        ("qwen3-coder", "q8_0", 98_304 / 2 * 34 / 32),
        ("qwen3-coder", "q4_0", 98_304 / 4 * 36 / 32),
        # 12 of 24 layers x 8 heads x 64 x keys and values x 2 bytes
        ("gpt-oss:20b", "f16", 24_576),
        ("gpt-oss:120b", "f16", 36_864),
    ],
)
def test_bytes_for_each_token(model: str, kind: Cache, each: float) -> None:
    shape = architecture.known(model)
    assert shape
    assert shape.cache(65536, kind) - shape.cache(32768, kind) == pytest.approx(32768 * each, abs=1)


def test_a_window_that_slides_is_paid_for_in_each_slot() -> None:
    shape = gptoss(24)
    window = 12 * 8 * 128 * 2
    assert shape.cache(0, "f16", 1) == window * (4096 + 512)
    assert shape.cache(0, "f16", 4) == window * (4 * 4096 + 512)
    assert shape.cache(8192, "f16", 4) - shape.cache(0, "f16", 4) == 4 * 8192 * 24_576


def test_the_graph_is_what_was_logged() -> None:
    # llama.cpp: 300.75 MiB of a Qwen 3 with 2048 x 151936, 404 MiB of gpt-oss at 4096 tokens
    assert QWEN3_CODER.graph(0, flash=True) == pytest.approx(300.75 * 1024**2)
    assert gptoss(24).graph(4096, flash=True) == pytest.approx(404 * 1024**2, rel=0.03)


def test_without_flash_attention_every_head_keeps_its_scores() -> None:
    assert QWEN3_CODER.graph(32768, flash=False) > 8 * QWEN3_CODER.graph(32768, flash=True) / 2
    more = QWEN3_CODER.graph(8192, flash=False) - QWEN3_CODER.graph(4096, flash=False)
    assert more == 4 * 512 * 4096 * 33


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.embedding_length": 4096,
    "llama.context_length": 8192,
}


@pytest.mark.parametrize(
    ("changes", "per_token"),
    [
        ({}, 32 * 8 * 256),
        # Go writes what is large as a float
        ({"llama.block_count": 32.0, "llama.embedding_length": 4.096e3}, 32 * 8 * 256),
        ({"llama.attention.key_length": 64, "llama.attention.value_length": 32}, 32 * 8 * 96),
        # one number for each layer, some of which keep nothing
        ({"llama.attention.head_count_kv": [0, 0, 0, 2] * 8}, 16 * 256),
        # a window that may slide counts as if it did not
        ({"llama.attention.sliding_window": 1024}, 32 * 8 * 256),
    ],
)
def test_any_architecture_by_its_numbers(changes: dict[str, Any], per_token: int) -> None:
    shape = architecture.read(LLAMA | changes)
    assert shape
    assert (shape.per_token, shape.trained, shape.per_slot) == (per_token, 8192, 0)


def test_heads_that_are_not_told_apart_are_all_kept() -> None:
    info = {key: value for key, value in LLAMA.items() if not key.endswith("head_count_kv")}
    shape = architecture.read(info)
    assert shape
    assert shape.per_token == 32 * 32 * 256


@pytest.mark.parametrize(
    "changes",
    [
        {"general.architecture": None},
        {"general.architecture": 7},
        {"llama.block_count": None},
        {"llama.block_count": "32"},
        {"llama.block_count": True},
        {"llama.block_count": -1},
        {"llama.attention.head_count_kv": None},  # a list that was left out
        {"llama.attention.head_count_kv": []},
        {"llama.attention.head_count_kv": ["8"]},
        {"llama.embedding_length": None},
        {"llama.attention.head_count": 0},
    ],
)
def test_what_does_not_tell_enough_is_not_known(changes: dict[str, Any]) -> None:
    assert architecture.read(LLAMA | changes) is None
    assert architecture.read({}) is None


def test_a_gpt_oss_that_tells_only_its_layers_is_known() -> None:
    shape = architecture.read({"general.architecture": "gpt-oss", "gpt-oss.block_count": 36})
    assert shape
    assert (shape.per_token, shape.trained) == (gptoss(36).per_token, 131072)
