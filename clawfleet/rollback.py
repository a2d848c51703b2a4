"""The way back: what puts a Mac's files where they were before a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clawfleet import json5, patch
from clawfleet.backups import Backups, Kept
from clawfleet.plan import FileChange, Trouble, guard
from clawfleet.snapshot import Snapshot


@dataclass(frozen=True)
class Rollback:
    """What goes back, and what to say about it."""

    gateway: list[FileChange]
    """Files that the gateway reads."""
    other: list[FileChange]
    domain: tuple[str, ...]
    """``NAME=value`` to set in the GUI domain again, ``NAME`` to unset."""
    notes: list[str]


def nothing(backups: Backups) -> str:
    """Why there is nothing to put back."""
    if not backups.read:
        return "no run has changed anything here"
    older = [run for run in backups.runs if run < backups.read[-1].run][:3]
    more = f"; --data run=ID goes further back, such as {', '.join(older)}" if older else ""
    return f"everything is as it was before run {backups.read[-1].run} already{more}"


def plan(backups: Backups, run: str | None, snapshot: Snapshot) -> Rollback:
    """Back to how it was before `run`, or before the newest run; Trouble where there is none, and
    for a file that may not be written.

    A file that somebody has edited since loses only what the runs had changed in it; where that
    can't be told apart, the whole file goes back, and the note says so (the rollback keeps a
    backup of its own).
    """
    if run and run not in backups.runs:
        raise Trouble(
            f"no backup of run {run} on this Mac",
            expected=f"one of {', '.join(backups.runs) or 'none: nothing was ever changed here'}",
            fix="--data run=ONE-OF-THEM, or leave it out for the newest",
        )
    files: dict[str, bytes | None] = {path: file.content for path, file in backups.now.items()}
    modes: dict[str, str] = {}
    parts: dict[str, str] = {}
    names: list[str] = []
    notes: list[str] = []
    domain: dict[str, str] = {}
    for backup in backups.read:
        for kept in backup.files:
            now = files[kept.path]
            files[kept.path], note = _before(kept, now)
            if note:
                notes.append(f"{kept.path} {note}")
            modes[kept.path] = kept.before.mode or "600"
            parts[kept.path] = kept.part
        names.append(backup.run)
        domain |= {line.partition("=")[0]: line for line in backup.domain}
    placed = {
        path: file
        for file in (*snapshot.written, snapshot.owned)
        for path in (file.path, file.link)
        if path
    }
    changes: dict[str, list[FileChange]] = {"gateway": [], "other": []}
    because = f"as it was before run {names[-1]}" if names else ""
    for path, content in files.items():
        there = backups.now[path]
        change = FileChange(there, content or b"", modes[path], (because,), gone=content is None)
        if change.same and (content is None or there.mode == modes[path]):
            continue
        if path in placed:
            # Where a link is by now, its own target is put back, and the link stays.
            change = replace(change, file=replace(there, path=guard(placed[path], snapshot).path))
        changes[parts[path]].append(change)
    hidden = [name for name, line in domain.items() if "@" in line]
    if hidden:
        notes.append(
            f"{', '.join(hidden)} of launchd's domain held a password and is not set again; it is "
            f"in {names[-1]}'s backup"
        )
    lines = tuple(line for name, line in domain.items() if name not in hidden)
    return Rollback(changes["gateway"], changes["other"], lines, notes)


def _before(kept: Kept, now: bytes | None) -> tuple[bytes | None, str]:
    """The file without what a run did to it, and what to say about edits since."""
    before = kept.before.content
    if now in (kept.after, before):
        return before, ""
    if now is None or kept.after is None:
        return before, "was changed since that run; what stood there stays in a backup"
    try:
        old = None if before is None else before.decode()
        text, whole = patch.reverse(old, kept.after.decode(), now.decode())
        if whole and text is not None and kept.path.endswith(".json"):
            json5.loads(text)
    except ValueError:
        whole, text = False, None
    if whole:
        return None if text is None else text.encode(), "was edited since that run; the edits stay"
    return before, "was edited since that run; the edits go too, and stay in a backup"
