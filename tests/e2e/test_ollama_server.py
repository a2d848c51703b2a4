"""The right server of Ollama: whoever owns it, with what it was told, and warm after a reboot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.deploys import Done, home, pyinfra
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small

pytestmark = pytest.mark.lab

TASK = "tasks/ollama.py"
FOLDER = '"$HOME/Library/Application Support/Ollama"'
DATABASE = f"{FOLDER}/db.sqlite"
CONTEXT = f"sqlite3 {DATABASE} 'SELECT context_length FROM settings;'"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.up(4, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            use_small(mac)
            install = f"{mac.spec.internet}/homebrew/install.sh"
            mac.exec(f'/bin/bash -c "$(curl -fsSL {install})"', check=True)
        yield lab


def run(lab: Lab, mac: Mac, reports: Path, *arguments: str, task: str = TASK) -> Done:
    return pyinfra(lab, "-y", "--json", "--limit", mac.name, *arguments, task=task, reports=reports)


def changed(lab: Lab, mac: Mac, reports: Path, *arguments: str, task: str = TASK) -> bool:
    """Whether a run that works changed something."""
    done = run(lab, mac, reports, *arguments, task=task)
    assert done.code == 0, done.log
    return bool(done.changed())


def said(mac: Mac, script: str) -> str:
    """Output of a script with Homebrew on its PATH."""
    path = f'PATH="{mac.spec.homebrew_prefix}/bin:$PATH"; export PATH\n'
    done = mac.exec(path + script)
    assert done.returncode == 0, f"{script}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


def listener(mac: Mac) -> str:
    return mac.exec(f"lsof -nP -tiTCP:{mac.spec.ollama_port} -sTCP:LISTEN").stdout.decode().strip()


def variables(mac: Mac) -> list[str]:
    """``OLLAMA_*`` of the listening process."""
    shown = said(mac, f"ps eww -o command= -p {listener(mac)} | tr ' ' '\\n'").split("\n")
    return sorted(word for word in shown if word.startswith("OLLAMA_") and "STANDIN" not in word)


def until(what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not come within {seconds:g} s"
        time.sleep(0.2)


def test_the_service(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac1"]
    wish = ("--data", "keep_alive=24h")
    # An old server beside a new program, with what a run wrote that was cut before its restart.
    said(mac, "brew __lab install-formula ollama 0.16.1 && brew services start ollama")
    until("the server", lambda: listener(mac) != "")
    said(mac, "brew upgrade ollama")
    before = listener(mac)
    assert changed(lab, mac, reports, *wish)
    now = listener(mac)
    assert now != before
    assert "OLLAMA_KEEP_ALIVE=24h" in variables(mac)
    assert said(mac, f"curl -s http://127.0.0.1:{mac.spec.ollama_port}/api/version") == (
        '{"version":"0.32.3"}'
    )
    assert not changed(lab, mac, reports, *wish)
    assert listener(mac) == now

    env = f"{mac.spec.home}/.homebrew/services/ollama.env"
    mac.write(env, mac.read(env).replace(b"=24h", b"=36h"), 0o600)
    wish = ("--data", "keep_alive=36h")
    done = run(lab, mac, reports, *wish)
    assert done.code == 0, done.log
    assert "it runs without the OLLAMA_KEEP_ALIVE that is wanted" in done.log
    assert "OLLAMA_KEEP_ALIVE=36h" in variables(mac)
    assert not changed(lab, mac, reports, *wish)

    # The same program, started by a person: used as it is, and never ended.
    said(mac, "brew services stop ollama")
    host = f"OLLAMA_HOST=127.0.0.1:{mac.spec.ollama_port}"
    said(mac, f"{host} nohup ollama serve >/dev/null 2>&1 &")
    until("the server by hand", lambda: listener(mac) != "")
    by_hand = listener(mac)
    done = run(lab, mac, reports, *wish)
    assert done.code == 0, done.log
    assert "started by hand" in done.log
    assert not done.changed()
    said(mac, "brew __lab install-formula ollama 0.31.0")
    done = run(lab, mac, reports, *wish)
    assert done.code == 1
    assert f"kill {by_hand}" in done.log
    assert listener(mac) == by_hand


@pytest.mark.parametrize(("name", "version"), [("mac2", "0.16.1"), ("mac3", "0.32.3")])
def test_the_app(lab: Lab, reports: Path, name: str, version: str) -> None:
    mac = lab.macs[name]
    old = version == "0.16.1"
    said(mac, f"brew __lab install-cask ollama-app {version}")
    # A server of somebody's is there: the app would end it, so it is not started.
    host = f"OLLAMA_HOST=127.0.0.1:{mac.spec.ollama_port}"
    said(mac, f"{host} nohup ollama serve >/dev/null 2>&1 &")
    until("the server by hand", lambda: listener(mac) != "")
    by_hand = listener(mac)
    assert not changed(lab, mac, reports, "--data", "ollama_app_settings=change")
    assert listener(mac) == by_hand
    assert mac.exec("pgrep -x Ollama").returncode == 1
    said(mac, f"kill {by_hand}")
    until("a free port", lambda: listener(mac) == "")

    done = run(lab, mac, reports)
    assert done.code == 0, done.log
    default = "4096" if old else "0"
    assert said(mac, CONTEXT) == default
    assert ("OLLAMA_CONTEXT_LENGTH=4096" in variables(mac)) is old
    done = run(lab, mac, reports)
    assert not done.changed()
    assert ("its own settings (now 4096)" in done.log) is old

    assert changed(lab, mac, reports, "--data", "ollama_app_settings=change")
    context = said(mac, CONTEXT)
    assert int(context) >= 32768
    assert f"OLLAMA_CONTEXT_LENGTH={context}" in variables(mac)
    kept = '"$HOME"/.clawfleet/backups/*/other/Ollama-db.sqlite'
    assert said(mac, f"sqlite3 {kept} 'SELECT context_length FROM settings;'") == default
    assert not changed(lab, mac, reports, "--data", "ollama_app_settings=change")

    # Looking at an app that does not run leaves nothing beside its database.
    said(mac, 'pkill -x -U "$(id -u)" Ollama')
    beside = f"ls {FOLDER}"
    until("a closed database", lambda: "-wal" not in said(mac, beside))
    dry = pyinfra(lab, "--dry", "--limit", mac.name, task=TASK, reports=reports)
    assert "Will start Ollama" in dry.log
    assert "-wal" not in said(mac, beside)
    assert changed(lab, mac, reports)

    assert changed(lab, mac, reports, task="tasks/remove.py")
    assert said(mac, CONTEXT) == default
    assert not changed(lab, mac, reports, task="tasks/remove.py")


def test_warm_after_a_reboot(lab: Lab, reports: Path) -> None:
    mac = lab.macs["mac4"]
    store = f"{mac.spec.home}/.ollama/models"
    for model in ("gpt-oss:20b", "qwen3-coder"):
        code = f"from tests.lab.standins.ollama_store import seed; seed({store!r}, {model!r})"
        said(mac, f'PYTHONPATH={mac.spec.repo} "{mac.spec.python}" -S -P -c "{code}"')
    wish = ("--data", 'preload=["qwen3-coder","gpt-oss:20b"]', "--data", "keep_alive=-1")

    def loaded() -> list[tuple[str, int]]:
        url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/ps"
        out = mac.exec(["curl", "-s", "--noproxy", "*", url]).stdout
        models = json.loads(out)["models"] if out else []
        return [(model["name"], model["context_length"]) for model in models]

    assert changed(lab, mac, reports, *wish)
    done = run(lab, mac, reports, *wish, task="tasks/preload.py")
    assert done.code == 0, done.log
    assert "gpt-oss:20b is not preloaded" in done.log
    ((name, context),) = loaded()
    assert name == "qwen3-coder:latest"
    assert context >= 32768
    assert not changed(lab, mac, reports, *wish, task="tasks/preload.py")

    # What something else put into its place goes again, which is no change of the Mac.
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/generate"
    mac.exec(["curl", "-s", "--noproxy", "*", "-d", '{"model":"gpt-oss:20b"}', url], check=True)
    assert [name for name, _ in loaded()] == ["gpt-oss:20b"]
    assert not changed(lab, mac, reports, *wish, task="tasks/preload.py")
    assert loaded() == [(name, context)]

    mac.exec(["launchctl", "__lab", "reboot"], check=True)
    until("the model", lambda: loaded() == [(name, context)])
    assert "qwen3-coder:latest is loaded" in home(mac, ".clawfleet/preload.log")

    assert changed(lab, mac, reports, task="tasks/remove.py")
    agent = "gui/$(id -u)/ai.clawfleet.preload"
    assert mac.exec(f"launchctl print {agent}").returncode == 113
    assert mac.exec("ls ~/Library/LaunchAgents/ai.clawfleet.preload.plist").returncode != 0
