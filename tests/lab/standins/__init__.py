"""Stand-ins for the commands of a Mac.

``COMMANDS`` says which command is which stand-in: the absolute path on macOS -> a module of this
package (``launchctl`` = ``launchctl.py``, started as ``python -S -P -m
tests.lab.standins.launchctl``) or, with a leading ``sh/``, a shell file of ``sh/`` in which
``@STATE@`` and ``@ROOT@`` are filled in. ``PORTS_COMMANDS`` holds what only the level "ports"
needs, where the machine's own commands cannot be hidden and its users are not the Mac's.

Both are put together on first use: a stand-in that starts must not pay for tables it does not read.
"""

from __future__ import annotations

TABLES = ("commands_system", "commands_launchd", "commands_ollama", "commands_openclaw")
COMMANDS: dict[str, str]
PORTS_COMMANDS: dict[str, str]


def __getattr__(name: str) -> dict[str, str]:
    if name not in ("COMMANDS", "PORTS_COMMANDS"):
        raise AttributeError(name)
    import importlib.util  # costs more than most stand-ins do

    merged: dict[str, str] = {}
    for table in TABLES:
        full = f"{__name__}.{table}"
        if importlib.util.find_spec(full) is None:
            continue
        merged.update(getattr(importlib.import_module(full), name, {}))
    return merged
