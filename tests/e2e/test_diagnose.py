"""Known troubles, built on simulated Macs, told without touching anything, and mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deploys import Done, awake, home, pyinfra, report, tree
from tests.lab.lab import Lab, Mac

pytestmark = pytest.mark.lab

PIN = ("--data", "openclaw_version=2026.2.17", "--data", "gateway_settle=1")
TASK = "tasks/diagnose.py"
SECRET = "sk-live-4f3c2b1a0d9e8f7a6b5c"


def ids(reports: Path) -> dict[str, list[str]]:
    """What each Mac has, by the newest report: names of troubles, notes left out."""
    return {
        name: sorted({f["id"] for f in mac["findings"] if f["severity"] != "note"})
        for name, mac in report(reports)["macs"].items()
        if "findings" in mac
    }


def diagnose(lab: Lab, reports: Path, *arguments: str) -> Done:
    return pyinfra(lab, *PIN, *arguments, task=TASK, reports=reports)


def still(mac: Mac) -> dict[str, str]:
    """Every file of the Mac's user, also those that a gateway writes when it likes."""
    return {path: what for path, what in tree(mac).items() if "/update-check" not in path}


def gui(mac: Mac) -> str:
    return f"gui/{mac.spec.uid}/ai.openclaw.gateway"


def spoil(lab: Lab) -> None:
    """Several troubles at once, each on a Mac that was well."""
    mac1, mac2, mac3 = lab.macs.values()
    # mac1: not loaded, a proxy with a password in .env, others may enter, words in its log.
    state = f"{mac1.spec.home}/.openclaw"
    mac1.exec(f"launchctl bootout {gui(mac1)}", check=True)
    mac1.exec("printf 'HTTPS_PROXY=http://me:%s@10.0.0.1:1\\n' hunter2hunter2 >> ~/.openclaw/.env")
    mac1.exec("chmod 755 ~/.openclaw && chmod 644 ~/.openclaw/openclaw.json", check=True)
    now = mac1.exec("date -u +%Y-%m-%dT%H:%M:%SZ").stdout.decode().strip()
    line = f"{now} Failed to discover Ollama models: fetch failed, Authorization: Bearer {SECRET}\n"
    mac1.write(f"{state}/logs/gateway.err.log", line.encode(), 0o600)
    # mac2: Ollama stopped, and a conversation of before a smaller window.
    mac2.exec(f"{mac2.spec.homebrew_prefix}/bin/brew services stop ollama", check=True)
    entry = {"sessionId": "old", "updatedAt": 1, "totalTokens": 90000, "totalTokensFresh": True}
    keys: dict[str, Any] = {"agent:main:main": entry, "agent:main:x": {"sessionId": "new"}}
    mac2.write(sessions_of(mac2), json.dumps(keys).encode(), 0o600)
    # mac3: a config that is none, and one gateway too many, started by hand.
    mac3.write(f"{mac3.spec.home}/.openclaw/openclaw.json", b"{\n  gateway: {,}\n}\n", 0o600)


def sessions_of(mac: Mac) -> str:
    return f"{mac.spec.home}/.openclaw/agents/main/sessions/sessions.json"


def test_troubles_are_told_and_mended(small_lab: Lab, reports: Path, tmp_path: Path) -> None:
    deployed = pyinfra(small_lab, "-y", *PIN, "--data", "verify=off", reports=reports)
    assert deployed.code == 0, deployed.log
    macs = list(small_lab.macs.values())
    for mac in macs:
        awake(mac)

    # A conversation that fits, with the count that OpenClaw keeps of it.
    brew = macs[1].spec.homebrew_prefix
    turn = "openclaw agent --agent main --message hi --json"
    macs[1].exec(f'PATH="{brew}/opt/node@22/bin:{brew}/bin:$PATH"; {turn}', check=True)
    kept = json.loads(macs[1].read(sessions_of(macs[1])))["agent:main:main"]
    assert 5000 < kept["totalTokens"] < 32768

    # Nothing wrong, and nobody is asked anything, as nothing would be changed.
    before = [still(mac) for mac in macs]
    done = diagnose(small_lab, reports)
    assert done.code == 0, done.log
    assert "Traceback" not in done.log
    assert ids(reports) == {"mac1": [], "mac2": [], "mac3": []}
    assert "none of the known troubles" in done.log
    well = report(reports)["macs"]["mac1"]["well"]
    assert "2 wanted models, 2 there; OpenClaw 2026.2.17, its config is valid" in well
    assert [still(mac) for mac in macs] == before

    config = home(macs[2], ".openclaw/openclaw.json")
    spoil(small_lab)
    wrong = {
        "mac1": ["discovery", "gateway-not-loaded", "proxy", "readable-by-others"],
        "mac2": ["ollama-down", "session-too-long"],
        "mac3": ["config-malformed"],
    }
    before = [still(mac) for mac in macs]
    done = diagnose(small_lab, reports, "-y", "--json")
    assert done.code == 1, done.log
    assert done.changed() == []
    assert ids(reports) == wrong
    assert "line 2, column 13" in done.log
    dry = diagnose(small_lab, reports, "--dry", "--diff", "--data", "fix=true")
    assert dry.code == 1
    for words in (
        "[mac1] Will take others' rights away",
        "[mac1] Will modify ~/.openclaw/.env",
        "[mac1] Will restart the gateway",
        "[mac2] Will start Ollama",
    ):
        assert words in dry.log
    assert [still(mac) for mac in macs] == before
    told = done.out + done.log + dry.log + "".join(f.read_text() for f in reports.glob("*.json"))
    assert "Failed to discover Ollama models: fetch failed" in told
    for secret in (SECRET, "hunter2hunter2"):
        assert secret not in told

    # A Mac that can't be reached is a row with its reason, and does not stop the others.
    away(small_lab, "mac3", tmp_path)
    mended = diagnose(small_lab, reports, "-y", "--json", "--data", "fix=true")
    assert mended.code == 1
    assert len(mended.changed()) == 4, mended.log  # modes, Ollama, environment, gateway
    assert ids(reports) == {"mac1": [], "mac2": ["session-too-long"]}
    newest = report(reports)["macs"]
    assert newest["mac1"]["mended"] == ["modes", "environment", "gateway"]
    assert "no SSH connection" in newest["mac3"]["trouble"]["found"]
    small_lab.__dict__.pop("inventory")

    # What needs a person's word, or hand.
    wish = ("--data", "reset_sessions=when-needed")
    forgotten = pyinfra(
        small_lab, "-y", *PIN, *wish, "--limit", "mac2", task="tasks/gateway.py", reports=reports
    )
    assert forgotten.code == 0, forgotten.log
    assert "session agent:main:main holds 90,000 tokens" in forgotten.log
    assert list(json.loads(macs[1].read(sessions_of(macs[1])))) == ["agent:main:x"]
    kept = "cat ~/.clawfleet/backups/*/gateway/main-sessions-sessions.json"
    assert b'"agent:main:main"' in macs[1].exec(kept).stdout
    again = pyinfra(
        small_lab, "-y", "--json", *PIN, *wish, "--limit", "mac2", task="tasks/gateway.py",
        reports=reports,
    )  # fmt: skip
    assert again.code == 0, again.log
    assert again.changed() == []
    macs[2].write(f"{macs[2].spec.home}/.openclaw/openclaw.json", config.encode(), 0o600)
    done = diagnose(small_lab, reports, "-y", "--json")
    assert done.code == 0, done.log
    assert ids(reports) == {"mac1": [], "mac2": [], "mac3": []}


def away(lab: Lab, name: str, folder: Path) -> None:
    """Point the inventory to a place where that Mac is not."""
    mac = lab.macs[name]
    text = lab.inventory().read_text()
    if lab.level == "namespaces":
        text = text.replace(f'"{mac.address}"', '"192.0.2.77"')
    else:
        text = text.replace(f"ansible_port: {mac.port}", "ansible_port: 1")
    hosts = folder / "hosts.yml"
    hosts.write_text(text)
    lab.inventory = lambda: hosts  # type: ignore[method-assign]
