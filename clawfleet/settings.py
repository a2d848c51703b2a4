"""Settings: what the user wishes, checked before any Mac is touched."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clawfleet import key_sources
from clawfleet.capabilities import MEASURED, Version
from clawfleet.key_sources import KeySource
from clawfleet.names import normalise

MIRROR_VARIABLES = (
    "HOMEBREW_API_DOMAIN",
    "HOMEBREW_BOTTLE_DOMAIN",
    "HOMEBREW_BREW_GIT_REMOTE",
    "HOMEBREW_CORE_GIT_REMOTE",
    "HOMEBREW_PIP_INDEX_URL",
    "HOMEBREW_ARTIFACT_DOMAIN",
)


class SettingsError(ValueError):
    """Settings that can't be used; the text names the place, the key and the valid values."""


class ModelWish(BaseModel):
    """A model that Ollama shall hold and OpenClaw shall know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str | None = None
    reasoning: bool = False
    input: tuple[Literal["text", "image"], ...] = ("text",)
    context_window: Annotated[int, Field(ge=4096)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 8192
    size: Annotated[int, Field(ge=0)] | None = None

    @field_validator("id")
    @classmethod
    def _valid_name(cls, value: str) -> str:
        normalise(value)
        return value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None:
            _one_line("name", value)
            if "${" in value:
                raise ValueError(f"{value!r}: OpenClaw reads ${{...}} as an environment variable")
        return value


def _one_line(name: str, value: str) -> None:
    """ValueError for characters that end a line for some reader, or that no reader shows."""
    if any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in value):
        raise ValueError(f"the value of {name} has a line break or control character in it")


class Settings(BaseModel):
    """Every setting of one Mac. `group_data/all.py` holds the defaults with their reasons."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    homebrew_prefix: str | None = None
    homebrew_mirror: Literal["ustc", "tuna"] | dict[str, str] | None = None
    homebrew_installer: str | None = None

    ollama_install: Literal["auto", "formula", "cask"] = "auto"
    ollama_version: str | None = None
    ollama_port: Annotated[int, Field(ge=1, le=65535)] = 11434
    ollama_environment: dict[str, str | int] = {}
    ollama_app_settings: Literal["leave", "change"] = "leave"
    keep_alive: str | int | None = None
    preload: Literal["primary"] | tuple[str, ...] | None = None
    context_window: Annotated[int, Field(ge=4096)] = 32768
    models: tuple[ModelWish, ...]
    distribution: Literal["none", "lan"] = "none"
    distribution_address: str | None = None
    primary: str
    fallbacks: tuple[str, ...] = ()
    pull_proxy: str | None = None
    pull_stall: Annotated[int, Field(ge=5, le=3600)] = 60
    models_lock: str = "models.lock"
    lock_from: str | None = None
    other_providers: tuple[str, ...] = ()
    keep_fallbacks: bool = True
    provider_keys: dict[str, KeySource] = {}

    openclaw_install: Literal["npm", "pnpm", "brew", "none"] = "npm"
    openclaw_version: str | None = None
    agent: str = "main"
    services: Literal["agents", "daemons"] = "agents"
    gateway_port: Annotated[int, Field(ge=1, le=65535)] = 18789
    gateway_start_timeout: Annotated[int, Field(ge=5, le=1800)] = 180
    gateway_settle: Annotated[int, Field(ge=0, le=120)] = 6
    request_timeout: Annotated[int, Field(ge=10, le=3600)] = 300
    proxies: Literal["unset", "bypass", "keep"] = "unset"
    no_proxy_hosts: tuple[str, ...] = ()
    proxies_in_profiles: bool = False
    reset_sessions: bool | Literal["when-needed"] = False
    config_conflict: Literal["ask-in-diff", "ours", "theirs"] = "ours"

    fix: bool = False
    run: Annotated[str, Field(pattern=r"^\d{8}-\d{6}-[0-9a-f]{4}$")] | None = None
    remove_models: bool = False
    remove_ollama: bool = False

    verify: Literal["off", "quick", "full"] = "quick"
    reports: str = "reports"

    @field_validator("verify", mode="before")
    @classmethod
    def _yaml_off(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare `off` as false.
        return "off" if value is False else value

    @field_validator("openclaw_version")
    @classmethod
    def _exact_version(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                exact = str(Version.parse(value)) == value
            except ValueError:
                exact = False
            if not exact:
                raise ValueError(f"{value!r} is not a version such as {MEASURED[1]}")
        return value

    @field_validator("provider_keys", mode="before")
    @classmethod
    def _sources(cls, value: Any) -> dict[str, KeySource]:
        return key_sources.parse(value)

    @field_validator("homebrew_mirror")
    @classmethod
    def _known_variables(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if isinstance(value, dict) and (unknown := set(value) - set(MIRROR_VARIABLES)):
            raise ValueError(
                f"unknown variable {', '.join(sorted(unknown))}; "
                f"valid are {', '.join(MIRROR_VARIABLES)}"
            )
        for name, content in value.items() if isinstance(value, dict) else ():
            _one_line(name, content)
        return value

    @field_validator("ollama_environment")
    @classmethod
    def _plain_variables(cls, value: dict[str, str | int]) -> dict[str, str | int]:
        for name, content in value.items():
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                raise ValueError(f"{name!r} is not a name of an environment variable")
            if name == "OLLAMA_HOST":
                raise ValueError("OLLAMA_HOST follows from ollama_port; set that")
            _one_line(name, str(content))
        return value

    @field_validator("pull_proxy")
    @classmethod
    def _plain_proxy(cls, value: str | None) -> str | None:
        if value is not None:
            _one_line("pull_proxy", value)
            parts = urlsplit(value)
            if "@" in value:
                raise ValueError("a proxy with a user or password in it; expected HOST:PORT alone")
            if parts.scheme not in ("http", "https", "socks5") or not parts.hostname:
                raise ValueError("expected an address such as http://192.168.1.5:7890")
        return value

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        # Go's time.ParseDuration, or a number of seconds (ollama envconfig.KeepAlive)
        number = r"(\d+(\.\d+)?(ms|s|m|h))+"
        if value is None:
            return None
        if isinstance(value, bool) or not re.fullmatch(rf"-?(\d+|{number})", str(value)):
            raise ValueError(f'{value!r} is not a duration such as "30m", "24h", 600 or -1')
        # In a request Ollama takes seconds as a number only: "-1" is "missing unit in duration"
        # (api/types.go, Duration.UnmarshalJSON).
        return int(value) if re.fullmatch(r"-?\d+", str(value)) else value

    @field_validator("no_proxy_hosts")
    @classmethod
    def _plain_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            # It becomes a part of scripts, and a password in it would stand in every file.
            if not re.fullmatch(r"(?!.*//)[A-Za-z0-9.*\[][A-Za-z0-9._:*/\[\]-]*", entry):
                raise ValueError(
                    f"{entry!r} is not a host for NO_PROXY (such as mini-2.local or 10.0.0.7; no "
                    "scheme, no user)"
                )
        return value

    @field_validator("agent")
    @classmethod
    def _plain_agent(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
            raise ValueError(f"{value!r} is not an agent's id (letters, digits, - and _)")
        return value

    @field_validator("distribution_address")
    @classmethod
    def _numeric(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ValueError(f"{value!r} is not an address such as 192.168.1.20") from None
        return value

    @field_validator("homebrew_prefix")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"/[\w./@+,-]*", value):
            raise ValueError(
                f"{value!r} is not an absolute path of letters, digits and . / @ + , - _"
            )
        return value

    @model_validator(mode="after")
    def _coherent(self) -> Settings:
        if not self.models:
            raise ValueError("models: at least one model is needed")
        seen: dict[str, str] = {}
        for model in self.models:
            # Ollama finds a model that is there without regard to case.
            name = normalise(model.id).lower()
            if name in seen:
                raise ValueError(
                    f"models: {seen[name]!r} and {model.id!r} are one model ({name}); keep one"
                )
            seen[name] = model.id
        local = [f"ollama/{model.id}" for model in self.models]
        for key, reference in [("primary", self.primary)] + [
            ("fallbacks", f) for f in self.fallbacks
        ]:
            provider, slash, _ = reference.partition("/")
            if not slash:
                raise ValueError(
                    f"{key}: {reference!r} is not PROVIDER/MODEL; valid are {', '.join(local)}"
                )
            if provider == "ollama" and reference not in local:
                raise ValueError(
                    f"{key}: nobody provides {reference!r}; models has {', '.join(local)}"
                )
            if provider != "ollama" and provider not in self.other_providers:
                raise ValueError(
                    f"{key}: nobody provides {reference!r}; local are {', '.join(local)}, and "
                    f"other_providers (set up in the Mac's own OpenClaw config) has "
                    f"{', '.join(self.other_providers) or 'none'}"
                )
        if len(set(self.fallbacks)) < len(self.fallbacks) or self.primary in self.fallbacks:
            raise ValueError("fallbacks: a model stands twice in the chain")
        if self.services == "daemons" and self.ollama_install == "cask":
            raise ValueError(
                'services: "daemons" needs ollama_install = "formula": Ollama.app needs a login'
            )
        given = {name.upper() for name in self.ollama_environment}
        if self.pull_proxy and given & {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"}:
            raise ValueError("pull_proxy: ollama_environment has a proxy, too; keep one of them")
        for model_id in self.preload if isinstance(self.preload, tuple) else ():
            if model_id not in [model.id for model in self.models]:
                known = ", ".join(model.id for model in self.models)
                raise ValueError(f"preload: {model_id!r} is not in models ({known})")
        if self.preload == "primary" and self.primary not in local:
            raise ValueError(f"preload: the primary model {self.primary!r} is not a local one")
        if self.keep_alive is not None and "OLLAMA_KEEP_ALIVE" in self.ollama_environment:
            raise ValueError("keep_alive: OLLAMA_KEEP_ALIVE in ollama_environment says it too")
        kept = self.keep_alive
        if kept is None:
            kept = self.ollama_environment.get("OLLAMA_KEEP_ALIVE")
        if self.preload and kept is not None and re.fullmatch(r"-?[0.a-z]*0[0.a-z]*", str(kept)):
            raise ValueError(f"preload: with a keep_alive of {kept} no model stays in memory")
        if self.ollama_port == self.gateway_port:
            raise ValueError(f"ollama_port and gateway_port are both {self.ollama_port}")
        return self

    def window(self, model: ModelWish) -> int:
        """Context window in tokens that is wished for a model."""
        return model.context_window or self.context_window


FIELDS = tuple(Settings.model_fields)

ONE_TIME = {
    "reset_sessions": ", or here reset_sessions: when-needed, which forgets only what can't fit",
    "fix": "",
}
"""Wishes that are carried out once -> what may stand in a file instead."""

# What pyinfra itself and its SSH connector read from a host's data.
_PYINFRA = re.compile(r"^(ssh_|_|fake_|docker_|local_)")


def is_setting(key: str) -> bool:
    """Whether a key of a host's data is ours to check (not pyinfra's own)."""
    return not _PYINFRA.match(key)


def load(
    data: Mapping[str, Any], *, where: str, origins: Mapping[str, str] | None = None
) -> Settings:
    """Settings from a host's data; SettingsError whose text says where, which key and why.

    `where` names the origin for the message, such as ``hosts.yml, host mini-1``; `origins` (key ->
    origin) is more exact for the keys in it.
    """
    check_keys(data, where=where)
    try:
        return Settings(**{k: v for k, v in data.items() if is_setting(k)})
    except ValidationError as error:
        lines = [_explain(where, origins or {}, e) for e in error.errors(include_url=False)]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None
    except UnicodeEncodeError:
        # pydantic can't quote it in its own message.
        raise SettingsError(f"{where}: a character in it is no text (half of a pair)") from None


def check_keys(data: Mapping[str, Any], *, where: str) -> None:
    """SettingsError for a secret in the data, and for the first key that is no setting."""
    refuse_literals(data, where=where)
    for key in data:
        if is_setting(key) and key not in FIELDS:
            near = difflib.get_close_matches(key, FIELDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise SettingsError(
                f"{where}: {key} is not a setting.{hint} Valid are: {', '.join(FIELDS)}."
            )


def check_lasting(data: Mapping[str, Any], *, where: str) -> None:
    """SettingsError for a wish that is meant for one run in data that serves every run."""
    for key, instead in ONE_TIME.items():
        # Every word that pydantic takes for true.
        if str(data.get(key)).lower() in ("true", "t", "yes", "y", "on", "1"):
            raise SettingsError(
                f"{where}: {key}: true would do it again at every run. Expected it for one run: "
                f"--data {key}=true{instead}"
            )


def refuse_literals(data: Mapping[Any, Any], *, where: str) -> None:
    """SettingsError for a key or password that stands in the data itself. It shows no value."""
    if found := list(key_sources.literals(data)):
        raise SettingsError(
            "\n".join(f"{where}: {what}." for what in dict.fromkeys(found))
            + "\nExpected no secret in a file or on the command line. A provider's key: "
            f"provider_keys: {{zai: SOURCE}}, SOURCE being {key_sources.EXAMPLES}. SSH: a key file "
            "or ssh-agent, or for one run pyinfra --ssh-password-prompt. A variable of Homebrew or "
            "Ollama: write it on the Mac itself, in brew.env or ollama.env, where it stays."
        )


# pydantic names the branches of a union in the path of an error.
_BRANCH = re.compile(r"(literal|dict|function-\w+)\[.*|str|int|bool")


def _explain(where: str, origins: Mapping[str, str], error: Any) -> str:
    parts = [str(part) for part in error["loc"] if not _BRANCH.fullmatch(str(part))]
    message = str(error["msg"]).removeprefix("Value error, ").replace("valid tuple", "valid list")
    if not parts:
        return f"{origins.get(message.partition(':')[0], where)}: {message}"
    place = origins.get(parts[0], where)
    path = ".".join(parts)
    if error["type"] == "extra_forbidden":
        valid = ", ".join(ModelWish.model_fields)
        return f"{place}: {path}: not a key of a model. Valid are: {valid}."
    # Values of variables may be secrets.
    secret = parts[0] in ("ollama_environment", "provider_keys", "pull_proxy")
    found = "" if secret else _scalar(error.get("input"))
    shown = f" (found {found})" if found and found not in message else ""
    return f"{place}: {path}: {message}{shown}."


def _scalar(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**20:
        return "a huge number"  # of thousands of digits, which Python refuses to print
    return repr(value) if isinstance(value, str | int | float) else ""
