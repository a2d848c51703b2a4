"""The small OpenClaw as a service: launchctl calls, probes, turns, failover, proxies."""

from __future__ import annotations

import contextlib
import json
import plistlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.openclaw_bench import TOKEN, Clawed, FakeOllama, free_port
from tests.lab.standins.launchd_bench import until

OLD, NEW = "2026.2.17", "2026.9.6"
GUI = "gui/UID"
JOB = f"{GUI}/ai.openclaw.gateway"
PLIST = "~/Library/LaunchAgents/ai.openclaw.gateway.plist"
NOT_LOADED = (
    "Gateway service not loaded.\nStart with: openclaw gateway install\n"
    "Start with: openclaw gateway\n"
    f"Start with: launchctl bootstrap gui/$UID {PLIST}\n"
)


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama()
    yield fake
    fake.close()


@contextlib.contextmanager
def running(folder: Path, version: str) -> Iterator[Clawed]:
    mac = Clawed(folder, version)
    mac.install_small()
    mac.write_config({"gateway": mac.gateway()})
    mac.up()
    try:
        yield mac
    finally:
        mac.down()


@pytest.fixture(params=[OLD, NEW])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Clawed]:
    with running(tmp_path, request.param) as bench:
        yield bench


def listens(mac: Clawed) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", mac.mac.gateway_port)) == 0


def up(mac: Clawed) -> None:
    until(lambda: listens(mac), "the gateway listens")


def loaded(mac: Clawed) -> bool:
    return mac.sh("launchctl", "print", f"gui/{mac.mac.uid}/ai.openclaw.gateway").returncode == 0


def changes(mac: Clawed) -> list[str]:
    """The calls that change something, each once in a row: how often one asks depends on timing."""
    calls = [call for call in mac.calls() if not call.startswith("print")]
    return [call for index, call in enumerate(calls) if calls[index - 1 : index] != [call]]


def get(mac: Clawed, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{mac.mac.gateway_port}{path}", headers=headers
    )
    with urllib.request.urlopen(request) as response:
        return response.status, response.read().decode()


def test_life_of_the_old_service(tmp_path: Path) -> None:
    with running(tmp_path, OLD) as mac:
        done = mac.openclaw("gateway", "install")
        assert done.stdout == (
            f"\nInstalled LaunchAgent: {PLIST}\nLogs: ~/.openclaw/logs/gateway.log\n"
        )
        assert changes(mac) == [
            f"bootout {GUI} {PLIST}",
            f"unload {PLIST}",
            f"enable {JOB}",
            f"bootstrap {GUI} {PLIST}",
            f"kickstart -k {JOB}",
        ]
        up(mac)
        assert json.loads(mac.openclaw("health", "--json").stdout)["ok"] is True
        again = mac.openclaw("gateway", "install")
        assert again.stdout.startswith("Gateway service already loaded.\n")
        mac.calls()
        assert "Restarted LaunchAgent: " in mac.openclaw("gateway", "restart").stdout
        assert changes(mac) == [f"kickstart -k {JOB}"]
        assert "Stopped LaunchAgent: " in mac.openclaw("gateway", "stop").stdout
        assert changes(mac) == [f"bootout {JOB}"]
        until(lambda: not loaded(mac), "the job is gone")
        assert not listens(mac)
        mac.calls()
        for verb in ("start", "restart"):
            done = mac.openclaw("gateway", verb)
            assert (done.returncode, done.stdout) == (0, NOT_LOADED)
        assert changes(mac) == []
        done = mac.openclaw("gateway", "uninstall")
        assert done.stdout == ("Moved LaunchAgent to Trash: ~/.Trash/ai.openclaw.gateway.plist\n")


def test_life_of_the_new_service(tmp_path: Path) -> None:
    with running(tmp_path, NEW) as mac:
        assert mac.openclaw("gateway", "install").returncode == 0
        assert changes(mac) == [f"enable {JOB}", f"bootstrap {GUI} {PLIST}"]
        up(mac)
        assert mac.openclaw("gateway", "install").stdout == (
            "Gateway service already loaded.\nReinstall with: openclaw gateway install --force\n"
        )
        mac.calls()
        refused = mac.openclaw("gateway", "stop")
        assert refused.returncode == 1
        assert refused.stderr.startswith("This stops the operator's running gateway service.")
        assert mac.calls() == []
        mac.openclaw("gateway", "stop", "--force")
        assert changes(mac) == [f"bootout {JOB}"]
        assert not listens(mac)
        assert mac.openclaw("gateway", "start").stdout == (
            "Gateway LaunchAgent was installed but not loaded; re-bootstrapped launchd service.\n"
        )
        assert changes(mac) == [f"enable {JOB}", f"bootstrap {GUI} {PLIST}"]
        assert listens(mac)
        env = Path(mac.mac.home, ".openclaw/service-env/ai.openclaw.gateway.env")
        with open(env, "a", encoding="utf-8") as file:
            file.write("export HTTP_PROXY='http://127.0.0.1:9'\n")
        repaired = mac.openclaw("gateway", "restart")
        assert repaired.stdout.endswith("Gateway service definition repaired and restarted.\n")
        assert "HTTP_PROXY" not in env.read_text()
        assert changes(mac)[:3] == [f"bootout {GUI} {PLIST}", f"unload {PLIST}", f"enable {JOB}"]


def test_files_of_the_service(mac: Clawed) -> None:
    mac.openclaw("gateway", "install", http_proxy="http://127.0.0.1:9", OLLAMA_API_KEY="x")
    path = Path(mac.mac.home, PLIST.removeprefix("~/"))
    plist: dict[str, Any] = plistlib.loads(path.read_bytes())
    port = str(mac.mac.gateway_port)
    entry = f"{mac.mac.homebrew_prefix}/lib/node_modules/openclaw/dist/index.js"
    node = f"{mac.keg}/bin/node"
    assert plist["Label"] == "ai.openclaw.gateway"
    assert plist["RunAtLoad"] is plist["KeepAlive"] is True
    assert path.stat().st_mode & 0o777 == 0o644
    if mac.version == OLD:
        assert plist["ProgramArguments"] == [node, entry, "gateway", "--port", port]
        environment = plist["EnvironmentVariables"]
        assert environment["OPENCLAW_GATEWAY_TOKEN"] == TOKEN
        assert not {"http_proxy", "OLLAMA_API_KEY"} & environment.keys()
        assert plist["StandardOutPath"].endswith("/.openclaw/logs/gateway.log")
        assert plist["StandardErrorPath"].endswith("/.openclaw/logs/gateway.err.log")
        return
    folder = Path(mac.mac.home, ".openclaw", "service-env")
    env = folder / "ai.openclaw.gateway.env"
    wrapper = folder / "ai.openclaw.gateway-env-wrapper.sh"
    run = [node, "--max-old-space-size=8192", entry, "gateway", "--port", port]
    assert plist["ProgramArguments"] == ["/bin/sh", str(wrapper), str(env), *run]
    assert "EnvironmentVariables" not in plist
    assert (plist["ExitTimeOut"], plist["Umask"], plist["ThrottleInterval"]) == (20, 63, 10)
    assert plist["StandardOutPath"] == plist["StandardErrorPath"]
    modes = {path.stat().st_mode & 0o777 for path in (folder, wrapper)}
    assert (modes, env.stat().st_mode & 0o777) == ({0o700}, 0o600)
    text = env.read_text()
    assert text.startswith("# Generated by OpenClaw. Do not edit while")
    assert "export NODE_OPTIONS=''\n" in text
    assert TOKEN not in text
    assert "proxy" not in text.lower()


def test_what_the_gateways_port_answers(mac: Clawed) -> None:
    mac.openclaw("gateway", "install")
    up(mac)
    for path in ("/healthz", "/readyz", "/v1/models", "/anything"):
        status, text = get(mac, path)
        assert status == 200
        html = text.startswith("<!doctype html>")
        assert html == (mac.version == OLD or path == "/anything")
    if mac.version == NEW:
        assert json.loads(get(mac, "/healthz")[1]) == {"ok": True, "status": "live"}
        assert json.loads(get(mac, "/readyz")[1])["ready"] is True
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(mac, "/__lab/health", Authorization="Bearer wrong")
    assert mac.openclaw("health").returncode == 0
    clash = mac.openclaw("gateway", "run")
    assert clash.returncode == (78 if mac.version == NEW else 1)


def test_faults_of_the_gateway(mac: Clawed) -> None:
    mac.faults('{"openclaw.gateway": "exit"}')
    done = mac.openclaw("gateway", "run")
    assert done.returncode == 1
    assert "Gateway failed to start" in done.stderr


def chain(mac: Clawed, port: int, api: str, **provider: Any) -> None:
    base = f"http://127.0.0.1:{port}" + ("" if api == "ollama" else "/v1")
    models = [{"id": name, "name": name} for name in ("first", "second")]
    cloud = {
        "baseUrl": f"http://127.0.0.1:{port}/v1",
        "api": "openai-completions",
        "apiKey": "k",
        "models": [{"id": "air", "name": "Air"}],
    }
    local = {"baseUrl": base, "api": api, "models": models, **provider}
    wanted = {"primary": "ollama/first", "fallbacks": ["ollama/second", "zai/air"]}
    mac.write_config(
        {
            "gateway": mac.gateway(),
            "models": {"providers": {"ollama": local, "zai": cloud}},
            "agents": {"defaults": {"model": wanted}},
        }
    )


def turn(mac: Clawed, **env: str) -> tuple[int, str, dict[str, Any]]:
    """A turn without a gateway: exit code, text, agentMeta."""
    done = mac.openclaw("agent", "--agent", "main", "--message", "hi", "--json", **env)
    found = json.loads(done.stdout)
    assert "Gateway agent failed; falling back to embedded" in done.stderr
    return done.returncode, found["payloads"][0]["text"], found["meta"]["agentMeta"]


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("api", ["openai-completions", "ollama"])
def test_a_turn(tmp_path: Path, ollama: FakeOllama, version: str, api: str) -> None:
    mac = Clawed(tmp_path, version)
    mac.install_small()
    chain(mac, ollama.port, api, apiKey="ollama-local")
    code, text, meta = turn(mac)
    assert (code, text, meta["provider"], meta["model"]) == (0, "first", "ollama", "first")
    sent = ollama.requests[0]
    assert sent["path"] == ("/api/chat" if api == "ollama" else "/v1/chat/completions")
    assert 40_000 < sent["bytes"] < 70_000
    options = {
        (OLD, "openai-completions"): None,
        (OLD, "ollama"): {"num_ctx": 200000},
        (NEW, "openai-completions"): {"num_ctx": 128000},
        (NEW, "ollama"): {},
    }
    assert sent["body"].get("options") == options[version, api]
    marker_stripped = version == NEW and api == "openai-completions"
    assert sent["authorization"] == (None if marker_stripped else "Bearer ollama-local")
    turn(mac)
    assert len(ollama.requests[1]["body"]["messages"]) > len(sent["body"]["messages"])


FAILOVER = [
    # version, credential, fault of the first model -> who answered
    (OLD, "apiKey", 404, "ollama/first"),
    (OLD, "apiKey", 500, "ollama/second"),
    (OLD, "apiKey", "reset", "ollama/first"),
    (OLD, "profile", 500, "zai/air"),
    (OLD, "profile", 404, "ollama/first"),
    (NEW, "apiKey", 404, "ollama/second"),
    (NEW, "apiKey", 500, "ollama/second"),
    (NEW, "apiKey", "reset", "ollama/second"),
]


@pytest.mark.parametrize(("version", "credential", "fault", "who"), FAILOVER)
def test_failover(
    tmp_path: Path, ollama: FakeOllama, version: str, credential: str, fault: int | str, who: str
) -> None:
    mac = Clawed(tmp_path, version)
    mac.install_small()
    key = {"apiKey": "ollama-local"} if credential == "apiKey" else {}
    chain(mac, ollama.port, "openai-completions", **key)
    if credential == "profile":
        folder = Path(mac.mac.home, ".openclaw", "agents", "main", "agent")
        folder.mkdir(parents=True)
        profile = {"type": "api_key", "provider": "ollama", "key": "ollama"}
        profiles = {"version": 1, "profiles": {"ollama:default": profile}}
        (folder / "auth-profiles.json").write_text(json.dumps(profiles))
    ollama.faults["first"] = fault
    code, text, meta = turn(mac)
    assert (code, f"{meta['provider']}/{meta['model']}") == (0, who)
    failed = {404: "HTTP 404: model 'first' not found", "reset": "Connection error."}
    assert text == (failed[fault] if who == "ollama/first" else who.rpartition("/")[2])


PROXIES = [
    (OLD, "openai-completions", "Connection error."),
    (OLD, "ollama", "fetch failed"),
    (NEW, "openai-completions", "Connection error."),
    (NEW, "ollama", "first"),
]


@pytest.mark.parametrize(("version", "api", "said"), PROXIES)
def test_a_dead_proxy(
    tmp_path: Path, ollama: FakeOllama, version: str, api: str, said: str
) -> None:
    mac = Clawed(tmp_path, version)
    mac.install_small()
    chain(mac, ollama.port, api, apiKey="ollama-local")
    dead = f"http://127.0.0.1:{free_port()}"
    assert turn(mac, http_proxy=dead)[1] == said
    assert turn(mac, ALL_PROXY=dead)[1] == "first"
    assert turn(mac, http_proxy=dead, NO_PROXY="127.0.0.1,localhost")[1] == "first"


def test_a_turn_through_the_gateway(mac: Clawed, ollama: FakeOllama) -> None:
    chain(mac, ollama.port, "openai-completions", apiKey="ollama-local")
    mac.openclaw("gateway", "install")
    up(mac)
    dead = f"http://127.0.0.1:{free_port()}"
    done = mac.openclaw("agent", "--message", "hi", "--json", http_proxy=dead)
    found = json.loads(done.stdout)
    assert (done.returncode, found["status"]) == (0, "ok")
    assert found["result"]["payloads"][0]["text"] == "first"
    mac.openclaw("agent", "--message", "again", "--json")
    seen = [len(sent["body"]["messages"]) for sent in ollama.requests]
    assert seen[1] > seen[0]
    sessions = Path(mac.mac.home, ".openclaw/agents/main/sessions/sessions.json")
    sessions.parent.mkdir(parents=True, exist_ok=True)
    sessions.write_text("{}\n")
    mac.openclaw("agent", "--message", "anew", "--json")
    emptied = len(ollama.requests[2]["body"]["messages"])
    assert (emptied == seen[0]) == (mac.version == OLD)
    reset = mac.openclaw(
        "gateway", "call", "sessions.reset", "--params", '{"key":"agent:main:main"}', "--json"
    )
    assert json.loads(reset.stdout)["ok"] is True
    mac.openclaw("agent", "--message", "anew", "--json")
    assert len(ollama.requests[3]["body"]["messages"]) == seen[0]
