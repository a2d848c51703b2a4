"""models.lock, written from what the Macs of this run have."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra import host
from pyinfra.api import State

from clawfleet import lock, lock_file, run
from clawfleet.diff import color
from clawfleet.lock import Agreement, Found, Lock
from clawfleet.names import normalise
from clawfleet.operations.mac import Commands, call, mac_operation
from clawfleet.plan import Trouble
from clawfleet.settings import FIELDS, Settings, load

_SEEN: WeakKeyDictionary[State, dict[Path, dict[str, Found | None]]] = WeakKeyDictionary()
"""For each lock what each of its Macs has, by name; None: it could not be read. Gathered anew in
the executing stage."""


@mac_operation
def written() -> Commands:
    """models.lock says what the Macs of this run have; `--data lock_from=HOST`: what that one has.

    The last Mac to be read writes the file, for all of them. What the Macs have in different builds
    or versions stays as it stood, and the run fails and says who has what.
    """
    mac = run.current()
    mine: Found | None = None
    stopped: Exception | None = None
    try:
        mine = lock.found(mac.host.name, mac.snapshot, mac.settings)
    except Exception as error:  # the others' lock is still to be written
        stopped = error
    for note in mine.notes if mine else ():
        mac.say(note, "yellow")
    seen = _SEEN.setdefault(mac.state, {}).setdefault(lock_file.path(mac.settings), {})
    seen[mac.host.name] = mine
    if _still_to_come(mac) <= seen.keys():
        macs = [found for name in sorted(seen) if (found := seen[name])]
        seen.clear()
        if macs:
            yield from _conclude(mac, macs)
    else:
        host.noop("read; the last Mac of this run writes the file")
    if stopped:
        raise stopped


def _conclude(mac: run.MacRun, macs: list[Found]) -> Commands:
    agreement = _agree(mac, macs)
    trouble = _trouble(agreement, macs)
    text, old = lock.dumps(agreement.lock), lock_file.text(mac.settings)
    path = lock_file.path(mac.settings)
    if text == old:
        host.noop(f"{path} says it already")
    else:
        mac.say(f"Will {'create' if old is None else 'modify'} {path}")
        for line in color(lock.diff(old, text, path.name)):
            mac.say(f"  {line}")
        if trouble and not mac.executing:
            mac.fail(trouble)  # a dry run ends at the first command
        yield call(lambda mac: _write(mac, text))
    if trouble:
        raise trouble


def _sharing(mac: run.MacRun) -> dict[str, Settings]:
    """Settings of all Macs of the inventory that have the same lock, by name."""
    found = {}
    for one in mac.state.inventory:
        data: dict[str, Any] = one.data.dict()  # type: ignore[no-untyped-call]
        kept = {key: value for key, value in data.items() if key in FIELDS}
        settings = load(kept, where=f"settings of {one.name}")
        if lock_file.path(settings) == lock_file.path(mac.settings):
            found[one.name] = settings
    return found


def _still_to_come(mac: run.MacRun) -> set[str]:
    """Names of the Macs with the same lock that this run still deals with."""
    known = run.macs(mac.state)
    active = {one.name for one in mac.state.inventory.get_active_hosts()}
    stopped = {name for name, one in known.items() if one.trouble is not None}
    return (active & _sharing(mac).keys()) - stopped - {mac.host.name}


def _agree(mac: run.MacRun, macs: list[Found]) -> Agreement:
    wanted = {
        normalise(model.id) for settings in _sharing(mac).values() for model in settings.models
    }
    try:
        return lock.agree(macs, mac.lock or Lock(), wanted, mac.settings.lock_from)
    except ValueError as error:
        raise Trouble(
            f"lock_from: {error}",
            expected="a Mac of this run that can be read",
            fix=f"{lock.RENEW} --data lock_from={macs[0].host}",
        ) from error


def _trouble(agreement: Agreement, macs: list[Found]) -> Trouble | None:
    if not agreement.differ:
        return None
    return Trouble(
        "\n".join(agreement.differ),
        expected="one build and one version on all Macs; the lock keeps what it had for these",
        fix=f"{lock.RENEW} --data lock_from={macs[0].host} (or another of them), then deploy",
    )


def _write(mac: run.MacRun, text: str) -> None:
    try:
        lock_file.write(mac.settings, text)
    except OSError as error:
        path = lock_file.path(mac.settings)
        raise Trouble(
            f"{path} can't be written: {error.strerror}",
            expected="a folder that you may write into",
            fix=f"ls -ld {path.parent}",
        ) from error
