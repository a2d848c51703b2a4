"""What one simulated Mac is: the contract between the lab's parts.

Whoever builds a Mac (`isolation level`) writes this as JSON; every stand-in on that Mac reads it.
The path of the JSON file is in the environment variable ``CLAWFLEET_LAB_MAC``, which the small
shell wrapper of each stand-in exports before it starts the Python file behind it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

ENV = "CLAWFLEET_LAB_MAC"


@dataclass(frozen=True)
class MacSpec:
    """All paths are as seen from inside the Mac, absolute, without a trailing slash."""

    name: str
    """Host name, such as ``mac1``."""
    level: Literal["namespaces", "ports"]
    root: str
    """``""`` where the Mac has its own file system, else the folder that stands for ``/``."""
    home: str
    user: str
    uid: int
    gid: int
    state: str
    """Folder of the stand-ins' own state, writable by the user; nothing a real Mac would have."""
    homebrew_prefix: str
    """Where the stand-in installer puts Homebrew: ``/opt/homebrew`` below the root."""
    applications: str
    python: str
    """Interpreter for stand-ins (CPython >= 3.11); not on the Mac's PATH."""
    repo: str
    """Checkout of this project (``tests.lab`` is importable from here), read-only."""
    cache: str
    """Cache of the npm installs of OpenClaw and Node, read-only."""
    internet: str
    """Base address of the lab's own small internet, such as ``http://192.0.2.254:8000``."""
    bin: str
    """Folder with the stand-ins of macOS' own commands."""
    ollama_port: int = 11434
    gateway_port: int = 18789
    macos: str = "15.6"
    build: str = "24G84"
    darwin: str = "24.6.0"
    arch: Literal["arm64", "x86_64"] = "arm64"
    chip: str = "Apple M2 Pro"
    model: str = "Mac14,12"
    memory: int = 34359738368
    """Bytes, as ``sysctl hw.memsize``."""
    cores: int = 10
    gui_login: bool = True
    """Whether the user is logged in at the console: decides if ``gui/UID`` exists."""
    sudo: Literal["nopasswd", "password"] = "nopasswd"
    disk_free: int | None = 187184795648
    """Bytes that ``df`` reports as available, by default as on the Mac of the captured sample (the
    lab's models are small, their names say 32 GB); None: the truth of the machine below."""

    def save(self, path: Path) -> None:
        """Write the JSON that :func:`load` reads."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def path(self, absolute: str) -> str:
        """``/usr/sbin`` of this Mac, as a path of the machine it runs on."""
        return self.root + absolute


def load(path: str | None = None) -> MacSpec:
    """The Mac that the running stand-in belongs to; KeyError where it runs on none."""
    with open(path or os.environ[ENV], encoding="utf-8") as file:
        return MacSpec(**json.load(file))


def faults(mac: MacSpec) -> dict[str, str]:
    """Switches that a test set on this Mac while it runs, such as
    ``{"launchctl.bootstrap": "5,5,0"}``; read anew by a stand-in at each start.

    They live in ``<state>/faults.json``; an absent file means none.
    """
    try:
        with open(f"{mac.state}/faults.json", encoding="utf-8") as file:
            loaded: dict[str, str] = json.load(file)
    except FileNotFoundError:
        return {}
    return loaded
