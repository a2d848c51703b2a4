"""The Mac a stand-in runs on, read the cheap way.

``tests.lab.spec.load`` gives the same values as a dataclass; importing ``dataclasses`` costs 20 ms,
more than everything else such a small command does.
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

TYPE_CHECKING = False  # known to type checkers; importing typing would cost 10 ms
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

ENV = "CLAWFLEET_LAB_MAC"
SYSTEM = "/private/lab/usr"
"""Where the machine's own ``/usr`` is shown inside a Mac of the level "namespaces"."""


def mac() -> MacSpec:
    """The attributes of :class:`tests.lab.spec.MacSpec` (not its methods) of the Mac we are on."""
    with open(os.environ[ENV], encoding="utf-8") as file:
        loaded: MacSpec = SimpleNamespace(**json.load(file))  # type: ignore[assignment]
    return loaded


def complain(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(text + "\n")


def state(spec: MacSpec, name: str, default: str) -> str:
    """Content of ``<state>/<name>``, by which a test changes what a stand-in says."""
    try:
        with open(f"{spec.state}/{name}", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return default


def root(spec: MacSpec) -> bool:
    """Whether the caller is the Mac's root; at the level "ports" the stand-in ``sudo`` says so."""
    if spec.level == "ports":
        return "CLAWFLEET_LAB_ROOT" in os.environ
    return os.geteuid() == 0
