"""The ways back: before a run, and before clawfleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyinfra import host

from clawfleet import daemons, domain, launch_agent, ownership, preload
from clawfleet import gateway as gateway_plan
from clawfleet import ollama as ollama_plan
from clawfleet import openclaw as openclaw_plan
from clawfleet import removal as removal_plan
from clawfleet import rollback as rollback_plan
from clawfleet.facts import mac as mac_fact
from clawfleet.openclaw import can
from clawfleet.operations.mac import (
    Commands,
    announce,
    call,
    execute,
    hand_over,
    mac_operation,
    write,
)
from clawfleet.plan import FileChange, Step
from clawfleet.run import MacRun, current
from clawfleet.snapshot import OLLAMA_LABEL, File, Snapshot


@mac_operation
def rollback() -> Commands:
    """The Mac's files as they were before a run (setting `run`), or before the newest one.

    **Example:**

    .. code:: python

        undo.rollback(name="is as it was before the last run")
    """
    mac = current()
    found = mac_fact.read_backups(mac.host, mac.settings.run)
    mac.look_at([path for path in found.now if path not in _paths(mac.snapshot)])
    plan = rollback_plan.plan(found, mac.settings.run, mac.snapshot)
    for note in plan.notes:
        mac.say(note, "yellow")
    if not plan.gateway and not plan.other and not plan.domain and not mac.cut:
        mac.say(rollback_plan.nothing(found))
        host.noop("nothing to put back")
        return
    daemons.check_way_back(mac.snapshot, [*plan.gateway, *plan.other])
    set_again = domain.back(mac.snapshot, plan.domain)
    reason = "files from before a run were put back"
    yield from _go_back(mac, plan.gateway, plan.other, reason, set_again)


@mac_operation
def remove() -> Commands:
    """Nothing of clawfleet's on the Mac: its keys, variables and LaunchAgent taken out again.

    Models and Ollama go only where `remove_models` and `remove_ollama` ask for it, and only
    those that clawfleet brought.
    """
    mac = current()
    mac.look_at(ownership.elsewhere(mac.snapshot))
    plan = removal_plan.plan(mac.snapshot, mac.settings)
    for note in plan.notes:
        mac.say(note, "yellow")
    steps = [*plan.models, *plan.steps]
    if not plan.files and not steps and not plan.domain and not mac.cut:
        mac.say("there is nothing of clawfleet's to take out")
        host.noop("nothing of clawfleet's is here")
        return
    daemons.check_way_back(mac.snapshot, plan.files)
    reason = "clawfleet's keys were taken out"
    yield from _go_back(mac, plan.gateway, plan.other, reason, plan.domain, plan.models)
    announce(mac, plan.steps, ())
    for step in plan.steps:
        yield execute(step)


def _paths(snapshot: Snapshot) -> set[str]:
    """Of the files that were read, and of what the links among them lead to."""
    files = (*snapshot.written, snapshot.owned)
    return {path for file in files for path in (file.path, file.link) if path}


def _go_back(
    mac: MacRun,
    read: list[FileChange],
    other: list[FileChange],
    reason: str,
    before: Sequence[Step] = (),
    models: Sequence[Step] = (),
) -> Commands:
    """Put files back: first what the gateway reads, and the gateway with it after the steps
    `before`; when it is well, the `models`, then the rest, and Ollama's server with that.

    A job of ours leaves launchd before its file goes: a run that is cut off in between would leave
    one that no later run finds.
    """
    snapshot = mac.snapshot
    gone = any(change.gone and change.file.path == snapshot.plist.path for change in read)
    there = snapshot.plist.exists or any(change.path == snapshot.plist.path for change in read)
    restart = []
    if not read and not before:
        reason = f"run {mac.transaction} was cut off before it was seen well"
    if mac.cut or ((read or before) and there):
        restart = [_start(mac, read, reason, gone=gone or not there)]
    forget, again = _forget(mac, other), _ollama_again(mac, other)
    announce(mac, [*before, *restart, *models, *forget, *again], [*read, *other])
    if read:
        validate = openclaw_plan.validation(snapshot, mac.settings)
        # Without a gateway nothing is stopped, and nothing would close the transaction.
        reasons = [reason] if restart else []
        yield write(read, validate=validate, restart_reasons=reasons, book=False)
    for step in before:
        yield execute(step)
    for step in restart:
        yield call(hand_over)
        yield execute(step)
    for step in (*models, *forget):
        yield execute(step)
    if other:
        yield write(other, book=False)
    for step in again:
        yield execute(step)


def _start(mac: MacRun, read: list[FileChange], reason: str, *, gone: bool) -> Step:
    """The gateway with the files that were put back, installed again where its LaunchAgent no
    longer fits them (another port, a Node that this OpenClaw can't use)."""
    snapshot, settings = mac.snapshot, mac.settings
    after = _written(snapshot, read)
    port = launch_agent.configured(after) or launch_agent.DEFAULT_PORT
    outdated = () if mac.daemons else launch_agent.drift(after, port, can(after, settings))
    if gone:
        decision = gateway_plan.Decision("remove", (reason,))
    elif outdated:
        decision = gateway_plan.Decision("reinstall", (reason, *outdated))
    else:
        decision = gateway_plan.Decision("restart", (reason,))
        port = launch_agent.opened(after) or port
    run = mac.transaction
    return gateway_plan.step(snapshot, settings, mac.port, decision, run=run, opens=port)


def _written(snapshot: Snapshot, changes: list[FileChange]) -> Snapshot:
    """The Mac as its config and LaunchAgent will be."""
    contents = {change.path: None if change.gone else change.after for change in changes}

    def will_be(file: File) -> File:
        path = file.link or file.path
        return replace(file, content=contents[path]) if path in contents else file

    return replace(snapshot, config=will_be(snapshot.config), plist=will_be(snapshot.plist))


def _forget(mac: MacRun, other: list[FileChange]) -> list[Step]:
    """Jobs of ours whose files go, or change: launchd reads them only when it is told to."""
    snapshot = mac.snapshot
    changed = {change.file.path: change for change in other}
    steps = []
    daemon = changed.get(snapshot.ollama_daemon.path) if snapshot.daemons else None
    if daemon and daemon.gone:
        reason = "its file is taken away; `brew services start ollama` starts it after a login"
        steps.append(preload.forget_job(snapshot, OLLAMA_LABEL, "Ollama's server", reason))
    agent = changed.get(snapshot.preload.path)
    if agent and snapshot.preload_job:
        # One that comes back is read at the next login.
        steps.append(preload.forget(snapshot, "its file is put back"))
    return steps


def _ollama_again(mac: MacRun, other: list[FileChange]) -> list[Step]:
    """Ollama's server reads its variables only when it is started."""
    snapshot = mac.snapshot
    changed = {change.file.path: change for change in other}
    daemon = changed.get(snapshot.ollama_daemon.path) if snapshot.daemons else None
    owners = ("formula", "none") if daemon else ("formula",)
    there = daemon or snapshot.ollama_env.path in changed
    if (daemon and daemon.gone) or not there or snapshot.ollama_owner not in owners:
        return []
    reason = "its files were put back"
    return [ollama_plan.restart(snapshot, mac.settings, "formula", reason)]
