"""A model pulled into a Mac's Ollama: progress, a watchdog, bounded tries, proof of the build."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import httpx
from pyinfra.api import FunctionCommand

from clawfleet import store
from clawfleet.connection import client
from clawfleet.live import Line
from clawfleet.operations.mac import call, installed, last_lines, shell
from clawfleet.plan import Trouble, quote
from clawfleet.pulls import (
    SLOW,
    Pull,
    PullError,
    Tries,
    Watch,
    check_room,
    explain,
    gigabytes,
)
from clawfleet.run import MacRun
from clawfleet.scripts import load

EVERY = 5.0
"""Seconds between two lines of progress in a log."""
TICK = 0.25
"""Seconds between two looks at a pull from which nothing comes."""


def pull(one: Pull) -> FunctionCommand:
    """A command that pulls one model and proves that it is whole; Trouble where that fails."""
    return call(partial(pull_now, one))


def pull_now(one: Pull, mac: MacRun) -> None:
    """Pull one model and prove that it is whole. Trouble where that fails."""
    drop = check_room([one], mac.snapshot)
    if one.aside:
        _put_aside(one, mac, drop=drop)
    tries = Tries()
    while True:
        watch = Watch(mac.settings.pull_stall, time.monotonic())
        try:
            _once(one.model, mac, watch)
            break
        except (PullError, httpx.HTTPError) as error:
            failed = error
            if not isinstance(failed, PullError):
                failed = PullError(str(error) or type(error).__name__, again=True)
            pause = tries.pause(failed, watch.gained, random.random())
            if pause is None:
                raise _given_up(one, mac, failed, tries) from error
            mac.say(f"{one.model}: {failed}; next try in {pause:.0f} s, it resumes", "yellow")
            time.sleep(pause)
    mac.changed()
    _prove(one, mac)
    if one.kind == "absent":
        shell(mac, installed(f"model {one.model}"), 30)


def _put_aside(one: Pull, mac: MacRun, *, drop: bool) -> None:
    if drop:
        mac.say(f"{one.model}: no room for both, so the blobs of a wrong size go now", "yellow")
    values = f"M={quote(mac.snapshot.store.path)}\nRUN={quote(mac.run)}\nNAMES={_names(one)}\n"
    ok, output = shell(mac, f"{values}DROP={'yes' if drop else 'no'}\n{load('aside.sh')}", 120)
    mac.changed()
    if not ok:
        raise Trouble(
            f"{one.model}: its broken blobs can't be put aside: {last_lines(mac, output, 1)}",
            expected=f"a store that {mac.snapshot.user} may write into",
            fix=f"on the Mac: ls -ld {quote(mac.snapshot.store.path)}/blobs",
        )


def _prove(one: Pull, mac: MacRun) -> None:
    """Trouble unless the Mac has now what it shall have; Ollama's "success" does not say so."""
    seen = mac.snapshot
    found = store.state(seen, one.model, one.locked)
    if found.kind != "present":
        raise Trouble(
            f"{one.model} is {found.kind} after Ollama said success: "
            f"{'; '.join(found.why) or 'the server does not list it'}",
            expected=f"build {one.locked.short}" if one.locked else "a whole model",
            fix="run again; if it stays, on the Mac: ollama show " + quote(one.model),
        )
    if one.had and found.build and not one.locked and not found.build.is_same(one.had):
        mac.say(
            f"{one.model}: build {found.build.short} is published now, there was {one.had.short}",
            "yellow",
        )
    if one.kind != "absent" and found.build:
        names = " ".join(quote(digest.replace(":", "-")) for digest in found.build.layers)
        values = f"M={quote(seen.store.path)}\nNAMES={quote(names)}\n"
        shell(mac, values + load("aside-gone.sh"), 120)


def _names(one: Pull) -> str:
    return quote(" ".join(digest.replace(":", "-") for digest in one.aside))


def _given_up(one: Pull, mac: MacRun, error: PullError, tries: Tries) -> Trouble:
    message = str(error)
    expected, fix = explain(one.model, message)
    if "no space" in message:
        mac.changed()
        if mac.snapshot.disk_free is not None:
            message += f", {gigabytes(mac.snapshot.disk_free)} are free"
    times = f" ({tries.fruitless} tries in a row)" if error.again else ""
    return Trouble(f"pulling {one.model} failed: {message}{times}", expected=expected, fix=fix)


def _once(model: str, mac: MacRun, watch: Watch) -> None:
    """One request, to its end; PullError or httpx.HTTPError where that is not success."""
    # Nothing may come for long at the end; what may not, the watch knows.
    bounds = httpx.Timeout(10, read=2 * SLOW)
    said = time.monotonic()
    with (
        client(mac.host, mac.settings.ollama_port, timeout=bounds) as http,
        Line(mac.host.name) as line,
    ):
        events: SimpleQueue[dict[str, Any] | Exception | None] = SimpleQueue()
        # Closing the client, at the end of the block, ends the request: Ollama stops the download
        # and keeps its parts. It also ends the reader.
        Thread(target=_read, args=(model, http, events), daemon=True).start()
        while True:
            try:
                event = events.get(timeout=TICK)
            except Empty:
                event = {}
            now = time.monotonic()
            if isinstance(event, Exception):
                raise event
            if event is None:
                break
            if event:
                watch.take(event, now)
            watch.check(now)
            text = f"{model}: {watch.line(now)}"
            if not line.show(f"{mac.host.print_prefix}{text}") and now - said >= EVERY:
                said = now
                mac.say(text)
    if not watch.progress.done:
        raise PullError(f"the stream ended after {watch.progress.status!r}", again=True)
    seconds = time.monotonic() - watch.begun
    mac.say(f"{model}: {gigabytes(watch.progress.total)} are there after {seconds:.0f} s")


def _read(
    model: str, http: httpx.Client, events: SimpleQueue[dict[str, Any] | Exception | None]
) -> None:
    """Puts each line of the answer into `events`, then None, or the error that ended it."""
    body = {"model": model, "stream": True}
    try:
        with http.stream("POST", "/api/pull", json=body) as answer:
            if answer.status_code != 200:
                answer.read()
                raise PullError(f"HTTP {answer.status_code}: {_error(answer)}", again=False)
            for line in answer.iter_lines():
                if line.strip():
                    events.put(json.loads(line))
    except ValueError:
        events.put(PullError("a line that is no JSON", again=True))
    except Exception as error:
        events.put(error)
    else:
        events.put(None)


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
