"""What has to happen so that the right Ollama server answers, and what it has to hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clawfleet import homebrew, promise, pull_proxy
from clawfleet.names import same
from clawfleet.plan import FileChange, Step, Trouble, guard, quote
from clawfleet.scripts import load
from clawfleet.settings import ModelWish, Settings
from clawfleet.snapshot import Snapshot

Kind = Literal["formula", "cask"]
TOKEN = "ollama-app"
"""The cask's name since mid 2025; ``ollama`` still resolves to it, but `brew list` does not."""


@dataclass(frozen=True)
class Plan:
    kind: Kind
    files: tuple[FileChange, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


def kind(snapshot: Snapshot, settings: Settings) -> Kind:
    """Which Ollama this Mac shall have. Trouble when what is there contradicts the settings."""
    app = snapshot.ollama_cask is not None or snapshot.ollama_app is not None
    formula = snapshot.ollama_formula is not None
    remove_app = "brew uninstall --cask ollama-app   # never --zap: it deletes the models"
    remove_formula = "brew services stop ollama; brew uninstall --formula ollama"
    if app and formula:
        raise Trouble(
            f"Ollama twice: the formula {snapshot.ollama_formula} and "
            f"{snapshot.ollama_app or 'the cask ' + str(snapshot.ollama_cask)}; "
            "the app ends the formula's server and takes its port",
            expected="one of them (the models belong to both and stay)",
            fix=f"on the Mac: {remove_app}, or: {remove_formula}",
        )
    wish = settings.ollama_install
    if wish == "formula" and app:
        raise Trouble(
            f"Ollama.app ({snapshot.ollama_app or snapshot.ollama_cask})",
            expected="the formula, as ollama_install says",
            fix=f'on the Mac: {remove_app}; or set ollama_install = "auto" to keep the app',
        )
    if wish == "cask" and formula:
        raise Trouble(
            f"Homebrew's formula ollama {snapshot.ollama_formula}",
            expected="Ollama.app, as ollama_install says",
            fix=f'on the Mac: {remove_formula}; or set ollama_install = "auto" to keep it',
        )
    return "cask" if app or wish == "cask" else "formula"


def installed(snapshot: Snapshot) -> str | None:
    """Version of the installed server, whether it runs or not; None when nothing is installed."""
    version = snapshot.ollama_formula or snapshot.ollama_app_version
    # Homebrew's own revision (0.32.3_1) is not part of Ollama's version.
    return re.sub(r"_\d+$", "", version) if version else None


def server_environment(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """Variables that the server has to run with. Trouble where a model does not fit this Mac."""
    variables = {promise.LENGTH: str(promise.plan(snapshot, settings).server)}
    if settings.ollama_port != 11434:
        variables["OLLAMA_HOST"] = f"127.0.0.1:{settings.ollama_port}"
    return variables | {name: str(value) for name, value in settings.ollama_environment.items()}


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """Install, environment, start or restart: in that order, and only what is missing."""
    wanted = kind(snapshot, settings)
    owner = snapshot.ollama_owner
    version = installed(snapshot)
    files: list[FileChange] = []
    steps: list[Step] = []
    notes: list[str] = []

    if version is None and not (wanted == "cask" and (snapshot.ollama_app or snapshot.ollama_cask)):
        what = TOKEN if wanted == "cask" else "ollama"
        reason = "no Ollama on this Mac"
        steps.append(homebrew.install(snapshot, settings, what, kind=wanted, reason=reason))
    elif wanted == "cask" and snapshot.ollama_cask and snapshot.ollama_app is None:
        # Homebrew still calls it installed, and `brew install` would do nothing.
        steps.append(homebrew.reinstall(snapshot, settings, TOKEN))
    elif settings.ollama_version and version != settings.ollama_version:
        raise Trouble(
            f"Ollama {version or 'of an unknown version'}",
            expected=f"{settings.ollama_version}, as ollama_version says",
            fix="Homebrew installs only its newest: brew upgrade ollama on the Mac if that is the "
            "newest, else take ollama_version out of the settings",
        )

    if wanted == "formula":
        env = guard(snapshot.ollama_env, snapshot)
        wished = server_environment(snapshot, settings)
        variables = {**pull_proxy.lines(snapshot, settings), **wished}
        after = homebrew.set_lines(env.loose_text, variables)
        reason = "Homebrew gives these variables to Ollama's service at its start"
        change = FileChange(env, after.encode("utf-8", "surrogateescape"), "600", (reason,))
        if not change.same:
            files.append(change)
    else:
        promised = promise.plan(snapshot, settings)
        own = "Ollama.app takes its context length from its own settings, not from context_window"
        if promised.per_request:
            notes.append(f"{own}; OpenClaw's requests name theirs, up to {promised.server}")
        else:
            notes.append(f"{own}: set {promised.server} in the app, or use the formula")

    notes += pull_proxy.note(settings, service=wanted == "formula" and owner != "foreign")
    if owner == "foreign" and (snapshot.ollama_server is None or snapshot.ollama_server != version):
        raise foreign(snapshot, version)
    if owner == ("app" if wanted == "formula" else "formula"):
        # An app that lies elsewhere, or a formula that was uninstalled while its server ran.
        raise foreign(snapshot, version)
    if owner == "foreign":
        notes.append(
            "port "
            f"{snapshot.ollama_port.port} is served by an `ollama serve` that was started by hand; "
            "it is used as it is and will not come back after a reboot"
        )
    elif owner == "none":
        steps.append(_start(snapshot, settings, wanted, "no server answers"))
    elif steps:
        steps.append(restart(snapshot, settings, wanted, "a server of before the install runs"))
    elif version and snapshot.ollama_server != version:
        reason = f"server {snapshot.ollama_server or 'does not answer'}, installed {version}"
        steps.append(restart(snapshot, settings, wanted, reason))
    elif files:
        steps.append(restart(snapshot, settings, wanted, "its environment changes"))
    return Plan(wanted, tuple(files), tuple(steps), tuple(notes))


def foreign(snapshot: Snapshot, version: str | None) -> Trouble:
    """Somebody else listens on Ollama's port."""
    port = snapshot.ollama_port
    who = "; ".join(f"pid {p.pid}: {p.command[:80]}" for p in port.processes)
    who = who or "a process of another user"
    served = f", an Ollama {snapshot.ollama_server}" if snapshot.ollama_server else ""
    pids = " ".join(str(p) for p in port.pids)
    return Trouble(
        f"port {port.port} is taken by something else ({who}){served}",
        expected=f"{f'Ollama {version}' if version else 'the Ollama'} of Homebrew or Ollama.app "
        "there, or a free port",
        fix=f"end it on the Mac (kill {pids or 'PID'}) and run again, or set another ollama_port",
    )


def missing(snapshot: Snapshot, settings: Settings) -> list[ModelWish]:
    """Wanted models that the store does not hold, in the settings' order."""
    return [
        wish
        for wish in settings.models
        if not any(same(wish.id, model.name) for model in snapshot.models)
    ]


def _wait(settings: Settings, version: str | None) -> str:
    """sh that waits until the server answers, at most 60 s, and says what was seen last."""
    want = f'"{version}"' if version else ""
    return f"PORT={settings.ollama_port}\nWANT={quote(want)}\n{load('ollama-wait.sh')}"


def _start(snapshot: Snapshot, settings: Settings, wanted: Kind, reason: str) -> Step:
    version = installed(snapshot)
    if wanted == "formula":
        command = "brew services start ollama"
        body = f"{homebrew.environment(snapshot, settings)}{command} </dev/null || exit 1\n"
    else:
        command = "open -j -a Ollama"
        body = load("ollama-app.sh")
    return Step(
        "start Ollama",
        reason,
        body + _wait(settings, version),
        f"on the Mac: {command}",
        180,
        command,
    )


def restart(snapshot: Snapshot, settings: Settings, wanted: Kind, reason: str) -> Step:
    """The owner of the server ends it and starts it anew, in the way that is right for it."""
    version = installed(snapshot)
    if wanted == "formula":
        command = "brew services restart ollama"
        body = f"{homebrew.environment(snapshot, settings)}{command} </dev/null || exit 1\n"
    else:
        # Quitting the app by osascript only hides it; SIGTERM to the app is its graceful end
        # (ollama app_darwin.m applicationShouldTerminate, app.go).
        command = "pkill -x Ollama; open -j -a Ollama"
        body = f"PORT={settings.ollama_port}\n{load('ollama-app-stop.sh')}{load('ollama-app.sh')}"
    return Step(
        "restart Ollama",
        reason,
        body + _wait(settings, version),
        f"on the Mac: {command}",
        180,
        command,
    )


def size_of(models: Sequence[ModelWish]) -> int:
    """Bytes still to be pulled, as far as the settings tell."""
    return sum(model.size or 0 for model in models)
