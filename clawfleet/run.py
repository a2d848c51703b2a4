"""One run of pyinfra: what it knows of each Mac, what went wrong where, and what to report."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api import Host, State
from pyinfra.api.output import format_text
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_host, ctx_state

from clawfleet import commit, lock_file, redact, secret_source, wish
from clawfleet import settings as settings_module
from clawfleet.connection import tune
from clawfleet.credentials import Secret
from clawfleet.facts import mac as mac_fact
from clawfleet.lock import Lock
from clawfleet.plan import Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot
from clawfleet.store import Build
from clawfleet.symptoms import Symptoms

HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
FRESH = 60
"""Seconds for which a snapshot of the preparing stage serves the executing one too, where nobody
was asked a question in between (-y)."""


@dataclass
class MacRun:
    """What this run knows of one Mac."""

    host: Host
    state: State
    settings: Settings
    run: str
    lock: Lock | None = None
    """models.lock, where there is one."""
    trouble: Trouble | None = None
    evidence: list[str] = field(default_factory=list)
    """Why the gateway will have to be restarted, gathered by the steps before it."""
    renewed: list[str] = field(default_factory=list)
    """What of this run a model's context has to be proven anew for, gathered by its steps."""
    results: dict[str, Any] = field(default_factory=dict)
    """What the proof found, for the report."""
    port: int = 0
    """The gateway's port, once the Mac's own config was read."""
    transaction: str = ""
    """The run in whose backup the gateway's files are kept: this one, or one that was cut off
    before its gateway was seen well, which this run then finishes or undoes."""
    cut: bool = False
    """A transaction of the gateway's files is not closed, as the last reading of the Mac says."""
    resumed: bool = False
    """The moves of a run that was cut off between them were ended."""
    stopped: bool = False
    """The gateway was stopped to replace its files, and nothing has started it since."""
    known_secrets: frozenset[str] = frozenset()
    """Kept out of whatever is printed, wherever they stand in it."""
    also: tuple[str, ...] = ()
    """Further files to be read, by their paths."""
    published: dict[str, Build] = field(default_factory=dict)
    """What registries were found to publish, by address."""
    mends: frozenset[str] = frozenset()
    """What a diagnosis has found that `fix` mends."""
    symptoms: Symptoms = field(default_factory=Symptoms)
    """What only a diagnosis looks at, as it was last seen."""
    _reading: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _changes: int = 0
    _snapshot: Snapshot | None = None
    _stage: StateStage | None = None
    _at: float = 0.0

    @property
    def open(self) -> bool:
        """A transaction is open: if this Mac fails now, its files go back and its gateway is
        started again."""
        return self.executing and (self.stopped or self.cut)

    @property
    def daemons(self) -> bool:
        """Its services are LaunchDaemons."""
        return self.settings.services == "daemons"

    @property
    def asked(self) -> bool:
        """Whether a person sees the changes before they are made: pyinfra asks, or only plans."""
        return bool(self.state.check_for_changes) or not self.executing

    @property
    def executing(self) -> bool:
        return bool(self.state.is_executing)

    @property
    def snapshot(self) -> Snapshot:
        """The Mac as it is: read once per stage, and again after a step that changed it."""
        # Other Macs may want to know what this one has, while it reads itself.
        with self._reading:
            self.enter_stage()
            found = self._snapshot
            if found is None:
                before = self._changes
                found = self._read()
                if self._changes == before:
                    self._snapshot, self._at = found, time.monotonic()
            return found

    def look(self) -> Snapshot:
        """The Mac as it is, for somebody who only looks: a run that was cut off is not gone on
        from, and a damaged note of one is no trouble."""
        self.enter_stage()
        return self._snapshot or self._read_all()

    def enter_stage(self) -> None:
        """Forget what belongs to the preparing stage when the executing one begins."""
        stage = self.state.current_stage
        if stage is self._stage:
            return
        asked = self.state.check_for_changes
        if self._stage is not None and (asked or time.monotonic() - self._at > FRESH):
            self._snapshot = None
        self._stage = stage
        self.state.failed_hosts.discard(self.host)
        self.evidence.clear()
        self.renewed.clear()
        self.published.clear()
        self.trouble = None

    def look_at(self, paths: Sequence[str]) -> None:
        """Read these files of the Mac, too."""
        new = tuple(path for path in paths if path not in self.also)
        if new:
            self.also += new
            self._snapshot = None

    def changed(self) -> None:
        """The Mac is no longer what the snapshot says."""
        self._changes += 1
        self._snapshot = None

    def _read(self) -> Snapshot:
        snapshot = self._read_all()
        cut = snapshot.unfinished
        if cut is not None and not commit.RUN_ID.fullmatch(cut):
            # It becomes a part of paths and scripts.
            raise Trouble(
                f"~/.clawfleet/unfinished names no run of clawfleet: {cut[:60]!r}",
                expected="the run that was cut off here, such as 20261123-153000-1a2b",
                fix="on the Mac: rm ~/.clawfleet/unfinished (every run's files from before are in "
                "~/.clawfleet/backups), then run again",
            )
        self.cut = cut is not None
        if cut and cut != self.transaction:
            self.transaction = cut
            self.say(f"run {cut} was cut off before its gateway was well; this one goes on from it")
        return snapshot

    def _read_all(self) -> Snapshot:
        self.port = self.port or self.settings.gateway_port
        snapshot = mac_fact.read(self.host, self.settings, self.port, self.also)
        if snapshot.kernel != "Darwin":
            return snapshot
        self.known_secrets |= wish.secrets_in(snapshot)
        port = wish.gateway_port(snapshot, self.settings)
        if port != self.port:
            self.port = port
            snapshot = mac_fact.read(self.host, self.settings, port, self.also)
        return snapshot

    def secrets(self) -> dict[str, Secret]:
        """The providers' keys for this Mac; Trouble when a source gives none."""
        found = secret_source.resolve(self.settings.provider_keys, salt=salt())
        self.known_secrets |= {secret.reveal() for secret in found.values()}
        return found

    def redacted(self, text: str) -> str:
        """Text for a person, without this Mac's secrets wherever they stand in it."""
        return redact.text(text, salt=salt(), known=self.known_secrets)

    def say(self, text: str, colour: str | None = None) -> None:
        """A line about this Mac, for the person who runs this."""
        line = format_text(text, colour) if colour else text
        logger.info(f"{self.host.print_prefix}{line}")

    def fail(self, trouble: Trouble) -> None:
        """Write down and print why this Mac can't go on."""
        # What was found may quote a Mac's process or file, with whatever secrets are in it.
        trouble = Trouble(
            self.redacted(trouble.found),
            expected=self.redacted(trouble.expected),
            fix=self.redacted(trouble.fix),
        )
        self.trouble = trouble
        if not self.executing:
            # So that a dry run of a Mac that would be stopped ends with exit code 1.
            self.state.failed_hosts.add(self.host)
        self.results["trouble"] = {
            "found": trouble.found,
            "expected": trouble.expected,
            "fix": trouble.fix,
        }
        for number, line in enumerate(trouble.lines()):
            text = format_text(line, "red") if number == 0 else line
            logger.error(f"{self.host.print_prefix}{text}")


_RUNS: WeakKeyDictionary[State, dict[str, MacRun]] = WeakKeyDictionary()
_IDS: WeakKeyDictionary[State, str] = WeakKeyDictionary()
_SALT = secrets.token_hex(8)


def salt() -> str:
    """Random for each process: the short hashes of secrets in diffs can't be looked up."""
    return _SALT


def macs(state: State) -> dict[str, MacRun]:
    """Every Mac that this run has dealt with, by host name."""
    return _RUNS.get(state, {})


def run_id(state: State) -> str:
    """Name of this run: ``20261123-153000-1a2b``, in UTC; also of its backups on the Macs."""
    if state not in _IDS:
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        _IDS[state] = f"{now}-{secrets.token_hex(2)}"
    return _IDS[state]


def fleet(state: State) -> list[str]:
    """Addresses of all Macs of the inventory, in its order, also of those left out by --limit."""
    # `@local` and the like are connectors, not addresses.
    data = [(host.name, host.data.dict()) for host in state.inventory]  # type: ignore[no-untyped-call]
    found = [str(values.get("ssh_hostname") or name) for name, values in data if name[0] != "@"]
    return [address for address in found if HOST.fullmatch(address)]


def current() -> MacRun:
    """The Mac that pyinfra is dealing with now."""
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    mac = of(state, host)
    mac.enter_stage()
    return mac


def of(state: State, host: Host) -> MacRun:
    """What this run knows of a Mac, whichever Mac pyinfra is dealing with."""
    known = _RUNS.setdefault(state, {})
    if host.name not in known:
        tune(host)
        data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
        settings = settings_module.load(
            {key: value for key, value in data.items() if key in settings_module.FIELDS},
            where=f"settings of {host.name}",
        )
        hosts = (*settings.no_proxy_hosts, *fleet(state))
        settings = settings.model_copy(update={"no_proxy_hosts": hosts})
        run = run_id(state)
        lock = lock_file.read(settings)
        known[host.name] = MacRun(host, state, settings, run, lock, transaction=run)
    return known[host.name]


def runs_alone(file: str) -> bool:
    """Whether a task's file is what pyinfra was called with, and not a part of deploy.py."""
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    called = getattr(state, "current_deploy_filename", None)
    return called is not None and Path(called).resolve() == Path(file).resolve()
