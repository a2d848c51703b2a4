"""Configuration of the small OpenClaw: what each version accepts, and how it says no.

The key lists are those of the schemas that 2026.2.17 (``gateway call config.schema``) and 2026.9.6
(``config schema``) print; strictness is kept where the playbook writes: the root, ``models``,
``agents.defaults`` and ``gateway``. Everything deeper is taken as it is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.standins import json5

_ROOT_2 = """meta env wizard diagnostics logging update browser ui auth models nodeHost agents tools
bindings broadcast audio media messages commands approvals session cron hooks web channels discovery
canvasHost talk gateway memory skills plugins"""
_ROOT_9 = """$schema meta env wizard diagnostics logging telemetry update browser ui secrets auth
accessGroups acp models nodeHost agents worktreeRoot worktreeAcceleration tools security bindings
broadcast attachments messages tts commands approvals session cron transcripts hooks channels
discovery talk gateway cloudWorkers desktop memory mcp skills plugins surfaces proxy"""
_PROVIDER_2 = "baseUrl apiKey auth api headers authHeader models"
_PROVIDER_9 = f"""{_PROVIDER_2} maxTokens timeoutSeconds region injectNumCtxForOpenAICompat params
agentRuntime localService request"""
_MODEL_2 = "id name api reasoning input cost contextWindow maxTokens headers compat"
_MODEL_9 = f"""{_MODEL_2} baseUrl contextTokens thinkingLevelMap params agentRuntime mediaInput
metadataSource"""
_DEFAULTS_2 = """model imageModel models workspace repoRoot skipBootstrap bootstrapMaxChars
bootstrapTotalMaxChars userTimezone timeFormat envelopeTimezone envelopeTimestamp envelopeElapsed
contextTokens cliBackends memorySearch contextPruning compaction thinkingDefault verboseDefault
elevatedDefault blockStreamingDefault blockStreamingBreak blockStreamingChunk blockStreamingCoalesce
humanDelay timeoutSeconds mediaMaxMb imageMaxDimensionPx typingIntervalSeconds typingMode heartbeat
maxConcurrent subagents sandbox"""
_DEFAULTS_9 = """params model modelSelectionScope utilityModel decisionModel imageModel mediaModels
voiceModel pdfModel pdfMaxMb pdfMaxPages models modelPolicy workspace cwd skills silentReply
repoRoot skipBootstrap skipOptionalBootstrapFiles contextInjection bootstrapMaxChars
bootstrapTotalMaxChars experimental userTimezone startupContext contextPruning compaction
embeddedAgent thinkingDefault fastModeDefault verboseDefault toolProgressDetail reasoningDefault
elevatedDefault blockStreamingDefault blockStreamingBreak timeoutSeconds mediaMaxMb
imageMaxDimensionPx imageQuality typingIntervalSeconds systemAgent authInheritance sessionStore
maxConcurrent subagents contextLimits blockStreamingChunk blockStreamingCoalesce humanDelay
typingMode heartbeat sandbox"""
_GATEWAY_2 = """port mode bind controlUi auth trustedProxies tools channelHealthCheckMinutes
tailscale remote reload tls http nodes"""
_GATEWAY_9 = """port mode bind customBindHost publicOrigin portals controlUi cliAgents terminal auth
roles trustedProxies allowRealIpFallback tools tailscale remote reload tls http push nodes"""
_API_2 = ("openai-completions openai-responses anthropic-messages google-generative-ai "
          "github-copilot bedrock-converse-stream")  # fmt: skip
_API_9 = ("openai-completions openai-responses openai-chatgpt-responses anthropic-messages "
          "google-generative-ai google-vertex github-copilot bedrock-converse-stream ollama "
          "pi-messages azure-openai-responses")  # fmt: skip

_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array",
          dict: "object", type(None): "null"}  # fmt: skip


@dataclass(frozen=True)
class Issue:
    """One thing that the schema refuses."""

    path: tuple[str | int, ...]
    message: str


@dataclass
class Config:
    """What lies in ``~/.openclaw/openclaw.json``: its value, or why there is none."""

    file: Path
    exists: bool
    value: dict[str, Any]
    issues: list[Issue]
    lines: dict[tuple[str | int, ...], int]
    unparseable: str | None = None

    def get(self, *path: str | int) -> Any:
        """The value at a path, None when any part of it is missing."""
        found: Any = self.value
        for part in path:
            if isinstance(found, list) and str(part).isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                return None
        return found

    @property
    def valid(self) -> bool:
        """Whether the CLI and the gateway would start with it."""
        return not self.issues and self.unparseable is None


def recent(version: str) -> bool:
    """2026.9 and later: SQLite, own error texts, an env file for the service."""
    return version >= "2026.9"


def load(home: Path, version: str) -> Config:
    """Read and check the user's configuration as that version would."""
    named = os.environ.get("OPENCLAW_CONFIG_PATH")
    file = Path(named) if named else home / ".openclaw" / "openclaw.json"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config(file, False, {}, [], {})
    try:
        value, lines = json5.parse(text)
    except json5.Json5Error as error:
        return Config(file, True, {}, [], {}, str(error))
    if not isinstance(value, dict):
        return Config(file, True, {}, [_type((), "object", value)], lines)
    return Config(file, True, _with_environment(value), list(_check(value, version)), lines)


def _with_environment(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_environment(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{([A-Z_][A-Z0-9_]*)\}", lambda m: os.environ.get(m[1], m[0]), value)
    return value


_MISSING = object()


def _type(path: tuple[str | int, ...], expected: str, value: object) -> Issue:
    received = "undefined" if value is _MISSING else _TYPES[type(value)]
    return Issue(path, f"Invalid input: expected {expected}, received {received}")


class _Checker:
    def __init__(self, version: str) -> None:
        self.new = recent(version)
        self.version = version
        self.issues: list[Issue] = []

    def pick(self, old: str, new: str) -> list[str]:
        return (new if self.new else old).split()

    def has_type(self, path: tuple[str | int, ...], value: object, kind: str) -> bool:
        if value is not _MISSING and _TYPES[type(value)] == kind:
            return True
        self.issues.append(_type(path, kind, value))
        return False

    def keys(self, path: tuple[str | int, ...], value: dict[str, Any], known: list[str]) -> None:
        unknown = [f'"{key}"' for key in value if key not in known]
        if unknown:
            plural = "s" if len(unknown) > 1 else ""
            self.issues.append(Issue(path, f"Unrecognized key{plural}: {', '.join(unknown)}"))

    def one_of(
        self, path: tuple[str | int, ...], value: object, allowed: list[str], literal: bool
    ) -> None:
        if value in allowed:
            return
        got = f', got: "{value}"' if isinstance(value, str) else ""
        if not self.new:
            message = "Invalid input"
        elif literal:
            options = ", ".join(f'"{name}"' for name in allowed)
            message = f"Invalid input (allowed: {options}){got}"
        else:
            options = "|".join(f'"{name}"' for name in allowed)
            message = f"Invalid option: expected one of {options}{got}"
        self.issues.append(Issue(path, message))

    def model(self, path: tuple[str | int, ...], value: object) -> None:
        if not self.has_type(path, value, "object"):
            return
        assert isinstance(value, dict)
        for key in ("id", "name"):
            self.has_type((*path, key), value.get(key, _MISSING), "string")
        for key in ("contextWindow", "maxTokens"):
            if key in value:
                self.has_type((*path, key), value[key], "number")
        self.keys(path, value, self.pick(_MODEL_2, _MODEL_9))

    def provider(self, path: tuple[str | int, ...], value: object) -> None:
        if not self.has_type(path, value, "object"):
            return
        assert isinstance(value, dict)
        apis = self.pick(_API_2, _API_9)
        if self.version != "2026.2.12" and not self.new:
            apis.append("ollama")
        if "baseUrl" in value or not self.new:
            self.has_type((*path, "baseUrl"), value.get("baseUrl", _MISSING), "string")
        if "api" in value:
            self.one_of((*path, "api"), value["api"], apis, literal=False)
        models = value.get("models", _MISSING)
        if (models is not _MISSING or not self.new) and self.has_type(
            (*path, "models"), models, "array"
        ):
            assert isinstance(models, list)
            for index, model in enumerate(models):
                self.model((*path, "models", index), model)
        self.keys(path, value, self.pick(_PROVIDER_2, _PROVIDER_9))

    def section(self, value: dict[str, Any], name: str, known: list[str]) -> dict[str, Any]:
        section = value.get(name, {})
        if not self.has_type((name,), section, "object"):
            return {}
        assert isinstance(section, dict)
        self.keys((name,), section, known)
        return section


def _check(value: dict[str, Any], version: str) -> list[Issue]:
    checker = _Checker(version)
    models = checker.section(
        value, "models", ["mode", "providers", "bedrockDiscovery", "catalogRefresh"]
    )
    providers = models.get("providers", {})
    if checker.has_type(("models", "providers"), providers, "object"):
        for name, provider in providers.items():
            checker.provider(("models", "providers", name), provider)
    agents = checker.section(value, "agents", ["defaults", "list", "entries", "ownership"])
    defaults = agents.get("defaults", {})
    if checker.has_type(("agents", "defaults"), defaults, "object"):
        known = checker.pick(_DEFAULTS_2, _DEFAULTS_9)
        checker.keys(("agents", "defaults"), defaults, known)
    gateway = checker.section(value, "gateway", checker.pick(_GATEWAY_2, _GATEWAY_9))
    if "mode" in gateway:
        checker.one_of(("gateway", "mode"), gateway["mode"], ["local", "remote"], literal=True)
    if "port" in gateway:
        checker.has_type(("gateway", "port"), gateway["port"], "number")
    checker.keys((), value, checker.pick(_ROOT_2, _ROOT_9))
    return checker.issues


def spelled(path: tuple[str | int, ...], version: str) -> str:
    """A path as that version writes it: ``models.0.name`` or ``models[0].name``."""
    if not path:
        return "<root>"
    if not recent(version):
        return ".".join(str(part) for part in path)
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def lines_of(config: Config, version: str) -> list[str]:
    """The issues one a line, as they stand in error messages (without the leading dash)."""
    found = []
    for issue in config.issues:
        text = f"{spelled(issue.path, version)}: {issue.message}"
        line = config.lines.get(issue.path)
        found.append(f"openclaw.json:{line} — {text}" if line and recent(version) else text)
    if config.unparseable is not None and recent(version):
        found.append(f"<root>: JSON5 parse failed: SyntaxError: {config.unparseable}")
    return found


def root_keys(version: str) -> list[str]:
    """The keys that may stand at the top of ``openclaw.json``."""
    return (_ROOT_9 if recent(version) else _ROOT_2).split()
