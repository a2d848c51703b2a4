"""One download for the whole fleet, with real SSH between the simulated Macs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clawfleet import lock, store
from clawfleet.lock import Lock
from clawfleet.names import manifest_path, normalise
from tests.e2e.deploys import pyinfra
from tests.e2e.fleet import (
    BLOBS,
    LAN,
    MODELS,
    Fleet,
    damaged,
    fleet,
    lab,
    models,
    whole,
)
from tests.lab import power
from tests.lab.lab import Lab
from tests.lab.profiles import apply, seed

__all__ = ["fleet", "lab"]
pytestmark = pytest.mark.lab


def test_four_macs_and_one_download(fleet: Fleet) -> None:
    dry = fleet.deploy("--dry")
    assert dry.code == 0, dry.log
    assert dry.log.count("from the internet, for the others too") == 2
    assert dry.log.count("over the LAN, once that has it") == 6
    assert fleet.downloaded() == 0
    done = fleet.deploy("-y")
    assert done.code == 0, done.log
    whole(fleet, *fleet.lab.macs)
    sizes = fleet["mac1"].exec("cd ~/.ollama/models/blobs && stat -f %z *", check=True).stdout
    sent = {path: n["bytes"] for path, n in fleet.stats()["paths"].items()}
    assert sum(size for path, size in sent.items() if "/blobs/" in path) == sum(
        map(int, sizes.split())
    )
    assert sum(size for path, size in sent.items() if "/manifests/" in path) < 10_000
    fleet.as_before()
    again = fleet.deploy("-y", "--json")
    assert again.code == 0
    assert again.changed() == []


def test_only_macs_of_the_run_take_part(fleet: Fleet) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    done = fleet.deploy("-y", "--limit", "mac2", "--limit", "mac3", "--serial")
    assert done.code == 0, done.log
    whole(fleet, "mac1", "mac2", "mac3")
    assert sum(BLOBS.values()) < fleet.downloaded() < sum(BLOBS.values()) + 20_000
    assert models(fleet["mac4"]) == {}
    fleet.as_before()


CUTS = [
    # Each Mac of a run at another point; all of them lack both models.
    {
        "mac2": (r"^main:.* echo .blob", "before"),
        "mac3": (r"^main:.* wait .R", "before"),
        "mac4": (r"^judge:.* mv -f", "before"),
    },
    {
        "mac2": (r"^main:.* touch", "before"),
        "mac3": (r"^main:.* mv -f .*sha256-", "after"),
        "mac4": (r"^main:.* mv -f .*new.* ", "before"),
    },
]
"""Before anything has come, while a blob is on its way, when it has come; before the store, between
two of its blobs, before the manifest."""


@pytest.mark.parametrize("points", CUTS, ids=["on the way", "in the store"])
def test_cut_at_every_stage_and_gone_on(fleet: Fleet, points: dict[str, tuple[str, str]]) -> None:
    """The power of the Macs that receive goes; the next run ends what was begun, and nothing but
    manifests comes from the internet."""
    for model in MODELS:
        seed(fleet["mac1"], model)
    for name, (pattern, when) in points.items():
        power.arm(fleet[name], pattern, when="after" if when == "after" else "before")
    done = fleet.deploy("-y", "--json")
    assert done.code == 1, done.log
    assert sorted(done.result["results"]["failed_hosts"]) == ["mac2", "mac3", "mac4"]
    for name in points:
        power.wait(fleet[name])
        power.disarm(fleet[name])
        assert models(fleet[name]) == {}
        assert damaged(fleet[name]) == b""
    again = fleet.deploy("-y")
    assert again.code == 0, again.log
    whole(fleet, *fleet.lab.macs)
    assert fleet.downloaded() < 10_000
    fleet.as_before()


def test_the_locked_build_is_given_on_and_another_one_is_not(fleet: Fleet, tmp_path: Path) -> None:
    """The registry has moved on: what models.lock names comes from the Mac that has it, and without
    a lock nobody gets what is no longer published."""
    for model in MODELS:
        seed(fleet["mac1"], model, revision=2)
    run = ("-y", "--limit", "mac1", "--limit", "mac2")
    file = tmp_path / "models.lock"
    folder = f"{fleet['mac1'].spec.home}/.ollama/models/manifests"
    raw = {name: fleet["mac1"].read(f"{folder}/{manifest_path(name)}") for name in MODELS}
    file.write_text(lock.dumps(Lock({normalise(n): store.read(text) for n, text in raw.items()})))
    done = fleet.deploy(*run, "--data", f"models_lock={file}")
    assert done.code == 0, done.log
    assert models(fleet["mac2"]) == models(fleet["mac1"])
    assert damaged(fleet["mac2"]) == b""
    assert fleet.downloaded() == 0
    fleet["mac2"].exec("rm -rf ~/.ollama/models/*; mkdir -p ~/.ollama/models/blobs", check=True)
    done = fleet.deploy(*run, "--data", "models_lock=nothing")
    assert done.code == 0, done.log
    assert done.log.count("mac1 has build") >= 2
    whole(fleet, "mac2")
    assert set(models(fleet["mac2"]).values()).isdisjoint(models(fleet["mac1"]).values())
    assert fleet.downloaded() > sum(BLOBS.values())
    fleet.as_before()


def test_macs_that_do_not_see_each_other(fleet: Fleet) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    done = fleet.deploy(
        *("-y", "--limit", "mac1", "--limit", "mac2", "--data", "distribution_address=192.0.2.99")
    )
    assert done.code == 0, done.log
    assert re.search(r"does not reach mac1 directly \(.*\); through this machine", done.log)
    whole(fleet, "mac2")
    assert fleet.downloaded() < 10_000
    fleet.as_before()


def test_at_the_level_ports_it_goes_through_this_machine(tmp_path: Path, reports: Path) -> None:
    """Whose SSH server knows no options of a key: no Mac may come to another one there."""
    with Lab.up(2, level="ports", dir=tmp_path / "lab") as running:
        for mac in running.macs.values():
            apply(mac, "served", "2026.2.17")
        for model in MODELS:
            seed(running.macs["mac1"], model)
        done = pyinfra(running, "-y", *LAN, task="tasks/models.py", reports=reports, timeout=300)
        assert done.code == 0, done.log
        assert "does not reach mac1 directly" in done.log
        assert models(running.macs["mac2"]) == models(running.macs["mac1"])
        assert damaged(running.macs["mac2"]) == b""
        left = "ls -d ~/.ssh ~/.clawfleet/lan"
        assert running.macs["mac1"].exec(left).stdout == b""
