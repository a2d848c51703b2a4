"""Conversations that the script which restarts the gateway forgets: copied, and put back."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import gateway
from clawfleet.gateway import Decision
from tests.unit import test_gateway_script as gateways
from tests.unit.factory import NEW, OLD, file, healthy, settings
from tests.unit.shells import SHELLS, run

home = gateways.home
AGENT, COMMANDS, RUN = gateways.AGENT, gateways.COMMANDS, gateways.RUN
KEY = "agent:main:it's"
FORGETS = """case $* in "gateway call"*)
  [ ! -e "$HOME/mute" ] || { echo "no such key" >&2; exit 1; };;
esac"""


def restart(
    shell: tuple[str, ...], home: Path, version: str, *keys: str, **wished: Any
) -> subprocess.CompletedProcess[str]:
    snapshot = replace(
        healthy(version),
        home=str(home),
        openclaw_bin=None,
        nodes=(),
        plist=file(str(home / AGENT), "<plist>old</plist>"),
        service_env=file(str(home / ".openclaw" / "service-env" / "ai.openclaw.gateway.env")),
    )
    wish = settings(**{"gateway_start_timeout": 8, "gateway_settle": 2} | wished)
    decision = Decision("restart", ("because",))
    step = gateway.step(snapshot, wish, 18789, decision, run=RUN, keys=keys)
    commands = {**COMMANDS, "openclaw": f"{COMMANDS['openclaw']}\n{FORGETS}"}
    return run(shell, step.script, home, commands=commands)


def calls(home: Path) -> list[str]:
    return (home / "calls").read_text().splitlines()


def kept(home: Path, name: str) -> Path:
    return home / ".clawfleet" / "backups" / RUN / "gateway" / name


@pytest.fixture
def sessions(home: Path) -> Path:
    path = home / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"a": 1}')
    return path


@pytest.fixture
def database(home: Path) -> Path:
    path = home / ".openclaw" / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("database")
    return path


@pytest.mark.parametrize("shell", SHELLS)
def test_the_file_comes_back_when_the_gateway_does_not(
    shell: tuple[str, ...], home: Path, sessions: Path
) -> None:
    (home / "deaf").touch()
    done = restart(shell, home, OLD, reset_sessions=True)
    assert done.returncode == 1
    assert sessions.read_text() == '{"a": 1}'
    assert "written by someone else" not in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("journal", [False, True])
def test_a_database_is_copied_while_nobody_writes_it(
    shell: tuple[str, ...], home: Path, database: Path, journal: bool
) -> None:
    if journal:
        Path(f"{database}-wal").write_text("journal")
    done = restart(shell, home, NEW, KEY, "agent:main:b", reset_sessions=True)
    assert done.returncode == 0, done.stderr
    assert kept(home, "main-agent-openclaw-agent.sqlite").read_text() == "database"
    assert kept(home, "main-agent-openclaw-agent.sqlite-wal").exists() == journal
    said = [call for call in calls(home) if "sessions.reset" in call]
    for key, call in zip((KEY, "agent:main:b"), said, strict=True):
        assert json.dumps({"key": key}) in call
    # Only the gateway that is well again is told to forget.
    order = [call.split()[0] for call in calls(home)]
    assert order.index("bootstrap") < calls(home).index(said[0])
    assert "health" in " ".join(calls(home)[: calls(home).index(said[0])])


@pytest.mark.parametrize("shell", SHELLS)
def test_single_sessions_of_a_file_are_forgotten_by_the_gateway(
    shell: tuple[str, ...], home: Path, sessions: Path
) -> None:
    done = restart(shell, home, OLD, KEY, reset_sessions="when-needed")
    assert done.returncode == 0, done.stderr
    assert kept(home, "main-sessions-sessions.json").read_text() == '{"a": 1}'
    assert sessions.read_text() == '{"a": 1}'  # the gateway's own to write
    assert any(f'"key": "{KEY}"' in call for call in calls(home))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_gateway_that_does_not_forget_is_told(
    shell: tuple[str, ...], home: Path, version: str
) -> None:
    (home / "mute").touch()
    done = restart(shell, home, version, KEY, reset_sessions="when-needed")
    assert done.returncode == 1
    assert "a session was not reset: no such key" in done.stderr
    assert (home / "loaded").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_copy_nothing_is_forgotten_and_the_gateway_runs(
    shell: tuple[str, ...], home: Path, database: Path
) -> None:
    database.unlink()
    database.mkdir()  # which `cp` refuses, as it does where the disk is full
    done = restart(shell, home, NEW, KEY, reset_sessions="when-needed")
    assert done.returncode == 1
    assert "the sessions could not be copied into the backup" in done.stderr
    assert not any("sessions.reset" in call for call in calls(home))
    assert (home / "loaded").exists()
