"""Keys of providers on a Mac: the key itself in ~/.openclaw/.env, references to it elsewhere.

What each OpenClaw version does with a key (measured with 2026.2.17 and 2026.9.6):

* A provider that it knows by name finds its own variable (``ZAI_API_KEY``) in .env. From 2026.9 on
  a provider that stands in ``models.providers`` wants an ``apiKey`` there as well.
* ``apiKey: "${VAR}"`` works, but 2026.2.x copies the key into its ``models.json``, and refuses the
  whole config, validator and gateway alike, when the variable is missing.
* ``apiKey: {source: "env", ...}`` is accepted from 2026.2.26 on, and copied nowhere.
* ``apiKey: "ZAI_API_KEY"``, the bare name of a known provider's own variable, is enough before
  that, and copied nowhere; 2026.9 would send it as the key.
* A key in ``auth-profiles.json`` wins over all of these; an empty one is passed over (2026.2.17).
* ``gateway install`` of the versions with a service-env file copies .env's variables into it, and
  on macOS that copy wins over .env for ever after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clawfleet import dotenv, ownership
from clawfleet.capabilities import Capabilities
from clawfleet.documents import at, read
from clawfleet.edits import UNKNOWN
from clawfleet.key_sources import VARIABLES
from clawfleet.ledger import Ledger
from clawfleet.openclaw import can
from clawfleet.plan import FileChange, Trouble, guard
from clawfleet.redact import is_secret_key
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

_REFERENCE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
_KEY = re.compile(r"""[!-&(-\[\]-~]+""")


class Secret:
    """A secret that shows itself to nobody who prints it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(‹hidden›)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied into files")

    def reveal(self) -> str:
        """The secret itself."""
        return self._value


def checked(text: str) -> Secret:
    """What a source gave, one line end taken off, as a key; ValueError, without it, if it is none.

    Only printable ASCII without blanks, ``'`` and ``\\``: such a key is the same for HTTP, for
    dotenv and for sh.
    """
    text = re.sub(r"\r?\n\Z", "", text)
    if not text:
        raise ValueError("it is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("it has more than one line")
    if len(text) > 4096:
        raise ValueError("it is longer than 4096 characters")
    if not _KEY.fullmatch(text):
        raise ValueError("it has a blank, a quote, a backslash or a character beyond ASCII in it")
    return Secret(text)


@dataclass(frozen=True)
class Wanted:
    """What has to change on one Mac for its providers' keys. It holds no key outside `files`."""

    files: tuple[FileChange, ...]
    """~/.openclaw/.env, and the service-env file where it holds another value."""
    config: dict[str, Any]
    """To be merged into the wish for openclaw.json."""
    profiles: dict[str, Any]
    """To be merged into the wish for auth-profiles.json."""
    variables: tuple[str, ...]
    """That the new openclaw.json refers to; a validator of 2026.2.x wants them set."""
    notes: tuple[str, ...]


def plan(snapshot: Snapshot, settings: Settings, secrets: Mapping[str, Secret]) -> Wanted:
    """The changes that give each provider of `secrets` its key.

    Trouble when a file can't be read or lies behind a link that leads elsewhere.
    """
    existing = read(snapshot.config)
    book = ownership.ledger_of(snapshot)
    caps = can(snapshot, settings)
    names: dict[str, Secret] = {}
    config: dict[str, Any] = {}
    notes: list[str] = []
    for provider, secret in secrets.items():
        path = ("models", "providers", provider, "apiKey")
        own = settings.provider_keys[provider].variable
        theirs = _their_reference(snapshot, book, existing, path)
        name = own or _variable(theirs) or VARIABLES[provider]
        if names.setdefault(name, secret) != secret:
            raise Trouble(
                f"{snapshot.config.path}: {'.'.join(path)} refers to {name}, which holds the key "
                "of another provider of provider_keys",
                expected="a variable for each provider",
                fix="on the Mac, change that reference; or give both providers the same source",
            )
        if theirs is not None:
            if _variable(theirs) != name:
                notes.append(f"{'.'.join(path)} is a reference of the user's own; it stays")
            continue
        if isinstance(at(existing, path[:-1]), dict):
            reference = _reference(caps, existing, provider, name)
            config[provider] = {"apiKey": reference}
        elif provider not in VARIABLES:
            notes.append(f"models.providers has no {provider}: nothing reads {name} on this Mac")
    profiles, winners = _profiles(snapshot, caps, secrets)
    files = [
        change
        for change in (_dotenv(snapshot, book, names), _service_env(snapshot, names))
        if change is not None
    ]
    return Wanted(
        tuple(files),
        {"models": {"providers": config}} if config else {},
        {"profiles": profiles} if profiles else {},
        tuple(names),
        (*notes, *winners, *_elsewhere(snapshot, names)),
    )


def together(wish: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both wishes for one document as one; where both have a plain value, that of `more`."""
    both = dict(wish)
    for key, value in more.items():
        mine = both.get(key)
        nested = isinstance(mine, dict) and isinstance(value, dict)
        both[key] = together(mine or {}, value) if nested else value
    return both


def _profiles(
    snapshot: Snapshot, caps: Capabilities, secrets: Mapping[str, Secret]
) -> tuple[dict[str, Any], list[str]]:
    """Profiles whose keys would win over ours, with an empty key; and notes about the others."""
    emptied: dict[str, Any] = {}
    notes: list[str] = []
    if not secrets or caps.auth_store != "file":
        return emptied, notes
    found = read(snapshot.auth).get("profiles")
    for name, profile in found.items() if isinstance(found, dict) else ():
        if not isinstance(profile, dict) or profile.get("provider") not in secrets:
            continue
        if profile.get("type") == "api_key" and not profile.get("keyRef"):
            # Also where it is empty already: what is no longer wished is taken back.
            if "key" in profile:
                emptied[name] = {"key": ""}
        else:
            notes.append(
                f"the profile {name} in {snapshot.auth.path} wins over provider_keys; it stays"
            )
    return emptied, notes


def _their_reference(
    snapshot: Snapshot, book: Ledger, existing: Mapping[str, Any], path: tuple[str, ...]
) -> Any:
    """The user's own reference in the place of a key, None where there is none."""
    found = at(existing, path)
    document = book.documents.get(snapshot.config.link or snapshot.config.path)
    _, written = ownership.before_and_written(document, path)
    if written is not UNKNOWN and written == found:
        return None
    is_reference = isinstance(found, dict) or (
        isinstance(found, str) and _REFERENCE.search(found) is not None
    )
    return found if is_reference else None


def _variable(reference: Any) -> str | None:
    """The variable of the environment that a reference names, if by its name it is a secret."""
    name = None
    if isinstance(reference, dict) and reference.get("source") == "env":
        name = reference.get("id")
    elif isinstance(reference, str) and (match := _REFERENCE.fullmatch(reference)):
        name = match[1]
    # What does not say that it holds a secret would be shown in diffs.
    return name if isinstance(name, str) and is_secret_key((name,)) else None


def _reference(
    caps: Capabilities, existing: Mapping[str, Any], provider: str, name: str
) -> str | dict[str, str]:
    """What stands in the place of the key, by what this OpenClaw can do."""
    if not caps.secret_references:
        return name if VARIABLES.get(provider) == name else f"${{{name}}}"
    alias = at(existing, ("secrets", "defaults", "env"))
    alias = alias if isinstance(alias, str) else "default"
    registered = at(existing, ("secrets", "providers", alias))
    if isinstance(registered, dict):
        allowed = registered.get("allowlist")
        if registered.get("source") != "env" or (isinstance(allowed, list) and name not in allowed):
            # The user's own rules for references leave this one out.
            return f"${{{name}}}"
    return {"source": "env", "provider": alias, "id": name}


def _dotenv(snapshot: Snapshot, book: Ledger, names: Mapping[str, Secret]) -> FileChange | None:
    given = snapshot.dotenv
    taken = sorted(dotenv.ours(given.loose_text) - set(names))
    if not names and not taken:
        return None
    file = guard(given, snapshot)
    known = book.lines.get(file.path)
    text = file.loose_text
    for name in taken:
        text = dotenv.withdraw(text, name, (known.before if known else None) or "")
    for name, secret in names.items():
        text = dotenv.put(text, name, secret.reveal())
    mode = file.mode if file.mode in ("400", "600") else "600"
    if text == file.loose_text and file.mode == mode:
        return None
    reasons = [f"holds {', '.join(names)}, and nothing else does"] if names else []
    reasons += [f"{', '.join(taken)}: no longer in provider_keys"] if taken else []
    if file.exists and file.mode != mode:
        reasons.append(f"its mode is {file.mode}: others on this Mac can read the secrets in it")
    gone = not text and known is not None and known.before is None
    return FileChange(file, _encoded(text), mode, tuple(reasons), gone=gone)


def _service_env(snapshot: Snapshot, names: Mapping[str, Secret]) -> FileChange | None:
    """OpenClaw's copies of our variables, which win over .env, without those that are stale."""
    found = dotenv.values(snapshot.service_env.loose_text)
    stale = [name for name in names if name in found and found[name] != names[name].reveal()]
    if not stale:
        return None
    file = guard(snapshot.service_env, snapshot)
    text = file.loose_text
    for name in stale:
        text = dotenv.without(text, name)
    reason = f"holds another {', '.join(stale)}, which would win over the one in .env"
    return FileChange(file, _encoded(text), file.mode or "600", (reason,))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _elsewhere(snapshot: Snapshot, names: Mapping[str, Secret]) -> Iterator[str]:
    plist = snapshot.plist.loose_text
    for name in names:
        if f"<key>{name}</key>" in plist:
            yield f"{snapshot.plist.path} sets {name} too, and wins over .env"
        if name in snapshot.gui_environment:
            yield (
                f"launchd's domain gui/{snapshot.uid} sets {name} too, and wins over .env; "
                f"in Terminal on that Mac: launchctl unsetenv {name}"
            )
