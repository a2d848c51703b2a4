from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import json5, wish
from clawfleet.plan import FileChange
from clawfleet.snapshot import Snapshot
from tests.unit.factory import (
    HOME,
    NEW,
    OLD,
    TEMPLATES,
    TOKEN,
    equipped,
    file,
    healthy,
    settings,
)

OLDEST = "2026.2.12"
VERSIONS = [OLDEST, OLD, NEW]
CONFIG = f"{HOME}/.openclaw/openclaw.json"
AUTH = f"{HOME}/.openclaw/agents/main/agent/auth-profiles.json"

RICH = """\
// Two years of work. Do not touch!
{
  $schema: 'https://openclaw.ai/schema.json', // mine
  env: { vars: { ZAI_API_KEY: "zai-5ecret-key-123456" } },
  channels: {
    telegram: { enabled: true, botToken: '123456:5ecret-bot', allowFrom: [ 1, 2, ], },
  },
  models: {
    mode: "replace",
    providers: {
      zai: { baseUrl: "https://api.z.ai/v4", apiKey: "${ZAI_API_KEY}",
             models: [ {id: "glm-4.5-air", name: 'GLM'} ] },
      ollama: {
        baseUrl: "http://127.0.0.1:11434/v1",
        api: "openai-completions",
        apiKey: "my-own-key",
        headers: { "X-Mine": "1" },
        models: [
          { id: "llama3:8b", name: "Llama", contextWindow: 0x2000 }, // mine too
          { id: "gpt-oss:20b", name: "old name", cost: { input: 0, output: 0 }, },
        ],
      },
    },
  },
  agents: {
    defaults: {
      workspace: "~/work",
      model: { primary: "zai/glm-4.5-air", fallbacks: ["ollama/llama3:8b"], note: 1 },
      models: { "zai/glm-4.5-air": { alias: "GLM" } },
    },
    list: [ { id: "main" }, { id: "second" } ],
  },
  gateway: { mode: "local", port: 18800, bind: "lan", auth: { mode: "token", token: "TOKEN" } },
  cron: { enabled: true },
}
""".replace("TOKEN", TOKEN)


def plan(
    snapshot: Snapshot, token: Callable[[], str] | None = None, **changes: Any
) -> list[FileChange]:
    return wish.plan(snapshot, settings(**changes), TEMPLATES, token or (lambda: TOKEN)).files


def with_config(text: str | bytes, version: str = NEW, **more: Any) -> Snapshot:
    return replace(equipped(version), config=file(CONFIG, text, **more))


def merged(text: str, version: str = NEW, **changes: Any) -> str:
    """The new openclaw.json; the same text where nothing is to change."""
    for change in plan(with_config(text, version), **changes):
        if change.path == CONFIG:
            return change.after.decode()
    return text


def value(text: str, version: str = NEW, **changes: Any) -> Any:
    return json5.loads(merged(text, version, **changes))


def no_token() -> str:
    raise AssertionError("a new token was made although one is there")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fresh_mac_gets_a_config_that_starts(version: str) -> None:
    changes = {change.path: change for change in plan(equipped(version))}
    config = json.loads(changes[CONFIG].after)
    assert config["gateway"] == {
        "mode": "local",
        "bind": "loopback",
        "port": 18789,
        "auth": {"mode": "token", "token": TOKEN},
    }
    assert config["agents"]["defaults"]["model"] == {
        "primary": "ollama/gpt-oss:20b",
        "fallbacks": ["ollama/qwen3-coder"],
    }
    assert {change.mode for change in changes.values()} == {"600"}
    assert changes[CONFIG].after.endswith(b"}\n")
    assert set(changes) == ({CONFIG} if version == NEW else {CONFIG, AUTH})


@pytest.mark.parametrize(
    ("version", "api", "base_url", "keys"),
    [
        (OLDEST, "openai-completions", "http://127.0.0.1:11434/v1", {"baseUrl", "api", "models"}),
        (OLD, "ollama", "http://127.0.0.1:11434", {"baseUrl", "api", "models"}),
        (
            NEW,
            "ollama",
            "http://127.0.0.1:11434",
            {"baseUrl", "api", "apiKey", "timeoutSeconds", "models"},
        ),
    ],
)
def test_the_provider_is_what_the_version_accepts(
    version: str, api: str, base_url: str, keys: set[str]
) -> None:
    config = value("", version)
    provider = config["models"]["providers"]["ollama"]
    assert set(provider) == keys
    assert (provider["api"], provider["baseUrl"]) == (api, base_url)
    for model in provider["models"]:
        assert ("params" in model) is (version == NEW)
        assert model["contextWindow"] == 32768
    assert ("auth" in config) is (version != NEW)


def test_the_credential_of_versions_that_keep_it_in_a_file() -> None:
    changes = {change.path: change for change in plan(equipped(OLD))}
    assert json.loads(changes[AUTH].after) == {
        "version": 1,
        "profiles": {
            "ollama:default": {"type": "api_key", "provider": "ollama", "key": "ollama-local"}
        },
    }


def test_what_openclaw_wrote_into_its_credentials_stays() -> None:
    theirs = {
        "version": 1,
        "profiles": {
            "ollama:default": {"type": "api_key", "provider": "ollama", "key": "mine"},
            "zai:default": {"type": "api_key", "provider": "zai", "key": "5ecret"},
        },
        "lastGood": {"ollama": "ollama:default"},
        "usageStats": {"ollama:default": {"errorCount": 2}},
    }
    snapshot = replace(healthy(OLD), auth=file(AUTH, json.dumps(theirs)))
    assert plan(snapshot) == []
    del theirs["profiles"]["ollama:default"]  # type: ignore[attr-defined]
    snapshot = replace(healthy(OLD), auth=file(AUTH, json.dumps(theirs)))
    (change,) = plan(snapshot)
    after = json.loads(change.after)
    assert after["profiles"].pop("ollama:default")["key"] == "ollama-local"
    assert after == theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_application_changes_nothing(version: str) -> None:
    snapshot = healthy(version)
    assert plan(snapshot, no_token) == []
    assert merged(snapshot.config.text or "", version) == snapshot.config.text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "text",
    [
        RICH,
        "{}",
        "{ }  // nothing",
        "{agents:{defaults:{model:'zai/glm'}}}",
        "{agents:{defaults:{model:{primary:'zai/glm'}, models:{}}}}",
        "{gateway:{auth:{mode:'password',password:'5ecret'}}}",
        "\ufeff{\r\n\t'gateway': {},\r\n}\r\n",
    ],
)
def test_applying_twice_is_applying_once(version: str, text: str) -> None:
    once = merged(text, version)
    assert merged(once, version) == once
    assert json5.loads(once)["gateway"]["mode"] == "local"


def test_a_rich_config_keeps_everything_that_is_not_ours() -> None:
    after = merged(RICH)
    for kept in (
        "// Two years of work. Do not touch!",
        "$schema: 'https://openclaw.ai/schema.json', // mine",
        "allowFrom: [ 1, 2, ], },",
        'zai: { baseUrl: "https://api.z.ai/v4", apiKey: "${ZAI_API_KEY}"',
        'headers: { "X-Mine": "1" }',
        '{ id: "llama3:8b", name: "Llama", contextWindow: 0x2000 }, // mine too',
        'mode: "replace"',
        'apiKey: "my-own-key"',
        f'port: 18800, bind: "lan", auth: {{ mode: "token", token: "{TOKEN}" }} }}',
        'list: [ { id: "main" }, { id: "second" } ],',
        '"zai/glm-4.5-air": { alias: "GLM" }',
    ):
        assert kept in after
    config, before = json5.loads(after), json5.loads(RICH)
    provider = config["models"]["providers"]["ollama"]
    assert provider["api"] == "ollama"
    assert provider["baseUrl"] == "http://127.0.0.1:11434"
    assert [model["id"] for model in provider["models"]] == [
        "llama3:8b",
        "gpt-oss:20b",
        "qwen3-coder",
    ]
    ours = provider["models"][1]
    assert (ours["name"], ours["cost"]) == ("GPT-OSS 20B (Local)", {"input": 0, "output": 0})
    assert config["agents"]["defaults"]["model"] == {
        "primary": "ollama/gpt-oss:20b",
        "fallbacks": ["ollama/qwen3-coder", "ollama/llama3:8b"],
        "note": 1,
    }
    for key in ("$schema", "env", "channels", "gateway", "cron"):
        assert config[key] == before[key]


def test_no_new_token_where_one_is_there() -> None:
    for auth in (
        f"{{mode: 'token', token: '{TOKEN}'}}",
        f"{{token: '{TOKEN}'}}",
        "{token: '${OPENCLAW_TOKEN}'}",
        "{token: {source: 'env', provider: 'default', id: 'OPENCLAW_TOKEN'}}",
        "{mode: 'password', password: '5ecret'}",
        "{mode: 'trusted-proxy'}",
    ):
        text = f"{{gateway: {{auth: {auth}}}}}"
        before = json5.loads(text)["gateway"]["auth"]
        (change,) = plan(with_config(text), no_token)
        after = json5.loads(change.after.decode())["gateway"]["auth"]
        assert after.items() >= before.items()
        assert set(after) <= {*before, "mode"}


@pytest.mark.parametrize(
    "gateway",
    ["{}", "{auth: {}}", "{auth: {mode: 'token'}}", "{auth: {token: ''}}", "{auth: {token: null}}"],
)
def test_a_token_where_none_is(gateway: str) -> None:
    after = value(f"{{gateway: {gateway}}}")
    assert after["gateway"]["auth"] == {"mode": "token", "token": TOKEN}


def test_references_to_secrets_stay_in_the_place_of_a_key() -> None:
    reference = {"source": "env", "provider": "default", "id": "OLLAMA_KEY"}
    text = json.dumps({"models": {"providers": {"ollama": {"apiKey": reference}}}})
    assert value(text)["models"]["providers"]["ollama"]["apiKey"] == reference


@pytest.mark.parametrize(
    ("model", "keep", "fallbacks"),
    [
        ("'zai/glm'", True, ["ollama/qwen3-coder"]),
        ("{primary: 'zai/glm'}", True, ["ollama/qwen3-coder"]),
        ("{fallbacks: ['zai/a', 'zai/b']}", True, ["ollama/qwen3-coder", "zai/a", "zai/b"]),
        ("{fallbacks: ['zai/a', 'zai/b']}", False, ["ollama/qwen3-coder"]),
        ("{fallbacks: ['zai/a', 'ollama/qwen3-coder']}", True, ["ollama/qwen3-coder", "zai/a"]),
        ("{fallbacks: ['ollama/gpt-oss:20b']}", True, ["ollama/qwen3-coder"]),
        ("{fallbacks: []}", True, ["ollama/qwen3-coder"]),
        ("{fallbacks: null}", True, ["ollama/qwen3-coder"]),
    ],
)
def test_the_chain(model: str, keep: bool, fallbacks: list[str]) -> None:
    after = value(f"{{agents: {{defaults: {{model: {model}}}}}}}", keep_fallbacks=keep)
    chain = after["agents"]["defaults"]["model"]
    assert chain == {"primary": "ollama/gpt-oss:20b", "fallbacks": fallbacks}


@pytest.mark.parametrize(
    ("defaults", "allowed"),
    [
        # The list is also the list of allowed models, from its first entry on.
        ("{model: 'zai/glm'}", {"zai/glm": {}}),
        ("{model: {primary: 'zai/glm'}}", {"zai/glm": {}}),
        ("{model: {fallbacks: ['zai/air']}}", {"zai/air": {}}),
        ("{model: 'zai/glm', models: {}}", {}),
        ("{model: 'zai/glm', models: {'x/y': {alias: 'Y'}}}", {"x/y": {"alias": "Y"}}),
        ("{model: {fallbacks: ['x/y']}, models: {'x/y': {alias: 'Y'}}}", {"x/y": {"alias": "Y"}}),
        ("{}", {}),
    ],
)
def test_the_allowed_models(defaults: str, allowed: dict[str, Any]) -> None:
    after = value(f"{{agents: {{defaults: {defaults}}}}}")
    assert after["agents"]["defaults"]["models"] == {
        "ollama/gpt-oss:20b": {"alias": "GPT-OSS 20B (Local)"},
        "ollama/qwen3-coder": {"alias": "Qwen3 Coder (Local)"},
        **allowed,
    }


HOSTILE = [
    "a\"b'c",
    "$(id) `id`",
    "{{ 7 * 7 }}",
    "$HOME",
    "$(x)`y`",
    "\\",
    "</x>",
    "你好 🦞",
    "{% x %}",
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_names(version: str, name: str) -> None:
    models = [{"id": "gpt-oss:20b", "name": name}, {"id": "qwen3-coder"}]
    after = value("", version, models=models)
    assert after["models"]["providers"]["ollama"]["models"][0]["name"] == name
    assert after["agents"]["defaults"]["models"]["ollama/gpt-oss:20b"] == {"alias": name}


@pytest.mark.parametrize(
    ("wished", "config", "port"),
    [
        (18789, "{}", 18789),
        (18789, "{gateway: {port: 19000}}", 19000),
        (19001, "{gateway: {port: 19000}}", 19001),
        (19001, "{}", 19001),
        (18789, "{gateway: {port: '${PORT}'}}", 18789),
        (18789, "{gateway: {port: 99999}}", 18789),
        (18789, "{gateway: ", 18789),
    ],
)
def test_the_gateways_port(wished: int, config: str, port: int) -> None:
    snapshot = with_config(config)
    assert wish.gateway_port(snapshot, settings(gateway_port=wished)) == port


def test_a_changed_port_goes_into_the_config() -> None:
    after = value("{gateway: {port: 19000, bind: 'lan'}}", gateway_port=19001)
    assert (after["gateway"]["port"], after["gateway"]["bind"]) == (19001, "lan")
    assert value("{gateway: {port: 19000}}")["gateway"]["port"] == 19000


@pytest.mark.parametrize(
    ("mode", "after"), [("600", None), ("644", "600"), ("640", "600"), ("400", None)]
)
def test_a_file_with_secrets_is_for_its_owner_only(mode: str, after: str | None) -> None:
    snapshot = healthy()
    snapshot = replace(snapshot, config=replace(snapshot.config, mode=mode))
    changes = plan(snapshot)
    assert [change.mode for change in changes] == ([after] if after else [])
    for change in changes:
        assert change.after == snapshot.config.content
        assert mode in change.reasons[0]


def test_reasons_name_the_version_and_hold_no_secret() -> None:
    for version in VERSIONS:
        for change in plan(with_config(RICH, version)):
            assert not any("5ecret" in reason for reason in change.reasons)
        (config, *_) = plan(equipped(version))
        assert any("OpenClaw" in reason for reason in config.reasons)


def test_a_version_that_nobody_measured_is_told() -> None:
    (change, *_) = plan(equipped("2026.12.1"))
    assert "newer than the last version that was measured" in change.reasons[0]


@pytest.mark.parametrize(
    ("version", "window"), [("2026.2.17", 32768), ("2026.6.11", 49152), ("2026.9.6", 32768)]
)
def test_a_window_that_the_version_can_work_with(version: str, window: int) -> None:
    snapshot = replace(equipped(version), config=file(CONFIG, b""))
    changes = wish.plan(snapshot, settings(), TEMPLATES, lambda: "t" * 48).files
    written = json5.loads(changes[0].after.decode())
    models = written["models"]["providers"]["ollama"]["models"]
    assert {model["contextWindow"] for model in models} == {window}
    assert any("32768" in reason for reason in changes[0].reasons) is (window != 32768)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (OLDEST, {"gpt-oss:20b": (61440, None), "qwen3-coder": (61440, None)}),
        (OLD, {"gpt-oss:20b": (131072, None), "qwen3-coder": (61440, None)}),
        (NEW, {"gpt-oss:20b": (131072, 131072), "qwen3-coder": (61440, 61440)}),
    ],
)
def test_the_context_that_is_told_is_the_one_that_fits(
    version: str, expected: dict[str, tuple[int, int | None]]
) -> None:
    wanted = wish.plan(equipped(version), settings(context_window=131072), TEMPLATES, lambda: TOKEN)
    written = json5.loads(wanted.files[0].after.decode())
    told = written["models"]["providers"]["ollama"]["models"]
    found = {
        model["id"]: (model["contextWindow"], model.get("params", {}).get("num_ctx"))
        for model in told
    }
    assert found == expected
    why = "qwen3-coder: 131072 wished; 61440 fits into 22.9 GB beside 18.6 GB of weights"
    assert why in wanted.files[0].reasons


@pytest.mark.parametrize("version", VERSIONS)
def test_a_context_that_changes_is_told_apart_from_other_changes(version: str) -> None:
    def contexts(snapshot: Snapshot, **wished: Any) -> bool:
        return wish.plan(snapshot, settings(**wished), TEMPLATES, lambda: TOKEN).contexts

    there = healthy(version)
    assert contexts(equipped(version))
    assert not contexts(there)
    assert not contexts(there, request_timeout=60, primary="ollama/qwen3-coder", fallbacks=[])
    assert contexts(there, context_window=40960)
