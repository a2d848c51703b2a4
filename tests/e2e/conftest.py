"""Labs for the end-to-end tests, at every level that this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deploys import pyinfra
from tests.e2e.registry import GPT, OFF, control, registry
from tests.lab import levels, plan
from tests.lab.lab import Lab
from tests.lab.openclaw import is_cached, use_small
from tests.lab.standins.ollama_store import seed


def stories() -> list[tuple[str, str]]:
    """OpenClaw version and isolation level of each story that is told.

    The older version at each level (or the one that CLAWFLEET_LAB names), the newer one, which
    takes twice as long, at the best that this machine has.
    """
    wanted = os.environ.get("CLAWFLEET_LAB", "")
    named = [wanted] if wanted in ("namespaces", "ports") else ["namespaces", "ports"]
    best = "ports" if levels.obstacle([plan.REPO]) else "namespaces"
    return [
        *(("2026.2.17", level) for level in named),
        ("2026.9.6", named[0] if len(named) == 1 else best),
    ]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def small_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three bare Macs on which npm installs the small stand-in of OpenClaw.

    At one level only, the better one that this machine has: what a fault does is the same.
    """
    folder = tmp_path_factory.mktemp("lab")
    with Lab.up(3, dir=folder) as lab:
        for mac in lab.macs.values():
            use_small(mac)
        yield lab


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two Macs on which Ollama's service runs, with no model."""
    with Lab.up(2, dir=tmp_path_factory.mktemp("lab")) as lab:
        files = ("tasks/ollama.py", *OFF)
        done = pyinfra(
            lab, "-y", *files, task="tasks/homebrew.py", reports=tmp_path_factory.mktemp("r")
        )
        assert done.code == 0, done.log
        yield lab


@pytest.fixture
def lab(fleet: Lab) -> Iterator[Lab]:
    """The fleet without faults and models; the registry has what it had at first."""
    control(fleet, faults=[], kbps=0, reset=True)
    for mac in fleet.macs.values():
        mac.set_faults({})
        home = mac.spec.home
        mac.exec(f"rm -rf {home}/.ollama/models {home}/.clawfleet/installed", check=True)
    (fleet.folder / "models.lock").unlink(missing_ok=True)
    seed(registry(fleet), GPT)
    yield fleet
    seed(registry(fleet), GPT)


def need_openclaw(version: str) -> None:
    """Skip with the reason where npm could not bring the real OpenClaw."""
    if not is_cached(version):
        pytest.skip(
            f"OpenClaw {version} is not cached; run: python -m tests.lab.openclaw install {version}"
        )
