from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet.gateway import Decision, decide, health_ok, is_gateway
from clawfleet.launch_agent import opened
from clawfleet.plan import Trouble
from clawfleet.snapshot import Job, Listener, Node, Process, Snapshot
from tests.unit.factory import (
    BREW,
    NEW,
    OLD,
    TOKEN,
    equipped,
    file,
    healthy,
    plist,
    settings,
    trouble_is_useful,
)


def with_plist(snapshot: Snapshot, content: bytes) -> Snapshot:
    return replace(snapshot, plist=file(snapshot.plist.path, content, mode="644"))


def listens(command: str, pid: int = 55, ppid: int = 1) -> Listener:
    return Listener(18789, (Process(pid, ppid, 9, command),))


STOPPED = Job("not running", None, 4, "1", {}, {})


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_healthy_gateway_is_left_alone(version: str) -> None:
    decision = decide(healthy(version), settings(), 18789, ())
    assert decision == Decision("none", ("pid 900 answers on port 18789",), "well")


@pytest.mark.parametrize(
    ("snapshot", "pending", "action", "reason"),
    [
        (equipped(), (), "install", "no LaunchAgent"),
        (healthy(), ("openclaw.json was changed",), "restart", "openclaw.json was changed"),
        (replace(healthy(), restart_needed=("earlier",)), (), "restart", "earlier"),
        (replace(healthy(), gateway_override="disabled"), (), "restart", "disabled"),
        (
            replace(healthy(), gateway=None, gateway_port=Listener(18789), gateway_http=0),
            (),
            "restart",
            "not loaded",
        ),
        (
            replace(healthy(), gateway=STOPPED, gateway_port=Listener(18789), gateway_http=0),
            (),
            "restart",
            "not running (not running, last exit 1)",
        ),
        (
            replace(healthy(), gateway_port=Listener(18789), gateway_http=0),
            (),
            "restart",
            "nothing of it listens on port 18789",
        ),
        (replace(healthy(), gateway_http=0), (), "restart", "does not answer"),
        (
            replace(healthy(), gateway_port=listens("openclaw-gateway")),
            (),
            "restart",
            "nothing of it listens",
        ),
        (
            replace(
                healthy(), gateway_port=replace(healthy().gateway_port, proxies=("http_proxy",))
            ),
            (),
            "restart",
            "http_proxy in its environment",
        ),
        (with_plist(healthy(), plist(port=18790)), (), "reinstall", "port 18790, the config 18789"),
        (with_plist(healthy(), b"junk"), (), "reinstall", "can't be read"),
        (with_plist(healthy(), b""), (), "reinstall", "can't be read"),
        (
            with_plist(healthy(), b'<?xml version="1.0"?><plist version="1.0"><array/></plist>'),
            (),
            "reinstall",
            "can't be read",
        ),
        (
            with_plist(healthy(OLD), plist(token="5ecret-other-token")),
            (),
            "reinstall",
            "another token",
        ),
        (
            replace(healthy(), nodes=(Node(f"{BREW}/opt/node@24/bin/node", "22.1.0"),)),
            (),
            "reinstall",
            "its plist has Node 22.1.0",
        ),
    ],
)
def test_what_it_needs(
    snapshot: Snapshot, pending: tuple[str, ...], action: str, reason: str
) -> None:
    decision = decide(snapshot, settings(), 18789, pending)
    assert decision.action == action
    assert any(reason in given for given in decision.reasons), decision
    assert not any("5ecret" in given for given in decision.reasons)


@pytest.mark.parametrize(
    ("snapshot", "wished"),
    [
        (replace(healthy(), gateway_port=listens("node dist/index.js", 77, ppid=900)), {}),
        (
            replace(healthy(), gateway_port=replace(healthy().gateway_port, proxies=("no_proxy",))),
            {"proxies": "keep"},
        ),
        (with_plist(healthy(OLD), plist(token=TOKEN)), {}),
        (
            replace(
                with_plist(healthy(OLD), plist(token=TOKEN)),
                config=file(healthy().config.path, "{gateway: {auth: {token: '${TOKEN}'}}}"),
            ),
            {},
        ),
    ],
)
def test_what_is_no_reason(snapshot: Snapshot, wished: dict[str, Any]) -> None:
    assert decide(snapshot, settings(**wished), 18789, ()).action == "none"


def test_a_reason_is_told_once() -> None:
    snapshot = replace(healthy(), restart_needed=("a", "b", "a"))
    assert decide(snapshot, settings(), 18789, ("b", "c")).reasons == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gui": False, "gui_error": "Could not find domain for user gui: 501"},
            ["logged in at the screen", "gui: 501", "mac", "automatic login"],
        ),
        ({"gui": False}, ["no domain gui"]),
        ({"gateway_twin": True}, ["system daemon", "launchctl bootout system/", "LaunchDaemons"]),
        (
            {"gateway_port": listens("python3 -m http.server 18789")},
            ["port 18789", "pid 55", "http.server", "kill 55", "gateway_port"],
        ),
        (
            {"gateway_port": listens("/usr/bin/ssh -NL 18789:127.0.0.1:18789 openclaw-mini")},
            ["pid 55", "ssh"],
        ),
        (
            {"gateway_port": Listener(18789), "gateway": None, "gateway_http": 200},
            ["another user", "sudo lsof"],
        ),
    ],
)
def test_what_stops_the_mac(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Trouble) as caught:
        decide(replace(healthy(), **changes), settings(), 18789, ())
    trouble_is_useful(caught.value, *words)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"ok": true}', True),
        ('{\n  "ok": true,\n  "ts": 1\n}\n', True),
        ('12:00:00 [plugins] {not json}\n{"ok":true}\nwarning: late\n', True),
        ('{"ok": false}', False),
        ('{"ok": "true"}', False),
        ("Error: gateway closed\n    at x { code: 1 }", False),
        ("", False),
        ("[1]", False),
    ],
)
def test_openclaw_health(output: str, expected: bool) -> None:
    assert health_ok(output) is expected


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("openclaw-gateway", True),
        ("/n/bin/node /p/lib/node_modules/openclaw/dist/index.js gateway --port 18789", True),
        ("node /opt/homebrew/bin/openclaw gateway run", True),
        ("node /Users/a/src/openclaw-studio/server.mjs", False),
        ("ssh -L 18789:127.0.0.1:18789 openclaw gateway", False),
        ("vim /Users/a/.openclaw/gateway.md", False),
    ],
)
def test_whose_a_process_is(command: str, ours: bool) -> None:
    assert is_gateway(command) is ours


def test_a_gateway_that_is_ended_is_named() -> None:
    by_hand = Listener(18789, (Process(77, 1, 60, "openclaw-gateway"),))
    decision = decide(replace(healthy(), gateway_port=by_hand), settings(), 18789, ())
    assert decision.action == "restart"
    assert any("ends pid 77, a gateway that was started by hand" in r for r in decision.reasons)


def test_the_port_that_these_files_open() -> None:
    snapshot = healthy()
    assert opened(with_plist(snapshot, plist(port=18791))) == 18791
    unpinned = plist().replace(b"--port", b"--verbose")
    config = file(snapshot.config.path, "{ gateway: { port: 18792 } }")
    assert opened(replace(with_plist(snapshot, unpinned), config=config)) == 18792
    nothing = replace(with_plist(snapshot, b"broken"), config=file(snapshot.config.path, "{"))
    assert opened(nothing) is None
