"""One bad Mac for each known trouble: exactly that one is found; on a good Mac none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import diagnosis
from clawfleet.diagnosis import modes
from clawfleet.diagnosis.document import document
from clawfleet.diagnosis.known import MENDS, Case, Finding
from clawfleet.sessions import Session
from clawfleet.snapshot import Job, Listener, Model, Node, Process, Snapshot
from clawfleet.symptoms import Message, Served, Symptoms, Verdict
from tests.unit.factory import (
    BREW,
    HOME,
    NEW,
    OLD,
    REPO,
    TOKEN,
    bare,
    file,
    healthy,
    plist,
    settings,
    with_file,
)

NOW = 1763850000
APP = "/Applications/Ollama.app"
GATEWAY = f"{BREW}/opt/node@24/bin/node {BREW}/lib/node_modules/openclaw/dist/index.js gateway"


def good() -> Symptoms:
    """Awake, logged in by itself, its config accepted, its models served as promised."""
    return Symptoms(
        power={"sleep": 0, "autorestart": 1, "womp": 1},
        filevault=False,
        auto_login="mac",
        console="mac",
        brew_owner="mac",
        brew_writable=True,
        client="0.32.3",
        served=(Served("gpt-oss:20b", 32768, 10, 10),),
        gateways=(Process(900, 1, 4000, GATEWAY),),
        sessions=(Session("agent:main:main", 20000),),
        verdict=Verdict(True),
    )


def found(
    snapshot: Snapshot, symptoms: Symptoms | None = None, port: int = 18789, **wished: Any
) -> list[Finding]:
    """What is told of a Mac; the two clocks agree."""
    clock = (float(snapshot.now), snapshot.now + 2.0)
    seen = good() if symptoms is None else symptoms
    return diagnosis.diagnose(Case(snapshot, seen, settings(**wished), port, clock))


def config(snapshot: Snapshot, change: Callable[[dict[str, Any]], None]) -> Snapshot:
    """The Mac with something changed in its openclaw.json."""
    document = json.loads(snapshot.config.content or b"{}")
    change(document)
    return with_file(snapshot, "config", file(snapshot.config.path, json.dumps(document)))


def provider(document: dict[str, Any]) -> dict[str, Any]:
    ollama: dict[str, Any] = document["models"]["providers"]["ollama"]
    return ollama


def served_by(command: str, version: str | None = "0.32.3") -> Snapshot:
    """A Mac on which that command listens on Ollama's port."""
    listener = Listener(11434, (Process(700, 1, 5000, command),))
    return replace(healthy(), ollama_port=listener, ollama_server=version)


def job(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {"state": "running", "pid": 900, "runs": 1, "last_exit": ""} | changes
    return replace(healthy(), gateway=Job(**values, inherited={}, environment={}))


def said(text: str, age: int = 60) -> Symptoms:
    path = f"{HOME}/.openclaw/logs/gateway.err.log"
    return replace(good(), messages=(Message(path, text, NOW - age),))


def app(**more: Any) -> Snapshot:
    """A Mac with Ollama.app in the place of the formula."""
    values: dict[str, Any] = {
        "ollama_formula": None,
        "ollama_cask": "ollama-app",
        "ollama_app": APP,
        "ollama_app_version": "0.32.3",
        "ollama_link": f"{APP}/Contents/Resources/ollama",
    } | more
    return replace(served_by(f"{APP}/Contents/Resources/ollama serve"), **values)


SILENT = Listener(18789)
ENV = f"{HOME}/.homebrew/services/ollama.env"

BAD: list[tuple[str, Snapshot, Symptoms, dict[str, Any], list[str]]] = [
    ("root-user", replace(healthy(), uid=0), good(), {}, ["root"]),
    ("macos-too-old", replace(healthy(), macos="13.6.1"), good(), {}, ["macOS 13.6.1"]),
    ("intel", replace(healthy(), arch="x86_64"), good(), {}, []),
    ("sleeps", healthy(), replace(good(), power={"sleep": 1, "womp": 1}), {}, ["sleep 1"]),
    ("stays-off", healthy(), replace(good(), power={"sleep": 0, "autorestart": 0}), {}, []),
    ("filevault", healthy(), replace(good(), filevault=True, auto_login=None), {}, ["is On"]),
    (
        "no-automatic-login",
        healthy(),
        replace(good(), auto_login=None),
        {},
        ["no automatic login"],
    ),
    (
        "no-automatic-login",
        healthy(),
        replace(good(), auto_login="eve"),
        {},
        ["automatic login of eve"],
    ),
    ("disk-full", replace(healthy(), disk_free=10**9), good(), {}, ["1.0 GB free"]),
    (
        "foreign-homebrew",
        healthy(),
        replace(good(), brew_owner="eve", brew_writable=False),
        {},
        ["belongs to eve", "chown"],
    ),
    (
        "brew-env",
        with_file(healthy(), "brew_env", file(f"{BREW}/b", "export A=1\nHOMEBREW_X='y'\n# ok\n")),
        good(),
        {},
        ["export A (export)", "HOMEBREW_X (quotes"],
    ),
    (
        "run-cut-off",
        replace(healthy(), unfinished="20261123-153000-1a2b"),
        good(),
        {},
        ["20261123-153000-1a2b"],
    ),
    ("run-cut-off", replace(healthy(), unfinished="; rm"), good(), {}, ["names no run"]),
    (
        "ollama-twice",
        replace(healthy(), ollama_app=APP, ollama_app_version="0.32.3"),
        good(),
        {},
        ["the formula 0.32.3", APP, "--zap"],
    ),
    (
        "ollama-app-gone",
        app(ollama_app=None, ollama_app_version=None),
        good(),
        {},
        ["reinstall --cask"],
    ),
    ("ollama-link", healthy(), replace(good(), dangling="../Cellar/x"), {}, ["brew link"]),
    ("ollama-link", app(), replace(good(), dangling=f"{APP}/y"), {}, ["ln -sfn /Applications"]),
    ("ollama-port", served_by("nc -l 11434", None), good(), {}, ["pid 700: nc -l", "kill 700"]),
    ("ollama-port", served_by("/tmp/ollama serve", "0.16.1"), good(), {}, ["Ollama 0.16.1"]),
    ("ollama-by-hand", served_by("/tmp/ollama serve"), good(), {}, ["pid 700"]),
    (
        "ollama-down",
        replace(healthy(), ollama_port=Listener(11434), ollama_server=None),
        replace(good(), served=(), client=None),
        {},
        ["nothing listens on port 11434"],
    ),
    ("ollama-hung", replace(healthy(), ollama_server=None), good(), {}, ["does not answer"]),
    (
        "ollama-version",
        replace(healthy(), ollama_formula="0.33.0_1"),
        good(),
        {},
        ["server is 0.32.3", "installed is 0.33.0"],
    ),
    ("ollama-version", healthy(), replace(good(), client="0.16.1"), {}, ["is 0.16.1"]),
    (
        "ollama-fight",
        healthy(),
        said("Error: listen tcp 127.0.0.1:11434: bind: address already in use"),
        {},
        ["gateway.err.log, 2025-11-22 22:19 UTC: Error"],
    ),
    (
        "ollama-env-mode",
        with_file(healthy(), "ollama_env", replace(healthy().ollama_env, mode="664")),
        good(),
        {},
        ["mode 664"],
    ),
    (
        "models-missing",
        replace(healthy(), models=(Model("qwen3-coder:latest", "", 1),)),
        good(),
        {},
        ["missing: gpt-oss:20b (13.8 GB)"],
    ),
    (
        "context-served",
        healthy("2026.2.12"),
        replace(good(), served=(Served("gpt-oss:20b", 4096, 10, 10),)),
        {},
        ["served with 4,096 tokens", "promises 32,768"],
    ),
    (
        "context-served",
        with_file(healthy("2026.2.12"), "ollama_env", file(ENV, "OLLAMA_CONTEXT_LENGTH=4096\n")),
        replace(good(), served=()),
        {},
        ["ollama.env says 4096"],
    ),
    (
        "ollama-truncates",
        healthy(),
        said('time=2025-11-22T22:19:00Z level=WARN msg="truncating input prompt"'),
        {},
        ["truncating"],
    ),
    (
        "model-too-big",
        replace(healthy(), memory=24 * 1024**3),
        good(),
        {},
        ["qwen3-coder does not fit"],
    ),
    (
        "model-too-big",
        healthy(),
        replace(good(), served=(Served("gpt-oss:20b", 131072, 100, 75),)),
        {},
        ["25 % are off the GPU"],
    ),
    (
        "base-url",
        config(healthy(), lambda c: provider(c).update(baseUrl="http://127.0.0.1:9/v1")),
        good(),
        {},
        ["Ollama is on port 11434"],
    ),
    (
        "base-url",
        config(healthy(), lambda c: provider(c).update(baseUrl="http://localhost:11434/v1")),
        good(),
        {},
        ["there is no /v1"],
    ),
    ("openclaw-too-old", healthy("2026.1.30"), good(), {}, ["OpenClaw 2026.1.30"]),
    (
        "openclaw-not-measured",
        replace(healthy(), openclaw="2027.1.1"),
        good(),
        {},
        ["OpenClaw 2027.1.1"],
    ),
    (
        "node-too-old",
        replace(healthy(), nodes=(Node("/usr/local/bin/node", "22.12.0"),)),
        good(),
        {},
        ["22.12.0; OpenClaw 2026.9.6 needs Node >=24.16.0"],
    ),
    (
        "config-malformed",
        with_file(healthy(), "config", file(healthy().config.path, "{\n gateway: {,}\n}\n")),
        replace(good(), verdict=Verdict(False, "SyntaxError")),
        {},
        ["line 2, column 12"],
    ),
    (
        "config-refused",
        healthy(),
        replace(good(), verdict=Verdict(False, 'Config invalid\n  Unrecognized key: "nope"\n')),
        {},
        ['Config invalid Unrecognized key: "nope"'],
    ),
    (
        "gateway-mode",
        config(healthy(), lambda c: c["gateway"].pop("mode")),
        good(),
        {},
        ["gateway.mode is missing"],
    ),
    (
        "legacy-credentials",
        with_file(healthy(), "auth", file(healthy().auth.path, "{}")),
        good(),
        {},
        ["auth-profiles.json", "doctor --fix"],
    ),
    (
        "window-too-small",
        config(healthy(), lambda c: provider(c)["models"][0].update(contextWindow=16384)),
        replace(good(), sessions=()),
        {},
        ["gpt-oss:20b is 16,384", "needs 32,768"],
    ),
    (
        "session-too-long",
        healthy(),
        replace(
            good(),
            sessions=(Session("agent:main:main", 90000), Session("agent:main:x", None)),
            messages=said("Context overflow: prompt too large for the model.").messages,
        ),
        {},
        ["session agent:main:main holds 90,000 tokens, the window is 32,768", "when-needed"],
    ),
    (
        "context-overflow",
        healthy(),
        said("lane task error: Context overflow: prompt too large for the model."),
        {},
        ["Context overflow"],
    ),
    (
        "discovery",
        healthy(),
        said("Failed to discover Ollama models: TypeError: fetch failed"),
        {},
        ["tasks/environment.py"],
    ),
    (
        "cooldown",
        healthy(),
        said("No available auth profile for ollama (all in cooldown or unavailable)."),
        {},
        ["cooldown"],
    ),
    ("token", healthy(), said("unauthorized: device token mismatch"), {}, ["mismatch"]),
    (
        "model-unknown",
        config(healthy(), lambda c: c["agents"]["defaults"]["model"].update(primary="ollama/gone")),
        good(),
        {},
        ["nobody provides ollama/gone"],
    ),
    (
        "readable-by-others",
        healthy(),
        replace(
            good(),
            folders=(("755", f"{HOME}/.openclaw"),),
            readable=(("644", f"{HOME}/.openclaw/openclaw.json"), ("644", "/elsewhere")),
        ),
        {},
        ["mode 755", "openclaw.json (644)", "chmod -R go-rwx"],
    ),
    (
        "proxy",
        with_file(healthy(), "dotenv", file(f"{HOME}/.openclaw/.env", "HTTPS_PROXY=http://p\n")),
        good(),
        {},
        ["HTTPS_PROXY in /Users/mac/.openclaw/.env"],
    ),
    (
        "proxy",
        replace(healthy(), gui_environment={"http_proxy": "http://p"}),
        good(),
        {},
        ["http_proxy in launchd's domain gui/501"],
    ),
    (
        "proxy",
        replace(healthy(), gateway_port=replace(healthy().gateway_port, proxies=("http_proxy",))),
        good(),
        {},
        ["http_proxy in the running gateway", "tasks/gateway.py"],
    ),
    (
        "proxy-kept",
        replace(healthy(), gui_environment={"http_proxy": "http://p"}),
        good(),
        {"proxies": "keep"},
        ["http_proxy in launchd's domain"],
    ),
    ("proxy-shell", replace(healthy(), shell_proxies=("~/.zshrc",)), good(), {}, ["~/.zshrc"]),
    ("proxy-at-login", replace(healthy(), agent_proxies=("~/a.plist",)), good(), {}, ["~/a.plist"]),
    (
        "proxy-system",
        healthy(),
        replace(
            good(), system_proxy={"HTTPEnable": "1", "HTTPProxy": "10.1.1.1", "HTTPPort": "7890"}
        ),
        {},
        ["HTTP 10.1.1.1:7890"],
    ),
    (
        "no-login",
        replace(healthy(), gui=False, gui_error="Bad request."),
        good(),
        {},
        ["Bad request"],
    ),
    ("system-daemon", replace(healthy(), gateway_system=True), good(), {}, ["sudo launchctl"]),
    (
        "gateway-port",
        replace(healthy(), gateway=None, gateway_port=Listener(18789, (Process(7, 1, 9, "nc"),))),
        replace(good(), gateways=()),
        {},
        ["taken by pid 7: nc", "kill 7"],
    ),
    (
        "gateway-port",
        replace(healthy(), gateway=None, gateway_port=SILENT),
        replace(good(), gateways=()),
        {},
        ["a process of another user"],
    ),
    (
        "gateway-by-hand",
        replace(
            healthy(), gateway=None, gateway_port=Listener(18789, (Process(7, 1, 9, GATEWAY),))
        ),
        replace(good(), gateways=(Process(7, 1, 9, GATEWAY),)),
        {},
        ["pid 7"],
    ),
    (
        "several-gateways",
        healthy(),
        replace(good(), gateways=(*good().gateways, Process(7, 1, 9, GATEWAY))),
        {},
        ["besides launchd's (pid 900): pid 7"],
    ),
    (
        "several-gateways",
        healthy(),
        replace(good(), agents=("ai.openclaw.gateway.plist", "com.clawdbot.gateway.plist")),
        {},
        ["com.clawdbot.gateway.plist", "launchctl bootout gui/501/com.clawdbot.gateway"],
    ),
    (
        "gateway-not-installed",
        replace(
            healthy(),
            plist=file(healthy().plist.path),
            gateway=None,
            gateway_port=SILENT,
            gateway_http=0,
        ),
        replace(good(), gateways=()),
        {},
        ["no /Users/mac/Library/LaunchAgents"],
    ),
    (
        "gateway-disabled",
        replace(
            healthy(), gateway_disabled=True, gateway=None, gateway_port=SILENT, gateway_http=0
        ),
        replace(good(), gateways=()),
        {},
        ["disabled"],
    ),
    (
        "gateway-not-loaded",
        replace(healthy(), gateway=None, gateway_port=SILENT, gateway_http=0),
        replace(good(), gateways=()),
        {},
        ["gui/501/ai.openclaw.gateway is not loaded"],
    ),
    (
        "gateway-crashes",
        replace(
            job(pid=None, state="spawn scheduled", runs=9, last_exit="1"),
            gateway_port=SILENT,
            gateway_http=0,
        ),
        replace(said("Gateway failed to start: oh"), gateways=()),
        {},
        ["runs 9, last exit 1", "Gateway failed to start: oh"],
    ),
    (
        "gateway-crashes",
        replace(
            job(runs=4, last_exit="78: EX_CONFIG"),
            gateway_port=Listener(18789, (Process(900, 1, 3, GATEWAY),)),
        ),
        replace(good(), gateways=()),
        {},
        ["runs 4, last exit 78: EX_CONFIG"],
    ),
    (
        "gateway-hangs",
        replace(healthy(), gateway_http=0),
        good(),
        {},
        ["pid 900 listens on port 18789 and does not answer"],
    ),
    (
        "gateway-hangs",
        replace(healthy(), gateway_http=0, gateway_port=SILENT),
        good(),
        {},
        ["pid 900 does not listen"],
    ),
    (
        "gateway-outdated",
        with_file(healthy(), "plist", file(healthy().plist.path, plist(port=18790), mode="644")),
        good(),
        {},
        ["its plist has port 18790, the config 18789"],
    ),
    (
        "gateway-stale",
        replace(healthy(), restart_needed=("openclaw.json was changed",)),
        good(),
        {},
        ["not restarted since: openclaw.json was changed"],
    ),
]


@pytest.mark.parametrize("version", ["2026.2.12", OLD, "2026.6.6", NEW])
def test_a_good_mac_has_none(version: str) -> None:
    symptoms = good()
    assert found(healthy(version), symptoms) == []
    case = Case(healthy(version), symptoms, settings(), 18789)
    line = diagnosis.well(case, [])
    for word in ("macOS 15.6", "awake", "Ollama 0.32.3", f"OpenClaw {version}", "gateway pid 900"):
        assert word in line


@pytest.mark.parametrize(("name", "snapshot", "symptoms", "wished", "words"), BAD)
def test_exactly_that_trouble_is_found(
    name: str, snapshot: Snapshot, symptoms: Symptoms, wished: dict[str, Any], words: list[str]
) -> None:
    findings = found(snapshot, symptoms, **wished)
    assert [finding.id for finding in findings] == [name], findings
    told = findings[0]
    for part in (told.seen, told.expected, told.fix, told.title):
        assert part.strip()
        assert "None" not in part
        assert TOKEN not in part
    for word in words:
        assert word in f"{told.seen}\n{told.fix}"


def test_what_goes_with_others() -> None:
    """Troubles that never come alone."""
    names = {finding.id for finding in found(bare(), replace(good(), served=(), client=None))}
    assert names == {"no-homebrew", "openclaw-missing"}
    equipped = replace(healthy(), ollama_formula=None, ollama_port=Listener(11434))
    missing = replace(equipped, ollama_server=None)
    assert {f.id for f in found(missing)} == {"ollama-missing"}
    asleep = replace(good(), power={"sleep": 10, "womp": 0})
    assert {f.id for f in found(healthy(), asleep)} == {"sleeps", "no-wake"}
    lan = config(healthy(), lambda c: provider(c).update(baseUrl="http://192.168.1.7:11434"))
    assert {f.id for f in found(lan)} == {"base-url", "local-network"}


def test_every_row_of_the_table_has_a_bad_mac() -> None:
    together = {"no-homebrew", "openclaw-missing", "ollama-missing", "no-wake", "local-network"}
    tested = {name for name, *_ in BAD} | together | {"clock"}
    assert tested == {known.id for known in diagnosis.TROUBLES}
    assert len(diagnosis.TROUBLES) == len(tested)  # no name twice


@pytest.mark.parametrize(
    ("mac", "before", "after", "word"),
    [
        (1000, 1000, 1002, ""),
        (1121, 1000, 1002, ""),
        (1200, 1000, 1002, "198 s ahead of"),
        (700, 1000, 1002, "300 s behind"),
    ],
)
def test_the_clock(mac: int, before: float, after: float, word: str) -> None:
    case = Case(replace(healthy(), now=mac), good(), settings(), 18789, (before, after))
    told = [finding.seen for finding in diagnosis.diagnose(case) if finding.id == "clock"]
    assert bool(told) == bool(word)
    assert word in "".join(told)


def test_a_line_from_before_the_gateway_was_started_is_over() -> None:
    text = "Failed to discover Ollama models: fetch failed"
    assert [f.id for f in found(healthy(), said(text, age=3990))] == ["discovery"]
    assert found(healthy(), said(text, age=4100)) == []
    stopped = replace(healthy(), gateway=None, gateway_port=SILENT, gateway_http=0)
    none = {"gateways": ()}
    names = {f.id for f in found(stopped, replace(said(text, age=4100), **none))}  # type: ignore[arg-type]
    assert "discovery" in names
    names = {f.id for f in found(stopped, replace(said(text, age=90000), **none))}  # type: ignore[arg-type]
    assert "discovery" not in names


def test_what_can_not_be_looked_at_leaves_the_rest() -> None:
    binary = with_file(healthy(), "plist", file(healthy().plist.path, b"bplist00", mode="644"))
    broken = replace(good(), auto_login=None, unread=("pmset -g custom: exit code 77",))
    told = found(replace(binary, restart_needed=("x",)), broken)
    assert {f.id for f in told} >= {"not-looked-at", "no-automatic-login", "gateway-stale"}
    seen = " ".join(f.seen for f in told)
    assert "pmset -g custom: exit code 77 could not be read" in seen
    assert "proxy could not be looked at" in seen
    assert "binary plist" in seen


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("ollama-down", "ollama"),
        ("ollama-version", "ollama"),
        ("proxy", "environment"),
        ("gateway-not-loaded", "gateway"),
        ("gateway-hangs", "gateway"),
        ("readable-by-others", "modes"),
        ("gateway-port", None),
        ("ollama-port", None),
        ("ollama-twice", None),
        ("models-missing", None),
        ("gateway-disabled", None),
        ("system-daemon", None),
        ("session-too-long", None),
        ("base-url", None),
    ],
)
def test_only_what_is_safe_is_mended(name: str, mend: str | None) -> None:
    snapshot, symptoms, wished = next(row[1:4] for row in BAD if row[0] == name)
    assert [finding.mend for finding in found(snapshot, symptoms, **wished)] == [mend]


def test_a_config_is_mended_only_where_it_was_ours_before() -> None:
    snapshot = next(row[1] for row in BAD if row[0] == "base-url")
    ours = with_file(snapshot, "owned", file(f"{HOME}/.clawfleet/owned.json", "{}"))
    assert [finding.mend for finding in found(ours)] == ["config"]


def test_private_files_are_made_so_by_taking_rights_away() -> None:
    symptoms = replace(good(), folders=(("755", "/Users/a b/.openclaw"),))
    writable = with_file(healthy(), "ollama_env", replace(healthy().ollama_env, mode="666"))
    steps = modes.plan(writable, symptoms)
    assert [step.show for step in steps] == [
        "chmod -RP go-rwx '/Users/a b/.openclaw'",
        f"chmod go-rwx {ENV}",
    ]
    assert modes.plan(healthy(), good()) == []


def test_the_page_is_made_of_the_table() -> None:
    page = (REPO / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == document(), "python -m clawfleet.diagnosis > docs/troubleshooting.md"
    for known in diagnosis.TROUBLES:
        assert known.chinese in page
        assert known.words
    # The troubles of the article, by the words it has for them.
    for words in (
        "gateway already running",
        "Context overflow: prompt too large for the model",
        "Failed to discover Ollama models: fetch failed",
        "client/server version mismatch",
        "上下文溢出",
        "网关已在运行",
        "无法发现 Ollama 模型",
        "版本不匹配",
    ):
        assert words in page


def test_every_mend_has_its_step() -> None:
    from clawfleet.operations.diagnose import _STEPS

    assert tuple(_STEPS) == MENDS
