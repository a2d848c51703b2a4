"""Pulls that are cut, stall, hang or break, on simulated Macs with the lab's own registry."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deploys import Done, interrupted, pyinfra, report, watched
from tests.lab.lab import Lab, Mac
from tests.lab.standins.ollama_store import Store, seed

pytestmark = pytest.mark.lab

GPT = "gpt-oss:20b"
OFF = ("--data", "verify=off")


@pytest.fixture(scope="module")
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
        mac.exec(f"rm -rf {mac.spec.home}/.ollama/models", check=True)
    (fleet.folder / "models.lock").unlink(missing_ok=True)
    seed(registry(fleet), GPT)
    yield fleet
    seed(registry(fleet), GPT)


def control(lab: Lab, **wish: object) -> None:
    """Change what passes through the lab's internet."""
    ask(lab, "/__ctl", "-d", json.dumps(wish))


def ask(lab: Lab, path: str, *options: str) -> Any:
    argv = ["curl", "-sS", "--noproxy", "*", *options, f"{lab.internet}{path}"]
    return json.loads(lab.run(argv, check=True, capture_output=True).stdout)


def registry(lab: Lab) -> Path:
    """Folder of the store behind the lab's registry, filled."""
    ask(lab, "/v2/library/tiny/manifests/latest")
    return lab.folder / "internet" / "models"


def fetched(lab: Lab) -> int:
    """Bytes of blobs that went over the lab's internet."""
    paths = ask(lab, "/__stats")["paths"]
    return sum(entry["bytes"] for path, entry in paths.items() if "/blobs/" in path)


def size(lab: Lab, name: str = GPT) -> int:
    store = Store(registry(lab))
    return next(m.size for m in store.models() if m.name.short == name)


def models(mac: Mac) -> dict[str, str]:
    """Digests of a Mac's models by name, as its server lists them."""
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/tags"
    raw = mac.exec(["curl", "-sS", "--noproxy", "*", url], check=True).stdout
    return {model["name"]: model["digest"] for model in json.loads(raw)["models"]}


def run(lab: Lab, *arguments: str, reports: Path, only: str = GPT) -> Done:
    """tasks/models.py for one model."""
    return pyinfra(lab, *arguments, *wish(only), task="tasks/models.py", reports=reports)


def wish(only: str) -> tuple[str, ...]:
    chosen = json.dumps([{"id": only}])
    primary = ("--data", f"primary=ollama/{only}", "--data", "fallbacks=[]")
    return (*OFF, "--data", f"models={chosen}", *primary)


def until_still(lab: Lab) -> int:
    """Bytes of blobs, once no more come for a second."""
    end, before = time.monotonic() + 30, -1
    while (now := fetched(lab)) != before:
        assert time.monotonic() < end, "the server goes on pulling after its client has gone"
        before = now
        time.sleep(1)  # a span of silence is what is measured
    return now


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
    for name in ("tiny", GPT):
        assert run(lab, "-y", "--limit", "mac1", reports=reports, only=name).code == 0
    store = f"{mac.spec.home}/.ollama/models"
    before = mac.exec(f"cd {store} && ls -ln blobs | sort", check=True).stdout
    short, _ = damage(mac, lab, "short"), damage(mac, lab, "missing")
    control(lab, reset=True)
    dry = run(lab, "--dry", "--limit", "mac1", reports=reports)
    assert f"Will pull {GPT} again (4.4 MB): broken, {short[7:19]} has 4096 of 44" in dry.log
    assert f"{short[7:19]} is put aside first" in dry.log
    assert fetched(lab) == 0
    done = run(lab, "-y", "--limit", "mac1", reports=reports)
    assert done.code == 0, done.log
    after = mac.exec(f"cd {store} && ls -ln blobs | sort", check=True).stdout
    assert re.sub(rb"\w+ +\d+ +[\d:]+ (?=sha)", b"", after) == re.sub(
        rb"\w+ +\d+ +[\d:]+ (?=sha)", b"", before
    )
    assert b"aside" not in mac.exec(f"ls -A {store}", check=True).stdout
    installed = mac.read(f"{mac.spec.home}/.clawfleet/installed").decode()
    assert installed.count(f"model {GPT}") == 1
    again = run(lab, "-y", "--json", "--limit", "mac1", reports=reports)
    assert again.changed() == []


def test_a_broken_blob_stays_aside_until_the_new_one_is_there(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac1"]
    assert run(lab, "-y", "--limit", "mac1", reports=reports).code == 0
    short = damage(mac, lab, "short")
    mac.set_faults({"ollama.pull": "unknown"})
    assert run(lab, "-y", "--limit", "mac1", reports=reports).code == 1
    kept = f"{mac.spec.home}/.ollama/models/.clawfleet-aside"
    (path,) = mac.exec(f"ls {kept}/*/{short}", check=True).stdout.decode().split()
    assert mac.exec(f"wc -c < {path}", check=True).stdout.split() == [b"4096"]
    mac.set_faults({})
    assert run(lab, "-y", "--limit", "mac1", reports=reports).code == 0
    assert mac.exec(f"ls {kept}").returncode != 0
