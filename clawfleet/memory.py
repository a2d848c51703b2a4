"""How much memory a Mac gives its GPU, and which models with how much context fit into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clawfleet.architecture import Architecture, Cache

GIB = 1024**3
MIB = 1024**2
RESERVE = GIB // 2
"""Bytes of the GPU's memory that Ollama leaves alone on a Mac (llm/memory.go, Metal's minimum)."""
STEP = 4096
"""Tokens: contexts that are not the wished one are multiples of it."""
MAX_LOADED = 3
"""Models that Ollama keeps in memory at once for each GPU (envconfig, OLLAMA_MAX_LOADED_MODELS)."""

Verdict = Literal["fits", "fits alone", "does not fit", "not known", "no GPU"]


def gpu_limit(memory: int, wired_limit_mb: int = 0) -> int:
    """Bytes that a Mac of `memory` bytes gives its GPU; 0 where the memory is not known.

    Metal's recommendedMaxWorkingSetSize: two thirds up to 36 GB (logged: 11453.25 MB of 16 GB,
    22906.50 MB of 32 GB), three quarters above (107.5 GiB of 128 GB and more were logged). Newer
    systems give small Macs more (28991.03 MB of 36 GB): what is said here is the least that was
    seen. `wired_limit_mb` is ``sysctl iogpu.wired_limit_mb``, in MiB, 0 for the default.
    """
    if wired_limit_mb > 0:
        return wired_limit_mb * MIB
    return memory * 2 // 3 if memory <= 36 * GIB else memory * 3 // 4


@dataclass(frozen=True)
class Serving:
    """How the server keeps its models, as its variables say."""

    cache: Cache = "f16"
    flash: bool | None = None
    """Flash attention; None: Ollama decides by the model."""
    slots: int = 1
    """Requests that one model answers at once."""
    loaded: int = MAX_LOADED
    """Models in memory at once."""

    @property
    def kept(self) -> Cache:
        """The cache's type that is really used: a smaller one needs flash attention."""
        return "f16" if self.flash is False else self.cache


SERVICE = {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
"""What Homebrew's formula sets for its service (Formula/o/ollama.rb)."""
_FLASH = frozenset(
    {
        "bert",
        "gemma3",
        "glm4moelite",
        "glmocr",
        "gptoss",
        "gpt-oss",
        "lfm2",
        "mistral3",
        "olmo3",
        "qwen3",
        "qwen3moe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "qwen3vl",
        "qwen3vlmoe",
    }
)
"""Architectures for which Ollama turns flash attention on by itself (fs/ggml/ggml.go)."""


def serving(variables: Mapping[str, str]) -> Serving:
    """How a server with these variables keeps its models; what it would not understand is left
    out, as it does (envconfig/config.go)."""
    cache = variables.get("OLLAMA_KV_CACHE_TYPE", "").strip().lower()
    flash = variables.get("OLLAMA_FLASH_ATTENTION", "").strip().lower()
    result = Serving(
        flash=None if flash == "" else flash not in ("0", "f", "false"),
        slots=_count(variables.get("OLLAMA_NUM_PARALLEL"), 1),
        loaded=_count(variables.get("OLLAMA_MAX_LOADED_MODELS"), MAX_LOADED),
    )
    if cache == "q8_0":
        return replace(result, cache="q8_0")
    return replace(result, cache="q4_0") if cache == "q4_0" else result


def _count(text: str | None, default: int) -> int:
    value = (text or "").strip()
    return int(value) if value.isdigit() and int(value) > 0 else default


@dataclass(frozen=True)
class Load:
    """One model as the planner sees it."""

    weights: int
    """Bytes; 0: not known."""
    architecture: Architecture | None

    @property
    def known(self) -> bool:
        return self.weights > 0 and self.architecture is not None


def needed(load: Load, tokens: int, how: Serving) -> int | None:
    """Bytes that a model takes with that context: weights, KV cache, graph. None: not known."""
    shape = load.architecture
    if shape is None or not load.weights:
        return None
    flash = shape.name in _FLASH if how.flash is None else how.flash
    cache = shape.cache(tokens, how.kept, how.slots)
    return load.weights + cache + shape.graph(tokens, flash=flash, slots=how.slots)


def largest(load: Load, limit: int, how: Serving) -> int | None:
    """The largest multiple of STEP that fits wholly into a GPU of `limit` bytes, not above what the
    model was trained for; 0: not even one. None: not known."""
    if not load.known or load.architecture is None:
        return None
    top = load.architecture.trained or 1 << 20
    low, high = 0, max(top // STEP, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(load, middle * STEP, limit, how):
            low = middle
        else:
            high = middle - 1
    return min(low * STEP, top)


def fits(load: Load, tokens: int, limit: int, how: Serving) -> bool | None:
    """Whether it fits wholly into a GPU of `limit` bytes, nothing beside it. None: not known."""
    needs = needed(load, tokens, how)
    return None if needs is None else needs + RESERVE <= limit


def together(sizes: Sequence[int | None], limit: int, how: Serving) -> bool | None:
    """Whether models that take these bytes stay in memory beside each other.

    Ollama loads a further model only wholly beside the others, else it puts them out
    (server/sched.go). None: not known.
    """
    if len(sizes) > how.loaded:
        return False
    known = [size for size in sizes if size is not None]
    if sum(known) + RESERVE > limit:
        return False
    return True if len(known) == len(sizes) else None
