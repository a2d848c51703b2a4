"""The script that restarts the gateway, with stand-ins that keep launchd's state in files."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import commit, gateway
from clawfleet.gateway import Decision
from clawfleet.plan import FileChange
from clawfleet.started import note
from tests.unit.factory import NEW, OLD, file, healthy, settings
from tests.unit.shells import SHELLS, run

Shell = tuple[str, ...]
DASH = ("dash",)
RUN = "20261123-153000-1a2b"
AGENT = "Library/LaunchAgents/ai.openclaw.gateway.plist"


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
  cp "$3" "$HOME/loaded"; n=$(($(cat "$HOME/pid") + 1)); echo $n > "$HOME/pid"
  [ -e "$HOME/deaf" ] || echo $n > "$HOME/listens";;
kickstart) exit 37;;
esac""",
    "lsof": 'for p in $(cat "$HOME/listens" 2>/dev/null) $(cat "$HOME/stale" 2>/dev/null); do '
    "case $p in 90000*) echo $p;; *) kill -0 $p 2>/dev/null && echo $p;; esac; done",
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
    for name, content in {
        "loaded": "x",
        "pid": "9000000",
        "listens": "9000000",
        "command": "openclaw-gateway",
    }.items():
        (folder / name).write_text(content)
    return folder


def script(home: Path, action: str, *, version: str = NEW, **wished: Any) -> str:
    snapshot = replace(
        healthy(version),
        home=str(home),
        openclaw_bin=None,
        nodes=(),
        plist=file(str(home / AGENT), "<plist>old</plist>"),
        service_env=file(str(home / ".openclaw" / "service-env" / "ai.openclaw.gateway.env")),
    )
    decision = Decision(action, ("because",))  # type: ignore[arg-type]
    wished = {"gateway_start_timeout": 8, "gateway_settle": 2} | wished
    return gateway.step(snapshot, settings(**wished), 18789, decision, run=RUN).script


def change_config(home: Path, *, new: bool = False) -> None:
    """This run has put a bad openclaw.json in the place of a good one, or of none."""
    folder = home / ".clawfleet" / "backups" / RUN / "gateway"
    folder.mkdir(parents=True)
    name, path = "openclaw-openclaw.json", home / ".openclaw" / "openclaw.json"
    if not new:
        path.replace(folder / name)
    path.write_text("BAD")
    (folder / "list").write_text(f"{'no' if new else 'yes'}\t{name}\t{path}\n")
    (folder / f"{name}.due").touch()


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
    done = run(shell, script(home, "restart", version=version), home, commands=COMMANDS, check=True)
    assert "pid 9000001 is well on port 18789" in done.stdout
    assert [call.split()[0] for call in calls(home, "boot")] == ["bootout", *["bootstrap"] * 4]
    assert calls(home, "enable")
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert cleaned(home)


@pytest.mark.parametrize(
    ("action", "words"), [("install", "install"), ("reinstall", "install --force")]
)
def test_an_install(home: Path, action: str, words: str) -> None:
    run(DASH, script(home, action), home, commands=COMMANDS, check=True)
    assert calls(home, "openclaw gateway") == [f"openclaw gateway {words}"]
    assert (home / "loaded").read_text() == "<plist>new</plist>\n"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("deaf", "pid 9000001 runs, port 18789 is not open"),
        ("refuse", "launchctl bootstrap answered 125"),
    ],
)
def test_one_that_does_not_come_up_is_told(home: Path, fault: str, said: str) -> None:
    (home / fault).touch()
    (home / ".openclaw" / "logs").mkdir()
    (home / ".openclaw" / "logs" / "gateway.err.log").write_text("EADDRINUSE\n")
    done = run(DASH, script(home, "restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert said in done.stderr
    assert "EADDRINUSE" in done.stderr
    assert (home / ".clawfleet" / "restart-needed").exists()
    assert cleaned(home)


def test_one_that_is_only_slow_stays_loaded(home: Path) -> None:
    (home / "deaf").touch()
    done = run(DASH, script(home, "restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert (home / "loaded").exists()


@pytest.mark.parametrize("action", ["restart", "reinstall"])
def test_a_config_that_keeps_it_from_starting_is_undone(home: Path, action: str) -> None:
    (home / "ill").touch()
    change_config(home)
    done = run(DASH, script(home, action), home, commands=COMMANDS)
    assert done.returncode == 1
    assert '"ok": false' in done.stderr
    assert "the gateway runs with them" in done.stderr
    assert (home / ".openclaw" / "openclaw.json").read_text() == "GOOD"
    assert (home / AGENT).read_text() == (home / "loaded").read_text() == "<plist>old</plist>"
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert not (home / ".clawfleet" / "unfinished").exists()
    assert cleaned(home)


def test_a_first_install_that_fails_leaves_no_gateway(home: Path) -> None:
    for path in (home / AGENT, home / "loaded", home / "listens"):
        path.unlink()
    (home / "ill").touch()
    change_config(home, new=True)
    done = run(DASH, script(home, "install"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert "there was no gateway before" in done.stderr
    assert not (home / AGENT).exists()
    assert not (home / ".openclaw" / "openclaw.json").exists()
    assert not (home / "loaded").exists()
    assert not (home / ".clawfleet" / "installed").exists()


def test_the_transaction_is_open_until_the_gateway_is_well(home: Path) -> None:
    mark = home / ".clawfleet" / "unfinished"
    sees = COMMANDS["openclaw"].replace("case", f'cat "{mark}" >> "$HOME/seen"\ncase', 1)
    run(DASH, script(home, "restart"), home, commands=COMMANDS | {"openclaw": sees}, check=True)
    assert (home / "seen").read_text().splitlines()[0] == RUN
    assert not mark.exists()
    # A restart that changes no file leaves no backup behind.
    assert not (home / ".clawfleet" / "backups" / RUN).exists()


def test_a_gateway_that_was_installed_here_is_remembered(home: Path) -> None:
    for path in (home / AGENT, home / "loaded", home / "listens"):
        path.unlink()
    run(DASH, script(home, "install"), home, commands=COMMANDS, check=True)
    assert (home / ".clawfleet" / "installed").read_text() == "gateway\n"
    kept = home / ".clawfleet" / "backups" / RUN / "gateway"
    name = "LaunchAgents-ai.openclaw.gateway.plist"
    assert f"no\t{name}\t{home / AGENT}" in (kept / "list").read_text()
    assert (kept / f"{name}.after").read_text() == "<plist>new</plist>\n"


def test_a_gateway_that_shall_go_is_not_waited_for(home: Path) -> None:
    (home / ".clawfleet" / "installed").write_text("formula ollama\ngateway\n")
    (home / AGENT).unlink()
    run(DASH, script(home, "remove"), home, commands=COMMANDS, check=True)
    assert not (home / "loaded").exists()
    assert (home / ".clawfleet" / "installed").read_text() == "formula ollama\n"
    assert not (home / ".clawfleet" / "unfinished").exists()


def test_an_install_that_is_refused_is_undone(home: Path) -> None:
    (home / "refuses").touch()
    done = run(DASH, script(home, "reinstall"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert "install refused" in done.stderr
    assert (home / "loaded").read_text() == "<plist>old</plist>"


_NOW = '$(($(cat "$HOME/clock") / 2))'
DYING = {
    # A new process at every second look at the clock.
    "launchctl": COMMANDS["launchctl"].replace(
        "  n=$(cat",
        f"""  [ -e "$HOME/loaded" ] || exit 113
  printf '\\tstate = running\\n\\tpid = 90%05d\\n\\truns = %s\\n' {_NOW} {_NOW}
  printf '\\tlast exit code = 78: EX_CONFIG\\n'; exit 0
  n=$(cat""",
        1,
    ),
    "lsof": f'[ -e "$HOME/loaded" ] && printf "90%05d\\n" {_NOW}',
}


def test_a_process_that_ends_while_it_is_watched_is_not_well(home: Path) -> None:
    done = run(DASH, script(home, "restart"), home, commands=COMMANDS | DYING)
    assert done.returncode == 1
    assert "ended again, now 90" in done.stderr


def test_a_crash_loop_is_given_up_before_the_time_is_over(home: Path) -> None:
    (home / ".openclaw" / "logs").mkdir()
    (home / ".openclaw" / "logs" / "gateway.err.log").write_text("Unknown key: nonsense\n")
    done = run(
        DASH,
        script(home, "restart", gateway_start_timeout=1800),
        home,
        commands=COMMANDS | DYING,
    )
    assert done.returncode == 1
    assert "a crash loop: it ended 3 times (last exit 78: EX_CONFIG)" in done.stderr
    assert "Unknown key: nonsense" in done.stderr
    assert "clawfleet:fix what it said is above" in done.stdout
    assert int((home / "clock").read_text()) < 100


def test_a_slow_start_is_no_crash_loop(home: Path) -> None:
    # It opens its port a minute after it was started, and has ended once long ago.
    slow = COMMANDS["lsof"].replace("for p in", '[ $(cat "$HOME/clock") -gt 60 ] && for p in', 1)
    done = run(
        DASH,
        script(home, "restart", gateway_start_timeout=120),
        home,
        commands=COMMANDS | {"lsof": slow},
        check=True,
    )
    assert "is well on port 18789" in done.stdout


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be ended."""
    words = [sys.executable, "-c", "import time; time.sleep(300)"]
    with subprocess.Popen(words) as started:
        # Somebody has to take its exit code, or it stays visible.
        threading.Thread(target=started.wait, daemon=True).start()
        yield started
        started.kill()


def test_a_stale_gateway_on_the_port_is_ended(home: Path, process: subprocess.Popen[bytes]) -> None:
    (home / "stale").write_text(str(process.pid))
    waits = {
        "sleep": f"n=0; while kill -0 {process.pid} 2>/dev/null && [ $n -lt 99999 ]; do "
        "n=$((n+1)); done"
    }
    run(DASH, script(home, "restart"), home, commands=COMMANDS | waits, check=True)
    assert process.wait(30) == -signal.SIGTERM


def test_nobody_elses_process_is_ended(home: Path, process: subprocess.Popen[bytes]) -> None:
    (home / "stale").write_text(str(process.pid))
    (home / "command").write_text("python3 -m http.server")
    done = run(DASH, script(home, "restart"), home, commands=COMMANDS)
    assert done.returncode == 1
    assert f"port 18789 is held by pid {process.pid}: python3 -m http.server" in done.stderr
    assert process.poll() is None


def test_who_takes_the_port_while_a_gateway_ends_is_not_ended(home: Path) -> None:
    """A gateway was asked to end, and until the time is over the port is somebody else's."""
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(300)"
    words = [sys.executable, "-u", "-c", stubborn]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            (home / "stale").write_text(str(process.pid))
            turns = (
                'case $* in *command*) if [ -e "$HOME/asked" ]; then echo python3 server.py; '
                'else : > "$HOME/asked"; echo openclaw-gateway; fi;; *) echo 1;; esac'
            )
            run(DASH, script(home, "restart"), home, commands=COMMANDS | {"ps": turns})
            assert (home / "asked").exists()
            assert process.poll() is None
        finally:
            process.kill()


def test_a_gateway_is_started_again_where_its_port_was_taken_as_well(
    home: Path, process: subprocess.Popen[bytes]
) -> None:
    """Its job is out of launchd by then, and no file was moved."""
    (home / "stale").write_text(str(process.pid))
    (home / "command").write_text("python3 -m http.server")
    config = home / ".openclaw" / "openclaw.json"
    change = FileChange(file(str(config), "GOOD"), b"NEW")
    text = commit.script([change], run=RUN, restart_reasons=["because"], port=18789)
    done = run(DASH, text, home, commands=COMMANDS)
    assert done.returncode == 1
    assert not (home / "loaded").exists()
    # What tells the operation that it has to start it again.
    assert commit.STOPPED in done.stdout
    run(DASH, gateway.start_again(18789, RUN), home, commands=COMMANDS, check=True)
    assert (home / "loaded").exists()
    assert config.read_text() == "GOOD"
    assert process.poll() is None


@pytest.mark.parametrize(("wish", "after"), [(True, "{}"), (False, '{"a": 1}')])
def test_sessions_are_forgotten_only_when_asked(home: Path, wish: bool, after: str) -> None:
    sessions = home / ".openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    sessions.parent.mkdir(parents=True)
    sessions.write_text('{"a": 1}')
    run(
        DASH,
        script(home, "restart", version=OLD, reset_sessions=wish),
        home,
        commands=COMMANDS,
        check=True,
    )
    assert sessions.read_text() == after
    kept = home / ".clawfleet" / "backups" / RUN / "gateway" / "main-sessions-sessions.json"
    assert kept.exists() == wish
    assert not wish or kept.read_text() == '{"a": 1}'


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_that_failed_while_it_was_stopped_starts_it_again(shell: Shell, home: Path) -> None:
    change_config(home)
    (home / ".clawfleet" / "unfinished").write_text(RUN)
    (home / "loaded").unlink()
    done = run(shell, gateway.start_again(18789, RUN), home, commands=COMMANDS, check=True)
    assert (home / ".openclaw" / "openclaw.json").read_text() == "GOOD"
    assert (home / "loaded").read_text() == "<plist>old</plist>"
    assert "the files from before this run are back" in done.stdout
    assert not (home / ".clawfleet" / "unfinished").exists()


def test_files_go_back_only_while_the_gateway_is_stopped(home: Path) -> None:
    change_config(home)
    run(DASH, gateway.start_again(18789, RUN), home, commands=COMMANDS, check=True)
    assert calls(home, "boot")[0].startswith("bootout")
    assert (home / "pid").read_text() == "9000001\n"


def test_one_that_goes_on_is_not_disturbed_by_it(home: Path) -> None:
    (home / "busy").write_text("9")
    run(DASH, gateway.start_again(18789, RUN), home, commands=COMMANDS, check=True)
    assert (home / "pid").read_text() == "9000000"


def test_a_mac_without_a_gateway_gets_none_by_it(home: Path) -> None:
    (home / AGENT).unlink()
    done = run(DASH, gateway.start_again(18789, RUN), home, commands=COMMANDS)
    assert done.returncode == 1
    assert not (home / "calls").exists()


def test_nodes_stack_does_not_hide_what_openclaw_said(home: Path) -> None:
    says = "printf 'Error: gateway closed\\nBind: loopback\\n    at f (a.js:1:2)\\n'; exit 1;;"
    broken = COMMANDS["openclaw"].replace("case $* in", f'case $* in\n"health "*) {says}', 1)
    done = run(DASH, script(home, "restart"), home, commands=COMMANDS | {"openclaw": broken})
    assert done.returncode == 1
    assert "Error: gateway closed Bind: loopback" in done.stderr.splitlines()[-1]
    assert "a.js" not in done.stderr


def test_the_port_may_be_another_one_with_the_files_that_came_back(home: Path) -> None:
    snapshot = replace(healthy(NEW), home=str(home), openclaw_bin=None, nodes=())
    decision = Decision("restart", ("because",))
    wished = settings(gateway_start_timeout=8, gateway_settle=2)
    step = gateway.step(snapshot, wished, 18789, decision, run=RUN, opens=18790)
    seen = COMMANDS | {"lsof": f'echo "$*" >> "$HOME/asked"\n{COMMANDS["lsof"]}'}
    run(DASH, step.script, home, commands=seen, check=True)
    asked = (home / "asked").read_text()
    assert asked.index("18789") < asked.index("18790") == asked.rindex("18790")


@pytest.mark.parametrize(("parent", "ends"), [("1", True), ("4242", False)])
def test_only_a_detached_copy_is_ended_while_it_comes_up(
    home: Path, process: subprocess.Popen[bytes], parent: str, ends: bool
) -> None:
    """It was not listening yet when everything was stopped."""
    late = {
        "lsof": f'[ -e "$HOME/loaded" ] || exit 1; cat "$HOME/pid"\n'
        f"kill -0 {process.pid} 2>/dev/null && echo {process.pid}; true",
        "ps": f"case $* in *command*) echo openclaw-gateway;; *) echo {parent};; esac",
    }
    run(DASH, script(home, "restart"), home, commands=COMMANDS | late, check=True)
    if ends:
        assert process.wait(30) == -signal.SIGTERM
    else:
        assert process.poll() is None


def test_how_long_nobody_answered_is_told_and_what_was_read_is_noted(home: Path) -> None:
    (home / ".openclaw" / ".env").write_text("A=1\n")
    began = run(DASH, script(home, "restart"), home, commands=COMMANDS, check=True)
    down = [line for line in began.stdout.splitlines() if line.startswith("clawfleet:down ")]
    assert len(down) == 1
    assert 0 < int(down[0].split()[1]) < 300_000
    folder = home / ".clawfleet"
    assert not (folder / "stopped-at").exists()
    assert (folder / "started.json").read_text() == "GOOD"
    known = note(file(str(folder / "started"), (folder / "started").read_bytes()))
    assert known
    assert known.pid == 9000001
    assert known.hashes == {
        f"{home}/.openclaw/.env": hashlib.sha256(b"A=1\n").hexdigest(),
        f"{home}/.openclaw/service-env/ai.openclaw.gateway.env": "absent",
        f"{home}/{AGENT}": hashlib.sha256(b"<plist>old</plist>").hexdigest(),
    }
    for path in folder.glob("started*"):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("rest", ["x y", "\0\0\0", "17638500\0\0x", "nan\n"])
def test_a_damaged_note_of_a_stop_harms_nothing(shell: Shell, home: Path, rest: str) -> None:
    (home / "listens").unlink()
    down = home / ".clawfleet" / "stopped-at"
    down.write_text(rest)
    done = run(shell, script(home, "restart"), home, commands=COMMANDS, check=True)
    assert "is well on port 18789" in done.stdout
    assert "clawfleet:down" not in done.stdout
    assert not down.exists()


def test_one_that_is_only_starting_is_waited_for(home: Path) -> None:
    done = run(DASH, script(home, "wait"), home, commands=COMMANDS, check=True)
    assert "pid 9000000 is well" in done.stdout
    assert calls(home, "boot") == []


def test_one_that_does_not_come_up_by_itself_is_restarted(home: Path) -> None:
    (home / "listens").unlink()
    done = run(DASH, script(home, "wait"), home, commands=COMMANDS, check=True)
    assert "pid 9000001 is well" in done.stdout
    assert [call.split()[0] for call in calls(home, "boot")] == ["bootout", "bootstrap"]
