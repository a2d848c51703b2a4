"""Proof of each model: an answer, a first latency figure, and the context that was promised."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import httpx

from clawfleet import context_proof, promise
from clawfleet.context_proof import LARGE, PACE, SMALL, Proof, Scale
from clawfleet.plan import Trouble
from clawfleet.promise import Plan
from clawfleet.proof import Latency, Stream
from clawfleet.run import MacRun

PROMPT = "Answer with one short sentence: what is the capital of France?"
Layer = Callable[[str, Callable[[], str], str], bool]
"""Carries out one check: its name, the check, and what fixes it where its Trouble does not say."""


def prove(mac: MacRun, http: httpx.Client, layer: Layer, rtt: float) -> list[Latency]:
    """The checks ``chat MODEL`` and ``context MODEL`` of every wanted model, the first one first.

    The second kind comes right after the first: two models that do not fit beside each other put
    each other out of memory.
    """
    plan = promise.plan(mac.snapshot, mac.settings)
    latencies: list[Latency] = []
    proofs: list[Proof] = []
    before: str | None = None
    for promised in plan.models:
        out = before if plan.together is False else None
        check = _Check(mac, http, plan, rtt, Proof(promised.id, promised.tokens, after=out))
        answered = True
        for _ in range(3 if mac.settings.verify == "full" else 1):
            answered &= layer(
                f"chat {promised.id}",
                check.chat,
                f"on the Mac: ollama run {promised.id} hello; its log: ~/.ollama/logs or brew's "
                "var/log/ollama.log",
            )
        if answered:
            layer(f"context {promised.id}", check.context, "pyinfra inventory.py tasks/verify.py")
        before = promised.id
        latencies += check.latencies
        proofs.append(check.proof)
    mac.results["context"] = [asdict(proof) for proof in proofs]
    return latencies


class _Check:
    """The checks of one model, in the way in which OpenClaw asks it."""

    def __init__(
        self, mac: MacRun, http: httpx.Client, plan: Plan, rtt: float, proof: Proof
    ) -> None:
        self.mac, self.http, self.plan, self.rtt, self.proof = mac, http, plan, rtt, proof
        self.num_ctx = proof.promised if plan.per_request else None
        self.latencies: list[Latency] = []
        # A prompt that fills the context is read for minutes.
        patience = max(mac.settings.request_timeout, proof.promised / PACE)
        self.patience = httpx.Timeout(15, read=patience)

    def chat(self) -> str:
        """One short answer, timed."""
        stream = Stream()
        body: dict[str, Any] = {
            "model": self.proof.model,
            "messages": [{"role": "user", "content": f"[{self.mac.run}] {PROMPT}"}],
            "stream": True,
            "options": {"num_predict": 256}
            | ({} if self.num_ctx is None else {"num_ctx": self.num_ctx}),
        }
        begun = time.perf_counter()
        with self.http.stream("POST", "/api/chat", json=body) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _error(answer)
            for line in answer.iter_lines():
                stream.take(time.perf_counter() - begun, line)
        total = time.perf_counter() - begun
        if stream.error or not stream.done or stream.first is None:
            why = stream.error or "the stream ended without any content"
            raise Trouble(why, expected='content, then "done": true', fix="")
        if self.proof.load_seconds is None:
            self.proof = replace(self.proof, load_seconds=stream.load)
        context, _ = self._running()
        latency = Latency(
            self.proof.model,
            round(1000 * stream.first, 1),
            round(1000 * total, 1),
            stream.tokens,
            context,
            self.rtt,
        )
        self.latencies.append(latency)
        visible = "" if stream.text.strip() else " (reasoning only)"
        return (
            f"first token {latency.ttft_ms:.0f} ms, whole {latency.e2e_ms:.0f} ms, "
            f"{stream.tokens} tokens{visible}"
        )

    def context(self) -> str:
        """What /api/ps and the probes show. Trouble when less is served than promised, or something
        was dropped in silence.

        The probe just under the promise is sent where something has changed that it depends on: on
        a Mac with M1 Pro, 32768 tokens take two minutes.
        """
        proof = self.proof
        allocated, share = self._running()
        self.proof = replace(proof, allocated=allocated, on_gpu=share)
        if allocated != proof.promised:
            raise Trouble(
                f"{proof.promised} tokens are promised to OpenClaw, {allocated or 'none'} are "
                "served",
                expected=f"context_length {proof.promised} in /api/ps",
                fix=self._fix(),
            )
        scale = Scale.of(*(self._count(self._ask(words)) for words in (SMALL, LARGE)))
        words = scale.over(proof.promised)
        answer = self._ask(words, whole=True)
        if context_proof.refuses(answer.status_code, answer.text):
            self.proof = replace(self.proof, refused=scale.tokens(words))
        else:
            read = self._count(answer)
            # A server that cuts to its context drops only these few tokens.
            self._nothing_dropped(read, scale.tokens(words), read > proof.promised)
        if self.mac.settings.verify == "full" or self.mac.renewed:
            words = scale.under(proof.promised)
            read = self._count(self._ask(words))
            sent = scale.tokens(words)
            self._nothing_dropped(read, sent, context_proof.is_whole(read, sent))
            self.proof = replace(self.proof, whole=read)
        return self.proof.text("nothing changed in this run; verify=full does")

    def _running(self) -> tuple[int | None, float | None]:
        answer = self.http.get("/api/ps").raise_for_status().json()
        return context_proof.running(answer, self.proof.model)

    def _ask(self, words: int, *, whole: bool = False) -> httpx.Response:
        body = context_proof.request(self.proof.model, words, self.num_ctx, whole=whole)
        return self.http.post("/api/chat", json=body, timeout=self.patience)

    def _count(self, answer: httpx.Response) -> int:
        """The tokens of a prompt that were read; Trouble for an error."""
        if answer.status_code != 200:
            raise _error(answer)
        document: dict[str, Any] = answer.json()
        return int(document.get("prompt_eval_count") or 0)

    def _nothing_dropped(self, read: int, sent: int, whole: bool) -> None:
        if not whole:
            raise Trouble(
                f"{sent} tokens were sent and {read} read: the rest was dropped in silence",
                expected=f"prompts of up to {self.proof.promised} tokens read whole, longer ones "
                "refused",
                fix="on the Mac: brew upgrade ollama, then run again",
            )

    def _fix(self) -> str:
        """What gives the promised context, by whoever owns the server."""
        promised = self.proof.promised
        if self.plan.per_request:
            return (
                f"on the Mac: ollama show {self.proof.model} (its own num_ctx and context length); "
                "or set context_window to what is served"
            )
        newer = 'or set openclaw_version = "2026.2.17" or later, whose requests name the context'
        owner = self.mac.snapshot.ollama_owner
        if owner == "app":
            return (
                f"in the settings of Ollama.app on that Mac set the context length to {promised} "
                f'(they win over {promise.LENGTH}), or set ollama_app_settings = "change"; {newer}'
            )
        if owner == "formula":
            return (
                "on the Mac: brew update && brew services restart ollama (the file "
                f"~/.homebrew/services/ollama.env, which names it, needs Homebrew 6); {newer}"
            )
        return f"start that server with {promise.LENGTH}={promised}; {newer}"


def _error(answer: httpx.Response) -> Trouble:
    said = answer.text[:200]
    return Trouble(f"HTTP {answer.status_code}: {said}", expected="an answer", fix="")
