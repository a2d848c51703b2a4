"""Is the context that is promised the one that is served, and is nothing dropped in silence?

Ollama answers a prompt that is too long with HTTP 200 and leaves out its beginning, where the
instructions and tools stand (v0.16.1 server/prompt.go and runner/ollamarunner/runner.go; later ones
keep about half, llm/llama_server.go). Two things tell: ``prompt_eval_count``, and a request that
forbids it, which is then refused with 400 before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clawfleet.names import same

WORD = "word "
SMALL, LARGE = 100, 1100
"""Words of the two prompts from which the tokens for each word follow."""
MARGIN = 32
"""Tokens: how far under and over the promise the two probes are."""
EXACT = 0.99
"""Share of the expected tokens from which on a prompt counts as read whole: what is dropped where a
server holds less than it says is far more."""
PACE = 100
"""Tokens per second that a prompt is read with at the least, for the time-out; a Mac with M1 Pro
reads some 300."""


def request(model: str, words: int, num_ctx: int | None, *, whole: bool = False) -> dict[str, Any]:
    """The body of a /api/chat with a prompt of that many words and one token of answer; `num_ctx`
    None where OpenClaw's requests name none. With `whole` it may not be shortened.

    ``shift: false`` forbids that as well (since v0.30), but is an option of the loaded model: it
    would be loaded again (server/sched.go).
    """
    options: dict[str, Any] = {"num_predict": 1}
    if num_ctx is not None:
        # Another one than in the other requests would load the model again.
        options["num_ctx"] = num_ctx
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": WORD * words}],
        "stream": False,
        "options": options,
    }
    return body | ({"truncate": False} if whole else {})


@dataclass(frozen=True)
class Scale:
    """How many tokens a prompt of so many words has, for one model."""

    base: float
    each: float

    @classmethod
    def of(cls, small: int, large: int) -> Scale:
        """From the tokens of SMALL and of LARGE words. ValueError where more words are no more
        tokens: then even the short prompt was shortened."""
        each = (large - small) / (LARGE - SMALL)
        if each <= 0:
            raise ValueError(f"{SMALL} words are {small} tokens and {LARGE} words {large}")
        return cls(small - SMALL * each, each)

    def tokens(self, words: int) -> int:
        return round(self.base + words * self.each)

    def under(self, tokens: int) -> int:
        """Words of a prompt that is MARGIN tokens shorter, or a little more."""
        return max(1, math.floor((tokens - MARGIN - self.base) / self.each))

    def over(self, tokens: int) -> int:
        """Words of a prompt that is MARGIN tokens longer, or a little more."""
        return math.ceil((tokens + MARGIN - self.base) / self.each)


@dataclass(frozen=True)
class Proof:
    """What was seen of one model; None: not looked at, or not told."""

    model: str
    promised: int
    """Tokens."""
    allocated: int | None = None
    """Tokens in /api/ps."""
    on_gpu: float | None = None
    """Share of its memory that is the GPU's."""
    whole: int | None = None
    """Tokens of a prompt just under the promise that was read whole."""
    refused: int | None = None
    """Tokens of a prompt just over it that was refused."""
    load_seconds: float | None = None
    """Until it was in memory, as the first request of this check saw it (load_duration)."""
    after: str | None = None
    """The model that had to leave the memory for it."""

    def text(self, why_not: str) -> str:
        """For a person; `why_not` says why no prompt just under the promise was sent."""
        parts = [f"context {self.allocated} served"]
        if self.whole is not None:
            parts.append(f"{self.whole} tokens read whole")
        if self.refused is not None:
            parts.append(f"{self.refused} refused")
        else:
            parts.append("more is answered whole, too")
        if self.whole is None:
            parts.append(f"a full one not sent again ({why_not})")
        if self.on_gpu is not None and self.on_gpu < 1:
            parts.append(f"{100 * (1 - self.on_gpu):.0f} % of it not on the GPU: slow")
        if self.after and self.load_seconds is not None:
            parts.append(f"loaded in {self.load_seconds:.1f} s in the place of {self.after}")
        return "; ".join(parts)


def running(answer: Mapping[str, Any], model: str) -> tuple[int | None, float | None]:
    """Tokens of context that are allocated for a model and its share on the GPU, from /api/ps."""
    for entry in answer.get("models") or []:
        if isinstance(entry, Mapping) and same(str(entry.get("name", "")), model):
            length, size = entry.get("context_length"), entry.get("size")
            share = entry.get("size_vram", 0) / size if size else None
            return int(length) if length else None, share
    return None, None


def refuses(status: int, text: str) -> bool:
    """Whether an answer is the refusal of a prompt that is too long: `the input length exceeds the
    context length` (v0.16.1), `request (... tokens) exceeds the available context size`
    (llama-server's, since v0.30), `the prompt is longer than the context length currently available
    to the model` (of models that can't shift)."""
    low = text.lower()
    return status == 400 and ("context length" in low or "context size" in low)


def is_whole(count: int, expected: int) -> bool:
    """Whether a prompt within the context was read whole, by the tokens that were read and those
    that it has."""
    return count >= expected * EXACT
