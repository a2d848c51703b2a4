"""What each OpenClaw version accepts, and the Ollama settings that follow from it.

OpenClaw's schema is strict: one key that a version does not know, and neither its command line nor
its gateway starts. Its versions differ, so the config is decided by what the installed one can do.
Every boundary below was measured, see ``docs/openclaw-versions.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import total_ordering
from types import MappingProxyType
from typing import Literal, NamedTuple

_VERSION = re.compile(
    r"(?:openclaw\s+)?v?(\d{4})\.(\d{1,2})\.(\d{1,3})(?:-(?:(alpha|beta)\.)?(\d{1,3}))?(?![\w.-])",
    re.IGNORECASE,
)
_STAGES = {"alpha": 0, "beta": 1, None: 2}


@total_ordering
@dataclass(frozen=True)
class Version:
    """An OpenClaw version, ordered as OpenClaw releases them.

    ``2026.7.1-beta.2`` comes before ``2026.7.1``, the correction ``2026.7.1-2`` after it (unlike
    in semantic versioning, where every suffix comes before).
    """

    year: int
    month: int
    patch: int
    stage: Literal["alpha", "beta"] | None = None
    number: int = 0
    """Of the alpha, the beta or the correction; 0: the release itself."""

    @classmethod
    def parse(cls, text: str) -> Version:
        """The version in what ``openclaw --version`` prints, or in a bare ``2026.2.17``.

        >>> Version.parse("OpenClaw 2026.9.6 (eb377ac)")
        Version(year=2026, month=9, patch=6, stage=None, number=0)

        ValueError when there is none.
        """
        match = _VERSION.match(text.strip())
        if match is None:
            raise ValueError(f"not an OpenClaw version: {text.strip()[:80]!r} (like 2026.9.6)")
        year, month, patch, stage, number = match.groups()
        named: Literal["alpha", "beta"] | None = None
        if stage:
            named = "alpha" if stage.lower() == "alpha" else "beta"
        return cls(int(year), int(month), int(patch), named, int(number or 0))

    def _key(self) -> tuple[int, int, int, int, int]:
        return (self.year, self.month, self.patch, _STAGES[self.stage], self.number)

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __str__(self) -> str:
        base = f"{self.year}.{self.month}.{self.patch}"
        if self.stage:
            return f"{base}-{self.stage}.{self.number}"
        return f"{base}-{self.number}" if self.number else base


@dataclass(frozen=True)
class Capabilities:
    """What one OpenClaw version can do. The fields start as OpenClaw 2026.2.12 has them."""

    version: Version
    native_api: bool = False
    """``models.providers.ollama.api: "ollama"`` is accepted (Ollama's own /api/chat)."""
    native_sends_context_window: bool = False
    """With the native API, a model's ``contextWindow`` becomes the request's ``num_ctx``."""
    models_required: bool = True
    """A provider without ``models`` is refused."""
    provider_timeout: bool = False
    """``models.providers.ollama.timeoutSeconds`` is accepted."""
    openai_num_ctx: bool = False
    """``injectNumCtxForOpenAICompat`` is accepted: /v1 requests carry ``num_ctx``."""
    model_params: bool = False
    """``params: {num_ctx: ...}`` of a model is accepted."""
    model_context_tokens: bool = False
    """``contextTokens`` of a model is accepted."""
    least_window: int = 32768
    """Smallest ``contextWindow``, in tokens, with which a first turn was answered: OpenClaw keeps
    a part of it free, and its own instructions have to fit into the rest."""
    auth_store: Literal["file", "sqlite"] = "file"
    """Where credentials are read from: ``agents/main/agent/auth-profiles.json``, or a database
    that only OpenClaw writes."""
    auth_file_blocks: bool = False
    """Beside an ``auth-profiles.json`` that was not migrated every turn is refused, and the gateway
    of 2026.9.6 ends. Versions with the database and without this ignore the file."""
    session_store: Literal["file", "sqlite"] = "file"
    """Conversations: ``agents/main/sessions/sessions.json``, or a database."""
    validate_command: tuple[str, ...] = ("config", "get", "gateway.mode")
    """Arguments for ``openclaw``: exit code 0 when the file in OPENCLAW_CONFIG_PATH is valid."""
    config_patch: bool = False
    """``openclaw config patch`` exists."""
    strict_json: bool = False
    """``openclaw config set --strict-json`` exists."""
    secret_references: bool = False
    """``apiKey: {source: "env", provider: "default", id: ...}`` is accepted."""
    node: str = ">=22.12.0"
    """Range of Node versions, as npm's ``engines``."""
    node_formula: Literal["node@22", "node@24"] = "node@22"
    """Homebrew formula that satisfies :attr:`node`."""
    service_env: Literal["plist", "file"] = "plist"
    """Where ``gateway install`` puts the environment of the LaunchAgent."""
    token_in_plist: bool = True
    """``gateway install`` writes the gateway's token into the plist, so that another token in
    openclaw.json needs ``gateway install --force``."""
    health_json: bool = False
    """``/healthz`` answers JSON; where False every path answers 200 with HTML."""
    stop_needs_force: bool = False
    """``gateway stop`` without a terminal wants ``--force`` (some versions before do not know
    that option, so it is given only where this is True)."""
    hot_paths: tuple[tuple[str, ...], ...] = ()
    """Below these keys of openclaw.json the running gateway was seen to apply a change itself, with
    the same process: its log says so, and the next turn had the new values. Empty: not measured,
    or not so."""
    assumed: bool = False
    """The version lies outside what was measured; the nearest measured one stands for it."""
    warning: str = ""
    """What to tell the user when :attr:`assumed`, else empty."""
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Field -> why it differs from 2026.2.12; a field that does not is absent."""


class Change(NamedTuple):
    since: str
    field: str
    value: object
    reason: str


HOT = (
    ("models", "providers"),
    ("agents", "defaults", "model"),
    ("agents", "defaults", "models"),
    ("agents", "defaults", "timeoutSeconds"),
)
NODE_24 = "no longer run on Node 22"
CHANGES: tuple[Change, ...] = (
    Change("2026.2.17", "native_api", True, "speak Ollama's native API"),
    Change(
        "2026.2.17",
        "native_sends_context_window",
        True,
        "send a model's contextWindow to Ollama as num_ctx",
    ),
    Change("2026.2.17", "hot_paths", HOT, "apply models and the choice of them while they run"),
    Change("2026.2.26", "hot_paths", (), "were not measured while their config changes"),
    Change("2026.2.26", "strict_json", True, "have config set --strict-json"),
    Change("2026.2.26", "secret_references", True, "take references in the place of keys"),
    Change("2026.3.13", "node", ">=22.16.0", "want Node 22.16"),
    Change("2026.3.13", "openai_num_ctx", True, "send num_ctx over /v1 as well"),
    Change("2026.3.13", "validate_command", ("config", "validate"), "have config validate"),
    Change("2026.3.13", "token_in_plist", False, "keep the token out of the LaunchAgent"),
    Change("2026.3.13", "health_json", True, "answer health probes with JSON"),
    Change("2026.3.24", "node", ">=22.14.0", "run on Node 22.14 as well"),
    Change("2026.4.15", "model_context_tokens", True, "have a context budget for each model"),
    Change("2026.4.29", "provider_timeout", True, "have a time-out for each provider"),
    Change("2026.4.29", "model_params", True, "have request parameters for each model"),
    Change("2026.4.29", "config_patch", True, "have config patch"),
    Change("2026.4.29", "service_env", "file", "keep the LaunchAgent's environment in a file"),
    Change("2026.5.12", "node", ">=22.16.0", "want Node 22.16"),
    Change(
        "2026.5.12",
        "native_sends_context_window",
        False,
        "no longer send contextWindow to Ollama, only params.num_ctx",
    ),
    Change("2026.5.18", "node", ">=22.19.0", "want Node 22.19"),
    Change(
        "2026.5.18", "least_window", 49152, "fail (before 2026.7.1) with a contextWindow of 32768"
    ),
    Change("2026.5.28", "models_required", False, "accept a provider without models"),
    Change("2026.6.6", "auth_store", "sqlite", "keep credentials in SQLite"),
    Change(
        "2026.7.1", "node", ">=22.22.3 <23 || >=24.15.0 <25 || >=25.9.0", "want Node 22.22 or 24.15"
    ),
    Change("2026.7.1", "least_window", 32768, "answer with a contextWindow of 32768 again"),
    Change("2026.8.1", "auth_file_blocks", True, "refuse every turn beside an auth-profiles.json"),
    Change("2026.8.1", "session_store", "sqlite", "keep conversations in SQLite"),
    Change("2026.8.1", "stop_needs_force", True, "ask before they stop the service"),
    Change("2026.9.3", "node", ">=24.16.0 <25 || >=26.1.0", NODE_24),
    Change("2026.9.3", "node_formula", "node@24", NODE_24),
    Change("2026.9.6", "hot_paths", HOT, "apply models and the choice of them while they run"),
)
"""Every difference, oldest first; a later row of the same field replaces the earlier.

``since`` is the first measured version that has it. Where not every version was measured, a few
before it may have it already; they get the older shape, which they accept as well.
"""

MEASURED = (Version.parse("2026.2.12"), Version.parse("2026.9.6"))
"""First and last version that were measured."""


def capabilities(version: Version) -> Capabilities:
    """What this version can do.

    A version outside the measured range gets what the nearest measured one can do, with
    ``assumed`` set and a warning for the user; it is never refused.
    """
    first, last = MEASURED
    nearest = min(max(version, first), last)
    caps = Capabilities(version=version)
    known = {item.name for item in fields(Capabilities)}
    reasons: dict[str, str] = {}
    for since, name, value, reason in CHANGES:
        if name not in known:
            raise AssertionError(f"no such capability: {name}")
        if Version.parse(since) <= nearest:
            caps = replace(caps, **{name: value})  # type: ignore[arg-type]
            reasons[name] = f"OpenClaw {since} and later {reason}"
    caps = replace(caps, reasons=MappingProxyType(reasons))
    if nearest == version:
        return caps
    order = "older than the first" if version < first else "newer than the last"
    return replace(
        caps,
        assumed=True,
        warning=(
            f"OpenClaw {version} is {order} version that was measured ({nearest}); "
            f"it is treated like {nearest}. If its validator refuses the config, "
            f"install a measured one: npm install -g openclaw@{nearest}"
        ),
    )


@dataclass(frozen=True)
class Shape:
    """How the Ollama provider has to be written for one version, with the reasons."""

    api: Literal["ollama", "openai-completions"]
    """``models.providers.ollama.api``."""
    base_url_suffix: Literal["", "/v1"]
    """What follows ``http://127.0.0.1:11434`` in ``baseUrl``."""
    num_ctx: Literal["params", "context_window", "server"]
    """How the context length reaches Ollama: a model's ``params.num_ctx``, its ``contextWindow``,
    or not at all, so that the server needs OLLAMA_CONTEXT_LENGTH."""
    least_window: int
    """Smallest ``contextWindow``, in tokens, that works; a smaller wish is to be raised to it.
    ``contextTokens`` is never written: it only lowers the window again."""
    credential: Literal["auth-profiles", "provider"]
    """Where the (meaningless, but required) key lies: the file ``auth-profiles.json``, or
    ``models.providers.ollama.apiKey``."""
    api_key: str
    """The key itself; ``ollama-local`` is OpenClaw's own marker for a local Ollama."""
    timeout_path: tuple[str, ...]
    """Path in openclaw.json of the request's time-out in seconds."""
    reasons: Mapping[str, str]
    """Field of this class -> why, for the user."""


def wanted_shape(caps: Capabilities) -> Shape:
    """The settings this project writes for an OpenClaw with these capabilities."""
    why = caps.reasons
    reasons: dict[str, str] = {}
    if caps.native_api:
        reasons["api"] = f"{why['native_api']}; its documentation prefers that to /v1"
        reasons["base_url_suffix"] = "the native API has no /v1"
    else:
        reasons["api"] = _not_before("native_api", 'api "ollama"')
        reasons["base_url_suffix"] = "the OpenAI-compatible API lies under /v1"
    num_ctx: Literal["params", "context_window", "server"]
    if caps.model_params:
        num_ctx, reasons["num_ctx"] = "params", f"{why['model_params']}: num_ctx is one"
    elif caps.native_api and caps.native_sends_context_window:
        num_ctx, reasons["num_ctx"] = "context_window", why["native_sends_context_window"]
    else:
        num_ctx = "server"
        reasons["num_ctx"] = (
            f"OpenClaw {caps.version} sends no num_ctx: OLLAMA_CONTEXT_LENGTH has to be set"
        )
    reasons["least_window"] = why.get(
        "least_window", f"OpenClaw {caps.version} answers with a contextWindow of 32768"
    )
    sqlite = caps.auth_store == "sqlite"
    if not sqlite:
        credential = f"OpenClaw {caps.version} reads credentials from auth-profiles.json"
    elif caps.auth_file_blocks:
        credential = f"{why['auth_file_blocks']}: the key belongs to the provider"
    else:
        credential = f"{why['auth_store']} and ignore auth-profiles.json"
    reasons["credential"] = reasons["api_key"] = credential
    reasons["timeout_path"] = (
        f"{why['provider_timeout']}: a local model may need minutes to load"
        if caps.provider_timeout
        else _not_before("provider_timeout", "timeoutSeconds of a provider")
    )
    return Shape(
        api="ollama" if caps.native_api else "openai-completions",
        base_url_suffix="" if caps.native_api else "/v1",
        num_ctx=num_ctx,
        least_window=caps.least_window,
        credential="provider" if sqlite else "auth-profiles",
        api_key="ollama-local",
        timeout_path=(
            ("models", "providers", "ollama", "timeoutSeconds")
            if caps.provider_timeout
            else ("agents", "defaults", "timeoutSeconds")
        ),
        reasons=MappingProxyType(reasons),
    )


def _not_before(name: str, what: str) -> str:
    since = next(change.since for change in CHANGES if change.field == name)
    return f"OpenClaw refuses {what} before {since}"
