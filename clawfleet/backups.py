"""The backups on a Mac as data, from what ``facts/backups.sh`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from clawfleet.printed import ProbeError
from clawfleet.probe import unpack
from clawfleet.snapshot import File


@dataclass(frozen=True)
class Kept:
    """One file that a run replaced."""

    path: str
    before: File
    """As it was before the run; without content: there was none."""
    after: bytes | None
    """As the run wrote it; None: the run took it away."""
    part: str
    """``gateway``: the gateway reads it; ``other``: it does not."""


@dataclass(frozen=True)
class Backup:
    run: str
    files: tuple[Kept, ...]
    domain: tuple[str, ...]
    """``NAME=value`` of variables of the GUI domain that the run took out or set, as they were;
    ``NAME`` of one that was not there."""


@dataclass(frozen=True)
class Backups:
    runs: tuple[str, ...]
    """Names of all runs that have a backup, newest first."""
    read: tuple[Backup, ...]
    """The backups that were asked for, newest first."""
    now: dict[str, File]
    """What lies in the place of each file today."""


def parse(output: str) -> Backups:
    """The backups in the script's output; ProbeError when it is not complete."""
    lines = [line.partition("\t")[::2] for line in output.splitlines() if "\t" in line]
    values: dict[str, list[str]] = {}
    for name, value in lines:
        values.setdefault(name, []).append(value)
    if "clawfleet.end" not in values:
        raise ProbeError("the answer of the reading script was cut short")
    files, _ = unpack(next(iter(values.get("files.tar", [])), None))
    read = tuple(_backup(folder, files) for folder in values.get("read", []))
    paths = dict.fromkeys(kept.path for backup in read for kept in backup.files)
    now = {path: files.get(path, File(path, None)) for path in paths}
    return Backups(tuple(values.get("run", [])), read, now)


def _backup(folder: str, files: dict[str, File]) -> Backup:
    kept = []
    # What the gateway reads is written last.
    for part in ("gateway", "other"):
        listed = files.get(f"{folder}/{part}/list")
        for line in listed.loose_text.splitlines() if listed else ():
            existed, name, path = line.split("\t", 2)
            copy = f"{folder}/{part}/{name}"
            after = files.get(f"{copy}.after")
            # A run that was cut off before it wrote the file has changed nothing of it.
            if after is None and f"{copy}.gone" not in files:
                continue
            before = files.get(copy, File(copy, None)) if existed == "yes" else File(copy, None)
            kept.append(Kept(path, before, after.content if after else None, part))
    domain = files.get(f"{folder}/gateway/domain")
    lines = tuple(domain.loose_text.splitlines()) if domain else ()
    return Backup(folder.rpartition("/")[2], tuple(kept), lines)
