"""Models that are in Ollama's memory before anybody asks: after a deploy, and after every login.

A job of launchd does it (a LaunchAgent, or a LaunchDaemon where services are those), so that what
runs after a reboot is what ran, and was seen to work, in the deploy. It sends each model's load
request (``/api/generate`` without a prompt) with the context length that OpenClaw's requests will
have: with another one the first of those would load it anew (ollama server/sched.go, needsReload).
"""

from __future__ import annotations

import json
import plistlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clawfleet import memory, promise
from clawfleet.names import normalise, same
from clawfleet.plan import FileChange, Step, guard, quote
from clawfleet.promise import Promise
from clawfleet.scripts import load
from clawfleet.settings import Settings
from clawfleet.snapshot import PRELOAD_LABEL, Snapshot

LOAD = 300
"""Seconds for the load of one model: Ollama's own OLLAMA_LOAD_TIMEOUT."""


@dataclass(frozen=True)
class Load:
    """One model in memory."""

    model: str
    num_ctx: int | None
    """Tokens of context in the request; None: the server's own."""


@dataclass(frozen=True)
class Plan:
    before: tuple[Step, ...]
    """What makes launchd forget the old file; first, as a run that is cut off after it is written
    or gone would leave the job of the old one, and no later run would find it."""
    files: tuple[FileChange, ...]
    steps: tuple[Step, ...]
    """What makes it take the new one."""
    loads: tuple[Load, ...]
    notes: tuple[str, ...]


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """The LaunchAgent as it has to be; what it loads; why a model is not among it."""
    there = snapshot.preload
    if not settings.preload:
        if not there.exists:
            return Plan((), (), (), (), ())
        gone = FileChange(guard(there, snapshot), b"", there.mode, ("preload is off",), gone=True)
        return Plan((forget(snapshot, "preload is off"),), (gone,), (), (), ())
    kept, notes = _resident(snapshot, settings)
    # Where OpenClaw's requests name no context, this one must not either.
    promised = promise.weigh(snapshot, settings)
    loads = tuple(
        Load(normalise(one.id), one.tokens if promised.per_request else None) for one in kept
    )
    reason = f"loads the models at each {'start' if snapshot.daemons else 'login'}"
    change = FileChange(guard(there, snapshot), agent(snapshot, settings, loads), "644", (reason,))
    if not change.same:
        step = run(snapshot, loads, reason, new=True)
        old = (forget(snapshot, "its file changes"),) if snapshot.preload_job else ()
        return Plan(old, (change,), (step,), loads, tuple(notes))
    unknown = run(snapshot, loads, "launchd does not know it", new=True)
    steps = () if snapshot.preload_job else (unknown,)
    return Plan((), (), steps, loads, tuple(notes))


def agent(snapshot: Snapshot, settings: Settings, loads: Iterable[Load]) -> bytes:
    """The plist, as XML: launchd runs it once at each login, or as a daemon at each start."""
    calls = "".join(f"load {quote(one.model)} {quote(_request(one, settings))}\n" for one in loads)
    script = f"PORT={settings.ollama_port}\n{load('preload-agent.sh')}{calls}exit $r\n"
    user = {"UserName": snapshot.user} if snapshot.daemons else {}
    return plistlib.dumps(
        {
            "Label": PRELOAD_LABEL,
            **user,
            "ProgramArguments": ["/bin/sh", "-c", script],
            "RunAtLoad": True,
            "StandardErrorPath": f"{snapshot.home}/.clawfleet/preload.log",
        }
    )


def _request(one: Load, settings: Settings) -> str:
    body: dict[str, Any] = {"model": one.model, "stream": False}
    if one.num_ctx:
        body["options"] = {"num_ctx": one.num_ctx}
    if settings.keep_alive is not None:
        body["keep_alive"] = settings.keep_alive
    return json.dumps(body)


def run(snapshot: Snapshot, loads: Iterable[Load], reason: str, *, new: bool) -> Step:
    """Runs the job and waits for its end; with `new` launchd reads its file first."""
    names = [one.model for one in loads]
    limit = 60 + LOAD * len(names)
    given = f"NEW={'yes' if new else 'no'}\nLIMIT={limit}\n{_services(snapshot)}"
    return Step(
        f"load {', '.join(names)}",
        reason,
        given + load("preload.sh"),
        "on the Mac: tail ~/.clawfleet/preload.log, and Ollama's own log",
        limit + 60,
        f"launchctl {'bootstrap' if new else 'kickstart'} {PRELOAD_LABEL}",
    )


def forget(snapshot: Snapshot, reason: str) -> Step:
    """launchd forgets the job; no model is put out of memory by it."""
    return forget_job(snapshot, PRELOAD_LABEL, "the preloading job", reason)


def forget_job(snapshot: Snapshot, label: str, what: str, reason: str) -> Step:
    """launchd forgets one of our jobs, whose plist is gone."""
    target = f"system/{label}" if snapshot.daemons else f"gui/$(id -u)/{label}"
    bootout = f"{'sudo -n ' if snapshot.daemons else ''}launchctl bootout"
    may = "sudo -n true || exit 1\n" if snapshot.daemons else ""
    return Step(
        f"take {what} out of launchd",
        reason,
        # It returns before the job is gone (seconds on a real Mac).
        f'{may}J="{target}"; end=$(($(date +%s) + 40))\n'
        f'{bootout} "$J" 2>/dev/null\n'
        'while launchctl print "$J" >/dev/null 2>&1; do\n'
        '  [ "$(date +%s)" -lt $end ] || { echo "launchd still has $J" >&2; exit 1; }\n'
        "  sleep 0.5\n"
        "done\n",
        f"on the Mac: {bootout.replace(' -n', '')} {target}",
        60,
        f"{bootout.replace(' -n', '')} {label}",
    )


def _services(snapshot: Snapshot) -> str:
    return f"SERVICES={'daemons' if snapshot.daemons else 'agents'}\n"


def due(running: Iterable[Mapping[str, Any]], loads: Iterable[Load]) -> list[Load]:
    """The loads that ``/api/ps`` (its list of models) does not show with their context length."""
    there = list(running)
    return [
        one
        for one in loads
        if not any(
            same(str(model.get("name", "")), one.model)
            and one.num_ctx in (None, model.get("context_length"))
            for model in there
        )
    ]


def _resident(snapshot: Snapshot, settings: Settings) -> tuple[list[Promise], list[str]]:
    """The models to be preloaded that stay in memory beside each other, in the wished order."""
    wish = settings.preload
    names = (
        [settings.primary.removeprefix("ollama/")]
        if wish == "primary"
        else list(dict.fromkeys(wish or ()))
    )
    planned = promise.weigh(snapshot, settings)
    notes = []
    kept: list[Promise] = []
    for model in map(planned.of, names):
        sizes = [one.size for one in (*kept, model)]
        if kept and memory.together(sizes, planned.limit, planned.serving) is not True:
            beside = ", ".join(one.id for one in kept)
            notes.append(
                f"{model.id} is not preloaded: by what is known it does not fit into the GPU's "
                f"memory beside {beside}, and one would put the other out"
            )
        else:
            kept.append(model)
    if kept and settings.keep_alive is None:
        notes.append(
            "preloaded models leave the memory after Ollama's own five minutes; keep_alive = -1 "
            "or a duration keeps them longer"
        )
    return kept, notes
