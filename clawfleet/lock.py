"""models.lock: which build of each model, and which Ollama and OpenClaw, a fleet shall have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, TypeVar

from clawfleet import ollama, store
from clawfleet.names import normalise, same
from clawfleet.plan import quote
from clawfleet.settings import Settings, SettingsError
from clawfleet.snapshot import Snapshot
from clawfleet.store import Build

T = TypeVar("T")
RENEW = "pyinfra inventory.py tasks/lock.py"


@dataclass(frozen=True)
class Lock:
    """What the file says."""

    models: Mapping[str, Build] = field(default_factory=dict)
    """By normalised name."""
    ollama: str | None = None
    """Version; None: any."""
    openclaw: str | None = None

    def build(self, model: str) -> Build | None:
        """The build that `model` shall have, None where any will do."""
        return next((build for name, build in self.models.items() if same(name, model)), None)


def parse(text: str, *, where: str = "models.lock") -> Lock:
    """The lock in a file's text. SettingsError says what is wrong with it and what renews it."""
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise _refused(where, f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise _refused(where, "expected an object")
    if unknown := sorted(set(document) - {"models", "ollama", "openclaw"}):
        raise _refused(where, f"{unknown[0]}: valid are models, ollama, openclaw")
    versions = {name: document.get(name) for name in ("ollama", "openclaw")}
    for name, version in versions.items():
        if version is not None and not isinstance(version, str):
            raise _refused(where, f"{name}: expected a version such as '0.32.3'")
    entries = document.get("models", {})
    if not isinstance(entries, dict):
        raise _refused(where, "models: expected names with their builds")
    models: dict[str, Build] = {}
    for name, entry in entries.items():
        try:
            key = normalise(name)
            if any(same(key, other) for other in models):
                raise ValueError("one model stands there twice")
            models[key] = _build(entry)
        except ValueError as error:
            raise _refused(where, f"models: {name}: {error}") from None
    return Lock(models, **versions)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError where a key stands in it twice, as a careless merge leaves it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)} stands there twice")
    return found


def _build(entry: Any) -> Build:
    if not isinstance(entry, dict) or set(entry) != {"digest", "layers", "size"}:
        raise ValueError("expected digest, layers and size")
    layers = entry["layers"]
    if not isinstance(layers, dict) or not layers:
        raise ValueError("layers: expected digests with their bytes")
    for digest in (entry["digest"], *layers):
        if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise ValueError(f"{digest!r} is no digest (sha256: and 64 hex digits)")
    if any(type(size) is not int or size < 0 for size in layers.values()):
        raise ValueError("layers: expected whole numbers of bytes")
    build = Build(entry["digest"], layers)
    if build.size != entry["size"]:
        raise ValueError(f"size is {entry['size']}, its layers have {build.size} bytes")
    return build


def _refused(where: str, why: str) -> SettingsError:
    return SettingsError(
        f"{where}: {why}. Expected what {RENEW} writes. Take an earlier one from version control; "
        f"or away with it, then a new one from what the Macs have: rm {quote(where)}; {RENEW}"
    )


def dumps(lock: Lock) -> str:
    """The file's text: the same lock gives the same bytes, in an order that diffs well."""
    models = {
        name: {"digest": build.digest, "layers": dict(build.layers), "size": build.size}
        for name, build in lock.models.items()
    }
    document = {"models": models, "ollama": lock.ollama, "openclaw": lock.openclaw}
    known = {name: value for name, value in document.items() if value is not None}
    return json.dumps(known, indent=2, sort_keys=True) + "\n"


def diff(before: str | None, after: str, name: str) -> list[str]:
    """The lines of the diff of two texts of the file; nothing in them is secret."""
    old = "/dev/null" if before is None else name
    lines = unified_diff((before or "").splitlines(), after.splitlines(), old, name, lineterm="")
    return list(lines)


def drift(snapshot: Snapshot, settings: Settings, lock: Lock | None) -> list[str]:
    """In what a Mac differs from the lock; what is not there yet does not count."""
    notes = []
    for model in settings.models:
        build = lock.build(model.id) if lock else None
        state = store.state(snapshot, model.id, build)
        if state.kind in ("outdated", "broken"):
            notes.append(f"{model.id} is {state.kind}: {'; '.join(state.why)}")
    for name, found, wanted in (
        ("Ollama", ollama.installed(snapshot), lock.ollama if lock else None),
        ("OpenClaw", snapshot.openclaw, lock.openclaw if lock else None),
    ):
        if found and wanted and found != wanted:
            notes.append(
                f"{name} is {found}, models.lock has {wanted}: versions are reported, not "
                f"exchanged; {RENEW} takes what is there"
            )
    return notes


@dataclass(frozen=True)
class Found:
    """What one Mac has of what a lock names."""

    host: str
    models: Mapping[str, Build] = field(default_factory=dict)
    """The wanted models that are whole."""
    notes: tuple[str, ...] = ()
    """Why others were not counted."""
    ollama: str | None = None
    openclaw: str | None = None


def found(host: str, snapshot: Snapshot, settings: Settings) -> Found:
    """What this Mac has, as far as it is whole."""
    models, notes = {}, []
    for model in settings.models:
        state = store.state(snapshot, model.id)
        if state.kind == "present" and state.build:
            models[normalise(model.id)] = state.build
        elif state.kind == "present":
            notes.append(f"{model.id} is not counted: its files are not in {snapshot.store.path}")
        elif state.kind == "broken":
            notes.append(f"{model.id} is not counted, as it is broken: {'; '.join(state.why)}")
    version = ollama.installed(snapshot)
    return Found(host, models, tuple(notes), version, snapshot.openclaw)


@dataclass(frozen=True)
class Agreement:
    """The lock that follows from what the Macs have."""

    lock: Lock
    differ: tuple[str, ...] = ()
    """What was left as it was, and who has what: ``Ollama: 0.32.3 on mac1; 0.31.0 on mac2``."""


def agree(
    macs: Sequence[Found], before: Lock, keep: Iterable[str], source: str | None = None
) -> Agreement:
    """The lock of what all of `macs` have; of `source` alone where that Mac is named.

    A Mac that lacks something does not disagree. `keep`: normalised names of what any Mac of the
    fleet wants, which stays as it stands in `before` where no Mac that is asked has it; the rest
    goes. ValueError when `source` is none of the Macs.
    """
    asked = [mac for mac in macs if source in (None, mac.host)]
    if not asked:
        raise ValueError(f"{source} is none of {', '.join(mac.host for mac in macs)}")
    differ: list[str] = []
    models: dict[str, Build] = {}
    for name in sorted({*keep, *(name for mac in asked for name in mac.models)}):
        known = before.build(name)
        builds = [(mac.host, mac.models[name]) for mac in asked if name in mac.models]
        groups = _groups(builds, Build.is_same)
        if len(groups) > 1:
            differ.append(_who(name, [(build.short, hosts) for build, hosts in groups]))
        if len(groups) == 1 and not (known and known.is_same(groups[0][0])):
            models[name] = groups[0][0]
        elif known:
            models[name] = known
    versions: dict[str, str | None] = {}
    for name, known_version in (("ollama", before.ollama), ("openclaw", before.openclaw)):
        pairs = [(mac.host, getattr(mac, name)) for mac in asked if getattr(mac, name)]
        same_version: Callable[[str, str], bool] = str.__eq__
        groups_of = _groups(pairs, same_version)
        if len(groups_of) > 1:
            differ.append(_who({"ollama": "Ollama", "openclaw": "OpenClaw"}[name], groups_of))
        versions[name] = groups_of[0][0] if len(groups_of) == 1 else known_version
    return Agreement(Lock(models, **versions), tuple(differ))


def _groups(
    pairs: Sequence[tuple[str, T]], alike: Callable[[T, T], bool]
) -> list[tuple[T, list[str]]]:
    groups: list[tuple[T, list[str]]] = []
    for host, value in pairs:
        for other, hosts in groups:
            if alike(value, other):
                hosts.append(host)
                break
        else:
            groups.append((value, [host]))
    return groups


def _who(what: str, groups: Sequence[tuple[str, list[str]]]) -> str:
    return f"{what}: " + "; ".join(f"{value} on {', '.join(hosts)}" for value, hosts in groups)
