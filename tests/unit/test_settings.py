from __future__ import annotations

from typing import Any

import pytest

from clawfleet.hosts import parse
from clawfleet.settings import FIELDS, Settings, SettingsError, check_keys, is_setting, load
from tests.unit.factory import REPO, defaults, settings

WHERE = "hosts.yml, host mini-1"


def refused(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load({**defaults(), **changes}, where=WHERE)
    text = str(caught.value)
    assert WHERE in text
    assert "function-" not in text
    assert ".." not in text.replace("../main", "")
    return text


def test_every_setting_stands_in_all_py_and_the_other_way_round() -> None:
    assert {key for key in defaults() if is_setting(key)} == set(FIELDS)


def test_what_happens_with_unknown_host_keys_is_said() -> None:
    """pyinfra's own default, but written down where people look for it."""
    assert defaults()["ssh_strict_host_key_checking"] == "accept-new"


@pytest.mark.parametrize(
    "name", [n for n, f in Settings.model_fields.items() if not f.is_required()]
)
def test_defaults_are_the_same_in_both_places(name: str) -> None:
    if name == "fallbacks":  # names a model of all.py's own list, which has no other default
        assert defaults()[name]
        return
    written = defaults()[name]
    value = tuple(written) if isinstance(written, list) else written
    assert value == Settings.model_fields[name].default


def test_the_example_of_hosts_loads() -> None:
    fleet = parse((REPO / "hosts.example.yml").read_text(encoding="utf-8"))
    assert set(fleet.hosts) == {"mini-1", "mini-2", "macbook"}
    for name, data in fleet.hosts.items():
        wished = load({**defaults(), **data}, where=name)
        assert wished.primary == "ollama/gpt-oss:20b"
    assert fleet.hosts["macbook"]["ssh_hostname"] == "macbook.local"
    assert load({**defaults(), **fleet.hosts["macbook"]}, where="x").fallbacks == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verfy": "off"}, ["verfy", "Did you mean verify?", "gateway_port"]),
        ({"zzz": 1}, ["zzz is not a setting", "models"]),
        ({"verify": "of"}, ["verify", "'off', 'quick' or 'full'", "'of'"]),
        ({"ollama_install": "app"}, ["ollama_install", "'formula'", "'app'"]),
        ({"homebrew_mirror": "bfsu"}, ["homebrew_mirror", "'ustc' or 'tuna'", "'bfsu'"]),
        (
            {"homebrew_mirror": {"HOMEBREW_BOTTLE": "x"}},
            ["homebrew_mirror", "HOMEBREW_BOTTLE;", "HOMEBREW_BOTTLE_DOMAIN"],
        ),
        ({"gateway_port": "eighty"}, ["gateway_port", "integer", "'eighty'"]),
        ({"gateway_port": 0}, ["gateway_port", "greater than or equal to 1"]),
        ({"gateway_port": 70000}, ["gateway_port", "65535"]),
        ({"ollama_port": 18789}, ["ollama_port and gateway_port are both 18789"]),
        ({"context_window": 1024}, ["context_window", "4096"]),
        ({"models": []}, ["models", "at least one"]),
        ({"models": "gpt-oss:20b"}, ["models"]),
        ({"models": [{"name": "x"}]}, ["models.0.id", "required"]),
        ({"models": [{"id": "x y"}]}, ["models.0.id", "'x y' is not a model's name"]),
        (
            {"models": [{"id": "x", "ctx": 1}]},
            ["models.0.ctx", "not a key of a model", "context_window"],
        ),
        (
            {"models": [{"id": "a"}, {"id": "a:latest"}], "primary": "ollama/a", "fallbacks": []},
            ["models", "'a'", "'a:latest'", "one model"],
        ),
        (
            {"models": [{"id": "a"}, {"id": "A"}], "primary": "ollama/a", "fallbacks": []},
            ["models", "one model"],
        ),
        ({"primary": "gpt-oss:20b"}, ["primary", "PROVIDER/MODEL", "ollama/gpt-oss:20b"]),
        ({"primary": "ollama/x"}, ["primary", "nobody provides 'ollama/x'", "ollama/gpt-oss:20b"]),
        (
            {"fallbacks": ["zai/glm-4.5-air"]},
            ["fallbacks", "nobody provides 'zai/glm-4.5-air'", "other_providers", "none"],
        ),
        (
            {"fallbacks": ["zai/glm"], "other_providers": ["openai"]},
            ["'zai/glm'", "openai"],
        ),
        ({"fallbacks": ["ollama/gpt-oss:20b"]}, ["fallbacks", "twice"]),
        ({"fallbacks": ["ollama/qwen3-coder"] * 2}, ["fallbacks", "twice"]),
        ({"fallbacks": "ollama/qwen3-coder"}, ["fallbacks"]),
        ({"agent": "../main"}, ["agent", "'../main'"]),
        ({"agent": "main\n"}, ["agent"]),
        ({"distribution": "wan"}, ["distribution", "'wan'"]),
        ({"distribution_address": "mini.local"}, ["distribution_address", "192.168.1.20"]),
        ({"homebrew_prefix": "opt"}, ["homebrew_prefix", "absolute path"]),
        ({"homebrew_prefix": "/a b"}, ["homebrew_prefix"]),
        ({"homebrew_prefix": "/a;reboot"}, ["homebrew_prefix"]),
        ({"ollama_environment": {"a b": "x"}}, ["ollama_environment", "'a b'"]),
        (
            {"ollama_environment": {"A": "x\ny"}},
            ["ollama_environment", "the value of A has a line break"],
        ),
        ({"openclaw_version": "latest"}, ["openclaw_version", "'latest'", "2026.9.6"]),
        ({"openclaw_version": "2026.9.6; reboot"}, ["openclaw_version"]),
        ({"openclaw_version": 2026.9}, ["openclaw_version"]),
        ({"proxies": "off"}, ["proxies", "'off'", "'bypass'"]),
        ({"no_proxy_hosts": ["http://p"]}, ["no_proxy_hosts", "'http://p'", "no scheme"]),
        ({"no_proxy_hosts": ["a,b"]}, ["no_proxy_hosts", "is not a host"]),
        ({"no_proxy_hosts": ["-a"]}, ["no_proxy_hosts", "is not a host"]),
        ({"reset_sessions": "maybe"}, ["reset_sessions", "'maybe'"]),
        ({"request_timeout": 1}, ["request_timeout", "10"]),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_with_its_place(
    changes: dict[str, Any], words: list[str]
) -> None:
    text = refused(**changes)
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_that_python_does_not_print(digits: int) -> None:
    for value in (16**digits, -(16**digits), [16**digits]):
        assert "ollama_port" in refused(ollama_port=value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    text = refused(verify="of", gateway_port="x")
    assert "verify" in text
    assert "gateway_port" in text


def test_values_of_variables_are_not_shown() -> None:
    secret = "http://me:5ecret@proxy"
    text = refused(ollama_environment={"HTTPS_PROXY": f"{secret}\n", "X": [secret]})
    assert "5ecret" not in text


@pytest.mark.parametrize("written", [False, "off"])
def test_yaml_reads_off_as_false(written: object) -> None:
    assert settings(verify=written).verify == "off"


def test_a_window_is_the_models_own_or_the_common_one() -> None:
    wished = settings(
        models=[{"id": "a", "context_window": 65536}, {"id": "b"}],
        primary="ollama/a",
        fallbacks=["ollama/b"],
    )
    assert [wished.window(model) for model in wished.models] == [65536, 32768]


def test_a_provider_of_the_macs_own_may_end_the_chain() -> None:
    chain = ["ollama/qwen3-coder", "zai/glm-4.5-air"]
    assert settings(fallbacks=chain, other_providers=["zai"]).fallbacks == tuple(chain)


def test_pyinfras_own_keys_pass() -> None:
    data = {**defaults(), "ssh_user": "a", "ssh_hostname": "b", "_sudo": False}
    assert load(data, where=WHERE) == settings()
    check_keys(data, where=WHERE)


def test_settings_without_a_list_of_models_say_so() -> None:
    with pytest.raises(SettingsError, match=r"models: Field required"):
        load({"primary": "ollama/x"}, where=WHERE)


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a ${HOME}", "\x1b[31m"])
def test_a_models_name_is_one_plain_line(name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        load({"models": [{"id": "a", "name": name}], "primary": "ollama/a"}, where="x")


@pytest.mark.parametrize("value", ["a\rb", "a\x0bb", "a\x85b", "a\u2028b"])
def test_a_variable_is_one_line_for_every_reader(value: str) -> None:
    data = {"models": [{"id": "a"}], "primary": "ollama/a"}
    for more in (
        {"ollama_environment": {"A": value}},
        {"homebrew_mirror": {"HOMEBREW_API_DOMAIN": value}},
    ):
        with pytest.raises(SettingsError, match="line break"):
            load({**data, **more}, where="x")


def test_the_servers_address_follows_from_the_port() -> None:
    data = {"models": [{"id": "a"}], "primary": "ollama/a"}
    with pytest.raises(SettingsError, match="ollama_port"):
        load({**data, "ollama_environment": {"OLLAMA_HOST": "0.0.0.0"}}, where="x")
