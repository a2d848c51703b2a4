"""Which keys of OpenClaw's files clawfleet owns, and by which rule it writes each.

The table is what `docs/safety.md` shows; the merge takes its rules from it, and a template can
only write what stands in it. What was really written on a Mac, and what was there before, is in
that Mac's ledger (`clawfleet.ledger`), which `tasks/remove.py` takes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clawfleet import json5, ledger
from clawfleet.documents import at
from clawfleet.edits import UNKNOWN, Item, Path, part_of
from clawfleet.ledger import Document, Ledger
from clawfleet.plan import Trouble, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import File, Snapshot

Rule = Literal["set", "fill", "own entries", "own elements"]
RULES: Mapping[Rule, str] = {
    "set": "written whenever it differs",
    "fill": "written only where it is missing; afterwards it is the user's",
    "own entries": "our keys of the object; other keys stay",
    "own elements": "our elements of the list; other elements stay",
}


@dataclass(frozen=True)
class Owned:
    """One place in one file."""

    file: Literal["openclaw.json", "auth-profiles.json"]
    path: tuple[str, ...]
    """Keys; ``*`` stands for any key, or for any element of a list by its ``id``."""
    rule: Rule
    why: str


_OLLAMA = ("models", "providers", "ollama")
_DEFAULTS = ("agents", "defaults")
OWNED = (
    Owned("openclaw.json", ("models", "mode"), "fill", "ours beside OpenClaw's own providers"),
    Owned("openclaw.json", (*_OLLAMA, "baseUrl"), "set", "where this Mac's Ollama listens"),
    Owned("openclaw.json", (*_OLLAMA, "api"), "set", "the protocol that this version needs"),
    Owned("openclaw.json", (*_OLLAMA, "apiKey"), "fill", "OpenClaw wants one; Ollama checks none"),
    Owned("openclaw.json", (*_OLLAMA, "timeoutSeconds"), "set", "`request_timeout`"),
    Owned("openclaw.json", (*_OLLAMA, "models"), "own elements", "`models`, by id"),
    Owned("openclaw.json", (*_OLLAMA, "models", "*", "*"), "set", "fields of our own models"),
    Owned("openclaw.json", ("models", "providers", "*", "apiKey"), "set", "`provider_keys`"),
    Owned("openclaw.json", (*_DEFAULTS, "model", "primary"), "set", "`primary`"),
    Owned("openclaw.json", (*_DEFAULTS, "model", "fallbacks"), "own elements", "`fallbacks`"),
    Owned("openclaw.json", (*_DEFAULTS, "models"), "own entries", "what may be selected"),
    Owned("openclaw.json", (*_DEFAULTS, "models", "*", "alias"), "fill", "its short name"),
    Owned(
        "openclaw.json",
        (*_DEFAULTS, "modelPolicy", "allow"),
        "own elements",
        "only where the list is there",
    ),
    Owned("openclaw.json", ("gateway", "mode"), "fill", "a gateway on this Mac"),
    Owned("openclaw.json", ("gateway", "bind"), "fill", "reachable from this Mac only"),
    Owned("openclaw.json", ("gateway", "port"), "fill", "`gateway_port`, set where it was changed"),
    Owned("openclaw.json", ("gateway", "auth", "mode"), "fill", "no gateway without a token"),
    Owned("openclaw.json", ("gateway", "auth", "token"), "fill", "random, made once"),
    Owned(
        "openclaw.json",
        ("auth", "profiles", "ollama:default"),
        "set",
        "versions with auth-profiles.json",
    ),
    Owned("auth-profiles.json", ("version",), "fill", "OpenClaw's own number of the format"),
    Owned("auth-profiles.json", ("profiles", "ollama:default"), "set", "Ollama's credential"),
    Owned("auth-profiles.json", ("profiles", "*", "key"), "set", "emptied for `provider_keys`"),
    Owned("auth-profiles.json", ("profiles", "ollama:default", "key"), "fill", "stays the user's"),
)
_FILLED = tuple(owned.path for owned in OWNED if owned.rule == "fill")
_DEFAULT_PORT: int = Settings.model_fields["gateway_port"].default


def _matches(pattern: tuple[str, ...], path: tuple[Any, ...]) -> bool:
    return len(path) >= len(pattern) and all(
        step in ("*", key) for step, key in zip(pattern, path, strict=False)
    )


def owner(file: str, path: tuple[Any, ...]) -> Owned | None:
    """The most exact entry of the table for a path of keys and elements, None: not ours."""
    found = [one for one in OWNED if one.file == file and _matches(one.path, path)]
    return max(found, key=lambda one: (len(one.path), "*" not in one.path), default=None)


def is_filled(path: tuple[Any, ...]) -> bool:
    """Whether a key is written only where it is missing."""
    return any(_matches(pattern, path) for pattern in _FILLED)


def due(wanted: dict[str, Any], existing: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` without the keys that are only filled in and are there already."""

    def prune(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            here = (*path, key)
            if is_filled(here) and _settled(existing, here, inner):
                continue
            if isinstance(inner, dict) and inner:
                pruned = prune(inner, here)
                if pruned:
                    kept[key] = pruned
            else:
                kept[key] = inner
        return kept

    left = prune(wanted, ())
    port = at(wanted, ("gateway", "port"))
    if port is not None and port not in (_DEFAULT_PORT, at(existing, ("gateway", "port"))):
        left.setdefault("gateway", {})["port"] = port
    return left


def _settled(existing: Mapping[str, Any], path: tuple[str, ...], wanted: Any) -> bool:
    if path[:2] == ("gateway", "auth"):
        auth = at(existing, ("gateway", "auth"))
        # A password, or whatever else the user chose instead of a token, is complete in itself.
        if isinstance(auth, dict) and auth.get("mode") not in (None, "token"):
            return True
    found = at(existing, path)
    # An object in the place of a plain value is one of OpenClaw's references to a secret.
    return found not in (None, "") and not (isinstance(found, dict) and isinstance(wanted, dict))


def without(wanted: dict[str, Any], path: Path) -> dict[str, Any]:
    """`wanted` without the value at a path; elements of lists go by their id."""

    def prune(value: Any, rest: Path) -> Any:
        step, *inner = rest
        if isinstance(value, dict) and isinstance(step, str) and step in value:
            kept = {key: part for key, part in value.items() if key != step}
            return {**kept, step: prune(value[step], tuple(inner))} if inner else kept
        if isinstance(value, list) and isinstance(step, Item):
            if inner:
                return [prune(p, tuple(inner)) if _is(p, step) else p for p in value]
            return [part for part in value if not _is(part, step)]
        return value

    pruned: dict[str, Any] = prune(wanted, path)
    return pruned


def _is(element: Any, item: Item) -> bool:
    return part_of([element], item) is not UNKNOWN


def ledger_of(snapshot: Snapshot) -> Ledger:
    """The Mac's ledger by the paths that its files have now; Trouble when it can't be read.

    A file that was moved since, with a link left in its place, is still the one that we wrote.
    """
    book = read_ledger(snapshot.owned)
    documents, lines = dict(book.documents), dict(book.lines)
    for file in snapshot.written:
        if not file.link or file.link in documents or file.link in lines:
            continue
        if file.path in documents:
            documents[file.link] = documents.pop(file.path)
        elif file.path in lines:
            lines[file.link] = lines.pop(file.path)
    return Ledger(documents, lines)


def elsewhere(snapshot: Snapshot) -> list[str]:
    """Files that an earlier run wrote and that these settings do not name (another agent's)."""
    book = ledger_of(snapshot)
    known = {file.link or file.path for file in snapshot.written}
    return [path for path in (*book.documents, *book.lines) if path not in known]


def read_ledger(file: File) -> Ledger:
    """What a ledger's file says, empty when there is none; Trouble when it can't be read."""
    if file.trouble:
        raise Trouble(
            f"{file.path} is {file.trouble}",
            expected="the list of what clawfleet wrote here, as it left it",
            fix=f"on the Mac: ls -ld {quote(file.path)}, and chmod 600 it where it is a file",
        )
    try:
        return ledger.loads((file.content or b"").decode("utf-8"))
    except ValueError as error:
        raise Trouble(
            f"{file.path} can't be read: {error}",
            expected="the list of what clawfleet wrote here, as it left it",
            fix=f"on the Mac: mv {quote(file.path)} {quote(file.path + '.bad')}  # what was "
            "written before then counts as yours",
        ) from error


def before_and_written(document: Document | None, path: tuple[str, ...]) -> tuple[Any, Any]:
    """What lay at a path of keys before our first run, and what we wrote there last.

    UNKNOWN for "nothing": no value was there, or we wrote none.
    """
    # What lies deeper was recorded later.
    for record in reversed(document.records if document else ()):
        steps = record.path
        if steps != path[: len(steps)]:
            continue
        written: Any = record.after
        for key in path[len(steps) :]:
            written = part_of(written, key)
        before = UNKNOWN
        if record.kind == "set" and steps == path:
            before = json5.loads(record.source)
        return before, written
    return UNKNOWN, UNKNOWN
