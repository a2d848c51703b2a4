"""Troubles of OpenClaw itself: its version, its files, its conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clawfleet import openclaw, sessions
from clawfleet.capabilities import MEASURED, Version, capabilities
from clawfleet.diagnosis.known import DEPLOY, TASK, Case, Known, Seen, quoted
from clawfleet.diagnosis.models import promised
from clawfleet.documents import at, read
from clawfleet.plan import Trouble, quote


def _missing(case: Case) -> Iterable[Seen]:
    if case.snapshot.openclaw is None:
        yield Seen("no OpenClaw on this Mac", DEPLOY)


def _too_old(case: Case) -> Iterable[Seen]:
    found = case.snapshot.openclaw
    if found and Version.parse(found) < MEASURED[0]:
        yield Seen(f"OpenClaw {found}", f"on the Mac: npm install -g openclaw@{MEASURED[1]}")


def _unmeasured(case: Case) -> Iterable[Seen]:
    found = case.snapshot.openclaw
    if found and Version.parse(found) > MEASURED[1]:
        yield Seen(f"OpenClaw {found}", f"npm install -g openclaw@{MEASURED[1]}, if it misbehaves")


def _node(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    if snapshot.openclaw is None:
        return
    caps = capabilities(Version.parse(snapshot.openclaw))
    if openclaw.node_for(snapshot, caps) is None:
        found = ", ".join(dict.fromkeys(n.version for n in snapshot.nodes)) or "no Node"
        yield Seen(
            f"{found}; OpenClaw {snapshot.openclaw} needs Node {caps.node}",
            f"{TASK.format('openclaw')}, or on the Mac: brew install {caps.node_formula}",
        )


def _malformed(case: Case) -> Iterable[Seen]:
    for file in (case.snapshot.config, case.snapshot.auth):
        try:
            read(file)
        except Trouble as trouble:
            yield Seen(trouble.found, trouble.fix)


def _refused(case: Case) -> Iterable[Seen]:
    said = [line.strip() for line in case.symptoms.verdict.refused.splitlines() if line.strip()]
    if (
        case.symptoms.verdict.valid is False
        and not list(_malformed(case))
        and not list(_node(case))
    ):
        yield Seen(
            "openclaw: " + " ".join(said)[:300],
            "on the Mac: openclaw doctor shows the key; take it out of ~/.openclaw/openclaw.json, "
            "or npm install -g a version that knows it",
        )


def _mode(case: Case) -> Iterable[Seen]:
    """OpenClaw starts no gateway whose config does not say gateway.mode local."""
    mode = at(case.config, ("gateway", "mode"))
    if case.snapshot.plist.exists and case.snapshot.config.exists and mode != "local":
        if list(_malformed(case)):
            return
        safe = case.snapshot.owned.exists and mode is None
        yield Seen(
            f"gateway.mode is {mode!r}" if mode else "gateway.mode is missing",
            TASK.format("config") if mode is None else "set gateway.mode to local on the Mac",
            "config" if safe else None,
        )


def _legacy_auth(case: Case) -> Iterable[Seen]:
    if case.snapshot.openclaw and case.caps.auth_file_blocks and case.snapshot.auth.exists:
        yield Seen(
            f"{case.snapshot.auth.path} beside OpenClaw {case.snapshot.openclaw}",
            "on the Mac: openclaw doctor --fix --non-interactive --yes",
        )


def _small_window(case: Case) -> Iterable[Seen]:
    least = case.caps.least_window
    if case.snapshot.openclaw is None:
        return
    for model, size in promised(case.config).items():
        if size < least:
            yield Seen(
                f"contextWindow of {model} is {size:,}; OpenClaw {case.snapshot.openclaw} needs "
                f"{least:,}",
                TASK.format("config"),
                "config" if case.snapshot.owned.exists else None,
            )


def _sessions(case: Case) -> Iterable[Seen]:
    for over in sessions.overflowing(case.symptoms.sessions, case.config):
        yield Seen(
            str(over),
            TASK.format("gateway") + " --data reset_sessions=when-needed (with a backup)",
        )


def _overflow(case: Case) -> Iterable[Seen]:
    found = case.said("Context overflow")
    if found and not list(_sessions(case)):
        yield Seen(
            quoted(found),
            "in that conversation /new or /reset; for all of them: "
            + TASK.format("gateway")
            + " --data reset_sessions=true (with a backup)",
        )


def _discovery(case: Case) -> Iterable[Seen]:
    if found := case.said("Failed to discover Ollama models"):
        if case.snapshot.ollama_server is None:
            fix = TASK.format("ollama")
        elif all("aborted due to timeout" in message.text for message in found):
            return  # a busy moment, after OpenClaw's five seconds: by now it answers
        else:
            fix = f"{TASK.format('environment')}, {TASK.format('config')}"
        yield Seen(quoted(found), fix)


def _cooling(case: Case) -> Iterable[Seen]:
    if found := case.said("all in cooldown or unavailable", "is in cooldown"):
        yield Seen(
            quoted(found),
            "mend Ollama (ollama ps, its log), then restart the gateway: " + TASK.format("gateway"),
        )


def _token(case: Case) -> Iterable[Seen]:
    if found := case.said("device token mismatch", "gateway token mismatch"):
        yield Seen(quoted(found), TASK.format("gateway"), "gateway")


def _unknown_model(case: Case) -> Iterable[Seen]:
    """The default model, or one of its fallbacks, that no provider of the config has."""
    providers = at(case.config, ("models", "providers"))
    if not isinstance(providers, Mapping):
        return
    model = at(case.config, ("agents", "defaults", "model"))
    chain = [model] if isinstance(model, str) else []
    if isinstance(model, Mapping):
        chain = [str(model.get("primary")), *(model.get("fallbacks") or [])]
    for reference in chain:
        provider, _, name = str(reference or "").partition("/")
        entries = at(providers, (provider, "models"))
        # A provider that is not listed is one of OpenClaw's own.
        if isinstance(entries, list) and name not in [at(e, ("id",)) for e in entries]:
            yield Seen(f"nobody provides {reference}", TASK.format("config"))


def _readable(case: Case) -> Iterable[Seen]:
    """Files with secrets that others on this Mac can read: those in a folder they may enter."""
    for mode, folder in case.symptoms.folders:
        inside = [
            f"{path.rpartition('/')[2]} ({bits})"
            for bits, path in case.symptoms.readable
            if path.startswith(f"{folder}/")
        ]
        shown = f"; they can read {', '.join(inside[:4])}" if inside else ""
        more = f" and {len(inside) - 4} more" if len(inside) > 4 else ""
        yield Seen(
            f"{folder} has mode {mode}: others may enter{shown}{more}",
            f"on the Mac: chmod -R go-rwx {quote(folder)}",
            "modes",
        )


TROUBLES = (
    Known(
        "openclaw-missing",
        "broken",
        "OpenClaw is not installed",
        "未安装 OpenClaw",
        ("openclaw: command not found",),
        "no openclaw in npm's, pnpm's or Homebrew's folders",
        f"OpenClaw {MEASURED[0]} or later",
        f"`{DEPLOY}`",
        _missing,
    ),
    Known(
        "openclaw-too-old",
        "broken",
        "OpenClaw is too old",
        "OpenClaw 版本过旧",
        ("(its files are not as expected)",),
        "nothing older was measured; its files have other shapes",
        f"OpenClaw {MEASURED[0]} or later",
        f"`npm install -g openclaw@{MEASURED[1]}`",
        _too_old,
    ),
    Known(
        "openclaw-not-measured",
        "note",
        "OpenClaw is newer than what was measured",
        "OpenClaw 版本未经测试",
        (f"is newer than the last version that was measured ({MEASURED[1]})",),
        f"it is treated like {MEASURED[1]}; its validator has the last word",
        f"a version from {MEASURED[0]} to {MEASURED[1]}",
        "nothing, as long as its own check accepts the config",
        _unmeasured,
    ),
    Known(
        "node-too-old",
        "broken",
        "Node does not go with OpenClaw",
        "Node.js 版本不符合要求",
        ("npm warn EBADENGINE Unsupported engine",),
        "each OpenClaw runs on certain versions of Node only (22 is not enough for 2026.9)",
        "a Node in OpenClaw's range",
        f"`{TASK.format('openclaw')}`, or `brew install node@24`",
        _node,
    ),
    Known(
        "config-malformed",
        "broken",
        "A config is not JSON5",
        "配置文件格式错误",
        ("JSON5 parse failed: SyntaxError", "Failed to read config at"),
        "a bracket or comma is missing; neither the command nor the gateway starts with it",
        "JSON5 that OpenClaw can read",
        "edit the file at that line and column",
        _malformed,
    ),
    Known(
        "config-refused",
        "broken",
        "OpenClaw refuses its config",
        "OpenClaw 拒绝配置(未知的键)",
        ("Config invalid", "Unrecognized key", "OpenClaw config is invalid"),
        "its schema is strict and differs by version: one key that it does not know, and nothing "
        "starts; a running gateway goes on and fails at its next start",
        "a config that the installed version accepts",
        "take the key out; `openclaw doctor` names it",
        _refused,
    ),
    Known(
        "gateway-mode",
        "broken",
        "gateway.mode is not local",
        "未设置 gateway.mode=local",
        (
            "Gateway start blocked: set gateway.mode=local",
            "existing config is missing gateway.mode",
        ),
        "with the article's files alone no gateway starts",
        "gateway.mode local, bind loopback and a token",
        f"`{TASK.format('config')}`",
        _mode,
    ),
    Known(
        "legacy-credentials",
        "broken",
        "Credentials of an older OpenClaw lie there",
        "旧版凭据文件未迁移",
        ("requires legacy credential migration", "AUTH_PROFILE_MIGRATION_REQUIRED"),
        "OpenClaw 2026.8 and later keep credentials in a database, and stop beside an "
        "auth-profiles.json that was not migrated",
        "no auth-profiles.json",
        "`openclaw doctor --fix --non-interactive --yes`",
        _legacy_auth,
    ),
    Known(
        "window-too-small",
        "broken",
        "The context window is too small for OpenClaw",
        "上下文窗口过小",
        ("Model context window too small", "blocked model (context window too small)"),
        "OpenClaw's own instructions do not fit",
        "a contextWindow with which this version answers",
        f"`{TASK.format('config')}`",
        _small_window,
    ),
    Known(
        "session-too-long",
        "broken",
        "A conversation is larger than the window",
        "会话历史超出上下文窗口",
        ("Context overflow: prompt too large for the model",),
        "it was held with a larger window than the one that is promised now",
        "conversations that fit",
        f"`{TASK.format('gateway')} --data reset_sessions=when-needed`; "
        "`echo '{}' > sessions.json` does nothing from 2026.8 on",
        _sessions,
    ),
    Known(
        "context-overflow",
        "broken",
        "Context overflow",
        "上下文溢出:会话历史过多",
        ("Context overflow: prompt too large for the model",),
        "the gateway's log says so since it was started",
        "prompts that fit",
        f"`/new` in that conversation, or `{TASK.format('gateway')} --data reset_sessions=true`",
        _overflow,
        ("Context overflow",),
    ),
    Known(
        "discovery",
        "broken",
        "Failed to discover Ollama models",
        "无法发现 Ollama 模型(fetch failed)",
        ("Failed to discover Ollama models: fetch failed",),
        "the gateway could not ask Ollama: a proxy in its environment, Ollama down, or a wrong "
        "address",
        "an answer of Ollama's",
        f"`{TASK.format('environment')}`, `{TASK.format('ollama')}`, `{TASK.format('config')}`",
        _discovery,
        ("Failed to discover Ollama models",),
    ),
    Known(
        "cooldown",
        "broken",
        "A provider is in cooldown: the next model may be in the cloud",
        "模型提供商处于冷却期,请求可能转到云端",
        ("No available auth profile for ollama (all in cooldown or unavailable)",),
        "after some errors OpenClaw skips the whole provider for a while, the second local model "
        "too",
        "local models that answer",
        "mend Ollama, then restart the gateway",
        _cooling,
        ("all in cooldown or unavailable", "is in cooldown"),
    ),
    Known(
        "token",
        "broken",
        "Command and gateway have different tokens",
        "网关令牌不一致",
        ("unauthorized: device token mismatch", "gateway token mismatch"),
        "versions before 2026.3.13 pin the token in the LaunchAgent when it is installed",
        "one token",
        f"`{TASK.format('gateway')}`: installs it again",
        _token,
        ("device token mismatch", "gateway token mismatch"),
    ),
    Known(
        "model-unknown",
        "broken",
        "A model of the chain is provided by nobody",
        "模型链中有未定义的模型",
        ("Unknown model:",),
        "the default model or a fallback names a model that its provider does not list",
        "a provider for each model of the chain",
        f"`{TASK.format('config')}`",
        _unknown_model,
    ),
    Known(
        "readable-by-others",
        "risk",
        "Others on this Mac can read keys",
        "密钥文件权限过宽",
        ("(`openclaw doctor` asks for chmod 700)",),
        "the folder or files with keys and conversations are open to other users",
        "folders 0700",
        "`chmod -R go-rwx ~/.openclaw`",
        _readable,
    ),
)
