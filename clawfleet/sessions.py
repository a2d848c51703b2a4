"""The agent's conversations: which can't fit the model's window, and how they are forgotten.

OpenClaw sends the whole conversation with each turn; one that outgrew the window ends as ``Context
overflow: prompt too large for the model``, or loses its beginning in silence. The article's
``echo '{}' > sessions.json`` forgets all of them where they lie in that file (OpenClaw
before 2026.8) and does nothing where they lie in a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clawfleet import commit
from clawfleet.capabilities import Capabilities
from clawfleet.documents import at
from clawfleet.plan import quote
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot


@dataclass(frozen=True)
class Session:
    """One conversation, as OpenClaw itself keeps count of it."""

    key: str
    """Such as ``agent:main:main``."""
    tokens: int | None
    """Tokens of its last prompt, as the model's server counted them; None: not known, or a summary
    has made it smaller since (``totalTokensFresh``). What Ollama had cut off is not in it."""
    model: str | None = None
    """``PROVIDER/MODEL`` where the user has chosen one for this conversation."""


def sessions(store: Any) -> tuple[Session, ...]:
    """The conversations in ``sessions.json`` or in the table ``session_nodes``: key -> entry.

    Fields as OpenClaw 2026.2.17 (src/commands/agent/session-store.ts) and 2026.9.6 write them.
    ValueError for anything else.
    """
    if not isinstance(store, Mapping):
        raise ValueError("the sessions are no object of key and entry")
    found = []
    for key, entry in store.items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"the session {key} is no object")
        tokens = entry.get("totalTokens")
        known = isinstance(tokens, int) and entry.get("totalTokensFresh") is not False
        provider, model = entry.get("providerOverride"), entry.get("modelOverride")
        chosen = f"{provider}/{model}" if provider and model else None
        found.append(Session(str(key), tokens if known else None, chosen))
    return tuple(found)


def window(config: Mapping[str, Any], reference: str | None) -> int | None:
    """Tokens of context that openclaw.json promises for ``PROVIDER/MODEL``, or for the default
    model; None where it says nothing."""
    chosen = reference or at(config, ("agents", "defaults", "model", "primary"))
    chosen = chosen or at(config, ("agents", "defaults", "model"))
    if not isinstance(chosen, str):
        return None
    provider, _, model = chosen.partition("/")
    for entry in at(config, ("models", "providers", provider, "models")) or []:
        if isinstance(entry, Mapping) and entry.get("id") == model:
            size = entry.get("contextWindow")
            return size if isinstance(size, int) else None
    return None


@dataclass(frozen=True)
class Overflow:
    """A conversation whose last prompt alone is as large as the window, or larger."""

    key: str
    tokens: int
    window: int

    def __str__(self) -> str:
        return (
            f"session {self.key} holds {self.tokens:,} tokens, the window is {self.window:,}: "
            "it will overflow"
        )


def overflowing(found: Iterable[Session], config: Mapping[str, Any]) -> tuple[Overflow, ...]:
    """The conversations that can't fit the window that openclaw.json promises now."""
    over = []
    for session in found:
        size = window(config, session.model)
        if size and session.tokens is not None and session.tokens >= size:
            over.append(Overflow(session.key, session.tokens, size))
    return tuple(over)


@dataclass(frozen=True)
class Forget:
    """What this run forgets."""

    keys: tuple[str, ...] = ()
    """Conversations that the running gateway forgets, one by one."""
    whole: bool = False
    """All of the agent's, in the file, while the gateway is stopped."""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is only told."""


def plan(
    found: Sequence[Session], config: Mapping[str, Any], settings: Settings, caps: Capabilities
) -> Forget:
    """What ``reset_sessions`` asks for, given the Mac's conversations."""
    over = overflowing(found, config)
    wish = settings.reset_sessions
    if wish == "when-needed":
        return Forget(tuple(o.key for o in over), reasons=tuple(map(str, over)))
    if wish is True:
        why = (f"the sessions of {settings.agent} shall be forgotten (reset_sessions)",)
        if caps.session_store == "file":
            return Forget(whole=True, reasons=why)
        return Forget(tuple(s.key for s in found) or (main(settings),), reasons=why)
    hint = "; --data reset_sessions=when-needed forgets it, with a backup"
    return Forget(notes=tuple(f"{o}{hint}" for o in over))


def main(settings: Settings) -> str:
    """The key of the agent's main conversation."""
    return f"agent:{settings.agent}:main"


def while_stopped(
    snapshot: Snapshot, settings: Settings, caps: Capabilities, keys: Sequence[str]
) -> str:
    """sh that keeps the conversations in this run's backup while the gateway is stopped, and
    forgets those in the file where all of them shall go.

    The file goes back with everything else when the gateway then fails. A database is only copied,
    with its journal: what the gateway is to forget, it forgets once it is well again.
    """
    if not settings.reset_sessions:
        return ":"
    agent = f"{snapshot.home}/.openclaw/agents/{settings.agent}"
    if caps.session_store == "sqlite":
        if not once_well(settings, caps, keys):
            return ":"
        paths = [f"{agent}/agent/openclaw-agent.sqlite{end}" for end in ("", "-wal")]
        return " && ".join(map(_copied, paths))
    path = f"{agent}/sessions/sessions.json"
    if keys:
        return _copied(path)
    file, name, new = quote(path), quote(commit.backup_name(path)), quote(f"{path}.new")
    if settings.reset_sessions is not True:
        return ":"
    return (
        f"[ ! -f {file} ] || {{ this {file} {name} "
        # What stands there by our own hand is nobody else's work when the file has to go back.
        f"&& printf '{{}}' > {new} && cp -p {new} \"$B\"/{name}.after && mv -f {new} {file}; }}"
    )


def _copied(path: str) -> str:
    # In a subshell: `also` ends the shell where the disk is full, and the gateway is stopped here.
    copy = f"( also {quote(path)} {quote(commit.backup_name(path))} )"
    return f'{{ {copy} || {{ why="the sessions could not be copied into the backup"; false; }}; }}'


def once_well(settings: Settings, caps: Capabilities, keys: Sequence[str]) -> str:
    """sh for conversations that only the running gateway can forget; empty for none."""
    if not keys and settings.reset_sessions is True and caps.session_store == "sqlite":
        keys = (main(settings),)
    return " && ".join(map(_reset, keys))


def _reset(key: str) -> str:
    parameters = quote(json.dumps({"key": key}))
    return (
        f"{{ out=$(openclaw gateway call sessions.reset --params {parameters} --json "
        f'</dev/null 2>&1) || {{ why="a session was not reset: $out"; false; }}; }}'
    )
