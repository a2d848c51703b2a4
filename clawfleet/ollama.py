"""What has to happen so that the right Ollama server answers, and what it has to hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from clawfleet import daemons, homebrew, ollama_app, promise, pull_proxy
from clawfleet import ollama_server as server
from clawfleet.names import same
from clawfleet.ollama_server import Kind
from clawfleet.plan import FileChange, Step, Trouble, guard, quote
from clawfleet.scripts import load
from clawfleet.settings import ModelWish, Settings
from clawfleet.snapshot import OLLAMA_LABEL, Snapshot

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
    if snapshot.daemons and app:
        raise Trouble(
            f"Ollama.app ({snapshot.ollama_app or snapshot.ollama_cask}), which needs a login",
            expected="the formula: services are daemons",
            fix=f'on the Mac: {remove_app}; or set services = "agents"',
        )
    if snapshot.ollama_twin and not snapshot.daemons:
        raise Trouble(
            f"Ollama's server is the LaunchDaemon {OLLAMA_LABEL}",
            expected='Homebrew\'s service or the app: services are "agents"',
            fix="pyinfra inventory.py tasks/remove.py --data services=daemons, then run again",
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
    if settings.keep_alive is not None:
        variables["OLLAMA_KEEP_ALIVE"] = str(settings.keep_alive)
    return variables | {name: str(value) for name, value in settings.ollama_environment.items()}


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """Install, environment, start or restart: in that order, and only what is missing."""
    wanted = kind(snapshot, settings)
    version = installed(snapshot)
    files: list[FileChange] = []
    steps: list[Step] = []
    notes: list[str] = []
    unlike = False

    if version is None and not (wanted == "cask" and (snapshot.ollama_app or snapshot.ollama_cask)):
        what = TOKEN if wanted == "cask" else "ollama"
        reason = "no Ollama on this Mac"
        steps.append(homebrew.install(snapshot, settings, what, kind=wanted, reason=reason))
    elif wanted == "cask" and snapshot.ollama_cask and snapshot.ollama_app is None:
        # Homebrew still calls it installed, and `brew install` would do nothing.
        steps.append(homebrew.reinstall(snapshot, settings, TOKEN))
    elif settings.ollama_version and version != settings.ollama_version:
        raise _another_version(wanted, version, settings.ollama_version)

    variables = server_environment(snapshot, settings)
    if wanted == "formula":
        env = guard(snapshot.ollama_env, snapshot)
        lines = {**pull_proxy.lines(snapshot, settings), **variables}
        after = homebrew.set_lines(env.loose_text, lines)
        giver = "its LaunchDaemon" if snapshot.daemons else "Homebrew"
        reasons = [f"{giver} gives these variables to Ollama's server at its start"]
        open_to_others = env.exists and int(env.mode or "600", 8) & 0o022
        if open_to_others:
            reasons.append(f"Homebrew ignores it while others may write it (mode {env.mode})")
        change = FileChange(env, after.encode("utf-8", "surrogateescape"), "600", tuple(reasons))
        if not change.same or open_to_others:
            files.append(change)
        variables = server.assignments(after)
        notes += _moved(snapshot, variables.get("OLLAMA_MODELS", ""))
        if snapshot.daemons:
            daemon = daemons.ollama(snapshot, settings)
            unlike = snapshot.ollama_twin or daemons.differs(snapshot.ollama_job, daemon)
            files += [] if daemon.same else [daemon]
    else:
        per_request = promise.plan(snapshot, settings).per_request
        notes += ollama_app.notes(snapshot, settings, variables, per_request=per_request)
        variables = ollama_app.variables(variables, settings)
    changed = ollama_app.change(snapshot, settings, variables) if wanted == "cask" else None

    ours = wanted == "formula" and snapshot.ollama_owner != "foreign"
    notes += pull_proxy.note(settings, service=ours)
    now = server.Situation(
        wanted=wanted,
        installed=not steps,
        owner=server.owner(snapshot),
        version=_answers(snapshot, version),
        environment="old" if files or unlike else server.environment(snapshot, variables),
        present=bool(snapshot.ollama_app_pids if wanted == "cask" else snapshot.ollama_job),
    )
    decision = server.decide(now)
    if "refuse" in decision.actions:
        raise foreign(snapshot, version)
    if "use" in decision.actions:
        whose = "was started by hand" if now.owner == "by hand" else "another user of the Mac runs"
        notes.append(
            f"port {snapshot.ollama_port.port} is served by an `ollama serve` that {whose}; "
            "it is used as it is, with its own environment, and will not come back after a reboot"
        )
    reason = _reason(snapshot, decision, version, variables, bool(files))
    if unlike and decision.reason == server.OLD_ENVIRONMENT:
        reason = server.NO_DAEMON
    # Setting a number in the app's database ends and starts it; without a database it has to be
    # started first.
    at_once = changed is not None and snapshot.ollama_app_settings is not None
    if "start" in decision.actions and not at_once:
        steps.append(_start(snapshot, settings, wanted, reason, variables))
    elif "restart" in decision.actions and changed is None:
        steps.append(restart(snapshot, settings, wanted, reason, variables))
    if changed and "use" not in decision.actions:
        steps.append(_set_in_the_app(snapshot, settings, changed, variables))
    return Plan(wanted, tuple(files), tuple(steps), tuple(notes))


def _moved(snapshot: Snapshot, folder: str) -> list[str]:
    """What the plan of the models can't tell yet where the store will be another one."""
    there = snapshot.store.path
    if not folder.startswith("/") or not there or folder.rstrip("/") == there.rstrip("/"):
        return []
    return [
        f"OLLAMA_MODELS becomes {folder}: what is said of models, their transfers and the disk is "
        f"of {there}. Models that are not in {folder} when the server has it are pulled into it"
    ]


def _reason(
    snapshot: Snapshot,
    decision: server.Decision,
    version: str | None,
    variables: Mapping[str, str],
    rewritten: bool,
) -> str:
    """Why the server is started or restarted, for a person."""
    if decision.reason == server.OTHER_VERSION:
        return f"server {snapshot.ollama_server or 'does not answer'}, installed {version}"
    if decision.reason == server.OLD_ENVIRONMENT:
        if rewritten:
            return "its environment changes"
        if lacks := server.differing(snapshot, variables):
            return f"it runs without the {', '.join(lacks)} that is wanted"
    return decision.reason


def _answers(snapshot: Snapshot, version: str | None) -> server.Version:
    if snapshot.ollama_server is None:
        return "silent"
    if version is None:
        # Nobody knows what is installed: its own server will be it, another one may be anything.
        return "other" if snapshot.ollama_owner == "foreign" else "same"
    return "same" if version == snapshot.ollama_server else "other"


def _another_version(wanted: Kind, found: str | None, pinned: str) -> Trouble:
    """The choices that there are for a version that is not the pinned one."""
    installer = f"curl -fsSL https://ollama.com/install.sh | OLLAMA_VERSION={pinned} sh"
    keep = f'set ollama_version = "{found}"' if found else "take ollama_version out of the settings"
    if wanted == "formula":
        fix = (
            f"if {pinned} is Homebrew's newest (brew info ollama), on the Mac: brew update && "
            "brew upgrade ollama && brew pin ollama. Homebrew has no older ones; Ollama's own "
            f"installer has, as the app: brew uninstall ollama, then {installer}. Or {keep}"
        )
    else:
        fix = (
            f"on the Mac: {installer} (Ollama's own installer; the models stay), and turn off "
            f"automatic updates in the app's settings. Or {keep}"
        )
    return Trouble(
        f"Ollama {found or 'of an unknown version'}",
        expected=f"{pinned}, as ollama_version says",
        fix=fix,
    )


def foreign(snapshot: Snapshot, version: str | None) -> Trouble:
    """Somebody else listens on Ollama's port."""
    port = snapshot.ollama_port
    who = "; ".join(f"pid {p.pid}: {p.command[:80]}" for p in port.processes)
    fix = f"end it on the Mac (kill {' '.join(str(p) for p in port.pids) or 'PID'})"
    if not who and snapshot.ollama_root:
        who = "Homebrew's service of root"
        fix = "on the Mac: sudo brew services stop ollama"
    elif not who:
        who = "a process of another user"
        fix = f"on the Mac, sudo lsof -nP -iTCP:{port.port} -sTCP:LISTEN names it; end it"
    served = f", an Ollama {snapshot.ollama_server}" if snapshot.ollama_server else ""
    return Trouble(
        f"port {port.port} is taken by something else ({who}){served}",
        expected=f"{f'Ollama {version}' if version else 'the Ollama'} of Homebrew or Ollama.app "
        "there, or a free port",
        fix=f"{fix} and run again, or set another ollama_port",
    )


def missing(snapshot: Snapshot, settings: Settings) -> list[ModelWish]:
    """Wanted models that the store does not hold, in the settings' order."""
    return [
        wish
        for wish in settings.models
        if not any(same(wish.id, model.name) for model in snapshot.models)
    ]


def _well(owner: str, version: str | None, wanted: Mapping[str, str]) -> str:
    """sh that waits until the server is the wanted one, at most 60 s, and says what was seen last.

    It belongs to `owner` (formula, app), was not there before (OLD of the head), and has the
    variables where they can be seen.
    """
    want = f'"{version}"' if version else ""
    lines = "\n".join(f"{k}={v}" for k, v in server.comparable(wanted).items())
    return f"WANT={quote(want)}\nOWNER={owner}\nVARIABLES={quote(lines)}\n{load('ollama-well.sh')}"


def _head(settings: Settings) -> str:
    return f"PORT={settings.ollama_port}\n{load('ollama-port.sh')}"


def _start(
    snapshot: Snapshot, settings: Settings, wanted: Kind, reason: str, variables: Mapping[str, str]
) -> Step:
    if snapshot.daemons:
        return _daemon(snapshot, settings, reason, variables)
    if wanted == "formula":
        owner, command = "formula", "brew services start ollama"
        body = f"free\n{homebrew.environment(snapshot, settings)}{command} </dev/null || exit 1\n"
    else:
        owner, command = "app", "open -j -a Ollama"
        body = f"free\n{load('ollama-app.sh')}"
    return Step(
        "start Ollama",
        reason,
        _head(settings) + body + _well(owner, installed(snapshot), variables),
        f"on the Mac: {command}",
        180,
        command,
    )


def restart(
    snapshot: Snapshot,
    settings: Settings,
    wanted: Kind,
    reason: str,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Step:
    """The owner of the server ends it and starts it anew, in the way that is right for it."""
    if snapshot.daemons:
        return _daemon(snapshot, settings, reason, variables)
    if wanted == "formula":
        owner, command = "formula", "brew services restart ollama"
        body = f"{homebrew.environment(snapshot, settings)}{command} </dev/null || exit 1\n"
    else:
        # Quitting the app by osascript only hides it; SIGTERM to the app is its graceful end
        # (ollama app_darwin.m applicationShouldTerminate, app.go).
        owner, command = "app", "pkill -x Ollama; open -j -a Ollama"
        body = f"{load('ollama-app-stop.sh')}stop_app\n{load('ollama-app.sh')}"
    return Step(
        "restart Ollama",
        reason,
        _head(settings) + body + _well(owner, installed(snapshot), variables),
        f"on the Mac: {command}",
        180,
        command,
    )


def _daemon(
    snapshot: Snapshot, settings: Settings, reason: str, variables: Mapping[str, str]
) -> Step:
    """The server as our LaunchDaemon, started anew where it runs."""
    command = f"sudo launchctl bootout and bootstrap system/{OLLAMA_LABEL}"
    return Step(
        "start Ollama's LaunchDaemon",
        reason,
        _head(settings)
        + homebrew.environment(snapshot, settings)
        + load("ollama-daemon.sh")
        + _well("daemon", installed(snapshot), variables),
        f"on the Mac: {command}; tail ~/.clawfleet/ollama.log",
        240,
        command,
    )


def _set_in_the_app(
    snapshot: Snapshot, settings: Settings, context: str, variables: Mapping[str, str]
) -> Step:
    """The app's own context length, with the app ended meanwhile."""
    found = (snapshot.ollama_app_settings or {}).get("context_length", "unknown yet")
    scripts = "".join(load(f"ollama-app{name}.sh") for name in ("-stop", "-settings", ""))
    body = f"CONTEXT={context}\nRECORD={ollama_app.RECORD}\n{scripts}"
    return Step(
        "set the context length of Ollama.app",
        f"its settings say {found}, wanted is {context}, and they win over everything else",
        _head(settings) + body + _well("app", installed(snapshot), variables),
        f"in the app's settings on the Mac: context length {context}",
        240,
        f"sqlite3 db.sqlite 'UPDATE settings SET context_length = {context}'  # the app is ended "
        "before, the database copied to ~/.clawfleet/backups",
        keeps=True,
    )


def app_as_before(snapshot: Snapshot, settings: Settings, notes: list[str]) -> list[Step]:
    """The app's context length as it was before our first change; one that somebody has changed
    since stays, and is noted."""
    ours = ollama_app.written(snapshot.installed)
    found = (snapshot.ollama_app_settings or {}).get("context_length")
    if ours is None or found in (None, ours[0]):
        return []
    before, last = ours
    if found != last:
        notes.append(f"the context length of Ollama.app was changed since: it stays {found}")
        return []
    step = _set_in_the_app(snapshot, settings, before, {})
    return [replace(step, reason="clawfleet had set it")]


def size_of(models: Sequence[ModelWish]) -> int:
    """Bytes still to be pulled, as far as the settings tell."""
    return sum(model.size or 0 for model in models)
