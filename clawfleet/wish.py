"""The four places in OpenClaw's two files: what is there, merged with what is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jinja2

from clawfleet import json5, merge, redact
from clawfleet.capabilities import Shape, wanted_shape
from clawfleet.openclaw import can
from clawfleet.plan import FileChange, Step, Trouble, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import File, Snapshot

CONFIG = "openclaw.json.j2"
AUTH = "auth-profiles.json.j2"
_DEFAULT_PORT: int = Settings.model_fields["gateway_port"].default

# Keys that are only filled in where they are missing: what the user wrote there is right.
_FILL = (
    ("models", "mode"),
    ("gateway",),
    ("version",),
    ("profiles", "ollama:default", "key"),
    ("models", "providers", "ollama", "apiKey"),
)


def render(template: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a template gives; jinja2.UndefinedError for a name it lacks."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    loaded = json.loads(environment.from_string(template).render(**data))
    if not isinstance(loaded, dict):
        raise TypeError("a template must give a JSON object")
    return loaded


def read(file: File) -> dict[str, Any]:
    """The object in a JSON5 file, {} when absent or empty; Trouble with line and column else."""
    if file.trouble:
        raise Trouble(
            f"{file.path} is {file.trouble}",
            expected="a file that this user can read and write",
            fix=f"on the Mac: ls -l {quote(file.path)}",
        )
    text = _text(file)
    if not text.strip("\ufeff \t\r\n"):
        return {}
    try:
        value = json5.loads(text)
    except json5.Json5Error as error:
        raise Trouble(
            f"{file.path} line {error.line}, column {error.column}: {error.message}",
            expected="JSON5 that OpenClaw can read",
            fix=f"edit {file.path} there on the Mac; nothing was changed",
        ) from error
    if not isinstance(value, dict):
        raise Trouble(
            f"{file.path} holds no object",
            expected="an object { ... } at the top",
            fix=f"edit {file.path} on the Mac; nothing was changed",
        )
    return value


def secrets_in(snapshot: Snapshot) -> frozenset[str]:
    """The secrets in the Mac's own files, to be kept out of whatever is printed."""
    found: set[str] = set()

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, (*path, str(key)))
        elif isinstance(value, list):
            for inner in value:
                walk(inner, path)
        elif isinstance(value, str) and path and redact.is_secret_key(path):
            found.add(value)

    for file in (snapshot.config, snapshot.auth):
        try:
            walk(read(file), ())
        except Trouble:
            continue
    for line in (snapshot.dotenv.content or b"").decode("utf-8", "replace").splitlines():
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and redact.is_secret_key((name.strip(),)):
            found.add(value.strip().strip("'\""))
    return frozenset(s for s in found if len(s) >= 6 and "${" not in s) - redact.MARKERS


def gateway_port(snapshot: Snapshot, settings: Settings) -> int:
    """The gateway's port: the setting where it was changed, else the Mac's own config's."""
    if settings.gateway_port != _DEFAULT_PORT:
        return settings.gateway_port
    try:
        port = _at(read(snapshot.config), ("gateway", "port"))
    except Trouble:
        return settings.gateway_port
    return port if isinstance(port, int) and 0 < port < 65536 else settings.gateway_port


def plan(
    snapshot: Snapshot,
    settings: Settings,
    templates: Mapping[str, str],
    token: Callable[[], str],
) -> list[FileChange]:
    """Changes of openclaw.json and, where this OpenClaw reads one, auth-profiles.json.

    `token` makes a new gateway token; it is called only where the Mac has none. Trouble when a
    file is malformed, is reached through a link that leads elsewhere, or holds an include or an
    environment reference where one of our keys belongs; nothing is changed then.
    """
    caps = can(snapshot, settings)
    shape = wanted_shape(caps)
    existing = read(snapshot.config)
    mode = _at(existing, ("gateway", "mode"))
    if mode not in (None, "local"):
        raise Trouble(
            f"{snapshot.config.path}: gateway.mode is {mode!r}: this Mac uses another's gateway",
            expected='"local", for a gateway that runs on this Mac',
            fix="take this Mac out of hosts.yml, or: openclaw config set gateway.mode local",
        )
    if caps.auth_file_blocks and snapshot.auth.exists:
        raise Trouble(
            f"{snapshot.auth.path}, which OpenClaw {caps.version} no longer reads: it "
            "refuses every turn while the file is not migrated",
            expected="credentials in OpenClaw's own store",
            fix="on the Mac: openclaw doctor --fix --non-interactive --yes",
        )
    wanted = render(templates[CONFIG], _data(snapshot, settings, shape, existing, token))
    if not caps.provider_timeout:
        # Checked here as well, so that a template that was edited can't break an older version.
        wanted["models"]["providers"]["ollama"].pop("timeoutSeconds", None)
    used = ["api", "num_ctx", "credential", *(["timeout_path"] if caps.provider_timeout else [])]
    if any(settings.window(wish) < shape.least_window for wish in settings.models):
        used.append("least_window")
    reasons = tuple(dict.fromkeys(shape.reasons[field] for field in used))
    allowed = _at(existing, ("agents", "defaults", "modelPolicy", "allow"))
    if isinstance(allowed, list):
        # A list of OpenClaw 2026.9: what is not on it can't be chosen.
        new = [name for name in wanted["agents"]["defaults"]["models"] if name not in allowed]
        wanted["agents"]["defaults"]["modelPolicy"] = {"allow": [*allowed, *new]}
    if caps.warning:
        reasons = (caps.warning, *reasons)
    changes = [_merged(snapshot, snapshot.config, existing, wanted, reasons)]
    if shape.credential == "auth-profiles":
        credentials = render(templates[AUTH], {"shape": shape})
        changes.append(_merged(snapshot, snapshot.auth, read(snapshot.auth), credentials, ()))
    return [change for change in map(_private, changes) if change is not None]


def folder(snapshot: Snapshot) -> list[Step]:
    """~/.openclaw readable by its owner only, where it is not."""
    if snapshot.state_mode in ("", "700"):
        return []
    return [
        Step(
            "make ~/.openclaw private",
            f"its mode is {snapshot.state_mode}: others on this Mac can list and read it",
            'chmod 700 "$HOME/.openclaw/"\n',
            "on the Mac: chmod 700 ~/.openclaw",
            timeout=30,
            show="chmod 700 ~/.openclaw",
        )
    ]


def _private(change: FileChange) -> FileChange | None:
    """The change, None where neither the bytes nor the mode differ."""
    before = change.file.mode
    if not change.file.exists or before == change.mode:
        return None if change.same else change
    reason = f"its mode is {before}: others on this Mac can read the secrets in it"
    return replace(change, reasons=(reason, *change.reasons))


def _data(
    snapshot: Snapshot,
    settings: Settings,
    shape: Shape,
    existing: Mapping[str, Any],
    token: Callable[[], str],
) -> dict[str, Any]:
    ours = list(settings.fallbacks)
    model = _at(existing, ("agents", "defaults", "model"))
    found = model.get("fallbacks") if isinstance(model, dict) else None
    theirs = found if isinstance(found, list) else []
    former = (
        model
        if isinstance(model, str)
        else _at(existing, ("agents", "defaults", "model", "primary"))
    )
    if settings.keep_fallbacks:
        ours += [f for f in theirs if isinstance(f, str) and f not in (*ours, settings.primary)]
    aliases: dict[str, str | None] = {
        f"ollama/{wish.id}": wish.name or wish.id for wish in settings.models
    }
    aliases |= {reference: None for reference in ours if reference not in aliases}
    if not isinstance(_at(existing, ("agents", "defaults", "models")), dict) and former:
        # From its first entry on this list is also the list of allowed models: the one that the
        # user had must stay selectable.
        aliases.setdefault(str(former), None)
    auth = _at(existing, ("gateway", "auth"))
    has_token = isinstance(auth, dict) and (
        auth.get("token") not in (None, "") or auth.get("mode") not in (None, "token")
    )
    return {
        "shape": shape,
        "base_url": f"http://127.0.0.1:{settings.ollama_port}{shape.base_url_suffix}",
        "provider_timeout": settings.request_timeout
        if shape.timeout_path[-2:] == ("ollama", "timeoutSeconds")
        else None,
        "models": [
            {
                "id": wish.id,
                "name": wish.name or wish.id,
                "reasoning": wish.reasoning,
                "input": list(wish.input),
                "window": max(settings.window(wish), shape.least_window),
                "max_tokens": wish.max_tokens,
            }
            for wish in settings.models
        ],
        "primary": settings.primary,
        "fallbacks": ours,
        "aliases": aliases,
        "gateway_port": gateway_port(snapshot, settings),
        "token": "" if has_token else token(),
    }


def _merged(
    snapshot: Snapshot,
    file: File,
    existing: dict[str, Any],
    wanted: dict[str, Any],
    reasons: tuple[str, ...],
) -> FileChange:
    if file.link:
        folder = (snapshot.state_link or f"{snapshot.home}/.openclaw") + "/"
        if not file.link.startswith(folder):
            new = quote(f"{file.path}.new")
            raise Trouble(
                f"{file.path} is a link to {file.link}",
                expected=f"a file in {folder}",
                fix="on the Mac, put the file itself in the link's place: "
                f"cp {quote(file.link)} {new} && mv {new} {quote(file.path)}",
            )
        # The link stays; what it leads to is replaced.
        file = replace(file, path=file.link)
    text = _text(file)
    if not existing and not text.strip("\ufeff \t\r\n"):
        return FileChange(file, merge.create(wanted).encode(), "600", reasons)
    due = _due(wanted, existing)
    edits = [merge.Set((key,), value) for key, value in due.items()]
    try:
        merged = merge.apply(text, edits)
    except merge.Refused as refused:
        raise Trouble(
            f"{file.path} line {refused.line}, column {refused.column}: {refused.reason}",
            expected=f"a plain value at {merge.show(refused.path)}",
            fix=f"edit {file.path} there on the Mac; nothing was changed",
        ) from refused
    return FileChange(
        file, merged.text.encode(), file.mode if file.mode == "400" else "600", reasons
    )


def _due(wanted: dict[str, Any], existing: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` without the keys that are only filled in and are there already."""

    def prune(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            here = (*path, key)
            if _is_filled(here) and _settled(existing, here, inner):
                continue
            if isinstance(inner, dict) and inner:
                pruned = prune(inner, here)
                if pruned:
                    kept[key] = pruned
            else:
                kept[key] = inner
        return kept

    due = prune(wanted, ())
    port = _at(wanted, ("gateway", "port"))
    if port is not None and port not in (_DEFAULT_PORT, _at(existing, ("gateway", "port"))):
        due.setdefault("gateway", {})["port"] = port
    return due


def _is_filled(path: tuple[str, ...]) -> bool:
    # A short name that the user gave to one of the models stays what /model takes.
    if path[:3] == ("agents", "defaults", "models") and path[-1] == "alias":
        return True
    return any(path[: len(fill)] == fill for fill in _FILL)


def _settled(existing: Mapping[str, Any], path: tuple[str, ...], wanted: Any) -> bool:
    if path[:2] == ("gateway", "auth"):
        auth = _at(existing, ("gateway", "auth"))
        # A password, or whatever else the user chose instead of a token, is complete in itself.
        if isinstance(auth, dict) and auth.get("mode") not in (None, "token"):
            return True
    found = _at(existing, path)
    # An object in the place of a plain value is one of OpenClaw's references to a secret.
    return found not in (None, "") and not (isinstance(found, dict) and isinstance(wanted, dict))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _text(file: File) -> str:
    try:
        return file.text or ""
    except UnicodeDecodeError as error:
        raise Trouble(
            f"{file.path} is not UTF-8 (byte {error.start})",
            expected="UTF-8, as OpenClaw reads it",
            fix=f"on the Mac: iconv -f utf-8 {file.path} shows the place; nothing was changed",
        ) from error
