"""models.lock: written from what the Macs have, kept to, and in the way of another build."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.e2e.deploys import Done, pyinfra, report
from tests.e2e.registry import GPT, control, fetched, models, registry, run, size, well, wish
from tests.lab.lab import Lab, Mac
from tests.lab.standins.ollama_store import Model, seed

pytestmark = pytest.mark.lab


def renew(lab: Lab, *arguments: str, reports: Path) -> Done:
    """tasks/lock.py for one model."""
    return pyinfra(lab, *arguments, *wish(GPT), task="tasks/lock.py", reports=reports)


def lock(lab: Lab) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((lab.folder / "models.lock").read_text())
    return loaded


def give(mac: Mac, revision: int) -> Model:
    """Put another build of the model into a Mac's store, as if it had been pulled at another
    time."""
    mac.exec(f"rm -rf {mac.spec.home}/.ollama/models", check=True)
    with TemporaryDirectory() as folder:
        model = seed(folder, GPT, revision=revision)
        for file in Path(folder).rglob("*"):
            if file.is_file():
                place = f"{mac.spec.home}/.ollama/models/{file.relative_to(folder)}"
                mac.write(place, file.read_bytes())
    return model


def test_a_fleet_keeps_to_its_lock(lab: Lab, reports: Path) -> None:
    first, second = lab.macs.values()
    well(run(lab, "-y", reports=reports))
    wanted = models(first)[GPT]

    dry = renew(lab, "--dry", reports=reports)
    assert dry.code == 0, dry.log
    assert f'+      "digest": "sha256:{wanted}",' in dry.log
    assert not (lab.folder / "models.lock").exists()
    done = renew(lab, "-y", reports=reports)
    assert done.code == 0, done.log
    assert lock(lab)["models"][GPT]["digest"] == f"sha256:{wanted}"
    assert lock(lab)["models"][GPT]["size"] == size(lab)
    assert lock(lab)["ollama"] == "0.32.3"
    text = (lab.folder / "models.lock").read_text()
    assert renew(lab, "-y", "--json", reports=reports).changed() == []
    assert run(lab, "-y", "--json", reports=reports).changed() == []

    # One Mac has another build, and the registry still has the locked one.
    give(second, 2)
    assert models(second)[GPT] != wanted
    control(lab, reset=True)
    dry = run(lab, "--dry", reports=reports)
    assert f"[mac2] Will pull {GPT} again (4.4 MB): outdated, build {models(second)[GPT][:12]}" in (
        dry.log
    )
    assert "[mac1] Will pull" not in dry.log
    differ = renew(lab, "-y", reports=reports)
    assert differ.code == 1
    assert f"{GPT}: {wanted[:12]} on mac1; {models(second)[GPT][:12]} on mac2" in differ.log
    assert (lab.folder / "models.lock").read_text() == text
    done = run(lab, "-y", "--json", reports=reports)
    assert done.code == 0, done.log
    assert models(second)[GPT] == wanted
    installed = second.read(f"{second.spec.home}/.clawfleet/installed").decode()
    assert installed.count(f"model {GPT}") == 1


def test_the_registry_moved_on(lab: Lab, reports: Path) -> None:
    first, second = lab.macs.values()
    well(run(lab, "-y", "--limit", "mac1", reports=reports))
    well(renew(lab, "-y", "--limit", "mac1", reports=reports))
    old = models(first)[GPT]
    new = seed(registry(lab), GPT, revision=3).digest
    mine = give(second, 2).digest
    control(lab, reset=True)
    for arguments in (("--dry",), ("-y",)):
        done = run(lab, *arguments, reports=reports)
        assert done.code == 1
        assert f"build {new[:12]} is published now, models.lock has {old[:12]}" in done.log
        assert f"this Mac has {mine[:12]}" in done.log
        assert "--data lock_from=mac2" in done.log
        assert "[mac1] Will" not in done.log
    assert report(reports)["macs"].keys() == {"mac2"}
    assert (models(first)[GPT], models(second)[GPT]) == (old, mine)
    assert fetched(lab) == 0
    # The choice that the error names.
    well(renew(lab, "-y", "--data", "lock_from=mac2", reports=reports))
    assert lock(lab)["models"][GPT]["digest"] == f"sha256:{mine}"
    assert renew(lab, "-y", "--data", "lock_from=mac9", reports=reports).code == 1
    assert lock(lab)["models"][GPT]["digest"] == f"sha256:{mine}"
    # A Mac without the model does not get another build either.
    first.exec(f"rm -rf {first.spec.home}/.ollama/models", check=True)
    done = run(lab, "-y", "--limit", "mac1", reports=reports)
    assert done.code == 1
    assert "this Mac has none" in report(reports)["macs"]["mac1"]["trouble"]["found"]
    assert models(first) == {}


def test_a_lock_that_is_no_lock_stops_before_any_mac(lab: Lab, reports: Path) -> None:
    (lab.folder / "models.lock").write_text("<<<<<<< HEAD\n")
    done = run(lab, "-y", reports=reports)
    assert done.code == 1
    assert "models.lock: not valid JSON" in done.log
    assert "tasks/lock.py" in done.log
    assert "Connecting" not in done.log
