"""facts/diagnose.sh and facts/sessions.sh: run by dash and bash, and their output understood."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from clawfleet.printed import ProbeError
from clawfleet.sessions import Session
from clawfleet.snapshot import Process
from clawfleet.symptoms import (
    Message,
    Served,
    Symptoms,
    Verdict,
    parse,
    parse_sessions,
    parse_verdict,
)
from tests.unit.factory import REPO
from tests.unit.shells import SHELLS, run

FACTS = REPO / "clawfleet" / "facts"
READING, SESSIONS, DIAGNOSE = (
    (FACTS / f"{name}.sh").read_text(encoding="utf-8")
    for name in ("reading", "sessions", "diagnose")
)
END = "kv clawfleet.end 1\n"

# Captured on real Macs, see the sources in tests/lab/test_system.py.
CUSTOM = """\
Battery Power:
 displaysleep         2
 sleep                1
 womp                 0
AC Power:
 Sleep On Power Button 1
 autorestartatconnect 0
 lowpowermode         0
 ttyskeepawake        1
 displaysleep         0
 womp                 1
 sleep                1 (sleep prevented by powerd, sharingd)
 autorestart          1
 disksleep            10
"""
PMSET = """\
System-wide power settings:
 SleepDisabled		1
Currently in use:
 sleep                1 (sleep prevented by powerd, sharingd)
 disksleep            10
"""
SCUTIL = """\
<dictionary> {
  ExceptionsList : <array> {
    0 : 192.168.0.0/16
  }
  ExcludeSimpleHostnames : 0
  HTTPEnable : 1
  HTTPPort : 7899
  HTTPProxy : 127.0.0.1
  HTTPSEnable : 0
}
"""
MISMATCH = "ollama version is 0.32.1\nWarning: client version is 0.32.3\n"
PS = """\
  900     1 01:00:01 openclaw-gateway
  901   900 59:00 /usr/bin/perl -e nothing
  902     1 00:09 /opt/homebrew/bin/node /x/node_modules/openclaw/dist/index.js gateway --port 2
"""
API_PS = {"models": [{"name": "a:b", "size": 9, "size_vram": 7, "context_length": 4096}]}


def commands(**more: str) -> dict[str, str]:
    """Stand-ins that print what real Macs print."""
    real = shutil.which("stat")
    found = {
        "pmset": f"if [ \"$2\" = custom ]; then\ncat <<'END'\n{CUSTOM}END\nelse\ncat <<'END'\n"
        f"{PMSET}END\nfi",
        "scutil": f"cat <<'END'\n{SCUTIL}END",
        "fdesetup": "echo 'FileVault is Off.'",
        "defaults": "echo mac",
        "stat": "case $3 in /dev/console) echo mac; exit;; esac; case $2 in %Su) echo eve;; "
        f'%m) echo 1763850000;; %Lp) {real} -c %a "$3" 2>/dev/null || {real} -f %Lp "$3";; '
        '*) shift 2; for f; do echo "755 $f"; done;; esac',
        "curl": f"cat <<'END'\n{json.dumps(API_PS)}\nEND",
        "ps": f"cat <<'END'\n{PS}END",
        "ollama": f"cat <<'END'\n{MISMATCH}END",
    }
    return found | more


def times(home: Path) -> dict[Path, int]:
    """When each file was last written; without the shared memory in which SQLite's readers meet."""
    found = [path for path in home.rglob("*") if not path.name.endswith("-shm")]
    return {path: path.stat().st_mtime_ns for path in found}


def diagnose(
    shell: tuple[str, ...],
    home: Path,
    *,
    store: str = "",
    known: str = "",
    brew: str = "",
    **more: str,
) -> Symptoms:
    """What is seen in that home; nothing in it may change."""
    prelude = f"OLLAMA_PORT=11434\nBREW='{brew}'\nCLIENT=ollama\nAGENT=main\nSTORE={store}\n"
    prelude += f"KNOWN='{known}'\n"
    before = times(home)
    script = prelude + READING + DIAGNOSE + SESSIONS + END
    done = run(shell, script, home, commands=commands(**more), check=True)
    assert times(home) == before
    return parse(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "the home"
    (folder / ".openclaw" / "agents" / "main" / "sessions").mkdir(parents=True)
    (folder / ".openclaw").chmod(0o700)
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_mac_prints(shell: tuple[str, ...], home: Path) -> None:
    seen = diagnose(shell, home)
    assert seen.power["sleep"] == 1
    assert (seen.power["womp"], seen.power["autorestart"]) == (1, 1)
    assert seen.power["Sleep On Power Button"] == 1
    assert seen.sleep_disabled
    assert seen.system_proxy["HTTPProxy"] == "127.0.0.1"
    assert (seen.system_proxy["HTTPEnable"], seen.system_proxy["HTTPSEnable"]) == ("1", "0")
    assert seen.filevault is False
    assert (seen.auto_login, seen.console) == ("mac", "mac")
    assert seen.client == "0.32.3"
    assert seen.served == (Served("a:b", 4096, 9, 7),)
    assert seen.gateways == (
        Process(900, 1, 3601, "openclaw-gateway"),
        Process(
            902,
            1,
            9,
            "/opt/homebrew/bin/node /x/node_modules/openclaw/dist/index.js gateway --port 2",
        ),
    )
    assert (seen.folders, seen.readable, seen.messages, seen.sessions) == ((), (), (), ())
    assert (seen.verdict, seen.unread) == (Verdict(None), ())


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_missing_leaves_the_rest(shell: tuple[str, ...], home: Path) -> None:
    seen = diagnose(
        shell,
        home,
        pmset="echo \"'pmset' must be run as root...\"; exit 77",
        scutil="echo surprise",
        defaults="echo no such key >&2; exit 1",
        fdesetup="exit 1",
        ollama="echo 'Warning: could not connect to a running Ollama instance'",
        curl="exit 7",
    )
    assert seen.auto_login is None
    assert seen.client is None
    assert seen.console == "mac"
    assert len(seen.gateways) == 2
    assert [what.partition(":")[0] for what in seen.unread] == [
        "pmset -g custom",
        "pmset -g",
        "scutil --proxy",
        "fdesetup status",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_logs_are_searched_for_known_texts_only(shell: tuple[str, ...], home: Path) -> None:
    logs = home / ".openclaw" / "logs"
    logs.mkdir()
    stamped = "2025-11-22T22:20:00.123Z [agent] Failed to discover Ollama models: fetch failed"
    (logs / "gateway.err.log").write_text(
        f"secret of the user\n{stamped}\nContext overflow: too large\n" + "x" * 300000 + "\n"
    )
    (logs / "gateway.log").write_text(f"{stamped}\nnothing\n" * 100)
    seen = diagnose(shell, home, known="Failed to discover Ollama models\nContext overflow")
    # The first log's known lines are not among its newest 256 kB.
    assert len(seen.messages) == 60
    assert set(seen.messages) == {Message(str(logs / "gateway.log"), stamped, 1763850000.123)}
    (logs / "gateway.err.log").write_text("Context overflow: too large\nthe rest\n")
    seen = diagnose(shell, home, known="Context overflow")
    error = Message(str(logs / "gateway.err.log"), "Context overflow: too large", 1763850000)
    assert seen.messages == (error,)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_others_may_read(shell: tuple[str, ...], home: Path) -> None:
    (home / ".openclaw" / "openclaw.json").write_text("{}")
    (home / ".openclaw" / "openclaw.json").chmod(0o644)
    (home / ".openclaw" / "private.json").write_text("{}")
    (home / ".openclaw" / "private.json").chmod(0o600)
    seen = diagnose(shell, home)
    assert seen.folders == ()
    (home / ".openclaw").chmod(0o711)
    seen = diagnose(shell, home)
    assert [path for _, path in seen.folders] == [str(home / ".openclaw")]
    assert [path for _, path in seen.readable] == [str(home / ".openclaw" / "openclaw.json")]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_openclaw_says_of_its_config(shell: tuple[str, ...], home: Path) -> None:
    def verdict(valid: str) -> Verdict:
        script = f"{READING}valid() {{ {valid}\n}}\nwhat config valid\n{END}"
        return parse_verdict(run(shell, script, home, check=True).stdout)

    assert verdict("echo fine") == Verdict(True)
    assert verdict("( echo 'Config invalid' >&2; exit 1 )") == Verdict(False, "Config invalid")
    assert verdict("( echo 'no such command' >&2; exit 127 )").valid is None


@pytest.mark.parametrize("shell", SHELLS)
def test_links_owner_and_agents(shell: tuple[str, ...], home: Path) -> None:
    brew = home.parent / "brew"
    (brew / "bin").mkdir(parents=True)
    (brew / "bin" / "ollama").symlink_to("../Cellar/gone")
    agents = home / "Library" / "LaunchAgents"
    agents.mkdir(parents=True)
    for name in ("ai.openclaw.gateway.plist", "com.clawdbot.gateway.plist", "com.apple.x.plist"):
        (agents / name).touch()
    seen = diagnose(shell, home, brew=str(brew))
    assert seen.dangling == "../Cellar/gone"
    assert (seen.brew_owner, seen.brew_writable) == ("eve", True)
    assert seen.agents == ("ai.openclaw.gateway.plist", "com.clawdbot.gateway.plist")


ENTRY = {"sessionId": "x", "totalTokens": 90000, "totalTokensFresh": True}


@pytest.mark.parametrize("shell", SHELLS)
def test_sessions_in_a_file(shell: tuple[str, ...], home: Path) -> None:
    file = home / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    file.write_text(json.dumps({"agent:main:main": ENTRY}))
    assert diagnose(shell, home, store="file").sessions == (Session("agent:main:main", 90000),)
    file.write_text("{")
    seen = diagnose(shell, home, store="file")
    assert seen.sessions == ()
    assert seen.unread[0].startswith("sessions: ")
    file.unlink()
    assert diagnose(shell, home, store="file").unread == ()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("program", ["sqlite3", "stand-in"])
def test_sessions_in_a_database(
    shell: tuple[str, ...], home: Path, journal: bool, program: str
) -> None:
    if program == "sqlite3" and shutil.which("sqlite3") is None:
        pytest.skip("no sqlite3 on this machine (macOS has one)")
    stand_in = f"PYTHONPATH={REPO} exec {sys.executable} -m tests.lab.standins.sqlite_shell"
    instead = {"sqlite3": f'{stand_in} "$@"'} if program == "stand-in" else {}
    folder = home / ".openclaw" / "agents" / "main" / "agent"
    folder.mkdir()
    path = folder / "openclaw-agent.sqlite"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE session_nodes (session_key TEXT, entry_json TEXT)")
    row = ("agent:main:main", json.dumps(ENTRY | {"label": "a\tb\nc"}))
    writer.execute("INSERT INTO session_nodes VALUES (?, ?)", row)
    writer.commit()
    if not journal:
        writer.close()  # as after a clean end of the gateway
    try:
        found = diagnose(shell, home, store="sqlite", **instead)
    finally:
        writer.close()
    assert found.unread == ()
    assert found.sessions == (Session("agent:main:main", 90000),)


@pytest.mark.parametrize("shell", SHELLS)
def test_sessions_alone(shell: tuple[str, ...], home: Path) -> None:
    file = home / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    file.write_text(json.dumps({"agent:main:main": ENTRY}))
    script = f"AGENT=main\nSTORE=file\n{READING}{SESSIONS}{END}"
    done = run(shell, script, home, check=True)
    assert parse_sessions(done.stdout) == (Session("agent:main:main", 90000),)
    file.write_text("[]")
    done = run(shell, script, home, check=True)
    with pytest.raises(ProbeError, match="no object of key and entry"):
        parse_sessions(done.stdout)


def test_an_answer_that_was_cut_short_is_none() -> None:
    for output in ("", "clawfleet.reading\t1\n", "clawfleet.end\t1\n"):
        with pytest.raises(ProbeError, match="cut short"):
            parse(output)
    whole = "clawfleet.reading\t1\nsessions.json\t" + base64.b64encode(b"{}").decode()[:-1]
    with pytest.raises(ProbeError, match="arrived damaged"):
        parse_sessions(f"{whole}\nclawfleet.end\t1\n")
