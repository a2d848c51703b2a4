"""Keys come from somewhere else: a key itself in any setting is refused, and never shown."""

from __future__ import annotations

from typing import Any

import pytest

from clawfleet.hosts import parse
from clawfleet.key_sources import VARIABLES, KeySource
from clawfleet.redact import is_secret_key, looks_secret
from clawfleet.settings import SettingsError, load
from tests.unit.factory import defaults, settings

KEY = "sk-5ecret5ecret5ecret"
PLAIN = "5ecret"


def refused(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load({**defaults(), **changes}, where="hosts.yml, host mini-1")
    text = str(caught.value)
    assert text.startswith("hosts.yml, host mini-1: ")
    assert PLAIN not in text
    return text


@pytest.mark.parametrize(
    "source",
    [
        {"env": "ZAI_API_KEY"},
        {"file": "~/.config/clawfleet/zai.key"},
        {"command": ["op", "read", "op://Private/zai/key"]},
        {"command": ["security", "find-generic-password", "-s", "zai", "-w"]},
        {"env": "Z", "variable": "MY_ZAI_KEY"},
    ],
)
def test_sources(source: dict[str, Any]) -> None:
    parsed = settings(provider_keys={"zai": source}).provider_keys["zai"]
    plain = parsed.model_dump(exclude_none=True, mode="json")
    assert plain == source


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (KEY, ["looks like a key"]),
        (PLAIN, ["provider_keys: expected a mapping of providers", "{env: ZAI_API_KEY}"]),
        ({"zai": KEY}, ["provider_keys.zai looks like a key", "{env: ZAI_API_KEY}"]),
        ({"zai": PLAIN}, ["provider_keys: zai: expected where the key comes from", "never the"]),
        ({"zai": {}}, ["zai: expected one of env, file and command, found none"]),
        ({"zai": {"env": "A", "file": "/b"}}, ["found env and file"]),
        ({"zai": {"key": PLAIN}}, ["zai: key is not valid here", "env, file or command"]),
        ({"zai": {KEY: 1}}, ["provider_keys.zai: a name in it looks like a key"]),
        ({KEY: {"env": "A"}}, ["a name in it looks like a key"]),
        ({"Zai 5ecret": {"env": "A"}}, ["is no provider's"]),
        ({"ollama": {"env": "A"}}, ["ollama: a local Ollama checks no key"]),
        ({"zai": {"env": PLAIN}}, ["zai: env is not a name of an environment variable"]),
        ({"zai": {"env": 3}}, ["zai: env is not a name"]),
        ({"zai": {"file": PLAIN}}, ["zai: file is not a path with a / in it"]),
        ({"zai": {"file": "/a\n5ecret"}}, ["zai: file is not a path"]),
        ({"zai": {"command": "op read 5ecret"}}, ["zai: command is not a list of words"]),
        ({"zai": {"command": []}}, ["zai: command is not a list of words"]),
        ({"zai": {"command": ["a\n5ecret"]}}, ["zai: command is not a list of words"]),
        ({"zai": {"command": ["echo", KEY]}}, ["provider_keys.zai.command.1 looks like a key"]),
        ({"zai": {"command": ["x", "--token", PLAIN]}}, ["something that looks like a key"]),
        ({"mycorp": {"env": "A"}}, ["mycorp: OpenClaw has no variable", "MYCORP_API_KEY"]),
        ({"9x-y": {"env": "A"}}, ["variable: P9X_Y_API_KEY"]),
        ({"zai": {"env": "A", "variable": "PATH"}}, ["variable PATH: expected a name that says"]),
        ({"zai": {"env": "A", "variable": "OPENCLAW_GATEWAY_TOKEN"}}, ["OpenClaw's own"]),
        ({"zai": {"env": "A", "variable": PLAIN}}, ["zai: variable is not a name"]),
        (
            {"zai": {"env": "A"}, "x": {"env": "B", "variable": "ZAI_API_KEY"}},
            ["x and zai share the variable ZAI_API_KEY"],
        ),
    ],
    ids=str,
)
def test_what_is_no_source_is_refused_and_not_shown(value: Any, words: list[str]) -> None:
    text = refused(provider_keys=value)
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ollama_environment": {"OLLAMA_API_KEY": PLAIN}}, "ollama_environment.OLLAMA_API_KEY is"),
        ({"ollama_environment": {"MY_PIN": 5555}}, "ollama_environment.MY_PIN is a secret"),
        ({"ollama_environment": {"X": f"a {KEY}"}}, "ollama_environment.X looks like"),
        (
            {"homebrew_mirror": {"HOMEBREW_API_DOMAIN": "https://me:5ecret@mirror"}},
            "homebrew_mirror.HOMEBREW_API_DOMAIN looks like",
        ),
        ({"agent": KEY}, "agent looks like a key"),
        ({"verfy": KEY}, "verfy looks like a key"),
        ({KEY: 1}, "a name in it looks like a key"),
        ({"ssh_password": PLAIN}, "ssh_password is a password in the place of a setting"),
        ({"_sudo_password": PLAIN}, "_sudo_password is a password"),
        ({"_env": {"ZAI_API_KEY": PLAIN}}, "_env.ZAI_API_KEY is a secret by its name"),
    ],
    ids=str,
)
def test_a_key_in_any_other_setting_is_refused(changes: dict[str, Any], word: str) -> None:
    text = refused(**changes)
    assert word in text
    assert "provider_keys: {zai: SOURCE}" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"ssh_key": "~/.ssh/id_ed25519", "ssh_hostname": "sk-officeofficeoffice", "ssh_user": "a"},
        {"reports": "/data/hf-reports-2026"},
        {
            "models": [{"id": "xai-abcdefghijklmnop"}],
            "primary": "ollama/xai-abcdefghijklmnop",
            "fallbacks": [],
        },
        {"ollama_environment": {"OLLAMA_KEEP_ALIVE": "30m", "OLLAMA_MAX_TOKENS": 5, "X_KEY": ""}},
        {"homebrew_mirror": {"HOMEBREW_API_DOMAIN": "https://mirrors.ustc.edu.cn/api"}},
        {"homebrew_installer": "https://example.org/install.sh?x=1"},
        {"_sudo_password": None, "ssh_password": ""},
    ],
    ids=str,
)
def test_ordinary_values_pass(changes: dict[str, Any]) -> None:
    load({**defaults(), **changes}, where="x")


def test_hosts_yml_is_looked_through_as_well() -> None:
    text = f"all: {{vars: {{ansible_cloud: {{token: 5ecret}}}}, hosts: {{m: {{agent: {KEY}}}}}}}"
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert "group all: ansible_cloud.token is a secret by its name" in str(caught.value)
    assert PLAIN not in str(caught.value)


def test_settings_show_no_secret_when_printed() -> None:
    wished = settings(provider_keys={"zai": {"file": "~/z.key"}})
    assert "z.key" in repr(wished)
    assert str(wished.provider_keys["zai"]) == "the file ~/z.key"
    assert str(KeySource(command=("a b", "c"))) == "the command `'a b' c`"


@pytest.mark.parametrize("name", VARIABLES.values())
def test_every_variable_of_ours_is_hidden_by_its_name(name: str) -> None:
    assert is_secret_key((name,))


@pytest.mark.parametrize("name", ["sk-office-mac-1", "hf-reports-2026", "pk-builder", "a:b"])
def test_names_are_no_keys(name: str) -> None:
    assert not looks_secret(name)
