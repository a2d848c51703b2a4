"""What ``launchctl print`` and ``ps`` print, as data."""

from __future__ import annotations

import re

from clawfleet.snapshot import Job, Process


class ProbeError(ValueError):
    """The probe's output is not what the script prints (cut link, a shell that prints noise)."""


def parse_job(printed: str) -> Job:
    """A job from ``launchctl print DOMAIN/LABEL``.

    Only lines with a single TAB count: the coalition blocks have a ``state`` of their own.
    """
    found: dict[str, str] = dict(re.findall(r"^\t([a-z ]+) = (.*)$", printed, re.M))
    pid = found.get("pid", "")
    return Job(
        state=found.get("state", "unknown"),
        pid=int(pid) if pid.isdigit() else None,
        runs=int(found["runs"]) if found.get("runs", "").isdigit() else 0,
        last_exit=str(found.get("last exit code") or found.get("last terminating signal") or ""),
        inherited=block(printed, "inherited environment"),
        environment=block(printed, "environment"),
        arguments=_listed(printed, "arguments"),
    )


def seconds(etime: str) -> int:
    """Seconds in ``ps -o etime=``: ``[[dd-]hh:]mm:ss``."""
    days, dash, clock = etime.strip().rpartition("-")
    total = 0
    for part in clock.split(":"):
        total = total * 60 + int(part)
    return total + (int(days) * 86400 if dash else 0)


def process(line: str) -> Process:
    """A line of ``ps -o pid= -o ppid= -o etime= -o command=``; ProbeError for anything else."""
    try:
        pid, ppid, etime, command = line.split(None, 3)
        return Process(int(pid), int(ppid), seconds(etime), command.rstrip())
    except ValueError as error:
        raise ProbeError(f"ps printed {line!r}") from error


def _listed(printed: str, name: str) -> tuple[str, ...]:
    found = re.search(rf"^\t{name} = \{{\n(.*?)^\t\}}", printed, re.M | re.S)
    return tuple(line.removeprefix("\t\t") for line in found.group(1).splitlines()) if found else ()


def block(printed: str, name: str) -> dict[str, str]:
    """The lines ``NAME => VALUE`` of a block such as ``environment``, {} where there is none."""
    found = re.search(rf"^\t{name} = \{{\n(.*?)^\t\}}", printed, re.M | re.S)
    if found is None:
        return {}
    return dict(re.findall(r"^\t\t(\S+) => (.*)$", found.group(1), re.M))
