"""Macs at whose screen nobody is logged in, with LaunchDaemons in place of LaunchAgents."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import need_openclaw
from tests.e2e.deploys import Done, pyinfra, report
from tests.e2e.gateways import answers, listeners, rewrite, until
from tests.lab import levels, plan
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import LABEL

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        bool(levels.obstacle([plan.REPO])),
        reason="a job in the system domain needs a Mac with a root of its own (namespaces)",
    ),
]

DAEMONS = ("--data", "services=daemons")
BASE = (*DAEMONS, "--data", "gateway_settle=1", "--data", "verify=off")
OLD = ("--data", "openclaw_version=2026.2.17")
FOLDER = "/Library/LaunchDaemons"
PLISTS = [f"{FOLDER}/{LABEL}.plist", f"{FOLDER}/ai.clawfleet.ollama.plist"]


def up(n: int, folder: Path) -> Lab:
    nobody = {"all": {"gui_login": False}}
    return Lab.up(n, level="namespaces", dir=folder, overrides=nobody)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two bare Macs without a login, on which npm installs the small OpenClaw."""
    with up(2, tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            use_small(mac)
        yield lab


def deploy(lab: Lab, reports: Path, *arguments: str, task: str = "deploy.py") -> Done:
    return pyinfra(lab, "-y", "--json", *BASE, *OLD, *arguments, task=task, reports=reports)


def job(mac: Mac, label: str) -> dict[str, str]:
    """What launchd's system domain shows of a job, {} where it has none."""
    out = mac.exec(f"launchctl print system/{label}").stdout.decode()
    pairs = (line[1:].split(" = ", 1) for line in out.splitlines() if line.count("\t") == 1)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def well(mac: Mac) -> bool:
    """The daemon's own process, which is the user's, listens and answers."""
    pid = job(mac, LABEL).get("pid")
    mine = mac.exec(f"ps -o user= -p {pid}").stdout.decode().strip() == mac.spec.user
    return listeners(mac) == [pid] and mine and answers(mac)


def plists(mac: Mac) -> list[str]:
    return mac.exec(f"ls {FOLDER}").stdout.decode().split()


def test_the_story(lab: Lab, reports: Path) -> None:
    """Dry run, deploy, nothing to do, a changed port, a start of the Mac, rollback, removal."""
    one = lab.macs["mac1"]
    plain = pyinfra(lab, "-y", *BASE[2:], *OLD, reports=reports)
    assert plain.code == 1
    assert 'services = "daemons", which need none' in plain.log
    assert plists(one) == []

    dry = pyinfra(lab, "--dry", "--diff", *BASE, *OLD, reports=reports)
    assert dry.code == 0, dry.log
    assert f"[mac1] Will create {FOLDER}/ai.clawfleet.ollama.plist" in dry.log
    assert "<string>mac</string>" in dry.log
    assert plists(one) == []

    done = deploy(lab, reports)
    assert done.code == 0, done.log
    token = one.exec("cat ~/.openclaw/openclaw.json").stdout.decode().split('token":')[1][:20]
    for mac in lab.macs.values():
        assert well(mac), done.log
        assert job(mac, "ai.clawfleet.ollama")["state"] == "running"
        for path in PLISTS:
            shown = mac.exec(f"stat -f '%u %g %Lp' {path}", check=True).stdout.decode()
            assert shown == "0 0 644\n", (path, shown)
            assert token.strip('" ') not in mac.read(path).decode()
        assert plistlib.loads(mac.read(PLISTS[0]))["UserName"] == mac.spec.user
        assert not mac.exec("ls ~/Library/LaunchAgents 2>/dev/null").stdout
        assert (
            "OLLAMA_CONTEXT_LENGTH"
            in mac.exec(
                "ps eww -o command= -p $(lsof -nP -tiTCP:11434 -sTCP:LISTEN)"
            ).stdout.decode()
        )
    again = deploy(lab, reports)
    assert (again.code, again.changed()) == (0, []), again.log
    for mac in lab.macs.values():
        mac.exec("sudo pmset -a sleep 0 disksleep 0 womp 1 autorestart 1", check=True)
    told = deploy(lab, reports, task="tasks/diagnose.py")
    assert told.code == 0, told.log
    assert report(reports)["macs"]["mac1"]["findings"] == []

    port = ("--data", "gateway_port=18900")
    moved = deploy(lab, reports, *port)
    assert moved.code == 0, moved.log
    assert all("18900" in mac.read(PLISTS[0]).decode() for mac in lab.macs.values())
    assert all(job(mac, LABEL)["pid"] for mac in lab.macs.values())
    again = deploy(lab, reports, *port)
    assert (again.code, again.changed()) == (0, []), again.log
    back = deploy(lab, reports, task="tasks/rollback.py")
    assert back.code == 0, back.log
    assert all("18789" in mac.read(PLISTS[0]).decode() for mac in lab.macs.values())
    assert all(well(mac) for mac in lab.macs.values())
    again = deploy(lab, reports)
    assert (again.code, again.changed()) == (0, []), again.log

    one.exec("launchctl __lab reboot", check=True)
    until(lambda: well(one), "the start of the Mac has started it, without a login")
    until(lambda: job(one, "ai.clawfleet.ollama").get("state") == "running", "and Ollama")
    again = deploy(lab, reports)
    assert (again.code, again.changed()) == (0, []), again.log

    wrong = pyinfra(lab, "-y", *BASE[2:], task="tasks/remove.py", reports=reports)
    assert wrong.code == 1
    assert "--data services=daemons" in wrong.log
    assert all(well(mac) for mac in lab.macs.values())

    gone = deploy(lab, reports, "--data", "remove_models=true", task="tasks/remove.py")
    assert gone.code == 0, gone.log
    assert "Will remove the model" in gone.log
    for mac in lab.macs.values():
        assert plists(mac) == []
        assert not job(mac, LABEL)
        assert not job(mac, "ai.clawfleet.ollama")
        assert listeners(mac) == []
        assert not mac.exec("cd ~/.ollama/models/manifests && find . -type f").stdout
    again = deploy(lab, reports, task="tasks/remove.py")
    assert (again.code, again.changed()) == (0, []), again.log
    # The way back from the way back.
    back = deploy(lab, reports, "--limit", "mac1", task="tasks/rollback.py")
    assert back.code == 0, back.log
    assert well(one)
    assert job(one, "ai.clawfleet.ollama")["state"] == "running"
    gone = deploy(lab, reports, "--limit", "mac1", task="tasks/remove.py")
    assert gone.code == 0, gone.log


def test_what_stands_in_its_way_and_what_does_not(lab: Lab, reports: Path) -> None:
    """A LaunchAgent of the same label stops the Mac; Homebrew's service of Ollama makes way."""
    one, two = lab.macs.values()
    for mac in (one, two):
        mac.exec("launchctl __lab login", check=True)
    agents = pyinfra(lab, "-y", "--json", *BASE[2:], *OLD, reports=reports)
    assert agents.code == 0, agents.log
    before = listeners(one)
    stopped = deploy(lab, reports)
    assert stopped.code == 1
    assert "a LaunchAgent of mac is called ai.openclaw.gateway as well" in stopped.log
    assert listeners(one) == before
    assert plists(one) == []

    for mac in (one, two):
        path = "/opt/homebrew/opt/node@22/bin:/opt/homebrew/opt/node@24/bin:/opt/homebrew/bin"
        mac.exec(f"PATH={path}:$PATH openclaw gateway uninstall", check=True)
        until(partial(quiet, mac), "the agent is gone")
    two.set_faults({"npm.openclaw": "small", "openclaw.gateway": "exit:qwen3-coder"})
    done = deploy(lab, reports, "--data", "gateway_start_timeout=60", "--data", "preload=primary")
    assert done.code == 1
    assert well(one), done.log
    assert one.exec("launchctl print gui/501/homebrew.mxcl.ollama").returncode == 113
    assert "LaunchDaemon: launchd's system domain does not have it" in done.log
    loaded = one.exec("curl -s http://127.0.0.1:11434/api/ps", check=True).stdout.decode()
    assert "gpt-oss:20b" in loaded
    assert job(one, "ai.clawfleet.preload")["last exit code"] == "0"
    # The other one's gateway can't start: nothing of it stays, and Ollama's daemon does.
    assert plists(two) == ["ai.clawfleet.ollama.plist"]
    assert not job(two, LABEL)
    assert job(two, "ai.clawfleet.ollama")["state"] == "running"
    assert "there was no gateway before, and there is none now" in done.log
    two.set_faults({"npm.openclaw": "small"})
    again = deploy(lab, reports, "--data", "preload=primary")
    assert again.code == 0, again.log
    assert well(two)
    back = deploy(lab, reports, "--limit", "mac1")
    assert back.code == 0, back.log
    assert "ai.clawfleet.preload.plist" not in plists(one)
    assert not job(one, "ai.clawfleet.preload")
    # Somebody took the gateway away already: what is left goes all the same.
    two.exec(f"sudo launchctl bootout system/{LABEL}; sudo rm {PLISTS[0]}", check=True)
    gone = deploy(lab, reports, "--limit", "mac2", task="tasks/remove.py")
    assert gone.code == 0, gone.log
    assert plists(two) == []
    assert "ollama" not in two.exec("cat ~/.openclaw/openclaw.json").stdout.decode()
    other = pyinfra(lab, "--dry", *BASE[2:], *OLD, reports=reports)
    assert other.code == 1
    assert "Ollama's server is the LaunchDaemon ai.clawfleet.ollama" in other.log
    assert "tasks/remove.py --data services=daemons" in other.log


@pytest.mark.openclaw
def test_the_real_openclaw(reports: Path, tmp_path: Path) -> None:
    """Both versions, whole; and a change that 2026.2.17 would leave a copy of itself for."""
    versions = {"mac1": "2026.2.17", "mac2": "2026.9.6"}
    for version in versions.values():
        need_openclaw(version)
    with up(2, tmp_path / "lab") as lab:
        own = {name: {"openclaw_version": version} for name, version in versions.items()}
        done = pyinfra(lab, "-y", "--json", *DAEMONS, own=own, reports=reports)
        assert done.code == 0, done.log
        for mac in lab.macs.values():
            assert well(mac), done.log
        again = pyinfra(lab, "-y", "--json", *DAEMONS, own=own, reports=reports)
        assert (again.code, again.changed()) == (0, []), again.log
        for mac in lab.macs.values():
            pid = job(mac, LABEL)["pid"]
            rewrite(mac, lambda config: config["gateway"].update(controlUi={"basePath": "/ui"}))
            until(partial(log_says, mac, "restart"), "it restarts")
            until(partial(well, mac), "it is well again")
            assert job(mac, LABEL)["pid"] == pid


def quiet(mac: Mac) -> bool:
    return not listeners(mac)


def log_says(mac: Mac, text: str) -> bool:
    return text in mac.exec("cat ~/.openclaw/logs/gateway.log").stdout.decode()
