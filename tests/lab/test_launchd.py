"""The stand-in launchd with real processes: domains, environments, restarts, endings."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.standins.launchd_bench import Bench, until

IO_ERROR = (
    "Bootstrap failed: 5: Input/output error\n"
    "Try re-running the command as root for richer errors.\n"
)
SLEEPER = ("/bin/sleep", "1000")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path).up()
    yield bench
    bench.down()


@pytest.fixture
def headless(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, gui_login=False).up()
    yield bench
    bench.down()


def alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def printed_environment(out: str, block: str) -> dict[str, str]:
    """One environment block of ``launchctl print``."""
    found = re.search(rf"^\t{block} = {{\n(.*?)^\t}}", out, re.MULTILINE | re.DOTALL)
    assert found is not None
    lines = found[1].splitlines()
    return dict(line.strip().split(" => ", 1) for line in lines)


def test_login_loads_the_agents_and_logout_ends_them(headless: Bench) -> None:
    console = Path(headless.mac.state, "console-uid")
    headless.agent("com.example.agent", *SLEEPER, RunAtLoad=True)
    assert console.read_text() == "0\n"
    assert headless.launchctl("__lab", "login").returncode == 0
    pid = int(headless.shown("gui/501/com.example.agent")["pid"])
    assert console.read_text() == "501\n"
    assert alive(pid)
    assert headless.launchctl("__lab", "logout").returncode == 0
    assert not alive(pid)
    assert headless.launchctl("print", "gui/501").returncode == 112
    assert console.read_text() == "0\n"


def test_environments_are_kept_apart(bench: Bench) -> None:
    """Over SSH setenv changes user/UID; a job in gui/UID changes gui/UID; plists add their own."""
    proxy = "http://127.0.0.1:7890"
    assert bench.launchctl("setenv", "HTTPS_PROXY", proxy, "SECOND", "2").returncode == 0
    assert bench.launchctl("getenv", "HTTPS_PROXY").stdout == f"{proxy}\n"
    assert bench.launchctl("managername").stdout == "Background\n"
    inside = {"CLAWFLEET_LAB_DOMAIN": "gui/501"}
    assert bench.launchctl("managername", **inside).stdout == "Aqua\n"
    assert bench.launchctl("getenv", "HTTPS_PROXY", **inside).stdout == ""
    assert bench.launchctl("setenv", "http_proxy", proxy, **inside).returncode == 0

    dump = f"{bench.mac.home}/environment"
    path = bench.agent(
        "env", "/usr/bin/env", RunAtLoad=True, StandardOutPath=dump,
        EnvironmentVariables={"OLLAMA_HOST": "127.0.0.1:11435"},
    )  # fmt: skip
    bench.launchctl("bootstrap", "gui/501", path, **{"LEAK": "1"})
    until(lambda: "XPC_SERVICE_NAME" in Path(dump).read_text(), "the job wrote its environment")
    assert dict(line.split("=", 1) for line in Path(dump).read_text().splitlines()) == {
        "HOME": bench.mac.home,
        "USER": "mac",
        "LOGNAME": "mac",
        "SHELL": "/bin/zsh",
        "TMPDIR": f"{bench.mac.root}/var/folders/zz/lab501/T/",
        "PATH": f"{bench.mac.bin}:/usr/bin:/bin:/usr/sbin:/sbin",
        "SSH_AUTH_SOCK": "/private/tmp/com.apple.launchd.lab100002/Listeners",
        "http_proxy": proxy,
        "OLLAMA_HOST": "127.0.0.1:11435",
        "XPC_FLAGS": "0x0",
        "XPC_SERVICE_NAME": "env",
        "CLAWFLEET_LAB_DOMAIN": "gui/501",
    }
    out = bench.launchctl("print", "gui/501/env").stdout
    assert printed_environment(out, "inherited environment")["http_proxy"] == proxy
    assert "HTTPS_PROXY" not in out
    assert printed_environment(out, "environment")["OLLAMA_HOST"] == "127.0.0.1:11435"
    assert bench.launchctl("unsetenv", "HTTPS_PROXY", "NO_PROXY").returncode == 0
    assert bench.launchctl("getenv", "HTTPS_PROXY").stdout == ""
    assert bench.launchctl("getenv", "SECOND").stdout == "2\n"


def test_one_shot_agent_unsets_inside_the_gui_domain(bench: Bench) -> None:
    launchctl = Path(bench.mac.bin, "launchctl")
    launchctl.write_text(
        f"#!/bin/sh\nCLAWFLEET_LAB_MAC={bench.mac.state}/mac.json PYTHONPATH={bench.mac.repo}"
        f' exec {bench.mac.python} -S -m tests.lab.standins.launchctl "$@"\n'
    )
    launchctl.chmod(0o755)
    bench.launchctl("setenv", "http_proxy", "x", CLAWFLEET_LAB_DOMAIN="gui/501")
    path = bench.agent("unset", str(launchctl), "unsetenv", "http_proxy", RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    until(lambda: "http_proxy" not in bench.launchctl("print", "gui/501").stdout, "it is unset")
    assert bench.shown("gui/501/unset")["last exit code"] in ("0", "(never exited)")


def test_background_agent_needs_no_login(headless: Bench) -> None:
    path = headless.agent(
        "bg", *SLEEPER, RunAtLoad=True, LimitLoadToSessionType=["Aqua", "Background"]
    )
    assert headless.launchctl("bootstrap", "user/501", path).returncode == 0
    pid = headless.shown("user/501/bg")["pid"]
    listed = headless.launchctl("list").stdout
    assert listed == f"PID\tStatus\tLabel\n{pid}\t0\tbg\n"
    one = headless.launchctl("list", "bg").stdout
    assert f'\t"PID" = {pid};\n' in one
    assert '\t"ProgramArguments" = (\n\t\t"/bin/sleep";\n\t\t"1000";\n\t);\n};\n' in one


def test_bootout_returns_before_the_process_is_gone(bench: Bench, tmp_path: Path) -> None:
    release = tmp_path / "release"
    ready = tmp_path / "ready"
    script = f"trap 'until [ -e {release} ]; do sleep 0.02; done; exit 0' TERM; : > {ready};"
    script += " while :; do sleep 0.02; done"
    path = bench.agent("slow", "/bin/sh", "-c", script, RunAtLoad=True, ExitTimeOut=60)
    bench.launchctl("bootstrap", "gui/501", path)
    until(ready.exists, "the trap is set")
    pid = int(bench.shown("gui/501/slow")["pid"])
    done = bench.launchctl("bootout", "gui/501/slow")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert alive(pid)
    shown = bench.shown("gui/501/slow")
    assert (shown["state"], shown["pid"]) == ("SIGTERMed", str(pid))
    assert bench.launchctl("bootstrap", "gui/501", path).stderr == IO_ERROR
    assert bench.launchctl("bootout", "gui/501/slow").returncode == 36
    release.touch()
    until(lambda: bench.launchctl("print", "gui/501/slow").returncode == 113, "the label is gone")
    assert not alive(pid)
    release.unlink()
    assert bench.launchctl("bootstrap", "gui/501", path).returncode == 0
    bench.faults('{"launchd.exit_timeout": "0.05"}')
    bench.launchctl("bootout", "gui/501", path)
    until(lambda: bench.launchctl("print", "gui/501/slow").returncode == 113, "SIGKILL came")


def test_label_is_torn_down_for_a_while_after_its_process(bench: Bench) -> None:
    bench.faults('{"launchd.teardown": "1000"}')
    path = bench.agent("a", *SLEEPER, RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    pid = int(bench.shown("gui/501/a")["pid"])
    bench.launchctl("bootout", "gui/501/a")
    until(lambda: not alive(pid), "the process ended")
    assert bench.launchctl("bootstrap", "gui/501", path).returncode == 5
    assert bench.shown("gui/501/a")["state"] == "SIGTERMed"
    assert bench.launchctl("kickstart", "gui/501/a").returncode == 113


def test_kickstart_restarts_without_reading_the_plist(bench: Bench) -> None:
    path = bench.agent("a", *SLEEPER, RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    first = bench.shown("gui/501/a")["pid"]
    busy = bench.launchctl("kickstart", "gui/501/a")
    assert (busy.returncode, busy.stdout, busy.stderr) == (37, "", "")
    bench.agent("a", "/bin/sleep", "2000", RunAtLoad=True)
    done = bench.launchctl("kickstart", "-kp", "gui/501/a")
    second = done.stdout.strip()
    assert second.isdigit()
    assert second != first
    out = bench.launchctl("print", "gui/501/a").stdout
    assert "\truns = 2\n" in out
    assert f"\tpid = {second}\n" in out
    assert "\t\t1000\n" in out
    assert "\tlast terminating signal = Terminated: 15\n" in out
    assert "last exit code" not in out
    assert not alive(int(first))


def test_keep_alive(bench: Bench) -> None:
    bench.faults('{"launchd.throttle": "0.05"}')
    runs = {}
    jobs: dict[str, dict[str, Any]] = {
        "always": {"KeepAlive": True},
        "failed": {"KeepAlive": {"SuccessfulExit": False}},
        "once": {"RunAtLoad": True},
        "crashed": {"KeepAlive": {"Crashed": True}},
    }
    for label, keys in jobs.items():
        path = bench.agent(label, "/bin/sh", "-c", "exit 3", **keys)
        bench.launchctl("bootstrap", "gui/501", path)
        runs[label] = lambda label=label: int(bench.shown(f"gui/501/{label}")["runs"])
    until(lambda: runs["always"]() > 2, "KeepAlive starts it again")
    until(lambda: runs["failed"]() > 2, "a failed exit starts it again")
    assert runs["once"]() == 1
    assert runs["crashed"]() == 1
    assert bench.shown("gui/501/once")["last exit code"] == "3"
    path = bench.agent("fine", "/usr/bin/true", KeepAlive={"SuccessfulExit": False})
    bench.launchctl("bootstrap", "gui/501", path)
    until(lambda: bench.shown("gui/501/fine")["state"] == "not running", "success ends it")
    bench.faults('{"launchd.throttle": "10000"}')
    path = bench.agent("slow", "/usr/bin/true", KeepAlive=True)
    bench.launchctl("bootstrap", "gui/501", path)
    until(lambda: bench.shown("gui/501/slow")["state"] == "spawn scheduled", "it is throttled")


def test_killed_process_comes_back(bench: Bench) -> None:
    """Killing the listener of a KeepAlive job only gives a new one."""
    bench.faults('{"launchd.throttle": "0.05"}')
    bench.launchctl("bootstrap", "gui/501", bench.agent("a", *SLEEPER, KeepAlive=True))
    first = int(bench.shown("gui/501/a")["pid"])
    os.kill(first, signal.SIGKILL)
    second = until(
        lambda: (pid := bench.shown("gui/501/a").get("pid")) and pid != str(first) and pid,
        "a new process",
    )
    assert alive(int(second))
    assert bench.shown("gui/501/a")["last terminating signal"] == "Killed: 9"


@pytest.mark.parametrize(
    "keys", [{"ProgramArguments": ["/no/such/program"]}, {"WorkingDirectory": "/no/such/folder"},
             {"StandardOutPath": "/no/such/folder/log"}],
)  # fmt: skip
def test_what_cannot_start_is_a_configuration_error(bench: Bench, keys: dict[str, Any]) -> None:
    path = bench.agent("a", *SLEEPER, RunAtLoad=True, **keys)
    assert bench.launchctl("bootstrap", "gui/501", path).returncode == 0
    shown = bench.shown("gui/501/a")
    assert (shown["state"], shown["last exit code"]) == ("not running", "78: EX_CONFIG")


def test_process_group_ends_with_the_job(bench: Bench, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 1000 & echo $! > {child}.new; mv {child}.new {child}; wait"
    path = bench.agent("a", "/bin/sh", "-c", script, RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    until(child.exists, "the child runs")
    pid = int(child.read_text())
    bench.launchctl("kill", "SIGTERM", "gui/501/a")
    until(lambda: not alive(pid), "the child ended")


def test_reboot(bench: Bench) -> None:
    """What is enabled comes back, what setenv said does not."""
    inside = {"CLAWFLEET_LAB_DOMAIN": "gui/501"}
    bench.agent("a", *SLEEPER, RunAtLoad=True)
    bench.agent("off", *SLEEPER, RunAtLoad=True)
    bench.launchctl("disable", "gui/501/off")
    bench.launchctl("setenv", "http_proxy", "x", **inside)
    assert bench.launchctl("__lab", "reboot").returncode == 0
    pid = bench.shown("gui/501/a")["pid"]
    assert bench.launchctl("getenv", "http_proxy", **inside).stdout == ""
    assert bench.launchctl("print", "gui/501/off").returncode == 113
    assert bench.launchctl("__lab", "reboot").returncode == 0
    assert not alive(int(pid))
    assert alive(int(bench.shown("gui/501/a")["pid"]))


def test_jobs_end_with_launchd_and_come_back_at_boot(bench: Bench) -> None:
    path = bench.agent("a", "/bin/sh", "-c", "trap '' TERM; sleep 1000", RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    pid = int(bench.shown("gui/501/a")["pid"])
    bench.down()
    assert not alive(pid)
    done = bench.process("launchctl", "print", "gui/501")
    assert (done.returncode, done.stdout) == (69, "")
    assert "expected the daemon" in done.stderr
    bench.agent("a", *SLEEPER, RunAtLoad=True)
    bench.up()
    assert alive(int(bench.shown("gui/501/a")["pid"]))
