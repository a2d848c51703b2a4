"""What of the gateway's files has changed since its process was started."""

from __future__ import annotations

import json
import plistlib
from dataclasses import replace
from typing import Any

import pytest

from clawfleet.gateway import decide
from clawfleet.snapshot import File, Job, Listener, Process, Snapshot
from clawfleet.started import Started, differences, note, outdated
from tests.unit.factory import HOME, NEW, OLD, TOKEN, file, healthy, plist, settings

BEGAN = 1763850000 - 4000
ENV, SERVICE = f"{HOME}/.openclaw/.env", f"{HOME}/.openclaw/service-env/ai.openclaw.gateway.env"


def noted(snapshot: Snapshot, *, pid: int = 900, began: int = BEGAN, well: int = 0) -> Snapshot:
    """The Mac with clawfleet's note of the process that runs, written when the files were so."""
    hashes = "".join(
        f"{there.sha256 or 'absent'}\t{there.path}\n"
        for there in (snapshot.dotenv, snapshot.service_env, snapshot.plist)
    )
    text = f"pid\t{pid}\nbegan\t{began}\nwell\t{well or began + 20}\n{hashes}"
    return replace(
        snapshot,
        started=file(f"{HOME}/.clawfleet/started", text),
        started_config=file(f"{HOME}/.clawfleet/started.json", snapshot.config.content),
    )


def edited(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """openclaw.json with other values at ``gateway__port`` and the like."""
    config = json.loads(snapshot.config.content or b"{}")
    for path, value in changes.items():
        *way, last = path.split("__")
        place = config
        for key in way:
            place = place.setdefault(key, {})
        place[last] = value
    return replace(snapshot, config=file(snapshot.config.path, json.dumps(config)))


def test_a_note_is_read_and_a_damaged_one_is_none() -> None:
    snapshot = noted(healthy())
    assert note(snapshot.started) == Started(
        900,
        BEGAN,
        BEGAN + 20,
        {ENV: "absent", SERVICE: "absent", snapshot.plist.path: snapshot.plist.sha256 or ""},
    )
    for text in ("", "pid\tx\nbegan\t1\nwell\t2\n", "began\t1\n", "\x00"):
        assert note(file("/n", text)) is None
    assert note(File("/n", None)) is None


@pytest.mark.parametrize("version", [OLD, NEW])
def test_nothing_is_newer(version: str) -> None:
    assert outdated(healthy(version)) == ()
    assert outdated(noted(healthy(version))) == ()


@pytest.mark.parametrize(
    ("mtime", "known", "newer"),
    [
        # Without a note of this process the times tell, with a second of tolerance.
        (BEGAN - 10, False, False),
        (BEGAN + 1, False, False),
        (BEGAN + 2, False, True),
        # With one the contents do.
        (BEGAN - 10, True, True),
        (BEGAN + 500, True, True),
    ],
)
@pytest.mark.parametrize("name", ["dotenv", "service_env"])
def test_a_file_of_variables(name: str, mtime: int, known: bool, newer: bool) -> None:
    base = healthy()
    snapshot = noted(base) if known else base
    path = getattr(base, name).path
    fields: dict[str, Any] = {name: file(path, "A=1\n", mtime=mtime)}
    reasons = outdated(replace(snapshot, **fields))
    assert bool(reasons) is newer
    if newer:
        assert reasons == (f"{path.rpartition('/')[2]} was changed after it was started",)


def test_a_file_that_was_only_touched_or_is_written_back_is_no_reason() -> None:
    base = replace(healthy(), dotenv=file(ENV, "A=1\n", mtime=BEGAN - 9))
    touched = replace(noted(base), dotenv=file(ENV, "A=1\n", mtime=BEGAN + 900))
    assert outdated(touched) == ()
    gone = replace(noted(base), dotenv=file(ENV))
    assert outdated(gone) == (".env was changed after it was started",)


@pytest.mark.parametrize(
    "other", [{"pid": 899}, {"began": BEGAN - 900, "well": BEGAN - 880}, {"began": BEGAN + 30}]
)
def test_a_note_of_another_process_is_not_believed(other: dict[str, int]) -> None:
    """Pids are used again: after a restart of the Mac, or by launchd's own new start."""
    base = noted(healthy(), **other)
    assert outdated(replace(base, dotenv=file(ENV, "A=1\n", mtime=BEGAN - 9))) == ()
    assert outdated(edited(base, gateway__bind="lan")) == ()


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        # OpenClaw's own writing, what it applies by itself, and what is not read again at all.
        ({"meta__lastTouchedAt": "2026-11-23"}, ""),
        ({"wizard": {"lastRunCommand": "doctor"}}, ""),
        ({"agents__defaults__model": {"primary": "zai/glm"}}, ""),
        ({"models__providers__ollama__baseUrl": "http://127.0.0.1:1"}, ""),
        ({"gateway__reload": {"debounceMs": 9}}, ""),
        ({"gateway__remote__url": "ws://x"}, ""),
        ({"gateway__bind": "lan"}, "gateway.bind"),
        ({"gateway__auth__mode": "password", "meta__x": 1}, "gateway.auth.mode"),
        ({"gateway__reload": {"mode": "off"}, "agents__defaults__model": 1}, ""),
    ],
)
def test_a_change_of_the_config(version: str, change: dict[str, Any], told: str) -> None:
    reasons = outdated(edited(noted(healthy(version)), **change))
    wanted = (f"openclaw.json: {told} changed after it was started",) if told else ()
    assert reasons == wanted


def test_a_gateway_that_does_not_reload_by_itself() -> None:
    off = noted(edited(healthy(), gateway__reload__mode="off"))
    assert outdated(edited(off, meta__x=1)) == ()
    reasons = outdated(edited(off, agents__defaults__timeoutSeconds=9))
    assert reasons == (
        "openclaw.json: agents.defaults.timeoutSeconds changed after it was started",
    )


def test_a_config_that_is_broken_by_now_is_told_elsewhere() -> None:
    broken = replace(noted(healthy()), config=file(healthy().config.path, "{"))
    assert outdated(broken) == ()


def loaded(snapshot: Snapshot, content: bytes, **more: str) -> Snapshot:
    """The Mac whose launchd has loaded this plist."""
    agent = plistlib.loads(content)
    job = snapshot.gateway
    assert job is not None
    own = {"OSLogRateLimit": "64", "XPC_SERVICE_NAME": "ai.openclaw.gateway"}
    job = replace(
        job,
        arguments=tuple(agent["ProgramArguments"]),
        environment=agent["EnvironmentVariables"] | own | more,
    )
    return replace(snapshot, gateway=job)


def test_a_plist_that_launchd_has_not_read() -> None:
    base = healthy(OLD)
    pinned = plist(token=TOKEN)
    assert outdated(loaded(base, pinned)) == ()
    proxied = loaded(base, pinned, http_proxy="http://127.0.0.1:9")
    assert outdated(proxied) == ("launchd has loaded http_proxy otherwise than its plist says",)
    added = plist({"OPENCLAW_HOME": "/x"}, token=TOKEN)
    changed = replace(loaded(base, pinned), plist=file(base.plist.path, added, mode="644"))
    assert outdated(changed) == ("launchd has loaded OPENCLAW_HOME otherwise than its plist says",)
    other = plist(token="5ecret-other-token")
    reasons = outdated(loaded(base, other))
    assert reasons == ("launchd has loaded OPENCLAW_GATEWAY_TOKEN otherwise than its plist says",)
    words = loaded(base, plist(port=18790, token=TOKEN))
    assert outdated(words) == ("launchd has loaded other arguments than its plist says",)


def test_a_plist_with_which_clawfleet_started_it_was_read() -> None:
    """However a version of macOS shows the job."""
    shown = loaded(healthy(OLD), plist(token="5ecret-other-token"))
    assert outdated(shown)
    assert outdated(noted(shown)) == ()
    edited_since = replace(noted(shown), plist=file(shown.plist.path, plist(), mode="644"))
    assert outdated(edited_since)


def test_an_openclaw_that_was_put_in_place_since() -> None:
    new = replace(healthy(), openclaw_since=BEGAN + 60)
    assert outdated(new) == (f"OpenClaw {NEW} was put in place after it was started",)
    assert outdated(replace(new, openclaw_since=BEGAN - 60)) == ()


def test_without_a_process_of_the_job_there_is_nothing_to_tell() -> None:
    late = replace(healthy(), dotenv=file(ENV, "A=1\n"), openclaw_since=BEGAN + 60)
    assert outdated(late)
    assert outdated(replace(late, gateway=None)) == ()


def test_one_that_was_well_once_is_not_starting() -> None:
    silent = replace(
        healthy(OLD), gateway_http=0, now=BEGAN + 30,
        gateway=Job("running", 900, 1, "(never exited)", {}, {}, age=30),
        gateway_port=Listener(18789, (Process(900, 1, 30, "openclaw-gateway"),)),
    )  # fmt: skip
    assert decide(silent, settings(), 18789, ()).state == "starting"
    assert decide(noted(silent), settings(), 18789, ()).state == "hung"
    assert decide(noted(silent, pid=899), settings(), 18789, ()).state == "starting"
    closed = replace(noted(silent), gateway_port=Listener(18789))
    assert decide(closed, settings(), 18789, ()).state == "deaf"


def test_it_is_the_reason_for_a_restart() -> None:
    decision = decide(replace(healthy(), dotenv=file(ENV, "A=1\n")), settings(), 18789, ())
    assert (decision.state, decision.action) == ("outdated process", "restart")
    assert decision.reasons == (".env was changed after it was started",)


@pytest.mark.parametrize(
    ("before", "now", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("a",)]),
        ({"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1, 2]}}, [("a", "b"), ("a", "c")]),
        ({"a": {"b": 1}}, {}, [("a",)]),
        ({}, {"a": {"b": 1}}, [("a",)]),
        ({"a": {}}, {"a": []}, [("a",)]),
        ([], {}, [()]),
    ],
)
def test_where_documents_differ(before: Any, now: Any, paths: list[tuple[str, ...]]) -> None:
    assert list(differences(before, now)) == paths
