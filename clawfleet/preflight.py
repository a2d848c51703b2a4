"""What would keep a Mac from being provisioned, found before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from clawfleet import (
    credentials,
    gateway,
    homebrew,
    memory_table,
    ollama,
    openclaw,
    promise,
    store,
    wish,
)
from clawfleet.credentials import Secret
from clawfleet.documents import read
from clawfleet.plan import Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

SPARE = 2 * 1024**3
"""Bytes that stay free beside the models: macOS, Homebrew, logs."""


def check(
    snapshot: Snapshot,
    settings: Settings,
    port: int,
    templates: Mapping[str, str],
    secrets: Mapping[str, Secret] = MappingProxyType({}),
) -> list[str]:
    """Notes about the Mac (nothing that stops it); Trouble for the first thing that does.

    `secrets`: keys by provider.
    """
    if snapshot.kernel != "Darwin":
        raise Trouble(
            f"{snapshot.kernel or 'an unknown system'}",
            expected="macOS",
            fix="take this host out of hosts.yml",
        )
    if snapshot.uid == 0:
        raise Trouble(
            "the connection's user is root; Homebrew and OpenClaw's LaunchAgent refuse root",
            expected="the Mac's own user",
            fix="set ansible_user in hosts.yml to the user who logs in at that Mac",
        )
    if _older(snapshot.macos, 14):
        raise Trouble(
            f"macOS {snapshot.macos}",
            expected="macOS 14 or later: Ollama's current releases need it",
            fix="update macOS on that Mac",
        )
    homebrew.plan(snapshot, settings)
    ollama.kind(snapshot, settings)
    ollama.plan(snapshot, settings)
    read(snapshot.config)
    read(snapshot.auth)
    openclaw.plan(snapshot, settings)
    if snapshot.openclaw == str(openclaw.version(snapshot, settings)):
        # The version that will read the files is the one that is there.
        keys = credentials.plan(snapshot, settings, secrets)
        wish.plan(snapshot, settings, templates, lambda: "", keys)
    gateway.decide(snapshot, settings, port, ())
    _disk(snapshot, settings)
    return _notes(snapshot, settings)


def fit(
    snapshot: Snapshot, settings: Settings, transfers: Mapping[str, int | None] | None = None
) -> list[str]:
    """What fits into this Mac with which context, as the lines of a table; `transfers` as for
    `memory_table.lines`."""
    if snapshot.kernel != "Darwin":
        return []
    weighed = promise.weigh(snapshot, settings)
    return memory_table.lines(snapshot, settings, weighed, transfers)


def _disk(snapshot: Snapshot, settings: Settings) -> None:
    missing = ollama.missing(snapshot, settings)
    needed = ollama.size_of(missing) - store.begun(snapshot, settings)
    if needed > 0 and snapshot.disk_free is not None and needed + SPARE > snapshot.disk_free:
        names = ", ".join(model.id for model in missing)
        raise Trouble(
            f"{_gb(snapshot.disk_free)} free where the models lie",
            expected=f"{_gb(needed + SPARE)}: {_gb(needed)} for {names} and {_gb(SPARE)} to spare",
            fix="make room on that Mac, or take models off its list",
        )


def _notes(snapshot: Snapshot, settings: Settings) -> list[str]:
    notes = [
        f"macOS {snapshot.macos}, {snapshot.chip or snapshot.arch}, "
        f"{snapshot.memory / 1024**3:.0f} GB, user {snapshot.user}"
    ]
    missing = ollama.missing(snapshot, settings)
    if missing:
        size = ollama.size_of(missing)
        sums = [_gb(size)] if size else []
        if snapshot.disk_free is not None:
            sums.append(f"{_gb(snapshot.disk_free)} free")
        shown = f" ({', '.join(sums)})" if sums else ""
        notes.append(f"to pull: {', '.join(m.id for m in missing)}{shown}")
    if snapshot.arch != "arm64":
        notes.append("an Intel Mac: Ollama has no GPU there, the models above will be slow")
    return notes


def _older(macos: str, major: int) -> bool:
    head = macos.split(".", maxsplit=1)[0]
    return head.isdigit() and int(head) < major


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
