"""What the running gateway was started with, and what of that has changed since.

A file that is newer than the process alone says little: OpenClaw writes openclaw.json itself
(``meta``, ``wizard``, defaults), auth-profiles.json after each turn on 2026.2.x, and it watches
openclaw.json and applies most changes. So `scripts/gateway.sh` leaves in ``~/.clawfleet/started``
which process it saw well, and the hashes of what that had read, with a copy of openclaw.json beside
it; where the process is still that one, contents are compared, else times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clawfleet import json5
from clawfleet.documents import at
from clawfleet.launch_agent import not_loaded
from clawfleet.snapshot import File, Process, Snapshot

TOLERANCE = 1
"""Seconds by which a file may be newer than the process: `ps` and `tar` tell whole ones."""
OWN = (("meta",), ("wizard",))
"""Keys of openclaw.json that OpenClaw writes for itself."""
NEVER_APPLIED = (("gateway",),)
"""Keys that a running gateway does not apply without a restart, in every version (2026.2.17 and
2026.9.6: source of their reload rules). Below them, `APPLIED` is read as it is."""
APPLIED = (("gateway", "reload"), ("gateway", "remote"))


@dataclass(frozen=True)
class Started:
    """The note of a start."""

    pid: int
    began: int
    """Seconds since 1970, before launchd was asked to start it."""
    well: int
    """When it was seen well."""
    hashes: dict[str, str]
    """By path; ``absent`` where there was no such file."""


def note(file: File) -> Started | None:
    """The note in ``~/.clawfleet/started``; None where there is none, or a damaged one."""
    values: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for line in (file.content or b"").decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("\t")
        if value.startswith("/"):
            hashes[value] = name
        else:
            values[name] = value
    try:
        return Started(int(values["pid"]), int(values["began"]), int(values["well"]), hashes)
    except (KeyError, ValueError):
        return None


def outdated(snapshot: Snapshot) -> tuple[str, ...]:
    """Why the running process lacks something of what it reads; empty when it has everything, and
    where no process runs."""
    process = serving(snapshot)
    if process is None:
        return ()
    began = snapshot.now - process.age
    known = _note_of(snapshot, process.age)
    reasons = []
    for file in (snapshot.dotenv, snapshot.service_env):
        if known and file.path in known.hashes:
            changed = (file.sha256 or "absent") != known.hashes[file.path]
        else:
            changed = file.exists and file.mtime > began + TOLERANCE
        if changed:
            reasons.append(f"{_name(file.path)} was changed after it was started")
    if snapshot.openclaw_since > began + TOLERANCE:
        reasons.append(f"OpenClaw {snapshot.openclaw} was put in place after it was started")
    # Bootstrapped with just this plist: launchd has read it, however `launchctl print` shows it.
    if not known or known.hashes.get(snapshot.plist.path) != snapshot.plist.sha256:
        reasons += not_loaded(snapshot)
    if known:
        paths = [".".join(path) for path in unapplied(snapshot)]
        if paths:
            reasons.append(f"openclaw.json: {', '.join(paths)} changed after it was started")
    return tuple(reasons)


def serving(snapshot: Snapshot) -> Process | None:
    """The job's process on the gateway's port, or the child of the job's process."""
    pid = snapshot.gateway.pid if snapshot.gateway else None
    if pid is None:
        return None
    return next((p for p in snapshot.gateway_port.processes if pid in (p.pid, p.ppid)), None)


def unapplied(snapshot: Snapshot) -> list[tuple[str, ...]]:
    """Paths of openclaw.json that are not as the process read them, and that it does not apply by
    itself: below `NEVER_APPLIED`, or anywhere where ``gateway.reload.mode`` is ``off``."""
    before, now = _document(snapshot.started_config), _document(snapshot.config)
    if before is None or now is None:
        return []
    everything = at(before, ("gateway", "reload", "mode")) == "off"
    return [
        path
        for path in differences(before, now)
        if not below(path, OWN)
        and not below(path, APPLIED)
        and (everything or below(path, NEVER_APPLIED))
    ]


def differences(before: Any, now: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths at which two documents differ: objects by key, all else (lists, too) as a whole, as
    OpenClaw's own comparison does."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            if key not in before or key not in now:
                yield (*path, str(key))
            else:
                yield from differences(before[key], now[key], (*path, str(key)))
    elif before != now or type(before) is not type(now):
        yield path


def below(path: tuple[str, ...], prefixes: tuple[tuple[str, ...], ...]) -> bool:
    """Whether a path is one of the prefixes, or leads through one."""
    return any(path[: len(prefix)] == prefix for prefix in prefixes)


def was_well(snapshot: Snapshot) -> bool:
    """Whether the job's process was seen well by clawfleet before, whatever it does now."""
    job = snapshot.gateway
    return job is not None and job.age is not None and _note_of(snapshot, job.age) is not None


def _note_of(snapshot: Snapshot, age: int) -> Started | None:
    """The note, if it tells of the job's process of that age in seconds: pids are used again."""
    known = note(snapshot.started)
    pid = snapshot.gateway.pid if snapshot.gateway else None
    if known is None or known.pid != pid:
        return None
    began = snapshot.now - age
    return known if known.began - 2 <= began <= known.well + 2 else None


def _document(file: File) -> Any:
    try:
        return json5.loads(file.text or "")
    except ValueError:
        return None


def _name(path: str) -> str:
    return path.rpartition("/")[2]
