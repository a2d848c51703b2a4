"""The small shell file behind each stand-in's name: it tells the stand-in which Mac it is on."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.lab import standins
from tests.lab.spec import ENV, MacSpec

ARGV0 = "CLAWFLEET_LAB_ARGV0"
"""Environment variable with the path under which a stand-in was called, which ``ps`` shows."""
_SH = Path(__file__).parent / "standins" / "sh"


def text(mac: MacSpec, module: str, environment: dict[str, str] | None = None) -> str:
    """The wrapper of ``tests.lab.standins.<module>`` on this Mac, with more variables if wanted.

    ``$0`` is handed on as ``CLAWFLEET_LAB_ARGV0``; ``-P`` keeps the caller's folder off the
    module path.
    """
    values = {ENV: f"{mac.state}/mac.json", "PYTHONPATH": mac.repo, **(environment or {})}
    pairs = " ".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
    python = shlex.quote(mac.python)
    return (
        f'#!/bin/sh\n{pairs} {ARGV0}="$0" exec {python} -S -P -m tests.lab.standins.{module} "$@"\n'
    )


def write(
    mac: MacSpec, module: str, target: str, environment: dict[str, str] | None = None
) -> None:
    """Write an executable wrapper to ``target``, a path of the machine this runs on."""
    _executable(target, text(mac, module, environment))


def place(mac: MacSpec, entry: str, target: str) -> None:
    """Put one entry of ``standins.COMMANDS`` at ``target``: a wrapper, or a shell file.

    In a shell file ``@STATE@`` and ``@ROOT@`` stand for the Mac's folders.
    """
    if not entry.startswith("sh/"):
        write(mac, entry, target)
        return
    script = (_SH / entry.removeprefix("sh/")).read_text()
    for mark, value in (("@STATE@", mac.state), ("@ROOT@", mac.root)):
        script = script.replace(mark, shlex.quote(value))
    _executable(target, script)


def _executable(target: str, content: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    with open(target, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(target, 0o755)


def place_all(mac: MacSpec, folder: str, *, ports: bool = False) -> None:
    """Put all stand-ins by their base names into ``folder`` (``MacSpec.bin`` as seen from here)."""
    table = dict(standins.COMMANDS)
    if ports:
        table |= standins.PORTS_COMMANDS
    for path, entry in table.items():
        place(mac, entry, f"{folder}/{os.path.basename(path)}")
