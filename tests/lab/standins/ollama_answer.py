"""What a model answers and how fast: deterministic texts at a programmable speed."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

BYTES_PER_TOKEN = 4
NUM_KEEP = 4
THOUGHT = "The user wants a short answer, so a greeting will do."


@dataclass(frozen=True)
class Speed:
    """``<state>/ollama.json``; its ``models`` may override any of these for one model."""

    load_ms: float = 200.0
    first_token_ms: float = 20.0
    """From a processed prompt to the first token."""
    prefill_tps: float = 50_000.0
    decode_tps: float = 200.0
    answer_tokens: int = 0
    """Exact length of the answer's content; 0: as long as its text."""
    stall_s: float = 30.0
    """After how many silent seconds a download tries again."""
    vram: int = 0
    """Bytes of GPU memory; 0: what a Mac with this memory reports."""


def speed(state: str, model: str = "") -> Speed:
    """The settings in force for `model` now; the defaults are quick."""
    try:
        with open(f"{state}/ollama.json", encoding="utf-8") as file:
            loaded: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return Speed()
    merged = {**loaded, **loaded.get("models", {}).get(model, {})}
    known = {item.name for item in fields(Speed)}
    return replace(Speed(), **{key: value for key, value in merged.items() if key in known})


def tokens(text: str) -> int:
    """Tokens of a prompt, about four bytes each."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def cut(text: str, limit: int) -> str:
    """What a runner keeps of a prompt that is too long: its first 4 and its last tokens.

    The head is lost, where the system prompt and the tools are.
    """
    raw = text.encode()
    head = NUM_KEEP * BYTES_PER_TOKEN
    tail = (limit - NUM_KEEP) * BYTES_PER_TOKEN
    return (raw[:head] + raw[-tail:]).decode(errors="replace")


def refusal(size: int, num_ctx: int, *, by_llama_server: bool) -> str:
    """The error of a prompt that is too long and may not be cut.

    llama-server's own is handed on as it is, JSON inside JSON (measured with 0.33.3).
    """
    if not by_llama_server:
        return "the input length exceeds the context length"
    error = {
        "code": 400,
        "message": f"request ({size} tokens) exceeds the available context size ({num_ctx} "
        "tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": size,
        "n_ctx": num_ctx,
    }
    return json.dumps({"error": error}, separators=(",", ":"))


def pieces(text: str) -> list[str]:
    """Text as the tokens that a stream sends one by one."""
    return re.findall(r"\S+\s*", text)


@dataclass(frozen=True)
class Plan:
    """The whole answer before its first token is sent."""

    thinking: tuple[str, ...]
    content: tuple[str, ...]
    done_reason: str

    @property
    def count(self) -> int:
        """Generated tokens, thinking included."""
        return len(self.thinking) + len(self.content)


def plan(text: str, *, thinks: bool, limit: int, answer_tokens: int) -> Plan:
    """Answer `text`, at most `limit` tokens with the thinking (negative: no limit)."""
    content = pieces(text)
    if answer_tokens:
        base = [piece.rstrip() + " " for piece in content] or ["word "]
        content = [base[index % len(base)] for index in range(answer_tokens)]
    thinking = pieces(THOUGHT) if thinks else []
    total = len(thinking) + len(content)
    if 0 <= limit < total:
        thinking = thinking[:limit]
        content = content[: limit - len(thinking)]
        return Plan(tuple(thinking), tuple(content), "length")
    return Plan(tuple(thinking), tuple(content), "stop")


@dataclass
class Timing:
    """Durations in nanoseconds, as the last object of a stream tells them."""

    total: int = 0
    load: int = 0
    prompt_eval: int = 0
    eval: int = 0
    prompt_tokens: int = 0
    tokens: int = 0

    def fields(self) -> dict[str, int]:
        """Under Ollama's names, those that are 0 left out as Go does."""
        named = {
            "total_duration": self.total,
            "load_duration": self.load,
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": self.prompt_eval,
            "eval_count": self.tokens,
            "eval_duration": self.eval,
        }
        return {key: value for key, value in named.items() if value}


def prefill(prompt: str, before: str, settings: Speed) -> float:
    """Seconds of work on a prompt of which the part equal to the last one is cached."""
    pairs = zip(prompt, before, strict=False)
    same = next((i for i, (new, old) in enumerate(pairs) if new != old), None)
    same = min(len(prompt), len(before)) if same is None else same
    return max(1, tokens(prompt) - tokens(prompt[:same])) / settings.prefill_tps


def pace(made: Plan, settings: Speed) -> Iterator[tuple[str, str]]:
    """("thinking" | "content", piece) at the model's speed, without drift."""
    start = time.monotonic() + settings.first_token_ms / 1000
    everything = [("thinking", x) for x in made.thinking] + [("content", x) for x in made.content]
    for index, item in enumerate(everything):
        wait = start + index / settings.decode_tps - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield item
