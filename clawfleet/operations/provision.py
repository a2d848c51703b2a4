"""The steps that change a Mac, each from the one snapshot to as few commands as it needs."""

from __future__ import annotations

import secrets
from pathlib import Path

from pyinfra import host

from clawfleet import credentials, lock, preflight, promise, pulls, wish
from clawfleet import homebrew as homebrew_plan
from clawfleet import ollama as ollama_plan
from clawfleet import openclaw as openclaw_plan
from clawfleet import reload as reload_plan
from clawfleet.operations import distribute, registry, reload
from clawfleet.operations.mac import (
    Commands,
    announce,
    execute,
    mac_operation,
    with_stamp,
    write,
)
from clawfleet.operations.pull import pull
from clawfleet.run import MacRun, current

_FOLDER = Path(__file__).parents[2] / "templates"


@mac_operation
def can_be_provisioned() -> Commands:
    """Reads the Mac and stops it here, alone, when it can't be provisioned. Changes nothing.

    **Example:**

    .. code:: python

        provision.can_be_provisioned(name="can be provisioned")
    """
    mac = current()
    due = pulls.plan(mac.snapshot, mac.settings, mac.lock)
    transfers = {one.model: one.to_fetch for one in due}
    # Before the check, so that it is seen also where it is what stops the Mac.
    for line in preflight.fit(mac.snapshot, mac.settings, transfers):
        mac.say(line)
    known = mac.secrets()
    for note in preflight.check(mac.snapshot, mac.settings, mac.port, _templates(), known):
        mac.say(note)
    for note in lock.drift(mac.snapshot, mac.settings, mac.lock):
        mac.say(note, "yellow")
    pulls.check_room(due, mac.snapshot)
    registry.check(mac, distribute.to_pull(mac, due))
    host.noop("nothing stands in the way")
    yield from ()


@mac_operation
def homebrew() -> Commands:
    """Homebrew is there, and calls of brew use the mirror that is wanted."""
    mac = current()
    steps = homebrew_plan.plan(mac.snapshot, mac.settings)
    files = homebrew_plan.files(mac.snapshot, mac.settings)
    if not steps and not files:
        host.noop(f"Homebrew is in {mac.snapshot.brew}")
        return
    announce(mac, steps, files)
    for step in steps:
        yield execute(step)
    if steps and mac.executing:
        mac.changed()
        files = homebrew_plan.files(mac.snapshot, mac.settings)
    if files:
        yield write(files)


@mac_operation
def ollama() -> Commands:
    """Ollama is installed, its service runs, and the server is the installed version."""
    mac = current()
    plan = ollama_plan.plan(mac.snapshot, mac.settings)
    for note in plan.notes:
        mac.say(note, "yellow")
    if not plan.steps and not plan.files:
        host.noop(f"Ollama {mac.snapshot.ollama_server} ({plan.kind}) answers")
        return
    announce(mac, plan.steps, plan.files)
    mac.renewed.append("Ollama's server")
    undecided = promise.undecided(promise.plan(mac.snapshot, mac.settings))
    if plan.files:
        yield write(list(plan.files))
    for step in plan.steps:
        yield execute(step)
    if mac.executing:
        yield from _follow(mac, undecided)


@mac_operation
def models() -> Commands:
    """The wanted models are in Ollama's store, whole and as models.lock says; else they are
    pulled, one after the other."""
    mac = current()
    due = pulls.plan(mac.snapshot, mac.settings, mac.lock)
    left = distribute.leftovers(mac)
    if not due and not left:
        host.noop("all wanted models are there")
        return
    registry.check(mac, distribute.to_pull(mac, due))
    announce(mac, left, ())
    for line in distribute.lines(mac, due):
        mac.say(line)
    undecided = promise.undecided(promise.plan(mac.snapshot, mac.settings))
    for step in left:
        yield execute(step)
    if due:
        mac.renewed.append("the models")
    for one in due:
        yield distribute.obtain(one) if distribute.takes_part(mac) else pull(one)
    if mac.executing and due:
        yield from _follow(mac, undecided)


def _follow(mac: MacRun, undecided: list[str]) -> Commands:
    """The server's context once more, where what a model needs is better known now than before:
    the server that tells it runs, or the model is there."""
    plan = ollama_plan.plan(mac.snapshot, mac.settings)
    for promised in promise.plan(mac.snapshot, mac.settings).models:
        if promised.id in undecided and promised.size is not None:
            mac.say(f"{promised.id}: {promised.why or f'context {promised.tokens}'}")
    if not plan.files:
        return
    announce(mac, plan.steps, plan.files)
    yield write(list(plan.files))
    for step in plan.steps:
        yield execute(step)


@mac_operation
def openclaw() -> Commands:
    """Node and OpenClaw are there, in versions that go together."""
    mac = current()
    steps = openclaw_plan.plan(mac.snapshot, mac.settings)
    if not steps:
        host.noop(f"OpenClaw {mac.snapshot.openclaw} is there")
        return
    announce(mac, steps, ())
    reason = "OpenClaw was installed anew"
    mac.renewed.append(reason)
    if mac.snapshot.openclaw:
        mac.evidence.append(reason)
    for step in steps:
        yield execute(with_stamp(step, reason) if mac.snapshot.plist.exists else step)


@mac_operation
def config() -> Commands:
    """The four places in OpenClaw's two files, merged into what the user has there."""
    mac = current()
    keys = credentials.plan(mac.snapshot, mac.settings, mac.secrets())
    wanted = wish.plan(
        mac.snapshot,
        mac.settings,
        _templates(),
        lambda: secrets.token_hex(24),
        keys,
        asked=mac.asked,
    )
    files, steps = wanted.files, wish.folder(mac.snapshot)
    for note in wanted.notes:
        mac.say(note, "yellow")
    if not files and not steps:
        host.noop("OpenClaw's files say what they should")
        return
    applied = reload_plan.applied(mac.snapshot, mac.settings, mac.port, files, mac.evidence)
    announce(mac, steps, files)
    reasons = [f"{change.path.rsplit('/', 1)[1]} was changed" for change in files]
    if wanted.contexts:
        mac.renewed.append("the contexts in openclaw.json")
    if applied:
        mac.say(f"The running gateway applies {', '.join(applied)}: no restart")
    else:
        mac.evidence += reasons
    for step in steps:
        yield execute(step)
    if not files:
        return
    yield write(
        files,
        validate=openclaw_plan.validation(mac.snapshot, mac.settings, keys.variables),
        restart_reasons=reasons,
        running=bool(applied),
    )
    if applied:
        yield reload.seen(applied, reasons)


def _templates() -> dict[str, str]:
    names = (wish.CONFIG, wish.AUTH)
    return {name: (_FOLDER / name).read_text(encoding="utf-8") for name in names}
