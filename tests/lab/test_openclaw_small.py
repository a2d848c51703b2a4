"""The small OpenClaw's words against outputs of the real 2026.2.12, 2026.2.17 and 2026.9.6."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.openclaw_bench import TOKEN, Clawed

OLDEST, OLD, NEW = "2026.2.12", "2026.2.17", "2026.9.6"
VERSIONS = [OLDEST, OLD, NEW]
MODEL = '{ id: "m", name: "M" }'


@pytest.fixture(params=VERSIONS)
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> Clawed:
    bench = Clawed(tmp_path, request.param)
    bench.install_small()
    return bench


def provider(inner: str) -> str:
    return f'{{ models: {{ providers: {{\n ollama: {{ baseUrl: "http://h/v1", {inner} }} }} }} }}'


def test_version(mac: Clawed) -> None:
    expected = {NEW: "OpenClaw 2026.9.6 (eb377ac)\n"}.get(mac.version, f"{mac.version}\n")
    assert mac.openclaw("--version").stdout == expected


NAME = "expected string, received undefined"
REFUSED = [
    (f"fooBar: 1, models: [{MODEL}]", VERSIONS, "", 'Unrecognized key: "fooBar"', 2),
    (
        f"timeoutSeconds: 5, injectNumCtxForOpenAICompat: true, models: [{MODEL}]",
        [OLDEST, OLD],
        "",
        'Unrecognized keys: "timeoutSeconds", "injectNumCtxForOpenAICompat"',
        2,
    ),
    (
        'models: [{ id: "m", name: "M",\n contextWindow: "big" }]',
        VERSIONS,
        ".models[0].contextWindow",
        "Invalid input: expected number, received string",
        3,
    ),
    (
        'api: "openai-completions"',
        [OLDEST, OLD],
        ".models",
        "Invalid input: expected array, received undefined",
        None,
    ),
    ('models: [{ id: "m" }]', VERSIONS, ".models[0].name", f"Invalid input: {NAME}", None),
    (f'api: "ollama", models: [{MODEL}]', [OLDEST], ".api", "Invalid input", 2),
    (
        'models: [{ id: "m", name: "M", params: { num_ctx: 5 } }]',
        [OLDEST, OLD],
        ".models[0]",
        'Unrecognized key: "params"',
        2,
    ),
]


@pytest.mark.parametrize(("inner", "by", "path", "message", "line"), REFUSED)
def test_schema_of_providers(
    mac: Clawed, inner: str, by: list[str], path: str, message: str, line: int | None
) -> None:
    mac.write_config(provider(inner))
    done = mac.openclaw("config", "get", "models.providers.ollama.baseUrl")
    if mac.version not in by:
        assert (done.returncode, done.stdout) == (0, "http://h/v1\n")
        return
    place = f"models.providers.ollama{path}"
    assert (done.returncode, done.stdout) == (1, "")
    if mac.version == NEW:
        where = f"openclaw.json:{line} — " if line else ""
        assert done.stderr == (
            "OpenClaw config is invalid: ~/.openclaw/openclaw.json\n"
            f"- {where}{place}: {message}\n"
            "Run `openclaw doctor --fix` to repair, then retry.\n"
        )
        return
    issue = f"{place.replace('[', '.').replace(']', '')}: {message}"
    once = f"Invalid config at ~/.openclaw/openclaw.json:\\n- {issue}\n"
    rest = {
        OLDEST: once,
        OLD: "Config invalid\nFile: ~/.openclaw/openclaw.json\nProblem:\n"
        f"  - {issue}\n\nRun: openclaw doctor --fix\n",
    }[mac.version]
    assert done.stderr == once + rest


def test_unknown_key_at_the_top_stops_everything(mac: Clawed) -> None:
    mac.write_config("{ topLevelUnknown: 1 }")
    for command in (["config", "get", "gateway.port"], ["health"], ["gateway", "install"]):
        done = mac.openclaw(*command)
        assert done.returncode == 1
        assert '- <root>: Unrecognized key: "topLevelUnknown"' in done.stderr
    assert mac.calls() == []
    assert mac.openclaw("gateway", "run").returncode == (78 if mac.version == NEW else 1)


def test_unparseable(mac: Clawed) -> None:
    mac.write_config("{ broken\n")
    done = mac.openclaw("config", "get", "gateway.port")
    old = (
        "Failed to read config at ~/.openclaw/openclaw.json "
        "SyntaxError: JSON5: invalid end of input at 2:1\n"
    )
    new = (
        "OpenClaw config is invalid: ~/.openclaw/openclaw.json\n"
        "- <root>: JSON5 parse failed: SyntaxError: JSON5: invalid end of input at 2:1\n"
        "Run `openclaw doctor --fix` to repair, then retry.\n"
    )
    assert (done.returncode, done.stderr) == (1, new if mac.version == NEW else old)


def test_config_get(mac: Clawed) -> None:
    mac.write_config({"gateway": mac.gateway(), "models": {"providers": {}}})
    port = mac.openclaw("config", "get", "gateway.port")
    assert (port.returncode, port.stdout) == (0, f"{mac.mac.gateway_port}\n")
    token = mac.openclaw("config", "get", "gateway.auth.token").stdout
    assert token == ("__OPENCLAW_REDACTED__\n" if mac.version == NEW else f"{TOKEN}\n")
    block = mac.openclaw("config", "get", "gateway", "--json").stdout
    assert json.loads(block)["bind"] == "loopback"
    absent = mac.openclaw("config", "get", "nope.nope")
    assert absent.returncode == 1
    assert absent.stderr == (
        "Unknown config path: nope.nope. Run openclaw config schema to inspect valid paths.\n"
        if mac.version == NEW
        else "Config path not found: nope.nope\n"
    )


def test_config_commands_that_only_the_newer_has(mac: Clawed) -> None:
    mac.write_config({"gateway": mac.gateway()})
    file, valid = mac.openclaw("config", "file"), mac.openclaw("config", "validate")
    as_json = mac.openclaw("config", "validate", "--json")
    if mac.version != NEW:
        many = "error: too many arguments for 'config'. Expected 0 arguments but got 1.\n"
        assert (file.returncode, file.stderr) == (1, many)
        assert (valid.returncode, valid.stderr) == (1, many)
        assert as_json.stderr == "error: unknown option '--json'\n"
        return
    assert file.stdout == "~/.openclaw/openclaw.json\n"
    assert valid.stdout == "Config valid: ~/.openclaw/openclaw.json\n"
    assert as_json.stdout == '{"valid":true,"path":"~/.openclaw/openclaw.json","warnings":[]}\n'
    schema = json.loads(mac.openclaw("config", "schema").stdout)
    assert {"gateway", "models", "agents", "mcp"} <= schema["properties"].keys()
    mac.write_config(provider("fooBar: 1"))
    bad = mac.openclaw("config", "validate")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == (
        "OpenClaw config is invalid: ~/.openclaw/openclaw.json\n"
        '  × openclaw.json:2 — models.providers.ollama: Unrecognized key: "fooBar"\n\n'
        "Run `openclaw doctor --fix` to repair, or fix the keys above manually.\n"
        "Inspect with openclaw config validate.\n"
    )
    report = json.loads(mac.openclaw("config", "validate", "--json").stdout)
    assert report["valid"] is False
    assert report["issues"] == [
        {"path": "models.providers.ollama", "message": 'Unrecognized key: "fooBar"'}
    ]


def test_gateway_that_may_not_start(mac: Clawed) -> None:
    mac.write_config({"models": {"providers": {}}})
    done = mac.openclaw("gateway", "run")
    if mac.version == NEW:
        assert done.returncode == 78
        assert "Gateway start blocked: existing config is missing gateway.mode." in done.stderr
    else:
        assert done.returncode == 1
        assert (
            "Gateway start blocked: set gateway.mode=local (current: unset) or pass "
            "--allow-unconfigured." in done.stderr
        )


def test_credentials_of_old_stop_the_new_gateway(tmp_path: Path) -> None:
    mac = Clawed(tmp_path, NEW)
    mac.install_small()
    mac.write_config({"gateway": mac.gateway()})
    folder = Path(mac.mac.home, ".openclaw", "agents", "main", "agent")
    folder.mkdir(parents=True)
    profile = {"type": "api_key", "provider": "ollama", "key": "ollama"}
    file = folder / "auth-profiles.json"
    file.write_text(json.dumps({"version": 1, "profiles": {"ollama:default": profile}}))
    assert mac.openclaw("config", "validate").returncode == 0
    done = mac.openclaw("gateway", "run")
    assert done.returncode == 78
    assert (
        "Gateway failed to start: Auth profile store ~/.openclaw/state/openclaw.sqlite requires "
        "legacy credential migration; affected providers: ollama; run openclaw doctor --fix."
        in done.stderr
    )
    mac.openclaw("doctor", "--fix", "--non-interactive", "--yes")
    assert [path.name.split("-")[0:2] for path in folder.iterdir()] == [
        ["auth", "profiles.json.migrated"]
    ]


def test_health_of_a_gateway_that_is_down(mac: Clawed) -> None:
    mac.write_config({"gateway": mac.gateway()})
    done = mac.openclaw("health", "--json")
    assert done.returncode == 1
    if mac.version == NEW:
        assert json.loads(done.stdout)["ok"] is False
        return
    assert done.stdout == ""
    assert done.stderr.startswith(
        "[openclaw] Failed to start CLI: Error: gateway closed (1006 abnormal closure "
        "(no close frame)): no close reason\n"
        f"Gateway target: ws://127.0.0.1:{mac.mac.gateway_port}\nSource: local loopback\n"
        "Config: ~/.openclaw/openclaw.json\nBind: loopback\n    at "
    )


def test_unknown_commands(mac: Clawed) -> None:
    top, gateway = mac.openclaw("frobnicate"), mac.openclaw("gateway", "frobnicate")
    assert top.returncode == gateway.returncode == 1
    if mac.version == NEW:
        assert top.stderr.startswith('OpenClaw does not know the command "frobnicate".\n')
        assert gateway.stderr.startswith('OpenClaw gateway has no command "frobnicate".\n')
    else:
        assert top.stderr == "error: unknown command 'frobnicate'\n"
        assert gateway.stderr == (
            "error: too many arguments for 'gateway'. Expected 0 arguments but got 1.\n"
        )
