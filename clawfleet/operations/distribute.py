"""One download for the whole fleet: a model that a Mac lacks comes from a Mac that has it.

All of it happens in the one process that deploys: a Mac whose turn has not come waits here, and
holds up nobody. Whatever goes wrong between two Macs ends in another source, or in an ordinary
pull, and is said.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

import httpx
from pyinfra.api import FunctionCommand, Host, State

from clawfleet import distribution, lan, pulls, run, store
from clawfleet.connection import client, is_lost, transport_of
from clawfleet.distribution import Board, Choice, Copy, Download, Outcome, Wait
from clawfleet.names import normalise, same
from clawfleet.operations import registry
from clawfleet.operations.mac import call, installed, last_lines, shell
from clawfleet.operations.pull import pull_now
from clawfleet.operations.transfer import Transfer
from clawfleet.plan import Step, Trouble
from clawfleet.preflight import SPARE
from clawfleet.pulls import Pull, gigabytes
from clawfleet.run import MacRun
from clawfleet.store import Build

_HASHING = 1800
"""Seconds in which a Mac has looked at every byte of a model that it has."""


class Fleet:
    """The Macs of one run that give each other models, and whose turn it is."""

    def __init__(self) -> None:
        self.board = Board()
        self._turn = threading.Condition()
        self._asking = threading.Lock()
        self._wanted: dict[str, Build] = {}

    def build(self, mac: MacRun, one: Pull) -> Build | None:
        """Which build of a model is given on: that of models.lock, else what its registry publishes
        now, else that of the first Mac that has it. None where no Mac has any."""
        key = _key(one)
        with self._asking:
            if one.locked:
                self._wanted[key] = one.locked
            if key in self._wanted:
                return self._wanted[key]
            owned = owners(mac, one)
            if owned:
                first = min(owned)
                try:
                    self._wanted[key] = registry.published(mac, one.model)
                except Trouble as trouble:
                    self._wanted[key] = owned[first]
                    mac.say(
                        f"{one.model}: its registry does not answer here, so the build of {first} "
                        f"({owned[first].short}) is the one that is given on ({trouble.found})",
                        "yellow",
                    )
            return self._wanted.get(key)

    def holders(self, mac: MacRun, one: Pull) -> set[str]:
        """Names of the Macs that have that build, whole by its manifest and the sizes of blobs."""
        wanted, owned = self.build(mac, one), owners(mac, one)
        for name, build in sorted(owned.items()):
            if wanted and not build.is_same(wanted):
                mac.say(f"{one.model}: {name} has build {build.short}, wanted is {wanted.short}")
        return {name for name, build in owned.items() if wanted and build.is_same(wanted)}

    def pulled(self, one: Pull, build: Build | None) -> None:
        """A Mac has it from the registry: that build is given on."""
        if build:
            self._wanted.setdefault(_key(one), build)

    def next(self, mac: MacRun, one: Pull) -> Choice:
        """What the Mac does now; it waits while others have to come first.

        Each of them is bounded by its own watchdog, and wakes the others however it ends.
        """
        key, said = _key(one), ""
        with self._turn:
            while isinstance(choice := self.board.choose(mac.host.name, key), Wait):
                if choice.reason != said:
                    mac.say(f"{one.model}: waits, as {choice.reason}")
                    said = choice.reason
                self._turn.wait(5)
            self.board.begin(mac.host.name, key, choice)
            return choice

    def know(self, mac: MacRun, one: Pull) -> None:
        """Find out, once in a run, which Macs have a model."""
        key = _key(one)
        if key not in self.board.holders:
            found = self.holders(mac, one)
            self.board.holders.setdefault(key, set()).update(found)

    def ended(self, mac: MacRun, one: Pull, choice: Choice, outcome: Outcome) -> None:
        """Write down how it ended, and wake whoever waits."""
        with self._turn:
            self.board.end(mac.host.name, _key(one), choice, outcome)
            self._turn.notify_all()


_FLEETS: WeakKeyDictionary[State, Fleet] = WeakKeyDictionary()


def _fleet(mac: MacRun) -> Fleet:
    return _FLEETS.setdefault(mac.state, Fleet())


def _key(one: Pull) -> str:
    """A model's name, with its build where models.lock names one: Macs may have different locks."""
    return normalise(one.model) + (f"@{one.locked.short}" if one.locked else "")


def takes_part(mac: MacRun) -> bool:
    """Whether a Mac gives models to others and takes them. One that is this machine itself does
    not: nobody came in to it over SSH."""
    return mac.settings.distribution == "lan" and transport_of(mac.host) is not None


def peers(mac: MacRun) -> dict[str, MacRun]:
    """The Macs of this run that take part, by name; also this one."""
    active: list[Host] = mac.state.inventory.get_active_hosts()
    found = {host.name: run.of(mac.state, host) for host in active if not is_lost(host)}
    return {
        name: other
        for name, other in sorted(found.items())
        if takes_part(other) and other.trouble is None
    }


def owners(mac: MacRun, one: Pull) -> dict[str, Build]:
    """Macs that have a whole build of a model, by name; the locked one where one is locked."""
    found = {}
    for name, other in peers(mac).items():
        try:
            state = store.state(other.snapshot, one.model, one.locked)
        except Exception:
            # Whatever it is, it is that Mac's failure, and that Mac says so itself.
            continue
        if state.kind == "present" and state.build and name != mac.host.name:
            found[name] = state.build
    return found


def to_pull(mac: MacRun, due: Sequence[Pull]) -> list[Pull]:
    """Those of the models that no other Mac of the run can give to this one."""
    if not takes_part(mac):
        return [*due]
    return [one for one in due if not one.locked or not owners(mac, one)]


def lines(mac: MacRun, due: Sequence[Pull]) -> list[str]:
    """What will be done, for a person; where each model comes from, as far as that can be told."""
    if not takes_part(mac) or not due:
        return [line for one in due for line in one.lines()]
    wanted = {mac.host.name: [_key(one) for one in due]}
    board = Board(holders={_key(one): _fleet(mac).holders(mac, one) for one in due})
    for name, other in peers(mac).items():
        try:
            lacking = pulls.plan(other.snapshot, other.settings, other.lock)
        except Exception:
            continue  # as in `owners`
        shared = [_key(one) for one in lacking if _key(one) in board.holders]
        if name != mac.host.name and shared:
            wanted[name] = shared
    said = []
    for one in due:
        first, *more = one.lines()
        origin = distribution.origin(board, wanted, mac.host.name, _key(one))
        said.append(f"{first.replace('Will pull', 'Will get', 1)} {origin}")
        said += more
    return said


def leftovers(mac: MacRun) -> list[Step]:
    """What takes back the access that a run which died has left on a Mac."""
    if mac.snapshot.lan_access != "left":
        return []
    return [
        Step(
            "take back another Mac's access to the models",
            "a run that died left it",
            lan.close(),
            "on the Mac: take the line that ends in clawfleet-lan-... out of "
            "~/.ssh/authorized_keys (it is useless after its expiry-time), and "
            "rm -rf ~/.clawfleet/lan",
            60,
        )
    ]


def obtain(one: Pull) -> FunctionCommand:
    """A command that brings a model to a Mac from another one, else from the internet."""
    return call(partial(_obtain, one))


def _obtain(one: Pull, mac: MacRun) -> None:
    fleet = _fleet(mac)
    fleet.know(mac, one)
    while True:
        choice = fleet.next(mac, one)
        outcome: Outcome = "failed" if isinstance(choice, Download) else "broke"
        try:
            if isinstance(choice, Copy):
                source = peers(mac).get(choice.source)
                outcome = _copy(mac, source, one, choice) if source else "lost"
            else:
                registry.check(mac, [one])
                pull_now(one, mac)
                shell(mac, lan.tidy(mac.snapshot.store.path), 60)
                fleet.pulled(one, store.state(mac.snapshot, one.model, one.locked).build)
                outcome = "done"
            if outcome == "done":
                mac.changed()
        finally:
            fleet.ended(mac, one, choice, outcome)
        if outcome == "done":
            return


def _copy(mac: MacRun, source: MacRun, one: Pull, choice: Copy) -> Outcome:
    model = one.model
    try:
        snapshot = source.snapshot
    except Exception as error:
        _explain(mac, model, choice, "lost", str(error) or type(error).__name__)
        return "lost"
    build = store.state(snapshot, model, one.locked).build
    wanted = _fleet(mac).build(mac, one)
    file = next((f for n, f in snapshot.store.manifests.items() if same(n, model)), None)
    if build is None or file is None or file.content is None:
        return "other"
    if wanted and not build.is_same(wanted):
        return "other"
    folder = mac.snapshot.store.path
    ok, output = shell(mac, lan.look(folder, build), _HASHING)
    if not ok:
        return _ours(mac, model, last_lines(mac, output, 1))
    stock = lan.read_stock(output.stdout)
    _room(stock, build, model)
    if stock.missing(build):
        transfer = Transfer(mac, source, snapshot, model, build, stock)
        outcome, why = transfer.direct() if choice.direct else transfer.relayed()
        if outcome != "done":
            _explain(mac, model, choice, outcome, why)
            return outcome
    ok, output = shell(mac, lan.place(folder, model, file.content, build), 300)
    if not ok:
        return _ours(mac, model, last_lines(mac, output, 1))
    if not _listed(mac, model, build):
        return _ours(mac, model, "Ollama does not list it as it was copied")
    if one.kind == "absent":
        shell(mac, installed(f"model {model}"), 30)
    mac.say(f"{model}: is there, build {build.short} from {source.host.name}")
    return "done"


def _room(stock: lan.Stock, build: Build, model: str) -> None:
    needed = stock.to_come(build)
    if stock.free is not None and needed and needed + SPARE > stock.free:
        raise Trouble(
            f"{gigabytes(stock.free)} free where the models lie",
            expected=f"{gigabytes(needed + SPARE)}: {gigabytes(needed)} for {model} and "
            f"{gigabytes(SPARE)} to spare",
            fix="make room on that Mac and run again: what has arrived is kept",
        )


def _listed(mac: MacRun, model: str, build: Build) -> bool:
    """Whether Ollama's own list has this build of the model."""
    try:
        with client(mac.host, mac.settings.ollama_port) as http:
            listed = http.get("/api/tags").json()["models"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    digests = [str(m.get("digest")) for m in listed if same(str(m.get("name")), model)]
    return build.digest.removeprefix("sha256:") in digests


def _ours(mac: MacRun, model: str, why: str) -> Outcome:
    if is_lost(mac.host):
        raise EOFError(f"while {model} was copied")
    mac.say(f"{model}: can't be copied to this Mac ({why}); it pulls the model itself", "yellow")
    return "ours"


def _explain(mac: MacRun, model: str, choice: Copy, outcome: Outcome, why: str) -> None:
    what = {
        "unseen": f"does not reach {choice.source} directly"
        if choice.direct
        else f"gets nothing from {choice.source}",
        "broke": f"the copy from {choice.source} broke off",
        "foreign": f"{choice.source} sent other bytes than the model's, and is not used again",
        "lost": f"the connection to {choice.source} is gone",
        "ours": "can't be copied to this Mac",
    }[outcome]
    then = {
        "unseen": "; through this machine instead" if choice.direct else "",
        "broke": "; it goes on where it was",
        "ours": "; it pulls the model itself",
    }.get(outcome, "")
    mac.say(f"{model}: {what} ({why}){then}", "yellow")
