"""What a known trouble is: a row of the table, and what was found of it on one Mac."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from clawfleet.capabilities import Capabilities
from clawfleet.documents import read
from clawfleet.openclaw import can
from clawfleet.plan import Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import Job, Snapshot
from clawfleet.symptoms import Message, Symptoms

Severity = Literal["broken", "risk", "note"]
"""Something does not work; it will not always work; only good to know."""

Mend = Literal["modes", "ollama", "config", "environment", "gateway"]
"""What `fix` may do: take others' rights off files, or the task of that name."""

MENDS: tuple[Mend, ...] = ("modes", "ollama", "config", "environment", "gateway")
"""In the order in which they are done: the gateway last, as it reads what the others write."""

TASK = "pyinfra inventory.py tasks/{}.py"
DEPLOY = "pyinfra inventory.py deploy.py"


@dataclass(frozen=True)
class Case:
    """One Mac, as it was read."""

    snapshot: Snapshot
    symptoms: Symptoms
    settings: Settings
    port: int
    """The gateway's."""
    clock: tuple[float, float] | None = None
    """Seconds since 1970 on this machine, before and after the Mac was read."""

    @cached_property
    def caps(self) -> Capabilities:
        """What the installed OpenClaw can do."""
        return can(self.snapshot, self.settings)

    @cached_property
    def config(self) -> dict[str, Any]:
        """openclaw.json, {} where it is missing or can't be read."""
        try:
            return read(self.snapshot.config)
        except Trouble:
            return {}

    @property
    def job(self) -> Job | None:
        return self.snapshot.gateway

    @cached_property
    def started(self) -> float | None:
        """When the gateway that runs now was started, by the Mac's clock; None: none runs."""
        pid = self.job.pid if self.job else None
        listening = self.snapshot.gateway_port.processes
        known = [*listening, *self.symptoms.gateways]
        ages = [p.age for p in known if pid is None or pid in (p.pid, p.ppid)]
        return self.snapshot.now - max(ages) if ages and self.snapshot.now else None

    def said(self, *texts: str) -> list[Message]:
        """Lines of logs that hold one of these texts, newest first, and that are of now: of the
        gateway that runs, or of the last day where none does."""
        since = self.started or self.snapshot.now - 86400
        found = [
            message
            for message in self.symptoms.messages
            # A gateway says something before ps shows its first whole second.
            if message.at >= since - 2 and any(text in message.text for text in texts)
        ]
        return sorted(found, key=lambda message: -message.at)


@dataclass(frozen=True)
class Seen:
    """One place at which a trouble was seen."""

    seen: str
    fix: str
    """The command or task that mends it on this Mac."""
    mend: Mend | None = None
    """What `fix` does about it; None: nothing, as it is not safe without a person."""


@dataclass(frozen=True)
class Known:
    """A trouble that is known: a row of docs/troubleshooting.md."""

    id: str
    severity: Severity
    title: str
    chinese: str
    """The same in Chinese, as users look for it."""
    words: tuple[str, ...]
    """What a user sees: texts of OpenClaw, Ollama, Homebrew and macOS as they print them; in
    parentheses what is no text of theirs."""
    means: str
    """Why it happens."""
    expected: str
    cure: str
    """What mends it, for any Mac."""
    look: Callable[[Case], Iterable[Seen]]
    log: tuple[str, ...] = ()
    """Texts for which the Mac's logs are searched."""


@dataclass(frozen=True)
class Finding:
    """A known trouble that this Mac has."""

    id: str
    severity: Severity
    title: str
    seen: str
    expected: str
    fix: str
    mend: Mend | None


def quoted(messages: Iterable[Message], *, most: int = 1) -> str:
    """The newest lines of a log, with where and when they were written."""
    lines = []
    for message in list(messages)[:most]:
        when = datetime.fromtimestamp(message.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines.append(f"{message.path.rpartition('/')[2]}, {when}: {message.text[:200]}")
    return "; ".join(lines)


def as_data(finding: Finding) -> dict[str, Any]:
    """A finding for the report: ``{"id", "severity", "title", "seen", "expected", "fix",
    "mend"}``, the last one None where `fix` leaves it alone."""
    return dict(vars(finding))
