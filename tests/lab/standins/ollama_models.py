"""The models that the lab's registry has: small files that say how big the real ones are.

Figures are those of the public library: trained context, capabilities, family, sizes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

SCALE_ENV = "CLAWFLEET_LAB_MODEL_SCALE"
_CHUNK = 1 << 20

LICENSE = (
    "                                 Apache License\n"
    "                           Version 2.0, January 2004\n"
    "                        http://www.apache.org/licenses/\n"
) + "\n   (stands for the whole text; shared by all models of this registry)\n" * 40


@dataclass(frozen=True)
class Recipe:
    """How one model is made."""

    name: str
    family: str
    parameter_size: str
    quantization: str
    capabilities: tuple[str, ...]
    context_length: int
    """Trained context in tokens."""
    nominal_size: int
    """Bytes that the real weights take; counted as memory, never stored."""
    kv_bytes_per_token: int
    """Bytes of KV cache for each token of context at f16."""
    blob_size: int
    """Bytes of the stored stand-in for the weights at scale 1."""
    shape: tuple[tuple[str, int], ...] = ()
    """What the real weights say of themselves, as /api/show tells it below the family's name."""
    parameters: tuple[tuple[str, object], ...] = ()
    template: str = "{{ .System }}{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="gpt-oss:20b",
            family="gptoss",
            parameter_size="20.9B",
            quantization="MXFP4",
            capabilities=("completion", "tools", "thinking"),
            context_length=131072,
            nominal_size=13_793_441_244,
            kv_bytes_per_token=24_600,
            blob_size=4_400_000,
            shape=(
                ("attention.head_count", 64),
                ("attention.head_count_kv", 8),
                ("attention.key_length", 64),
                ("attention.sliding_window", 128),
                ("attention.value_length", 64),
                ("block_count", 24),
                ("embedding_length", 2880),
            ),
            parameters=(("temperature", 1),),
        ),
        Recipe(
            name="qwen3-coder:latest",
            family="qwen3moe",
            parameter_size="30.5B",
            quantization="Q4_K_M",
            capabilities=("completion", "tools"),
            context_length=262144,
            nominal_size=18_556_688_736,
            kv_bytes_per_token=98_304,
            blob_size=5_900_000,
            shape=(
                ("attention.head_count", 32),
                ("attention.head_count_kv", 4),
                ("attention.key_length", 128),
                ("attention.value_length", 128),
                ("block_count", 48),
                ("embedding_length", 2048),
            ),
            parameters=(
                ("repeat_penalty", 1.05),
                ("stop", ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]),
                ("temperature", 0.7),
                ("top_k", 20),
                ("top_p", 0.8),
            ),
        ),
        Recipe(
            name="qwen3:0.6b",
            family="qwen3",
            parameter_size="751.63M",
            quantization="Q4_K_M",
            capabilities=("completion", "tools", "thinking"),
            context_length=40960,
            nominal_size=522_653_767,
            kv_bytes_per_token=114_688,
            blob_size=170_000,
            shape=(
                ("attention.head_count", 16),
                ("attention.head_count_kv", 8),
                ("attention.key_length", 128),
                ("attention.value_length", 128),
                ("block_count", 28),
                ("embedding_length", 1024),
            ),
        ),
        Recipe(
            name="tiny:latest",
            family="llama",
            parameter_size="437K",
            quantization="F32",
            capabilities=("completion",),
            context_length=8192,
            nominal_size=437_000,
            kv_bytes_per_token=512,
            blob_size=437_000,
            shape=(
                ("attention.head_count", 4),
                ("attention.head_count_kv", 4),
                ("block_count", 2),
                ("embedding_length", 64),
            ),
        ),
    )
}


def scale() -> float:
    """Factor for the stored sizes, from the environment; 1 by default."""
    return float(os.environ.get(SCALE_ENV, "1"))


def weights(recipe: Recipe, factor: float, revision: int) -> Iterator[bytes]:
    """The stand-in's bytes, the same each time; another `revision` gives other bytes."""
    size = max(64, int(recipe.blob_size * factor))
    start = b"GGUF\x03\x00\x00\x00"
    for index, offset in enumerate(range(0, size, _CHUNK)):
        length = min(_CHUNK, size - offset)
        seed = f"{recipe.name} {revision} {index}".encode()
        chunk = hashlib.shake_256(seed).digest(length)
        yield start + chunk[len(start) :] if index == 0 else chunk


def config(recipe: Recipe) -> dict[str, object]:
    """The config blob; its ``lab_`` keys are what a real server reads from the weights."""
    return {
        "model_format": "gguf",
        "model_family": recipe.family,
        "model_families": [recipe.family],
        "model_type": recipe.parameter_size,
        "file_type": recipe.quantization,
        "architecture": "amd64",
        "os": "linux",
        "lab_nominal_size": recipe.nominal_size,
        "lab_context_length": recipe.context_length,
        "lab_kv_bytes_per_token": recipe.kv_bytes_per_token,
        "lab_capabilities": list(recipe.capabilities),
        "lab_shape": dict(recipe.shape),
    }
