from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import gateway
from clawfleet.gateway import Decision, decide, health_ok
from clawfleet.plan import Trouble
from clawfleet.snapshot import Job, Listener, Node, Process, Snapshot
from tests.unit.factory import (
    BREW,
    NEW,
    OLD,
    TOKEN,
    equipped,
    file,
    healthy,
    plist,
    settings,
    trouble_is_useful,
)
from tests.unit.shells import SHELLS, run

Shell = tuple[str, ...]
DASH = ("dash",)


def with_plist(snapshot: Snapshot, content: bytes) -> Snapshot:
    return replace(snapshot, plist=file(snapshot.plist.path, content, mode="644"))


def listens(command: str, pid: int = 55, ppid: int = 1) -> Listener:
    return Listener(18789, (Process(pid, ppid, 9, command),))


STOPPED = Job("not running", None, 4, "1", {}, {})


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_healthy_gateway_is_left_alone(version: str) -> None:
    decision = decide(healthy(version), settings(), 18789, ())
    assert decision == Decision("none", ("pid 900 answers on port 18789",))


@pytest.mark.parametrize(
    ("snapshot", "pending", "action", "reason"),
    [
        (equipped(), (), "install", "no LaunchAgent"),
        (healthy(), ("openclaw.json was changed",), "restart", "openclaw.json was changed"),
        (replace(healthy(), restart_needed=("earlier",)), (), "restart", "earlier"),
        (replace(healthy(), gateway_disabled=True), (), "restart", "disabled"),
        (replace(healthy(), gateway=None, gateway_port=Listener(18789), gateway_http=0), (),
         "restart", "not loaded"),
        (replace(healthy(), gateway=STOPPED, gateway_port=Listener(18789), gateway_http=0), (),
         "restart", "not running (not running, last exit 1)"),
        (replace(healthy(), gateway_port=Listener(18789), gateway_http=0), (),
         "restart", "nothing of it listens on port 18789"),
        (replace(healthy(), gateway_http=0), (), "restart", "does not answer"),
        (
            replace(healthy(), gateway_port=listens("node openclaw gateway")),
            (),
            "restart",
            "nothing of it listens",
        ),
        (
            replace(healthy(), gateway_port=replace(healthy().gateway_port, proxies=("http_proxy",))),
            (),
            "restart",
            "http_proxy in its environment",
        ),
        (with_plist(healthy(), plist(port=18790)), (), "reinstall", "port 18790, the config 18789"),
        (with_plist(healthy(), b"junk"), (), "reinstall", "can't be read"),
        (with_plist(healthy(), b""), (), "reinstall", "can't be read"),
        (
            with_plist(healthy(), b'<?xml version="1.0"?><plist version="1.0"><array/></plist>'),
            (),
            "reinstall",
            "can't be read",
        ),
        (
            with_plist(healthy(OLD), plist(token="5ecret-other-token")),
            (),
            "reinstall",
            "another token",
        ),
        (
            replace(healthy(), nodes=(Node(f"{BREW}/opt/node@24/bin/node", "22.1.0"),)),
            (),
            "reinstall",
            "its plist has Node 22.1.0",
        ),
    ],
)
def test_what_it_needs(
    snapshot: Snapshot, pending: tuple[str, ...], action: str, reason: str
) -> None:
    decision = decide(snapshot, settings(), 18789, pending)
    assert decision.action == action
    assert any(reason in given for given in decision.reasons), decision
    assert not any("5ecret" in given for given in decision.reasons)


@pytest.mark.parametrize(
    ("snapshot", "wished"),
    [
        (replace(healthy(), gateway_port=listens("node dist/index.js", 77, ppid=900)), {}),
        (
            replace(healthy(), gateway_port=replace(healthy().gateway_port, proxies=("no_proxy",))),
            {"proxies": "keep"},
        ),
        (with_plist(healthy(OLD), plist(token=TOKEN)), {}),
        (
            replace(
                with_plist(healthy(OLD), plist(token=TOKEN)),
                config=file(healthy().config.path, "{gateway: {auth: {token: '${TOKEN}'}}}"),
            ),
            {},
        ),
    ],
)
def test_what_is_no_reason(snapshot: Snapshot, wished: dict[str, Any]) -> None:
    assert decide(snapshot, settings(**wished), 18789, ()).action == "none"


def test_a_reason_is_told_once() -> None:
    snapshot = replace(healthy(), restart_needed=("a", "b", "a"))
    assert decide(snapshot, settings(), 18789, ("b", "c")).reasons == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gui": False, "gui_error": "Could not find domain for user gui: 501"},
            ["logged in at the screen", "gui: 501", "mac", "automatic login"],
        ),
        ({"gui": False}, ["no domain gui"]),
        ({"gateway_system": True}, ["system daemon", "launchctl bootout system/", "LaunchDaemons"]),
        (
            {"gateway_port": listens("python3 -m http.server 18789")},
            ["port 18789", "pid 55", "http.server", "kill 55", "gateway_port"],
        ),
        (
            {"gateway_port": listens("/usr/bin/ssh -NL 18789:127.0.0.1:18789 openclaw-mini")},
            ["pid 55", "ssh"],
        ),
        (
            {"gateway_port": Listener(18789), "gateway": None, "gateway_http": 200},
            ["another user", "sudo lsof"],
        ),
    ],
)
def test_what_stops_the_mac(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Trouble) as caught:
        decide(replace(healthy(), **changes), settings(), 18789, ())
    trouble_is_useful(caught.value, *words)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"ok": true}', True),
        ('{\n  "ok": true,\n  "ts": 1\n}\n', True),
        ('12:00:00 [plugins] {not json}\n{"ok":true}\nwarning: late\n', True),
        ('{"ok": false}', False),
        ('{"ok": "true"}', False),
        ("Error: gateway closed\n    at x { code: 1 }", False),
        ("", False),
        ("[1]", False),
    ],
)
def test_openclaw_health(output: str, expected: bool) -> None:
    assert health_ok(output) is expected


# --- The script, with stand-ins that keep launchd's state in files --------------------------------

COMMANDS = {
    "launchctl": r"""echo "$*" >> "$HOME/calls"
case $1 in
print) [ -e "$HOME/loaded" ] || exit 113
  n=$(cat "$HOME/teardown" 2>/dev/null || echo 0)
  if [ "$n" -gt 0 ]; then
    n=$((n-1)); echo $n > "$HOME/teardown"; [ $n -gt 0 ] || rm -f "$HOME/loaded"
  fi
  printf '\tstate = running\n\tpid = %s\n\truns = 1\n\t\tpid = 1\n' "$(cat "$HOME/pid")";;
bootout) [ -e "$HOME/loaded" ] || exit 3
  if [ -e "$HOME/slow" ]; then echo 3 > "$HOME/teardown"; else rm -f "$HOME/loaded"; fi
  rm -f "$HOME/listens";;
bootstrap) n=$(cat "$HOME/busy" 2>/dev/null || echo 0)
  if [ "$n" -gt 0 ]; then echo $((n-1)) > "$HOME/busy"; exit 5; fi
  [ -e "$HOME/refuse" ] && exit 125
  cp "$3" "$HOME/loaded"; echo 901 > "$HOME/pid"
  [ -e "$HOME/deaf" ] || echo 901 > "$HOME/listens";;
kickstart) exit 37;;
esac""",
    "lsof": 'for p in $(cat "$HOME/listens" 2>/dev/null) $(cat "$HOME/stale" 2>/dev/null); do '
    "case $p in 90*) echo $p;; *) kill -0 $p 2>/dev/null && echo $p;; esac; done",
    "ps": 'case $* in *command*) cat "$HOME/command";; *) echo 1;; esac',
    "curl": 'case $* in *http_code*) printf 200;; *) printf \'{"ok":true,"status":"live"}\';; esac',
    "openclaw": """echo "openclaw $*" >> "$HOME/calls"
case $* in
"health "*) [ -e "$HOME/ill" ] && grep -q BAD "$HOME/.openclaw/openclaw.json" \
    && { echo '{"ok": false}'; exit 1; }
  echo '{"ok": true}';;
"gateway install"*) [ -e "$HOME/refuses" ] && { echo "install refused" >&2; exit 1; }
  mkdir -p "$HOME/Library/LaunchAgents"
  echo "<plist>new</plist>" > "$HOME/Library/LaunchAgents/ai.openclaw.gateway.plist";;
esac""",
    "sleep": ":",
    # Each look at the clock takes a second.
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); echo $((n+1)) > "$HOME/clock"; echo $n',
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Mac whose gateway runs."""
    folder = tmp_path / "home"
    agents = folder / "Library" / "LaunchAgents"
    agents.mkdir(parents=True)
    (agents / "ai.openclaw.gateway.plist").write_text("<plist>old</plist>")
    (folder / ".openclaw").mkdir()
    (folder / ".openclaw" / "openclaw.json").write_text("GOOD")
    (folder / ".clawfleet").mkdir()
    (folder / ".clawfleet" / "restart-needed").write_text("because\n")
    for name, content in {"loaded": "x", "pid": "900", "listens": "900", "command": "openclaw"}.items():
        (folder / name).write_text(content)
    return folder


def script(action: str, *, undo: str = "", version: str = NEW, **wished: Any) -> str:
    snapshot = replace(healthy(version), openclaw_bin=None, nodes=())
    decision = Decision(action, ("because",))  # type: ignore[arg-type]
    wished = {"gateway_start_timeout": 12, "gateway_settle": 3} | wished
    return gateway.step(snapshot, settings(**wished), 18789, decision, undo=undo).script


def calls(home: Path, word: str) -> list[str]:
    lines = (home / "calls").read_text().splitlines()
    return [line for line in lines if line.startswith(word)]


def cleaned(home: Path) -> bool:
    return not list(home.parent.glob("clawfleet.*"))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_restart_reads_the_plist_anew_and_waits(shell: Shell, home: Path, version: str) -> None:
    (home / "slow").touch()
    (home / "busy").write_text("3")
    done = run(shell, script("restart", version=version), home, commands=COMMANDS, check=True)
    assert "pid 901 is well on port 18789" in done.stdout
    assert [call.split()[0] for call in calls(home, "boot")] == ["bootout", *["bootstrap"] * 4]
    assert calls(home, "enable")
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert cleaned(home)


@pytest.mark.parametrize(
    ("action", "words"), [("install", "install"), ("reinstall", "install --force")]
)
def test_an_install(home: Path, action: str, words: str) -> None:
    run(DASH, script(action), home, commands=COMMANDS, check=True)
    assert calls(home, "openclaw gateway") == [f"openclaw gateway {words}"]
    assert (home / "loaded").read_text() == "<plist>new</plist>\n"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("deaf", "pid 901 runs, port 18789 is not open"),
        ("refuse", "launchctl bootstrap answered 125"),
    ],
)
def test_one_that_does_not_come_up_is_told(home: Path, fault: str, said: str) -> None:
    (home / fault).touch()
    (home / ".openclaw" / "logs").mkdir()
    (home / ".openclaw" / "logs" / "gateway.err.log").write_text("EADDRINUSE\n")
    done = run(DASH, script("restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert said in done.stderr
    assert "EADDRINUSE" in done.stderr
    assert (home / ".clawfleet" / "restart-needed").exists()
    assert cleaned(home)


def test_one_that_is_only_slow_stays_loaded(home: Path) -> None:
    (home / "deaf").touch()
    done = run(DASH, script("restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert (home / "loaded").exists()


BACK = 'printf GOOD > "$HOME/.openclaw/openclaw.json"; exit 0'


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("action", ["restart", "reinstall"])
def test_a_config_that_keeps_it_from_starting_is_undone(
    shell: Shell, home: Path, action: str
) -> None:
    (home / "ill").touch()
    (home / ".openclaw" / "openclaw.json").write_text("BAD")
    done = run(shell, script(action, undo=BACK), home, commands=COMMANDS)
    assert done.returncode == 1
    assert '"ok": false' in done.stderr
    assert "the gateway runs with them" in done.stderr
    assert (home / ".openclaw" / "openclaw.json").read_text() == "GOOD"
    agent = home / "Library" / "LaunchAgents" / "ai.openclaw.gateway.plist"
    assert agent.read_text() == (home / "loaded").read_text() == "<plist>old</plist>"
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert cleaned(home)


def test_a_first_install_that_fails_leaves_no_gateway(home: Path) -> None:
    agent = home / "Library" / "LaunchAgents" / "ai.openclaw.gateway.plist"
    for path in (agent, home / "loaded", home / "listens"):
        path.unlink()
    (home / "ill").touch()
    (home / ".openclaw" / "openclaw.json").write_text("BAD")
    done = run(DASH, script("install", undo=BACK), home, commands=COMMANDS)
    assert done.returncode == 1
    assert "there was no gateway before" in done.stderr
    assert not agent.exists()
    assert not (home / "loaded").exists()


def test_an_install_that_is_refused_is_undone(home: Path) -> None:
    (home / "refuses").touch()
    done = run(DASH, script("reinstall", undo=BACK), home, commands=COMMANDS)
    assert done.returncode == 1
    assert "install refused" in done.stderr
    assert (home / "loaded").read_text() == "<plist>old</plist>"


def test_a_crash_loop_is_not_well(home: Path) -> None:
    dies = COMMANDS["launchctl"].replace(
        '"$(cat "$HOME/pid")"', '"$(n=$(cat "$HOME/pid"); echo $((n+1)) > "$HOME/pid"; echo $n)"'
    )
    listens_all = {"lsof": 'n=$(cat "$HOME/pid"); echo $((n-1))'}
    owner = {"ps": 'case $* in *ppid*) n=$(cat "$HOME/pid"); echo $((n-1));; *) echo openclaw;; esac'}
    commands = COMMANDS | {"launchctl": dies} | owner
    commands["lsof"] = f'[ -e "$HOME/loaded" ] && {{ {listens_all["lsof"]}; }}'
    done = run(DASH, script("restart"), home, commands=commands)
    assert done.returncode == 1
    assert "ended again, now" in done.stderr


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be ended."""
    words = [sys.executable, "-c", "import time; time.sleep(300)"]
    with subprocess.Popen(words) as started:
        # Somebody has to take its exit code, or it stays visible.
        threading.Thread(target=started.wait, daemon=True).start()
        yield started
        started.kill()


def test_a_stale_gateway_on_the_port_is_ended(
    home: Path, process: subprocess.Popen[bytes]
) -> None:
    (home / "stale").write_text(str(process.pid))
    waits = {"sleep": f"n=0; while kill -0 {process.pid} 2>/dev/null && [ $n -lt 9999 ]; do n=$((n+1)); done"}
    run(DASH, script("restart"), home, commands=COMMANDS | waits, check=True)
    assert process.wait(30) == -signal.SIGTERM


def test_nobody_elses_process_is_ended(home: Path, process: subprocess.Popen[bytes]) -> None:
    (home / "stale").write_text(str(process.pid))
    (home / "command").write_text("python3 -m http.server")
    done = run(DASH, script("restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert f"port 18789 is held by pid {process.pid}: python3 -m http.server" in done.stderr
    assert process.poll() is None


@pytest.mark.parametrize(("wish", "after"), [(True, "{}"), (False, '{"a": 1}')])
def test_sessions_are_forgotten_only_when_asked(
    home: Path, wish: bool, after: str
) -> None:
    sessions = home / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    sessions.parent.mkdir(parents=True)
    sessions.write_text('{"a": 1}')
    run(DASH, script("restart", version=OLD, reset_sessions=wish), home, commands=COMMANDS, check=True)
    assert sessions.read_text() == after
    copies = [path.read_text() for path in sessions.parent.glob("sessions.json.clawfleet-*")]
    assert copies == (['{"a": 1}'] if wish else [])
