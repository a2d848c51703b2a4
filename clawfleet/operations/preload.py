"""Models in Ollama's memory after a deploy, and after every login."""

from __future__ import annotations

import httpx
from pyinfra import host

from clawfleet import preload as preload_plan
from clawfleet.connection import client
from clawfleet.operations.mac import (
    Commands,
    announce,
    execute,
    last_lines,
    mac_operation,
    shell,
    write,
)
from clawfleet.plan import Trouble
from clawfleet.preload import Load
from clawfleet.run import MacRun, current


@mac_operation
def preload() -> Commands:
    """The models of the setting `preload` are in memory, and will be after each login.

    Loading one that is not there (the proof may have put it out) counts as no change: what is in
    memory comes and goes. The LaunchAgent's file does.
    """
    mac = current()
    plan = preload_plan.plan(mac.snapshot, mac.settings)
    for note in plan.notes:
        mac.say(note, "yellow")
    if plan.files or plan.steps:
        announce(mac, [*plan.before, *plan.steps], plan.files)
        for step in plan.before:
            yield execute(step)
        if plan.files:
            yield write(list(plan.files))
        for step in plan.steps:
            yield execute(step)
        return
    if plan.loads and mac.executing:
        _load(mac, plan.loads)
    names = ", ".join(one.model for one in plan.loads)
    host.noop(f"{names} in memory" if names else "no model is preloaded")


def _load(mac: MacRun, loads: tuple[Load, ...]) -> None:
    """Run the LaunchAgent where a model is not in memory, or with another context length."""
    try:
        with client(mac.host, mac.settings.ollama_port) as http:
            running = http.get("/api/ps").raise_for_status().json()["models"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Trouble(
            f"/api/ps gave no list of models ({mac.redacted(str(error))})",
            expected="what is in Ollama's memory",
            fix="pyinfra inventory.py tasks/ollama.py",
        ) from error
    missing = preload_plan.due(running, loads)
    if not missing:
        return
    step = preload_plan.run(mac.snapshot, loads, "not in memory", new=False)
    mac.say(f"loading {', '.join(one.model for one in missing)}")
    ok, output = shell(mac, step.script, step.timeout)
    if not ok:
        raise Trouble(last_lines(mac, output, 4), expected="the models in memory", fix=step.fix)
