"""Bad states of a real OpenClaw's gateway, built on simulated Macs and repaired by one task.

Three Macs share a lab for each version. Afterwards a change of the models is applied by the running
gateway, and one that it can't apply by a restart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import gateways
from tests.e2e.conftest import need_openclaw
from tests.e2e.deploys import pyinfra, report
from tests.e2e.gateways import (
    JOB,
    answers,
    boot_out,
    by_hand,
    listeners,
    shown,
    until,
    well,
)
from tests.lab.lab import Lab
from tests.lab.openclaw import NODE_FOR
from tests.lab.profiles import apply

pytestmark = [pytest.mark.lab, pytest.mark.openclaw]
OLD, NEW = "2026.2.17", "2026.9.6"


@dataclass
class Bed:
    lab: Lab
    version: str

    @property
    def base(self) -> tuple[str, ...]:
        """Arguments of every run."""
        pin = ("--data", f"openclaw_version={self.version}", "--data", "verify=off")
        return (*pin, "--data", "gateway_settle=1")

    def pids(self) -> dict[str, str | None]:
        return {name: shown(mac).get("pid") for name, mac in self.lab.macs.items()}


@pytest.fixture(scope="module", params=[OLD, NEW])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    version: str = request.param
    need_openclaw(version)
    with Lab.up(3, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            apply(mac, "half", version)
        made = Bed(lab, version)
        done = pyinfra(lab, "-y", *made.base, reports=tmp_path_factory.mktemp("reports"))
        assert done.code == 0, done.log
        yield made


def test_bad_states_are_repaired(bed: Bed, reports: Path) -> None:
    one, two, three = bed.lab.macs.values()
    one.exec(f"launchctl kill STOP {JOB}", check=True)
    until(lambda: not answers(one), "it hangs")
    if bed.version == OLD:
        gateways.leave_a_copy(two)
        second = "two gateways"
    else:
        boot_out(two)
        by_hand(two)
        second = "by hand"
    boot_out(three)
    three.exec(f"launchctl disable {JOB}", check=True)
    left = listeners(two)
    done = gateways.task(bed.lab, reports, *bed.base)
    assert done.code == 0, done.log
    states = [report(reports)["macs"][name]["gateway"]["state"] for name in bed.lab.macs]
    assert states == ["hung", second, "disabled"]
    assert all(well(mac) for mac in bed.lab.macs.values())
    assert listeners(two) != left
    again = gateways.task(bed.lab, reports, *bed.base)
    assert (again.code, again.changed()) == (0, []), again.log


def turn(bed: Bed) -> str:
    """What an agent's turn through the first Mac's gateway says."""
    mac = bed.lab.macs["mac1"]
    prefix = mac.spec.homebrew_prefix
    path = f"{prefix}/opt/node@{NODE_FOR[bed.version]}/bin:{prefix}/bin"
    out = mac.exec(f"PATH={path}:$PATH openclaw agent --agent main --message hi --json 2>&1")
    text = out.stdout.decode()
    return text[text.index('"text":') :].partition("\n")[0]


def test_a_change_of_the_models_needs_no_restart(bed: Bed, reports: Path) -> None:
    """The new primary answers, by the process from before, and no run restarts it."""
    limit = (*bed.base, "--limit", "mac1")
    assert "Hello from gpt-oss:20b" in turn(bed)
    before = bed.pids()
    # After a turn (2026.2.x writes auth-profiles.json in it) nothing has to be done.
    again = pyinfra(bed.lab, "-y", "--json", *limit, reports=reports)
    assert (again.code, again.changed()) == (0, []), again.log
    swapped = ("--data", "primary=ollama/qwen3-coder", "--data", "fallbacks=[]")
    done = pyinfra(bed.lab, "-y", "--json", *limit, *swapped, reports=reports)
    assert done.code == 0, done.log
    applied = report(reports)["macs"]["mac1"]["reload"]["applied"]
    assert "agents.defaults.model.primary" in applied, done.log
    assert bed.pids() == before
    assert "Hello from qwen3-coder" in turn(bed)
    again = pyinfra(bed.lab, "-y", "--json", *limit, *swapped, reports=reports)
    assert (again.code, again.changed()) == (0, []), again.log
    assert bed.pids() == before
    mac = bed.lab.macs["mac1"]
    mac.exec("echo 'NOTE=1' >> ~/.openclaw/.env", check=True)
    last = gateways.task(bed.lab, reports, *limit)
    assert last.code == 0, last.log
    told = report(reports)["macs"]["mac1"]["gateway"]
    assert told["reasons"] == [".env was changed after it was started"]
    assert 0 < told["downtime_seconds"] < 180
    assert bed.pids()["mac1"] not in (None, before["mac1"])
    config = json.loads(gateways.read(mac, ".openclaw/openclaw.json"))
    assert config["agents"]["defaults"]["model"]["primary"] == "ollama/qwen3-coder"
