"""The four places in OpenClaw's two files: what is there, merged with what is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import jinja2

from clawfleet import (
    credentials,
    dotenv,
    json5,
    launch_agent,
    ledger,
    merge,
    ownership,
    promise,
    redact,
    variables,
)
from clawfleet.capabilities import Shape, wanted_shape
from clawfleet.documents import at, blank, read, text
from clawfleet.edits import UNKNOWN, Change
from clawfleet.key_sources import VARIABLES
from clawfleet.ledger import Drift, Ledger
from clawfleet.openclaw import can
from clawfleet.plan import FileChange, Step, Trouble, guard
from clawfleet.settings import Settings
from clawfleet.snapshot import PROXY_VARIABLES, File, Snapshot

CONFIG = "openclaw.json.j2"
AUTH = "auth-profiles.json.j2"


@dataclass(frozen=True)
class Wanted:
    """What OpenClaw's files shall become."""

    files: list[FileChange]
    notes: list[str]
    """What was changed by hand since, and what happens to it."""
    contexts: bool = False
    """Whether a model's context changes in openclaw.json."""


def render(template: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a template gives; jinja2.UndefinedError for a name it lacks."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    loaded = json.loads(environment.from_string(template).render(**data))
    if not isinstance(loaded, dict):
        raise TypeError("a template must give a JSON object")
    return loaded


def secrets_in(snapshot: Snapshot) -> frozenset[str]:
    """The secrets in the Mac's own files, to be kept out of whatever is printed: those that stand
    there now, and those in whose place something of ours stands."""
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
    texts = [snapshot.dotenv.loose_text, snapshot.service_env.loose_text]
    try:
        book = ownership.read_ledger(snapshot.owned)
    except Trouble:
        book = Ledger()
    for document in book.documents.values():
        for record in document.records:
            path = tuple(step for step in record.path if isinstance(step, str))
            walk(json5.loads(record.source) if record.source else None, path)
    texts += [lines.before or "" for lines in book.lines.values()]
    for source in texts:
        for name, value in dotenv.values(source).items():
            if redact.is_secret_key((name,)):
                found.add(value)
    long = frozenset(secret for secret in found if len(secret) >= 6 and "${" not in secret)
    # The name of a variable in the place of a key is no secret.
    known = long - redact.MARKERS - set(VARIABLES.values())
    files = (snapshot.plist, snapshot.ollama_env, snapshot.brew_env, *snapshot.also)
    return known | _of_proxies(snapshot, [*texts, *(file.loose_text for file in files)])


def _of_proxies(snapshot: Snapshot, texts: Iterable[str]) -> set[str]:
    """User and password of the proxies in the domain and in these texts, however they are written:
    a proxy needs no ``http://`` in front of them, and a password may hold an ``@``."""
    found: set[str] = set()
    places = [dotenv.values(source) | variables.in_plist(source) for source in texts]
    for values in (snapshot.gui_environment, *places):
        for name in PROXY_VARIABLES:
            before, at_sign, _ = values.get(name, "").rpartition("@")
            who = re.sub(r"^[A-Za-z][\w+.-]*://", "", before)
            if at_sign and who:
                # A short one would be found in many a word.
                known = who if len(who) >= 6 else f"{who}@"
                found |= {known, escape(known)}
    return found


def gateway_port(snapshot: Snapshot, settings: Settings) -> int:
    """The gateway's port: the setting where it was changed, else the Mac's own config's."""
    if settings.gateway_port != launch_agent.DEFAULT_PORT:
        return settings.gateway_port
    return launch_agent.configured(snapshot) or settings.gateway_port


def plan(
    snapshot: Snapshot,
    settings: Settings,
    templates: Mapping[str, str],
    token: Callable[[], str],
    keys: credentials.Wanted | None = None,
    *,
    asked: bool = True,
) -> Wanted:
    """Changes of openclaw.json and, where this OpenClaw reads one, auth-profiles.json.

    `token` makes a new gateway token; it is called only where the Mac has none. `keys` is what the
    providers' keys need. `asked` tells
    whether a person will be asked before anything is done (``config_conflict: ask-in-diff``).
    Trouble when a file is malformed, is reached through a link that leads elsewhere, or holds an
    include or an environment reference where one of our keys belongs; nothing is changed then.
    """
    caps = can(snapshot, settings)
    shape = wanted_shape(caps)
    existing = read(snapshot.config)
    mode = at(existing, ("gateway", "mode"))
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
    book = ownership.ledger_of(snapshot)
    config = _Merge(snapshot, snapshot.config, book, settings, asked)
    promised = promise.plan(snapshot, settings)
    wanted = render(templates[CONFIG], _data(snapshot, settings, shape, config, token, promised))
    if not caps.provider_timeout:
        # Checked here as well, so that a template that was edited can't break an older version.
        wanted["models"]["providers"]["ollama"].pop("timeoutSeconds", None)
    used = ["api", "num_ctx", "credential", *(["timeout_path"] if caps.provider_timeout else [])]
    if any(settings.window(wish) < shape.least_window for wish in settings.models):
        used.append("least_window")
    reasons = tuple(dict.fromkeys(shape.reasons[field] for field in used))
    reasons += tuple(f"{each.id}: {each.why}" for each in promised.models if each.why)
    path = ("agents", "defaults", "modelPolicy", "allow")
    if isinstance(at(existing, path), list):
        # A list of OpenClaw 2026.9: what is not on it can't be chosen.
        names = wanted["agents"]["defaults"]["models"]
        theirs = config.their_elements(path)
        new = [name for name in names if name not in theirs]
        wanted["agents"]["defaults"]["modelPolicy"] = {"allow": [*theirs, *new]}
    if caps.warning:
        reasons = (caps.warning, *reasons)
    if keys:
        wanted = credentials.together(wanted, keys.config)
    changes = [config.with_(wanted, reasons)]
    notes = config.notes
    profiles: dict[str, Any] = {}
    if shape.credential == "auth-profiles":
        profiles = render(templates[AUTH], {"shape": shape})
    if keys:
        profiles = credentials.together(profiles, keys.profiles)
        notes += keys.notes
    if profiles:
        auth = _Merge(snapshot, snapshot.auth, book, settings, asked)
        changes.append(auth.with_(profiles, ()))
        notes += auth.notes
    files = [change for change in map(_private, changes) if change is not None]
    told = _contexts(existing) != _contexts(json5.loads(changes[0].after.decode()))
    return Wanted([*files, *(keys.files if keys else ())], notes, told)


def _contexts(config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What a config says of the contexts of Ollama's models: by id, contextWindow and num_ctx."""
    models = at(config, ("models", "providers", "ollama", "models"))
    return {
        str(model.get("id")): (model.get("contextWindow"), at(model, ("params", "num_ctx")))
        for model in (models if isinstance(models, list) else ())
        if isinstance(model, dict)
    }


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
    config: _Merge,
    token: Callable[[], str],
    promised: promise.Plan,
) -> dict[str, Any]:
    """What the template of openclaw.json is filled with."""
    ours = list(settings.fallbacks)
    if settings.keep_fallbacks:
        theirs = config.their_elements(("agents", "defaults", "model", "fallbacks"))
        ours += [f for f in theirs if isinstance(f, str) and f not in (*ours, settings.primary)]
    aliases: dict[str, str | None] = {
        f"ollama/{wish.id}": wish.name or wish.id for wish in settings.models
    }
    aliases |= {reference: None for reference in ours if reference not in aliases}
    model = at(config.bare, ("agents", "defaults", "model"))
    former = model.get("primary") if isinstance(model, dict) else model
    if config.has_no_own(("agents", "defaults", "models")) and former:
        # From its first entry on this list is also the list of allowed models: the one that the
        # user had must stay selectable.
        aliases.setdefault(str(former), None)
    auth = at(config.existing, ("gateway", "auth"))
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
                "window": promised.of(wish.id).tokens,
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


class _Merge:
    """One of OpenClaw's files, what of it is ours, and how a wish gets into it."""

    def __init__(
        self, snapshot: Snapshot, file: File, book: Ledger, settings: Settings, asked: bool
    ) -> None:
        self.notes: list[str] = []
        self.existing = read(file)
        self.file = file = guard(file, snapshot)
        self.text = text(file)
        self.document = book.documents.get(file.path)
        self.bare = {} if blank(self.text) else ledger.bare(self.text, self.document)
        self._conflict = settings.config_conflict
        self._asked = asked

    def their_elements(self, path: tuple[str, ...]) -> list[Any]:
        """The elements of a flat list that are the user's: there before us, or added since."""
        found = at(self.existing, path)
        before, written = ownership.before_and_written(self.document, path)
        theirs = before if isinstance(before, list) else []
        ours = written if isinstance(written, list) else []
        listed = found if isinstance(found, list) else []
        return [element for element in listed if element in theirs or element not in ours]

    def has_no_own(self, path: tuple[str, ...]) -> bool:
        """Whether the user has no object of his own there: none, or only the one we made."""
        _, written = ownership.before_and_written(self.document, path)
        return written is not UNKNOWN or not isinstance(at(self.bare, path), dict)

    def with_(self, wanted: dict[str, Any], reasons: tuple[str, ...]) -> FileChange:
        """The file with the wish in it, and what we no longer want taken out."""
        if blank(self.text):
            made = [Change((key,), "add", None, value) for key, value in wanted.items()]
            new = merge.create(wanted).encode()
            return FileChange(self.file, new, "600", reasons, tuple(made))
        drifts = [
            drift
            for drift in ledger.drift(self.text, self.document, wanted)
            if not ownership.is_filled(drift.path)
        ]
        wish = wanted
        for drift in drifts:
            reasons = (self._decide(drift), *reasons)
            if self._conflict == "theirs":
                wish = ownership.without(wish, drift.path)
        left = [drift.path for drift in drifts] if self._conflict == "theirs" else []
        edits = [
            edit
            for edit in ledger.stale(self.text, self.document, wanted)
            if not any(edit.path[: len(path)] == path for path in left)
        ]
        edits += [
            merge.Set((key,), value, ownership.before_and_written(self.document, (key,))[1])
            for key, value in ownership.due(wish, self.existing).items()
        ]
        try:
            merged = merge.apply(self.text, edits)
        except merge.Refused as refused:
            raise Trouble(
                f"{self.file.path} line {refused.line}, column {refused.column}: {refused.reason}",
                expected=f"a plain value at {merge.show(refused.path)}",
                fix=f"edit {self.file.path} there on the Mac; nothing was changed",
            ) from refused
        mode = self.file.mode if self.file.mode == "400" else "600"
        return FileChange(self.file, merged.text.encode(), mode, reasons, tuple(merged.changes))

    def _decide(self, drift: Drift) -> str:
        """What happens to a key that was changed by hand since, as a line for the diff."""
        since = "taken out" if drift.found is UNKNOWN else "changed"
        what = f"{merge.show(drift.path)} was {since} by hand since clawfleet wrote it"
        if self._conflict == "theirs":
            self.notes.append(f"{what}: left as it is (config_conflict: theirs)")
        elif self._conflict == "ours":
            self.notes.append(f"{what}: written again (config_conflict: ours)")
        elif self._asked:
            self.notes.append(f"{what}: going on writes it again (config_conflict: ask-in-diff)")
        else:
            raise Trouble(
                f"{self.file.path}: {what}",
                expected="somebody to ask (config_conflict: ask-in-diff), and -y asks nobody",
                fix="run without -y, or decide: --data config_conflict=ours, or =theirs",
            )
        return self.notes[-1]
