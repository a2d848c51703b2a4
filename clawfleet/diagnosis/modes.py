"""Others' rights taken off files with keys."""

from __future__ import annotations

from clawfleet.plan import Step, quote
from clawfleet.snapshot import Snapshot
from clawfleet.symptoms import Symptoms


def plan(snapshot: Snapshot, symptoms: Symptoms) -> list[Step]:
    """A step for each folder that others may enter, and for a service's file that they may write.

    Only rights are taken away, and with -R no link is followed.
    """
    commands = [f"chmod -R go-rwx {quote(path)}" for _, path in symptoms.folders]
    file = snapshot.ollama_env
    if file.exists and file.mode and int(file.mode, 8) & 0o022:
        commands.append(f"chmod go-rwx {quote(file.path)}")
    return [
        Step(
            "take others' rights away",
            "keys and conversations lie there",
            f"{command}\n",
            f"on the Mac: {command}",
            timeout=60,
            show=command,
        )
        for command in commands
    ]
