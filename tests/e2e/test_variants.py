"""Settings away from the defaults, and tasks on their own, on a Mac with the small OpenClaw."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.e2e.deploys import Done, home, interrupted, pyinfra
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import TOKEN, apply

pytestmark = pytest.mark.lab

BASE = (
    *("--data", "openclaw_version=2026.2.17", "--data", "gateway_settle=1"),
    *("--data", "verify=off", "--limit", "mac1"),
)


@pytest.fixture
def mac(small_lab: Lab) -> Mac:
    return small_lab.macs["mac1"]


def settled(lab: Lab, reports: Path, *arguments: str) -> Done:
    """A deploy that works, followed by one that changes nothing."""
    first = pyinfra(lab, "-y", "--json", *BASE, *arguments, reports=reports)
    assert first.code == 0, first.log
    again = pyinfra(lab, "-y", "--json", *BASE, *arguments, reports=reports)
    assert again.code == 0, again.log
    assert again.changed() == []
    return first


def test_mirror_reaches_installer_and_every_later_call(
    small_lab: Lab, mac: Mac, reports: Path
) -> None:
    settled(small_lab, reports, "--data", "homebrew_mirror=ustc")
    seen = json.loads(mac.read(f"{mac.spec.state}/installer-env.json"))
    for name in ("API_DOMAIN", "BOTTLE_DOMAIN", "BREW_GIT_REMOTE", "CORE_GIT_REMOTE"):
        assert "mirrors.ustc.edu.cn" in seen[f"HOMEBREW_{name}"]
    kept = mac.read(f"{mac.spec.homebrew_prefix}/etc/homebrew/brew.env").decode()
    assert "HOMEBREW_BOTTLE_DOMAIN=https://mirrors.ustc.edu.cn/homebrew-bottles\n" in kept


def test_cask(small_lab: Lab, mac: Mac, reports: Path) -> None:
    settled(small_lab, reports, "--data", "ollama_install=cask")
    owner = mac.exec(
        f"ps -o command= -p $(lsof -nP -tiTCP:{mac.spec.ollama_port} -sTCP:LISTEN)"
    ).stdout.decode()
    assert "Ollama.app/Contents/Resources/ollama serve" in owner
    # "auto" keeps what is there.
    assert settled(small_lab, reports).changed() == []


def test_cask_from_before_its_rename(small_lab: Lab, mac: Mac, reports: Path) -> None:
    apply(mac, "half", "2026.2.17")
    use_small(mac)
    brew = f"{mac.spec.homebrew_prefix}/bin/brew"
    script = f"{brew} services stop ollama; {brew} uninstall --formula ollama"
    mac.exec(f"{script}; {brew} __lab install-cask ollama 0.20.6", check=True)
    listed = mac.exec(f"{brew} list --cask").stdout.decode().split()
    assert listed == ["ollama"]
    settled(small_lab, reports)
    assert mac.exec(f"{brew} list --cask").stdout.decode().split() == listed


def test_formula_and_cask_together_stop_the_mac(small_lab: Lab, mac: Mac, reports: Path) -> None:
    apply(mac, "half", "2026.2.17")
    mac.exec(f"{mac.spec.homebrew_prefix}/bin/brew install --cask ollama-app", check=True)
    done = pyinfra(small_lab, "--dry", *BASE, reports=reports)
    assert done.code == 1
    assert "Ollama twice" in done.log
    assert "brew uninstall --cask ollama-app" in done.log


def test_tasks_run_alone(small_lab: Lab, mac: Mac, reports: Path) -> None:
    apply(mac, "half", "2026.2.17")
    use_small(mac)
    for task in ("preflight", "homebrew", "ollama", "models", "openclaw"):
        done = pyinfra(small_lab, "-y", *BASE, task=f"tasks/{task}.py", reports=reports)
        assert done.code == 0, done.log
    # What the gateway reads is followed by the gateway, also when the task runs alone.
    done = pyinfra(small_lab, "-y", "--json", *BASE, task="tasks/config.py", reports=reports)
    assert done.code == 0, done.log
    assert len(done.changed()) == 2
    assert home(mac, ".openclaw/openclaw.json").startswith("{")
    again = pyinfra(small_lab, "-y", "--json", *BASE, reports=reports)
    assert again.changed() == []


def test_sessions_are_reset_only_when_asked(small_lab: Lab, mac: Mac, reports: Path) -> None:
    settled(small_lab, reports)
    path = f"{mac.spec.home}/.openclaw/agents/main/sessions/sessions.json"
    mac.write(path, b'{"agent:main:main": {"sessionId": "x"}}', 0o600)
    assert settled(small_lab, reports).changed() == []
    asked = pyinfra(
        small_lab, "-y", "--json", *BASE, "--data", "reset_sessions=true", reports=reports
    )
    assert asked.code == 0, asked.log
    assert mac.read(path) == b"{}"
    kept = "~/.clawfleet/backups/*/gateway/main-sessions-sessions.json"
    assert b"sessionId" in mac.exec(f"cat {kept}").stdout


def test_ctrl_c_leaves_no_gateway_stopped(small_lab: Lab, mac: Mac, reports: Path) -> None:
    settled(small_lab, reports)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wish = ("--data", f"gateway_port={port}")  # no running gateway takes that over
    done = interrupted(
        small_lab, "-y", *BASE, *wish, at="operation: tasks/environment.py", reports=reports
    )
    assert done.code == 130, done.log
    assert "interrupted while its gateway was stopped" in done.log
    assert "the gateway was started again" in done.log
    loaded = mac.exec("launchctl print gui/$(id -u)/ai.openclaw.gateway | grep 'pid ='")
    assert loaded.returncode == 0
    again = pyinfra(small_lab, "-y", "--json", *BASE, *wish, reports=reports)
    assert again.code == 0, again.log


def test_most_verbose_output_holds_no_secret(small_lab: Lab, mac: Mac, reports: Path) -> None:
    apply(mac, "rich", "2026.2.17")
    log = f"{mac.spec.home}/.openclaw/logs/gateway.log"
    leak = f"auth: provided {TOKEN} is wrong, Authorization: Bearer abcdefgh12345678\n"
    mac.write(log, leak.encode(), 0o600)
    mac.set_faults({"npm.openclaw": "small", "openclaw.gateway": "exit"})
    done = pyinfra(
        small_lab, "-y", *BASE, "-vvv", "--data", "gateway_start_timeout=8", reports=reports
    )
    assert done.code == 1
    assert "auth: provided" in done.log
    assert TOKEN not in done.log
    assert "abcdefgh12345678" not in done.log


def test_links_stay_links(small_lab: Lab, mac: Mac, reports: Path) -> None:
    apply(mac, "half", "2026.2.17")
    use_small(mac)
    script = "mkdir -p ~/dotfiles ~/.homebrew/services && echo OLLAMA_KEEP_ALIVE=5m > ~/dotfiles/o"
    mac.exec(
        f"{script} && chmod 600 ~/dotfiles/o && rm -f ~/.homebrew/services/ollama.env", check=True
    )
    mac.exec("ln -s ~/dotfiles/o ~/.homebrew/services/ollama.env", check=True)
    settled(small_lab, reports)
    assert (
        mac.exec("readlink ~/.homebrew/services/ollama.env").stdout.strip().endswith(b"dotfiles/o")
    )
    assert home(mac, "dotfiles/o").startswith("OLLAMA_KEEP_ALIVE=5m\nOLLAMA_CONTEXT_LENGTH=32768\n")


def test_a_run_that_died_before_the_restart_is_finished(
    small_lab: Lab, mac: Mac, reports: Path
) -> None:
    settled(small_lab, reports)
    before = mac.exec("launchctl print gui/$(id -u)/ai.openclaw.gateway | grep 'pid ='").stdout
    mac.write(f"{mac.spec.home}/.clawfleet/restart-needed", b"openclaw.json was changed\n", 0o600)
    done = pyinfra(small_lab, "-y", "--json", *BASE, reports=reports)
    assert done.code == 0, done.log
    assert [name.partition(" | ")[0] for name in done.changed()] == ["tasks/gateway.py"]
    after = mac.exec("launchctl print gui/$(id -u)/ai.openclaw.gateway | grep 'pid ='").stdout
    assert before != after
