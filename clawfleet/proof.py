"""What a Mac has to show after the deploy, as data, and how a person reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Check:
    """One layer of one Mac."""

    layer: str
    ok: bool
    detail: str
    seconds: float
    fix: str = ""


@dataclass(frozen=True)
class Latency:
    """One request to /api/chat of one model, timed at the control machine.

    The SSH connection's round trip is inside; ``rtt_ms`` says how much that is.
    """

    model: str
    ttft_ms: float | None
    """Request sent until the first chunk with visible content or reasoning."""
    e2e_ms: float
    """Request sent until the last chunk."""
    output_tokens: int | None
    """As Ollama counted them (eval_count), reasoning included."""
    context: int | None
    """Tokens of context that Ollama has allocated (/api/ps), which is what is really served."""
    rtt_ms: float


class Stream:
    """Reads the lines of a streamed answer of /api/chat; feed it with (seconds, line)."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float = 0.0
        self.tokens: int | None = None
        self.text = ""
        self.reasoning = ""
        self.error: str | None = None
        self.done = False
        self.load: float | None = None
        """Seconds until the model was in memory; a warm one takes milliseconds."""

    def take(self, at: float, line: str) -> None:
        """One line, received `at` seconds after the request was sent."""
        if not line.strip():
            return
        chunk = json.loads(line)
        if "error" in chunk:
            self.error = str(chunk["error"])
            return
        message = chunk.get("message") or {}
        content = message.get("content") or ""
        reasoning = message.get("thinking") or ""
        # A chunk may carry only the role: that is no token yet.
        if content or reasoning or message.get("tool_calls"):
            self.first = at if self.first is None else self.first
            self.last = at
        self.text += content
        self.reasoning += reasoning
        if chunk.get("done"):
            self.done = True
            self.tokens = int(chunk["eval_count"]) if chunk.get("eval_count") else None
            self.load = int(chunk["load_duration"]) / 1e9 if chunk.get("load_duration") else None


@dataclass(frozen=True)
class Turn:
    """One turn of the agent, as ``openclaw agent --json`` tells it."""

    ok: bool
    model: str | None
    text: str
    why: str


def answer(output: str) -> dict[str, Any]:
    """The JSON object in what a command printed, {} where none is; lines of a log around it are
    passed over."""
    decoder = json.JSONDecoder()
    starts = [match.start() for match in re.finditer(r"^[ \t]*\{", output, re.M)]
    for start in starts:
        try:
            value = decoder.raw_decode(output[start:].lstrip())[0]
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}


def turn(output: str, code: int) -> Turn:
    """What a turn's output says. The exit code proves nothing: 2026.2.x gives 0 for a failed turn
    with the error as its text."""
    document = answer(output)
    result = document.get("result") or document
    meta = (result.get("meta") or {}).get("agentMeta") or {}
    payloads = result.get("payloads") or []
    text = " ".join(str(p.get("text") or "") for p in payloads if isinstance(p, dict)).strip()
    model = f"{meta.get('provider')}/{meta['model']}" if meta.get("model") else None
    if not document:
        last = output.strip().splitlines()[-1:] or ["no output"]
        return Turn(False, None, "", f"exit code {code}: {last[0][:200]}")
    if not text:
        return Turn(False, model, "", f"exit code {code}, no text in the answer")
    flagged = any(isinstance(p, dict) and p.get("isError") for p in payloads)
    if (failure := _failure(text)) or flagged or meta.get("error"):
        return Turn(False, model, text, failure or (text[:200] if flagged else str(meta["error"])))
    return Turn(code == 0, model, text, "" if code == 0 else f"exit code {code}")


def _failure(text: str) -> str:
    marks = (
        "Connection error",
        "fetch failed",
        "HTTP 4",
        "HTTP 5",
        "Ollama API error",
        "LLM request",
        "Context overflow",
        "⚠️",
    )
    return text[:200] if any(text.startswith(mark) or f" {mark}" in text for mark in marks) else ""


def document(
    *, run: str, when: str, macs: Mapping[str, Mapping[str, Any]], versions: Mapping[str, str]
) -> dict[str, Any]:
    """The report as JSON: ``{"schema", "run", "when", "clawfleet", "pyinfra", "macs": {name:
    {"about", "ok", "checks", "latency", "context"} or {"trouble", "output"}}}``; `context`: a
    ``context_proof.Proof`` for each model; `output`: the last lines of the step that failed, with
    the gateway's log. Where the gateway was started or restarted also "gateway": {"action",
    "reasons", "state", "downtime_seconds"}, with the state before and the seconds from bootout to
    the first answer, null where nothing answered before; where it applied a change while it ran
    "reload": {"applied": [key, ...]}.
    After a diagnosis: {"findings", "mended", "well"}.
    """
    return {"schema": SCHEMA, "run": run, "when": when, **versions, "macs": dict(macs)}


def as_data(checks: Sequence[Check], latencies: Sequence[Latency]) -> dict[str, Any]:
    return {
        "ok": all(check.ok for check in checks),
        "checks": [asdict(check) for check in checks],
        "latency": [asdict(latency) for latency in latencies],
    }


def rows(macs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(Mac, state, layer, detail) for every check, for every trouble that a diagnosis found, and
    for every Mac that stopped. The state is "ok", "failed", or the trouble's severity."""
    for name, mac in macs.items():
        if trouble := mac.get("trouble"):
            yield name, "failed", "stopped", f"{trouble['found']}\nto fix: {trouble['fix']}"
        for finding in mac.get("findings", []):
            detail = f"{finding['title']}: {finding['seen']}\nto fix: {finding['fix']}"
            yield name, finding["severity"], finding["id"], detail
        if mac.get("well"):
            yield name, "ok", "well", mac["well"]
        if (done := mac.get("gateway")) and not mac.get("trouble"):
            down = done["downtime_seconds"]
            lost = "" if down is None else f"; nobody answered for {down:.1f} s"
            yield name, "ok", done["action"], f"the gateway was found: {done['state']}{lost}"
        if (kept := mac.get("reload")) and not mac.get("trouble"):
            yield name, "ok", "config", f"applied without a restart: {', '.join(kept['applied'])}"
        for check in mac.get("checks", []):
            fix = f"\nto fix: {check['fix']}" if check["fix"] and not check["ok"] else ""
            yield name, "ok" if check["ok"] else "failed", check["layer"], check["detail"] + fix
