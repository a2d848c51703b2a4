"""The context that is promised: planned before anything is pulled, served, proven, and caught."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawfleet import json5
from tests.e2e.deploys import Done, home, pyinfra, report
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small

pytestmark = pytest.mark.lab

WISH = ("--data", "context_window=131072", "--data", "gateway_settle=1")
NEW = ("--data", "openclaw_version=2026.2.17")
PROMISED = {"gpt-oss:20b": 131072, "qwen3-coder": 61440}
"""By the service's 8-bit cache on 32 GB: 22.9 GB for the GPU, 18.6 GB of weights."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.up(3, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            use_small(mac)
        yield lab


def run(lab: Lab, mac: Mac, reports: Path, *arguments: str, task: str = "deploy.py") -> Done:
    return pyinfra(lab, "--limit", mac.name, *arguments, task=task, reports=reports)


def checks(reports: Path, mac: Mac) -> dict[str, Any]:
    """The checks of the newest report by their layer."""
    return {check["layer"]: check for check in report(reports)["macs"][mac.name]["checks"]}


def test_a_wish_becomes_what_fits_and_is_served(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac1"]
    dry = run(lab, mac, reports, "--dry", "--diff", *WISH, *NEW)
    assert dry.code == 0, dry.log
    assert "qwen3-coder  18.6 GB  131072 -> 61440  22.3 GB  fits alone      18.6 GB" in dry.log
    assert "they do not stay in memory together: each fallback is a reload" in dry.log
    assert "disk: 187.2 GB free, 154.8 GB after the pull" in dry.log
    why = "qwen3-coder: 131072 wished; 61440 fits into 22.9 GB beside 18.6 GB of weights"
    assert f"because {why}" in dry.log  # the diff's reason, not only the table's
    assert dry.log.index(why) < dry.log.index("Will pull")
    assert mac.exec("ls ~/.ollama").returncode != 0

    done = run(lab, mac, reports, "-y", *WISH, *NEW)
    assert done.code == 0, done.log
    config = json5.loads(home(mac, ".openclaw/openclaw.json"))
    told = config["models"]["providers"]["ollama"]["models"]
    assert {model["id"]: model["contextWindow"] for model in told} == PROMISED
    assert "OLLAMA_CONTEXT_LENGTH=131072" in home(mac, ".homebrew/services/ollama.env")
    proofs = {proof["model"]: proof for proof in report(reports)["macs"]["mac1"]["context"]}
    for model, promised in PROMISED.items():
        proof = proofs[model]
        assert proof["allocated"] == proof["promised"] == promised
        assert proof["on_gpu"] == 1
        assert promised - 40 <= proof["whole"] < promised
        assert promised < proof["refused"] <= promised + 40
    assert proofs["gpt-oss:20b"]["after"] is None
    assert proofs["qwen3-coder"]["after"] == "gpt-oss:20b"
    assert proofs["qwen3-coder"]["load_seconds"] >= 0.2
    line = checks(reports, mac)["context qwen3-coder"]["detail"]
    assert re.fullmatch(
        r"context 61440 served; 614\d\d tokens read whole; 614\d\d refused; "
        r"loaded in \d+\.\d s in the place of gpt-oss:20b",
        line,
    )

    again = run(lab, mac, reports, "-y", "--json", *WISH, *NEW)
    assert again.code == 0, again.log
    assert again.changed() == []
    detail = checks(reports, mac)["context gpt-oss:20b"]["detail"]
    assert "a full one not sent again (nothing changed in this run; verify=full does)" in detail
    assert "131072 served" in detail

    mac.set_faults({"npm.openclaw": "small", "ollama.chat": "silent"})
    caught = run(lab, mac, reports, "-y", *WISH, *NEW, task="tasks/verify.py")
    mac.set_faults({"npm.openclaw": "small"})
    assert caught.code == 1
    check = checks(reports, mac)["context gpt-oss:20b"]
    assert not check["ok"]
    assert "tokens were sent and 65538 read: the rest was dropped in silence" in check["detail"]
    assert "brew upgrade ollama" in check["fix"]


def test_an_app_with_its_own_context_is_caught(lab: Lab, reports: Path) -> None:
    """Ollama.app 0.16.1 overrides the environment with 4096, and OpenClaw 2026.2.12 names no
    context: what openclaw.json promises is not there."""
    mac = lab.macs["mac2"]
    brew = f"{mac.spec.homebrew_prefix}/bin/brew"
    first = run(lab, mac, reports, "-y", task="tasks/homebrew.py")
    assert first.code == 0, first.log
    mac.exec(f"{brew} __lab install-cask ollama-app 0.16.1", check=True)
    old = ("--data", "openclaw_version=2026.2.12", "--data", "gateway_settle=1")
    done = run(lab, mac, reports, "-y", *old)
    assert done.code == 1
    # The app has not made its database yet when this is said.
    assert "takes its context length from its own settings (4096 before version 0.17" in done.log
    assert "set 32768 in the app" in done.log
    check = checks(reports, mac)["context gpt-oss:20b"]
    assert check["detail"] == "32768 tokens are promised to OpenClaw, 4096 are served"
    assert (
        "in the settings of Ollama.app on that Mac set the context length to 32768" in check["fix"]
    )
    assert 'openclaw_version = "2026.2.17"' in check["fix"]
    # The fix that was named is one.
    assert 'ollama_app_settings = "change"' in check["fix"]
    fixed = run(lab, mac, reports, "-y", *old, "--data", "ollama_app_settings=change")
    assert fixed.code == 0, fixed.log
    assert checks(reports, mac)["context gpt-oss:20b"]["ok"]


def test_a_model_that_cannot_fit_stops_the_mac_before_any_change(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac3"]
    mac.change(memory=24 << 30)
    done = run(lab, mac, reports, "-y", *NEW)
    assert done.code == 1
    assert "qwen3-coder  18.6 GB  32768 -> none  20.7 GB  does not fit      18.6 GB" in done.log
    trouble = report(reports)["macs"]["mac3"]["trouble"]
    assert trouble["found"].startswith("qwen3-coder does not fit: with 32768 tokens of context")
    assert "only gpt-oss:20b in `models`, `primary` and `fallbacks` of this Mac" in trouble["fix"]
    assert "another model in its place, of at most 14.5 GB of weights" in trouble["fix"]
    assert mac.exec(f"ls {mac.spec.homebrew_prefix}/bin/brew").returncode != 0
    assert mac.exec("ls ~/.clawfleet ~/.openclaw ~/.ollama").stdout == b""


def test_what_is_not_known_before_the_pull_is_decided_after_it(lab: Lab, reports: Path) -> None:
    """The settings tell no size: the server's context, too, follows what was pulled."""
    mac = lab.macs["mac3"]
    mac.change(memory=32 << 30)
    unknown = (
        *("--data", 'models=[{"id": "qwen3-coder"}]', "--data", "primary=ollama/qwen3-coder"),
        *("--data", "fallbacks=[]", *WISH, *NEW),
    )
    dry = run(lab, mac, reports, "--dry", *unknown)
    assert dry.code == 0, dry.log
    assert "what qwen3-coder needs is not known before it is there" in dry.log
    done = run(lab, mac, reports, "-y", *unknown)
    assert done.code == 0, done.log
    assert "qwen3-coder: 131072 wished; 61440 fits into 22.9 GB" in done.log
    env = home(mac, ".homebrew/services/ollama.env")
    assert "OLLAMA_CONTEXT_LENGTH=61440" in env
    assert "131072" not in env
    (proof,) = report(reports)["macs"]["mac3"]["context"]
    assert proof["promised"] == proof["allocated"] == 61440
    again = run(lab, mac, reports, "-y", "--json", *unknown)
    assert again.code == 0, again.log
    assert again.changed() == []
