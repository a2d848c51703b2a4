"""Pulls that are cut, stall, hang or break, on simulated Macs with the lab's own registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.deploys import interrupted, report, watched
from tests.e2e.registry import (
    GPT,
    control,
    fetched,
    models,
    registry,
    run,
    size,
    until_still,
    well,
    wish,
)
from tests.lab.lab import Lab, Mac
from tests.lab.standins.ollama_store import Store

pytestmark = pytest.mark.lab


def test_a_cancelled_pull_stops_and_is_resumed(lab: Lab, reports: Path) -> None:
    whole = size(lab)
    control(lab, kbps=250, reset=True)
    arguments = ("-y", "--limit", "mac1", *wish(GPT))
    cut = interrupted(lab, *arguments, at="% of", task="tasks/models.py", reports=reports)
    assert re.search(rf"\[mac1\] {GPT}: +\d+ % of 4\.\d MB, \d\.\d MB/s, \d+ s left", cut.log)
    there = until_still(lab)
    assert 0 < there < whole
    assert models(lab.macs["mac1"]) == {}
    control(lab, kbps=0, reset=True)
    done = run(lab, "-y", "--limit", "mac1", reports=reports)
    assert done.code == 0, done.log
    # What was on its way when the connection ended is sent again, at most one chunk of each part.
    assert whole - there <= fetched(lab) <= whole - there + 4 * (1 << 17)
    assert re.search(rf"\[mac1\] {GPT}: 4\.\d MB are there after \d+ s", done.log)
    again = run(lab, "-y", "--json", "--limit", "mac1", reports=reports)
    assert again.changed() == []


def test_silence_is_ended_before_the_first_byte_and_before_the_manifest(
    lab: Lab, reports: Path
) -> None:
    first, second = lab.macs.values()
    first.set_faults({"ollama.pull": "stall"})
    control(
        lab, faults=[{"prefix": "/v2/library/gpt-oss/manifests", "delay": 20, "client": "mac2"}]
    )

    def wake(_: subprocess.Popen[str]) -> None:
        first.set_faults({})

    def answer(_: subprocess.Popen[str]) -> None:
        control(lab, faults=[])

    done = watched(
        lab,
        "-y",
        *wish(GPT),
        "--data",
        "pull_stall=5",
        on={f"[mac1] {GPT}: no byte for": wake, f"[mac2] {GPT}: nothing after": answer},
        task="tasks/models.py",
        reports=reports,
    )
    assert done.code == 0, done.log
    assert re.search(rf"\[mac1\] {GPT}: no byte for [56] s; next try in \d s, it resumes", done.log)
    assert re.search(rf"\[mac2\] {GPT}: nothing after 'pulling manifest' for [56] s", done.log)
    assert models(first) == models(second) != {}


def test_a_full_disk_is_told_with_what_is_free(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac1"]
    mac.set_faults({"ollama.pull": "full"})
    done = run(lab, "-y", "--limit", "mac1", reports=reports)
    assert done.code == 1
    found = report(reports)["macs"]["mac1"]["trouble"]
    assert "no space left on device, 187.2 GB are free" in found["found"]
    assert "make room on that Mac" in found["fix"]


def damage(mac: Mac, lab: Lab, kind: str) -> str:
    """Cut a layer of the Mac's model short, or take it away; the blob's file name."""
    model = next(m for m in Store(registry(lab)).models() if m.name.short == GPT)
    layer = model.layer({"short": "model", "missing": "template"}[kind])
    assert layer
    name = str(layer["digest"]).replace(":", "-")
    path = f"{mac.spec.home}/.ollama/models/blobs/{name}"
    command = f"head -c 4096 {path} > {path}.x && mv {path}.x {path}"
    mac.exec(command if kind == "short" else f"rm {path}", check=True)
    return name


def test_broken_models_are_repaired_and_others_left_alone(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac1"]
    for name in ("qwen3-coder", GPT):
        well(run(lab, "-y", "--limit", "mac1", reports=reports, only=name))
    store = f"{mac.spec.home}/.ollama/models"
    before = mac.exec(f"cd {store} && ls -ln blobs | sort", check=True).stdout
    short, _ = damage(mac, lab, "short"), damage(mac, lab, "missing")
    control(lab, reset=True)
    dry = run(lab, "--dry", "--limit", "mac1", reports=reports)
    assert f"Will pull {GPT} again (4.4 MB): broken, {short[7:19]} has 4096 of 44" in dry.log
    assert f"{short[7:19]} is put aside first" in dry.log
    assert fetched(lab) == 0
    # A pull that fails leaves it aside.
    mac.set_faults({"ollama.pull": "unknown"})
    assert run(lab, "-y", "--limit", "mac1", reports=reports).code == 1
    (kept,) = mac.exec(f"ls {store}/.clawfleet-aside/*/*", check=True).stdout.decode().split()
    assert kept.endswith(f"/{short}")
    assert mac.exec(f"wc -c < {kept}", check=True).stdout.split() == [b"4096"]
    mac.set_faults({})
    well(run(lab, "-y", "--limit", "mac1", reports=reports))
    after = mac.exec(f"cd {store} && ls -ln blobs | sort", check=True).stdout
    assert re.sub(rb"\w+ +\d+ +[\d:]+ (?=sha)", b"", after) == re.sub(
        rb"\w+ +\d+ +[\d:]+ (?=sha)", b"", before
    )
    assert b"aside" not in mac.exec(f"ls -A {store}", check=True).stdout
    installed = mac.read(f"{mac.spec.home}/.clawfleet/installed").decode()
    assert installed.count(f"model {GPT}") == 1
    again = run(lab, "-y", "--json", "--limit", "mac1", reports=reports)
    assert again.changed() == []
