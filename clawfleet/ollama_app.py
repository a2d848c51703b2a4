"""Ollama.app's own settings, which win over the environment that it was started with.

They lie in a SQLite database, table ``settings`` with one row: ``context_length`` above 0 becomes
OLLAMA_CONTEXT_LENGTH of its server (ollama app/server/server.go), and is 4096 until somebody moves
the slider in versions before 0.17 (app/store/database.go, migrateV13ToV14). The format is another
program's: it is read, and changed only where a setting asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

RECORD = "app-context"
"""In ``~/.clawfleet/installed``: ``app-context BEFORE WRITTEN``."""


def variables(wanted: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Those of the wanted variables that the app's server gets from its settings."""
    if settings.ollama_app_settings == "leave":
        return {}
    return {k: v for k, v in wanted.items() if k == "OLLAMA_CONTEXT_LENGTH"}


def change(snapshot: Snapshot, settings: Settings, wanted: Mapping[str, str]) -> str | None:
    """The context length to write into the app's database; None: nothing to do, or not allowed.

    Before its first start the app has no database yet; the step looks at it again.
    """
    context = wanted.get("OLLAMA_CONTEXT_LENGTH", "")
    if settings.ollama_app_settings == "leave" or not context.isdigit():
        return None
    found = snapshot.ollama_app_settings
    if found is None:
        return context
    known = found.get("context_length", "")
    return context if known.isdigit() and known != context else None


def notes(
    snapshot: Snapshot, settings: Settings, wanted: Mapping[str, str], *, per_request: bool
) -> list[str]:
    """What a person has to know about the app's own settings.

    With `per_request` OpenClaw's requests name their context, whatever the app says.
    """
    found = snapshot.ollama_app_settings
    context = wanted.get("OLLAMA_CONTEXT_LENGTH", "")
    said = []
    if found is not None and not found.get("context_length", "").isdigit():
        said.append(
            "Ollama.app's settings database is not as its known versions have it: it is left alone"
        )
    elif settings.ollama_app_settings == "leave" and (found or {}).get("context_length") != context:
        own = (
            f"Ollama.app takes its context length from its own settings ({_slider(snapshot)}), not "
            "from context_window"
        )
        if per_request:
            said.append(f"{own}; OpenClaw's requests name theirs, up to {context}")
        else:
            way = 'set ollama_app_settings = "change"'
            said.append(f"{own}: set {context} in the app, or {way}, or use the formula")
    others = sorted(set(wanted) - {"OLLAMA_CONTEXT_LENGTH"})
    if others:
        said.append(
            f"{', '.join(others)}: Ollama.app reads no file of variables, so its server does not "
            "get them; use the formula, or launchctl setenv in a login script of yours"
        )
    if settings.ollama_version and (found or {}).get("auto_update_enabled", "1") != "0":
        said.append(
            f"Ollama.app updates itself, also at a hidden start: {settings.ollama_version} stays "
            "only with automatic updates turned off in its settings"
        )
    if (found or {}).get("expose") == "1":
        said.append(
            "Ollama.app is set to be reachable from the network, without any password; its "
            "settings on the Mac turn that off"
        )
    return said


def _slider(snapshot: Snapshot) -> str:
    found = (snapshot.ollama_app_settings or {}).get("context_length")
    if found not in (None, "0"):
        return f"now {found}"
    if found == "0":
        return "not set there: by the Mac's memory"
    return "4096 before version 0.17, later by the Mac's memory"


def written(installed: tuple[str, ...]) -> tuple[str, str] | None:
    """The app's context length before our first change and after our last; None: never changed."""
    found = [m for line in installed if (m := re.fullmatch(rf"{RECORD} (\d+) (\d+)", line))]
    return (found[0][1], found[-1][2]) if found else None
