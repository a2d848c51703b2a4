"""Whose server answers on Ollama's port, with which environment, and what a deploy does about it.

Pure: everything is told from one reading of the Mac. A server that is not Homebrew's service or
Ollama.app is never ended; nor is the app started beside one, for it ends every other
``ollama serve`` when it finds its port taken (ollama app/server/server_unix.go, v0.16.1 and later).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clawfleet.snapshot import Snapshot

Kind = Literal["formula", "cask"]
Owner = Literal["nobody", "formula", "app", "by hand", "somebody else", "no Ollama"]
Version = Literal["same", "other", "silent"]
Environment = Literal["same", "old", "not known"]
Action = Literal["install", "start", "restart", "use", "refuse"]

_PLAIN = re.compile(r"[\w./:,@%+=-]*")
_SECRET = re.compile(r".*(KEY|TOKEN|SECRET|PASS)")
OTHER_VERSION = "another version than what is installed"
NO_DAEMON = "launchd's system domain does not have it as its plist says"
OLD_ENVIRONMENT = "it was started before its environment was written"
CLOCK = 2
"""Seconds by which a process may look younger or older: ``ps`` rounds, files have fractions."""


@dataclass(frozen=True)
class Situation:
    """What decides, and nothing else."""

    wanted: Kind
    installed: bool
    owner: Owner
    version: Version = "same"
    """Of the server that answers, compared with what is installed."""
    environment: Environment = "same"
    present: bool = False
    """launchd has the service, or the app's main process runs, even if its server is silent."""


@dataclass(frozen=True)
class Decision:
    actions: tuple[Action, ...]
    reason: str = ""


def owner(snapshot: Snapshot) -> Owner:
    """Who listens: told by the listening process, its program, and launchd's job or the app."""
    found = snapshot.ollama_owner
    if found == "none":
        return "nobody"
    if found != "foreign":
        return found
    if not snapshot.ollama_port.processes:
        return "somebody else"
    ours = any(snapshot.ollama_program(p.command) for p in snapshot.ollama_port.processes)
    return "by hand" if ours or snapshot.ollama_server else "no Ollama"


def running(snapshot: Snapshot) -> Mapping[str, str] | None:
    """Variables that the listening server was started with; None: nobody can tell.

    For a protected program macOS shows no environment; then what launchd says of the job is what
    it gave to that very process, as it reads the job's file at bootstrap only. Of a process only
    ``OLLAMA_*`` is read, the job's other variables are launchd's word in either case.
    """
    job = snapshot.ollama_job if snapshot.ollama_owner == "formula" else None
    # Our daemon reads its variables from a file: those of its plist are not all that it has.
    given = job.environment if job and not snapshot.daemons else {}
    if snapshot.ollama_variables is None:
        return given or None
    others = {name: value for name, value in given.items() if not name.startswith("OLLAMA_")}
    return {**others, **snapshot.ollama_variables}


def comparable(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those variables whose values can be read back as they are: ``ps`` shows no quotes, ends of
    values are blanks, and what may be a secret is not read at all."""
    return {
        name: value
        for name, value in wanted.items()
        if not _SECRET.match(name.upper()) and _PLAIN.fullmatch(value)
    }


def assignments(text: str) -> dict[str, str]:
    """The variables in a file of ``NAME=value`` lines, as Homebrew 6 reads it."""
    lines = (line.partition("=") for line in text.split("\n") if not line.lstrip().startswith("#"))
    return {name.strip(): value.rstrip("\r") for name, equals, value in lines if equals}


def differing(snapshot: Snapshot, wanted: Mapping[str, str]) -> list[str]:
    """Names of the wanted variables that the running server was seen without."""
    seen = running(snapshot)
    if seen is None:
        return []
    job = None if snapshot.daemons else snapshot.ollama_job
    told = bool(job and job.environment)
    return [
        name
        for name, value in comparable(wanted).items()
        if seen.get(name) != value and (told or name.startswith("OLLAMA_"))
    ]


def environment(snapshot: Snapshot, wanted: Mapping[str, str]) -> Environment:
    """Whether the running server has the variables in the file that its owner reads.

    Where they are hidden, the time tells: a server that is older than the file has not read it.
    """
    if running(snapshot) is not None:
        return "old" if differing(snapshot, wanted) else "same"
    written = snapshot.ollama_env.mtime if snapshot.ollama_env.exists else 0
    began = snapshot.now - max((p.age for p in snapshot.ollama_port.processes), default=0)
    if snapshot.ollama_owner == "formula" and written > began + CLOCK:
        return "old"
    return "not known"


def decide(now: Situation) -> Decision:
    """The actions in their order; none where the right server answers as it should."""
    own: Owner = "formula" if now.wanted == "formula" else "app"
    if now.owner in ("by hand", "somebody else", "no Ollama"):
        # Of the wanted version it serves as well as ours would; what else it is, is its owner's.
        fine = now.installed and now.version == "same" and now.owner != "no Ollama"
        return Decision(("use",) if fine else ("refuse",))
    if now.owner not in ("nobody", own):
        # An app that lies elsewhere, or a formula that was uninstalled while its server ran.
        return Decision(("refuse",))
    before: tuple[Action, ...] = () if now.installed else ("install",)
    if now.owner == "nobody":
        if now.present:
            # `open` does nothing for an app that runs, nor `brew services start` for a loaded job.
            what = "the app runs" if now.wanted == "cask" else "its service is loaded"
            return Decision((*before, "restart"), f"{what}, and no server answers")
        return Decision((*before, "start"), "no server answers")
    if not now.installed:
        return Decision((*before, "restart"), "a server of before the install runs")
    if now.version != "same":
        return Decision(("restart",), OTHER_VERSION)
    if now.environment == "old":
        return Decision(("restart",), OLD_ENVIRONMENT)
    return Decision(())
