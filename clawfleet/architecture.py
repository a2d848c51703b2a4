"""What of a model decides how much memory its context takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clawfleet.names import normalise

Cache = Literal["f16", "q8_0", "q4_0"]

BYTES: Mapping[Cache, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes of one element of the KV cache: blocks of 32 elements with a 16-bit scale (ggml's
block_q8_0 and block_q4_0). Ollama's own estimate leaves the scales out (fs/ggml/ggml.go,
kvCacheBytesPerElement: 1 and 0.5)."""
BATCH = 512
"""Tokens that are read at once, Ollama's num_batch."""
VOCABULARY = 262_144
"""Entries, where a model does not tell: Gemma's, the largest that is common."""


@dataclass(frozen=True)
class Architecture:
    """The shape of a model. Elements are numbers in its KV cache, keys and values together."""

    name: str
    """``general.architecture``: ``qwen3moe``."""
    per_token: int
    """Elements for each token of context, of the layers that see all of it."""
    per_slot: int = 0
    """Elements for each parallel slot whatever the context is, of layers with a sliding window."""
    per_server: int = 0
    """Elements once, of the same layers."""
    trained: int | None = None
    """Tokens of context that it was trained for; Ollama gives no more. None: not told."""
    heads: int = 0
    embedding: int = 0
    vocabulary: int = VOCABULARY

    def cache(self, tokens: int, kind: Cache, slots: int = 1) -> int:
        """Bytes of KV cache for `tokens` of context in each of `slots` parallel requests."""
        elements = (self.per_token * tokens + self.per_slot) * slots + self.per_server
        return int(elements * BYTES[kind])

    def graph(self, tokens: int, *, flash: bool, slots: int = 1) -> int:
        """Bytes of the compute graph: the output of a batch over the whole vocabulary, and the
        attention of a batch over the context.

        4 x batch x (embedding + vocabulary) is Ollama's (fs/ggml/ggml.go, GraphSize) and gives the
        300.75 MiB that llama.cpp logs for a Qwen 3 of 2048 x 151936; for gpt-oss 398 MiB, where
        404 were logged. The mask of flash attention is kept in 4 and in 2 bytes; without it the
        scores of every head are kept in 4 (GraphSize of llama).
        """
        output = 4 * BATCH * (self.embedding + self.vocabulary)
        scores = 6 if flash else 4 * (1 + self.heads)
        return output + scores * BATCH * tokens * slots


def gptoss(layers: int) -> Architecture:
    """gpt-oss: 8 heads of 64, and a sliding window in every other layer.

    What Ollama allocates for that window is 4096 tokens in each slot and a batch
    (fs/ggml/ggml.go of v0.16.1, GraphSize, lines 803-812).
    """
    elements = 8 * (64 + 64)
    sliding = layers // 2
    return Architecture(
        "gptoss",
        per_token=(layers - sliding) * elements,
        per_slot=sliding * elements * 4096,
        per_server=sliding * elements * BATCH,
        trained=131_072,
        heads=64,
        embedding=2880,
        vocabulary=201_088,
    )


QWEN3_CODER = Architecture(
    "qwen3moe",
    per_token=48 * 4 * (128 + 128),
    trained=262_144,
    heads=32,
    embedding=2048,
    vocabulary=151_936,
)
"""30B: 48 layers, 4 heads of 128 for keys and values."""

KNOWN: Mapping[str, Architecture] = {
    "gpt-oss:20b": gptoss(24),
    "gpt-oss:latest": gptoss(24),
    "gpt-oss:120b": gptoss(36),
    "qwen3-coder:latest": QWEN3_CODER,
    "qwen3-coder:30b": QWEN3_CODER,
}
"""Models of the public library whose shape is known before they are pulled."""

_VOCABULARIES = {"gptoss": 201_088, "qwen3moe": 151_936, "qwen3": 151_936, "qwen2": 152_064}


def known(name: str) -> Architecture | None:
    """The shape of a model of the public library, None for every other name."""
    return KNOWN.get(normalise(name).lower())


def read(info: Mapping[str, Any]) -> Architecture | None:
    """The shape in ``model_info`` of /api/show; None where it does not tell enough.

    Layers that slide are counted as if they saw all of the context, except those of gpt-oss: too
    much is safe. Lengths of heads that are absent follow from the embedding, as in llama.cpp.
    """
    name = info.get("general.architecture")
    if not isinstance(name, str):
        return None

    def number(key: str) -> int | None:
        value = info.get(f"{name}.{key}")
        # Go writes large numbers as floats; True is an int for Python.
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return int(value) if whole and value is not None else None

    layers, heads, embedding = (
        number("block_count"),
        number("attention.head_count"),
        number("embedding_length"),
    )
    trained = number("context_length")
    if name in ("gptoss", "gpt-oss") and layers:
        shape = gptoss(layers)
        return Architecture(**{**vars(shape), "name": name, "trained": trained or shape.trained})
    each = embedding // heads if embedding and heads else None
    key, value = number("attention.key_length") or each, number("attention.value_length") or each
    shared = _shared(info.get(f"{name}.attention.head_count_kv"), layers)
    if shared is None and f"{name}.attention.head_count_kv" not in info and layers and heads:
        shared = layers * heads  # every head has its own
    if key is None or value is None or shared is None:
        return None
    return Architecture(
        name,
        per_token=shared * (key + value),
        trained=trained,
        heads=heads or 0,
        embedding=embedding or 0,
        vocabulary=number("vocab_size") or _VOCABULARIES.get(name, VOCABULARY),
    )


def _shared(heads: Any, layers: int | None) -> int | None:
    """Heads of keys and values in all layers together; a list has one number for each layer."""
    if isinstance(heads, list) and all(isinstance(each, int) for each in heads) and heads:
        return sum(heads)
    if isinstance(heads, int | float) and not isinstance(heads, bool) and heads > 0 and layers:
        return int(heads) * layers
    return None
