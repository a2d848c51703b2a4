"""A model pulled into a Mac's Ollama, with progress, a watchdog and bounded tries."""

from __future__ import annotations

import json
import time
from functools import partial

import httpx
from pyinfra.api import FunctionCommand

from clawfleet.connection import client
from clawfleet.operations.mac import call, installed, shell
from clawfleet.plan import Trouble
from clawfleet.pulls import STALL, TRIES, Progress, PullError, explain
from clawfleet.run import MacRun

EVERY = 5.0
"""Seconds between two lines of progress."""


def pull(model: str) -> FunctionCommand:
    """A command that pulls one model; Trouble after TRIES, or at once where no try can help."""
    return call(partial(_pull, model))


def _pull(model: str, mac: MacRun) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            _once(model, mac)
        except (PullError, httpx.HTTPError) as error:
            message = str(error) or type(error).__name__
            again = error.again if isinstance(error, PullError) else True
            if not again or attempt == TRIES:
                expected, fix = explain(model, message)
                tries = f" (try {attempt} of {TRIES})" if again else ""
                raise Trouble(
                    f"pulling {model} failed: {message}{tries}", expected=expected, fix=fix
                ) from error
            pause = 2.0**attempt
            mac.say(f"{model}: {message}; next try in {pause:.0f} s, it resumes", "yellow")
            time.sleep(pause)
        else:
            shell(mac, installed(f"model {model}"), 30)
            return


def _once(model: str, mac: MacRun) -> None:
    progress = Progress()
    begun = said = moved = time.monotonic()
    first = last = -1
    # Ollama sends a line every 60 ms even when no byte arrives, so silence is measured in bytes.
    bounds = httpx.Timeout(10, read=STALL)
    with (
        client(mac.host, mac.settings.ollama_port, timeout=bounds) as http,
        http.stream("POST", "/api/pull", json={"model": model, "stream": True}) as answer,
    ):
        if answer.status_code != 200:
            answer.read()
            raise PullError(f"HTTP {answer.status_code}: {_error(answer)}", again=False)
        for line in answer.iter_lines():
            if not line.strip():
                continue
            progress.take(json.loads(line))
            now = time.monotonic()
            if progress.completed != last:
                last, moved = progress.completed, now
                first = progress.completed if first < 0 else first
            elif now - moved > STALL and not progress.done and "pulling" in progress.status:
                raise PullError(f"no byte for {STALL:.0f} s", again=True)
            if now - said >= EVERY and progress.total:
                said = now
                mac.say(f"{model}: {_line(progress, first, now - begun)}")
    if not progress.done:
        raise PullError(f"the stream ended after {progress.status!r}", again=True)
    seconds = time.monotonic() - begun
    mac.say(f"{model}: {_size(progress.total)} are there after {seconds:.0f} s")


def _line(progress: Progress, first: int, seconds: float) -> str:
    rate = (progress.completed - first) / seconds if seconds > 0 else 0.0
    percent = 100 * progress.completed / progress.total
    left = (progress.total - progress.completed) / rate if rate > 0 else None
    remaining = f", {left / 60:.0f} min left" if left is not None else ""
    return f"{percent:3.0f} % of {_size(progress.total)}, {rate / 1e6:.1f} MB/s{remaining}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
