"""Files in a home folder, and the script that replaces them."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clawfleet import commit
from clawfleet.plan import FileChange
from clawfleet.snapshot import File
from tests.unit import shells
from tests.unit.factory import file

RUN = "20261123-153000-1a2b"
Shell = tuple[str, ...]
DASH = ("dash",)
NOTHING_RUNS = {"launchctl": 'echo "$1" >> "$HOME/launchctl"; exit 113', "lsof": "exit 1"}


def run(
    shell: Shell, text: str, home: Path, *, commands: Mapping[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    return shells.run(shell, text, home, commands=NOTHING_RUNS | dict(commands or {}), **more)


def script(changes: list[FileChange], **more: Any) -> str:
    """Of files that the gateway reads, unless another port is given."""
    return commit.script(changes, **{"port": 18789, "run": RUN, **more})


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def there(path: Path, content: str, permissions: int = 0o600) -> File:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(permissions)
    return file(str(path), content, mode=f"{permissions:o}")


def absent(path: Path) -> File:
    return file(str(path))


def change(before: File, after: str, **more: Any) -> FileChange:
    return FileChange(before, after.encode(), **more)


def backups(home: Path) -> Path:
    return home / ".clawfleet" / "backups"


def temporary(home: Path) -> list[str]:
    found = [str(p) for p in home.rglob("*") if ".clawfleet-" in p.name]
    return [name for name in found if "backups" not in name]
