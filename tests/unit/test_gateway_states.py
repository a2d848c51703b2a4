"""The table of the gateway's states, over every combination of what a Mac can show."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet.gateway import Decision, decide
from clawfleet.gateway_states import STATES, Facts, picture, state_of, table, values
from clawfleet.plan import Trouble
from clawfleet.snapshot import Job, Listener, Process, Snapshot
from tests.unit.factory import NEW, OLD, daemons, file, healthy, plist, settings, trouble_is_useful

DOCUMENT = Path(__file__).parents[2] / "docs" / "gateway.md"


def every() -> Iterator[Facts]:
    known = values()
    for chosen in itertools.product(*known.values()):
        yield Facts(**dict(zip(known, chosen, strict=True)))  # type: ignore[arg-type]


def test_every_combination_of_facts_has_a_state_and_every_state_a_combination() -> None:
    found = Counter(state_of(facts).name for facts in every())
    assert set(found) == {state.name for state in STATES}
    assert sum(found.values()) > 5000


def test_nothing_is_done_only_where_all_is_well() -> None:
    for facts in every():
        well = replace(Facts(), override=facts.override) if facts.override != "disabled" else None
        # A job that serves and answers is well, however young it is.
        same = facts in (well, replace(well, job="starting")) if well else False
        assert (state_of(facts).action == "none") is same, facts


def test_a_change_is_never_answered_by_waiting() -> None:
    for facts in every():
        if state_of(facts).action == "wait":
            assert facts.current
            assert facts.job == "starting"
            assert facts.fits
            assert facts.port in ("free", "own")


CRASHED = Job("spawn scheduled", None, 1, "1", {}, {})
OWN = Process(900, 1, 4000, "openclaw-gateway")
COPY = Process(77, 1, 60, "openclaw-gateway")
FOREIGN = Process(55, 1, 9, "python3 -m http.server 18789")
SHOWN: dict[str, list[Any]] = {
    "possible": [True, False],
    "gateway_twin": [False, True],
    "plist": [plist(), plist(port=18790), b"junk", None],
    "gateway_override": ["enabled", "", "disabled"],
    "gateway": [
        None,
        replace(CRASHED, runs=0, last_exit="(never exited)", state="not running"),
        CRASHED,
        replace(CRASHED, runs=9, last_exit="78: EX_CONFIG"),
        Job("running", 900, 1, "(never exited)", {}, {}, age=9),
        Job("running", 900, 8, "Killed: 9", {}, {}, age=2),
        Job("running", 900, 1, "(never exited)", {}, {}, age=4000),
    ],
    "port": [(), (OWN,), (replace(OWN, pid=901, ppid=900),), (COPY,), (COPY, OWN), (FOREIGN,)],
    "gateway_http": [200, 0],
    "notes": [
        {},
        {"restart_needed": ("openclaw.json was changed",)},
        {"unfinished": "20261123-153000-1a2b"},
    ],
}
"""What the reading of a Mac can show; all of them together, possible or not."""


def shown(version: str, services: str) -> Iterator[Snapshot]:
    base = daemons(version) if services == "daemons" else healthy(version)
    for chosen in itertools.product(*SHOWN.values()):
        fields = dict(zip(SHOWN, chosen, strict=True))
        port, content = fields.pop("port"), fields.pop("plist")
        fields |= fields.pop("notes")
        fields["sudo_free" if services == "daemons" else "gui"] = fields.pop("possible")
        if content == plist() and services == "daemons":
            content = base.plist.content
        yield replace(
            base,
            **fields,
            plist=file(base.plist.path, content, mode="644", uid=0),
            gateway_port=Listener(18789, port),
            gateway_live=bool(base.gateway_live and fields["gateway_http"]),
        )


@pytest.mark.parametrize("services", ["agents", "daemons"])
@pytest.mark.parametrize("version", [OLD, NEW])
def test_every_combination_of_what_a_mac_shows_is_decided(version: str, services: str) -> None:
    wished, found = settings(services=services), Counter[str]()
    fitting = daemons(version).plist.content if services == "daemons" else plist()
    for snapshot in shown(version, services):
        try:
            decision = decide(snapshot, wished, 18789, ())
        except Trouble as trouble:
            decision = Decision("none", (trouble.found, trouble.fix), "trouble")
        found[decision.state] += 1
        job = snapshot.gateway
        serves = job is not None and any(
            job.pid is not None and job.pid in (p.pid, p.ppid)
            for p in snapshot.gateway_port.processes
        )
        stranger = FOREIGN in snapshot.gateway_port.processes
        hidden = not snapshot.gateway_port.processes and snapshot.gateway_http
        can = snapshot.sudo_free if services == "daemons" else snapshot.gui
        stops = not can or snapshot.gateway_twin or stranger or bool(hidden)
        assert (decision.state == "trouble") is stops, (snapshot, decision)
        assert decision.reasons, (snapshot, decision)
        assert all(decision.reasons), (snapshot, decision)
        if decision.state == "well":
            assert serves, snapshot
            assert snapshot.gateway_http, snapshot
            assert COPY not in snapshot.gateway_port.processes, snapshot
            assert snapshot.gateway_override != "disabled", snapshot
            assert not snapshot.restart_needed and not snapshot.unfinished, snapshot  # noqa: PT018
            assert snapshot.plist.content == fitting, snapshot
    # Each state of the table is reached, those that stop the Mac as trouble.
    assert set(found) - {"trouble"} == {state.name for state in STATES if state.action != "stop"}


def test_why_a_state_is_what_it_is() -> None:
    snapshot = replace(healthy(OLD), gateway_http=0, gateway_port=Listener(18789))
    loop = replace(snapshot, gateway=replace(CRASHED, runs=7))
    decision = decide(loop, settings(), 18789, ())
    assert (decision.state, decision.action) == ("crash loop", "restart")
    assert "last exit 1), started 7 times by now" in decision.reasons[0]
    young = replace(snapshot, gateway=Job("running", 900, 1, "(never exited)", {}, {}, age=20))
    decision = decide(young, settings(), 18789, ())
    assert (decision.state, decision.action) == ("starting", "wait")
    assert decision.reasons == ("pid 900 was started 20 s ago and does not answer yet",)
    assert decide(young, settings(), 18789, ("changed",)).action == "restart"
    slow = settings(gateway_start_timeout=10)
    assert decide(young, slow, 18789, ()).state == "deaf"
    copy = replace(healthy(OLD), gateway_port=Listener(18789, (COPY,)))
    decision = decide(copy, settings(), 18789, ())
    assert decision.state == "two gateways"
    assert any("ends pid 77" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("version", "live", "state"), [(OLD, False, "well"), (NEW, True, "well"), (NEW, False, "hung")]
)
def test_a_page_alone_is_no_health_where_the_version_has_a_probe(
    version: str, live: bool, state: str
) -> None:
    snapshot = replace(healthy(version), gateway_live=live)
    assert decide(snapshot, settings(), 18789, ()).state == state


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({}, ["automatic login: off", "Users & Groups"]),
        ({"filevault": "FileVault is On."}, ["FileVault is On", "rules automatic login out"]),
        ({"filevault": "FileVault is Off."}, ["FileVault is Off", "turn on automatic login"]),
        ({"automatic_login": "mac"}, ["automatic login: mac", "restart the Mac"]),
        ({"automatic_login": "another"}, ["automatic login: another", "log in at the screen once"]),
    ],
)
def test_nobody_is_logged_in(seen: dict[str, Any], words: list[str]) -> None:
    gone = replace(healthy(), gui=False, gui_error="Could not find domain for user gui: 501")
    with pytest.raises(Trouble) as caught:
        decide(replace(gone, **seen), settings(), 18789, ())
    trouble_is_useful(caught.value, "gui: 501", "Homebrew's service of Ollama", *words)


def test_the_document_shows_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert picture() in text, "put the output of: python -m clawfleet.gateway_states"
    assert table() in text
