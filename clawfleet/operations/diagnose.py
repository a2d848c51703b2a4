"""Looks for every trouble that is known; mends those that are safe where that is asked for."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pyinfra_cli.cli  # type: ignore[import-untyped]
from pyinfra import host
from pyinfra.api import State
from pyinfra.api.operation import PyinfraOperation

from clawfleet import diagnosis
from clawfleet.diagnosis import modes
from clawfleet.diagnosis.known import Case, Mend, as_data
from clawfleet.facts import mac as mac_fact
from clawfleet.operations import gateway, provision
from clawfleet.operations.environment import environment
from clawfleet.operations.mac import Commands, announce, execute, mac_operation, reading_operation
from clawfleet.plan import Trouble
from clawfleet.run import MacRun, current
from clawfleet.snapshot import Snapshot
from clawfleet.symptoms import Symptoms

_COLOURS = {"broken": "red", "risk": "yellow", "note": "cyan"}


@reading_operation
def known_troubles() -> Commands:
    """Reads the Mac and tells each known trouble that it has. Changes nothing.

    **Example:**

    .. code:: python

        diagnose.known_troubles(name="has which troubles")
    """
    mac = current()
    _ask_only_about_changes(mac.state)
    told = mac.results.get("findings")
    # Looked at while planning, it is not looked at again, unless something depends on it.
    if told is None or mac.settings.fix:
        _look(mac)
    if mac.results["findings"] != told:
        _tell(mac)
    host.noop(f"{len(mac.results['findings'])} known troubles")
    yield from ()


@reading_operation
def mend(what: Mend) -> Commands:
    """The step of that name, where `fix` asks for it and something was found that it mends safely.

    + what: `modes`, `ollama`, `config`, `environment` or `gateway`
    """
    mac = current()
    due = mac.settings.fix and what in mac.mends
    # What the other steps write, the gateway reads.
    if not due and not (what == "gateway" and mac.evidence):
        host.noop("nothing of this to mend")
        return
    if mac.executing:
        mac.results["mended"] = [*mac.results.get("mended", []), what]
    yield from _STEPS[what]._inner()


@mac_operation
def private_files() -> Commands:
    """Files with keys, and the folders they lie in, are open to their owner only."""
    mac = current()
    steps = modes.plan(mac.snapshot, mac.symptoms)
    if not steps:
        host.noop("nobody else can read them")
        return
    announce(mac, steps, ())
    for step in steps:
        yield execute(step)


@reading_operation
def remaining() -> Commands:
    """Looks again where something was mended; exit code 1 where something is still broken."""
    mac = current()
    if mac.executing and mac.results.get("mended"):
        mac.changed()
        _look(mac)
        mac.say("after that:")
        _tell(mac)
    broken = _broken(mac)
    if broken:
        # Not as a failed command: where every Mac has one, pyinfra gives no results as JSON.
        mac.state.failed_hosts.add(mac.host)
    host.noop(f"broken: {', '.join(broken)}" if broken else "nothing is broken")
    yield from ()


_STEPS: dict[Mend, PyinfraOperation[[]]] = {
    "modes": private_files,
    "ollama": provision.ollama,
    "config": provision.config,
    "environment": environment,
    "gateway": gateway.running,
}


def _look(mac: MacRun) -> None:
    """Read the Mac, and put what was found into what is reported of it."""
    before = time.time()
    snapshot = mac.look()
    after = time.time()
    if snapshot.kernel != "Darwin":
        raise Trouble(
            f"{snapshot.kernel or 'an unknown system'}",
            expected="macOS",
            fix="take this host out of hosts.yml",
        )
    mac.symptoms = _symptoms(mac, snapshot)
    case = Case(snapshot, mac.symptoms, mac.settings, mac.port, (before, after))
    findings = diagnosis.diagnose(case)
    mac.mends = frozenset(finding.mend for finding in findings if finding.mend)
    mac.results["findings"] = [
        _redacted(mac, as_data(finding), snapshot.home) for finding in findings
    ]
    mac.results["well"] = mac.redacted(diagnosis.well(case, findings))


def _symptoms(mac: MacRun, snapshot: Snapshot) -> Symptoms:
    """In two parts: where one of them can't be read, the rest of the Mac is told all the same."""
    try:
        seen = mac_fact.read_symptoms(mac.host, snapshot, mac.settings, diagnosis.LOGGED)
    except (Trouble, TimeoutError) as error:
        seen = Symptoms(unread=(f"what only a diagnosis looks at ({_why(error)})",))
    try:
        return replace(seen, verdict=mac_fact.read_verdict(mac.host, snapshot, mac.settings))
    except (Trouble, TimeoutError) as error:
        return replace(seen, unread=(*seen.unread, f"OpenClaw's own check ({_why(error)})"))


def _why(error: Trouble | TimeoutError) -> str:
    return error.found if isinstance(error, Trouble) else f"no answer in {mac_fact.TIMEOUT} s"


def _redacted(mac: MacRun, finding: dict[str, Any], home: str) -> dict[str, Any]:
    """What was seen may quote a log, a process or a file, with whatever secrets are in it."""
    seen = finding["seen"].replace(f"{home}/", "~/") if home else finding["seen"]
    return finding | {"seen": mac.redacted(seen), "fix": mac.redacted(finding["fix"])}


def _tell(mac: MacRun) -> None:
    for finding in mac.results["findings"]:
        mac.say(f"{finding['severity']}: {finding['title']}", _COLOURS[finding["severity"]])
        mac.say(f"  seen:     {finding['seen']}")
        mac.say(f"  expected: {finding['expected']}")
        safe = " (fix does it)" if finding["mend"] else ""
        mac.say(f"  to fix:   {finding['fix']}{safe}")
    if not mac.results["findings"]:
        mac.say("none of the known troubles", "green")


def _broken(mac: MacRun) -> list[str]:
    found = [f["id"] for f in mac.results.get("findings", []) if f["severity"] == "broken"]
    return list(dict.fromkeys(found))


def _ask_only_about_changes(state: State) -> None:
    """pyinfra (3.10) waits for Enter before it executes, also where there is nothing to change; a
    diagnosis then ends without anybody at the keyboard."""
    ask = pyinfra_cli.cli._do_confirm
    if getattr(ask, "only_about_changes", False):
        return

    def confirm(message: str) -> bool:
        hosts = state.inventory.get_active_hosts()
        changes = any(state.get_meta_for_host(host).ops_change for host in hosts)
        return bool(ask(message)) if changes else True

    confirm.only_about_changes = True  # type: ignore[attr-defined]
    pyinfra_cli.cli._do_confirm = confirm
