"""The stand-in launchctl: text, stream and exit code as captured from real Macs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A Mac without jobs, for tests that leave it so."""
    bench = Bench(tmp_path_factory.mktemp("idle")).up()
    yield bench
    bench.down()


@pytest.fixture
def headless(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, gui_login=False).up()
    yield bench
    bench.down()


def test_print_has_the_layout_of_the_capture(bench: Bench) -> None:
    log = f"{bench.mac.home}/gateway.log"
    path = bench.agent(
        "ai.openclaw.gateway", *SLEEPER, RunAtLoad=True, KeepAlive=True, WorkingDirectory="/tmp",
        StandardOutPath=log, StandardErrorPath=log, Umask=0o77, ThrottleInterval=1,
    )  # fmt: skip
    booted = bench.launchctl("bootstrap", "gui/501", path)
    assert (booted.returncode, booted.stdout, booted.stderr) == (0, "", "")
    out = bench.launchctl("print", "gui/501/ai.openclaw.gateway").stdout
    pid = re.search(r"^\tpid = (\d+)$", out, re.MULTILINE)
    assert pid is not None
    expected = f"""\
gui/501/ai.openclaw.gateway = {{
	active count = 1
	path = {path}
	type = LaunchAgent
	state = running

	program = /bin/sleep
	arguments = {{
		/bin/sleep
		1000
	}}

	working directory = /tmp

	stdout path = {log}
	stderr path = {log}
	inherited environment = {{
		SSH_AUTH_SOCK => /private/tmp/com.apple.launchd.lab100002/Listeners
	}}

	default environment = {{
		PATH => {bench.mac.bin}:/usr/bin:/bin:/usr/sbin:/sbin
	}}

	environment = {{
		OSLogRateLimit => 64
		XPC_SERVICE_NAME => ai.openclaw.gateway
	}}

	domain = gui/501 [100002]
	umask = 77
	asid = 100002
	minimum runtime = 1
	exit timeout = 5
	runs = 1
	pid = {pid[1]}
	immediate reason = speculative
"""
    assert out.startswith(expected)
    assert out.endswith(
        "\tcpumon = default\n\n\tproperties = partial import | keepalive | runatload"
        " | inferred program\n}\n"
    )
    assert "\tlast exit code = (never exited)\n\n\tresource coalition = {\n\t\tID = " in out


def test_print_of_a_domain(bench: Bench) -> None:
    path = bench.agent("com.example.once", "/usr/bin/true", RunAtLoad=True)
    bench.launchctl("bootstrap", "gui/501", path)
    until(lambda: bench.shown("gui/501/com.example.once")["state"] == "not running", "it ended")
    out = bench.launchctl("print", "gui/501").stdout
    assert out.startswith("gui/501 = {\n\ttype = login\n\thandle = 100002\n\tactive count = 2\n")
    assert "\tsession = Aqua\n" in out
    assert "\tsecurity context = {\n\t\tuid = 501\n\t\tasid = 100002\n\t}\n" in out
    assert "\tservices = {\n\t\t       0      0 \tcom.example.once\n\t}\n" in out
    assert out.endswith("\n\tproperties = gui | gui login\n}\n")
    assert bench.launchctl("print", "user/501").returncode == 0
    assert bench.launchctl("print", "system").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (
            ("print", "gui/501/no.such.label"), 113,
            'Bad request.\nCould not find service "no.such.label" in domain for user gui: 501\n',
        ),
        (
            ("print", "user/501/no.such.label"), 113,
            'Bad request.\nCould not find service "no.such.label" in domain for uid: 501\n',
        ),
        (
            ("print", "system/no.such.label"), 113,
            'Bad request.\nCould not find service "no.such.label" in domain for system\n',
        ),
        (("print", "gui/502"), 1, "Could not print domain: 1: Operation not permitted\n"),
        (("bootout", "gui/501/x"), 3, "Boot-out failed: 3: No such process\n"),
        (
            ("kickstart", "gui/501/not.loaded"), 113,
            'Could not find service "not.loaded" in domain for user gui: 501\n',
        ),
        (
            ("list", "ai.openclaw.gateway"), 113,
            'Could not find service "ai.openclaw.gateway" in domain for port\n',
        ),
        (("frobnicate",), 1, "Unrecognized subcommand: frobnicate\n"),
        (("bootstrap", "gui/501", "absent.plist"), 5, IO_ERROR),
        (("enable", "gui/501/ai.openclaw.gateway"), 0, ""),
        (("unsetenv", "NOT_SET"), 0, ""),
        (("getenv", "NOT_SET"), 0, ""),
        (
            ("kickstart", "-p", "com.apple.wallpaper.agent"), 64,
            "Unrecognized target specifier, did you mean gui/<uid>/com.apple.wallpaper.agent\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_failures(idle: Bench, words: tuple[str, ...], code: int, err: str) -> None:
    done = idle.launchctl(*words)
    assert (done.returncode, done.stderr) == (code, err)
    if code != 64:
        assert done.stdout == ""


def test_usage_goes_to_stdout(idle: Bench) -> None:
    for words in (("print",), ("setenv", "ONLYKEY")):
        done = idle.launchctl(*words)
        assert (done.returncode, done.stderr) == (64, "")
        assert done.stdout.startswith("Usage: launchctl <subcommand> ...")


def test_nobody_at_the_console(headless: Bench) -> None:
    path = headless.agent("a", *SLEEPER)
    done = headless.launchctl("bootstrap", "gui/501", path)
    assert done.stderr == "Bootstrap failed: 125: Domain does not support specified action\n"
    assert done.returncode == 125
    domain = headless.launchctl("print", "gui/501")
    assert domain.stderr == "Bad request.\nCould not find domain for user gui: 501\n"
    assert domain.returncode == 112
    assert headless.launchctl("print", "gui/501/x").returncode == 112
    assert headless.launchctl("kickstart", "gui/501/x").returncode == 112
    assert headless.launchctl("enable", "gui/501/x").returncode == 0


def test_newer_macos_says_it_otherwise(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gui_login=False, macos="26.1").up()
    done = bench.launchctl("print", "gui/501/x")
    assert (done.returncode, done.stderr) == (125, "Domain does not support specified action\n")
    bench.down()


def test_bootstrap_refusals(bench: Bench) -> None:
    path = bench.agent("a", *SLEEPER, RunAtLoad=True)
    os.chmod(path, 0o664)
    assert bench.launchctl("bootstrap", "gui/501", path).stderr == IO_ERROR
    os.chmod(path, 0o644)
    bench.launchctl("disable", "gui/501/a")
    disabled = bench.launchctl("print-disabled", "gui/501")
    assert disabled.stdout == (
        'disabled services = {\n\t\t"a" => disabled\n}\nlogin item associations = {\n}\n'
    )
    assert bench.launchctl("bootstrap", "gui/501", path).returncode == 5
    bench.launchctl("enable", "gui/501/a")
    assert '\t\t"a" => enabled\n' in bench.launchctl("print-disabled", "gui/501").stdout
    assert bench.launchctl("bootstrap", "user/501", path).returncode == 5, "an agent for Aqua only"
    assert bench.launchctl("bootstrap", "gui/501", path).returncode == 0
    again = bench.launchctl("bootstrap", "gui/501", path)
    assert (again.returncode, again.stderr) == (5, IO_ERROR)
    for broken in (
        "{",
        "<plist><dict>",
        "<plist><dict><key>Label</key><integer>1</integer></dict>",
    ):
        Path(path).write_text(broken)
        assert bench.launchctl("bootstrap", "gui/501", path).stderr == IO_ERROR
    bench.agent("b", *SLEEPER, EnvironmentVariables=["no", "dict"])
    path = path.replace("a.plist", "b.plist")
    assert bench.launchctl("bootstrap", "gui/501", path).stderr == IO_ERROR


def test_root(bench: Bench) -> None:
    """At the level "ports" only the stand-in sudo makes root, which CLAWFLEET_LAB_ROOT shows."""
    root = {"CLAWFLEET_LAB_ROOT": "1"}
    done = bench.launchctl("setenv", "X", "Y", **root)
    assert done.returncode == 150
    assert done.stderr == (
        "Could not set environment: 150: Operation not permitted while System Integrity"
        " Protection is engaged\n"
    )
    path = bench.agent("a", *SLEEPER)
    done = bench.launchctl("bootstrap", "gui/0", path, **root)
    assert done.stderr == "Bootstrap failed: 125: Domain does not support specified action\n"
    assert bench.launchctl("managername", **root).stdout == "System\n"
    words = ("asuser", "501", bench.mac.python, "-S", "-m", "tests.lab.standins.launchctl")
    assert bench.process("launchctl", *words, "managername", **root).stdout == "Aqua\n"
    denied = bench.process("launchctl", *words, "managername")
    assert (denied.returncode, denied.stdout) == (1, "")
    assert denied.stderr.endswith(": 1: Operation not permitted\n")
    daemon = bench.agent("com.example.daemon", *SLEEPER, RunAtLoad=True)
    assert bench.launchctl("bootstrap", "system", daemon).returncode == 5
    assert bench.launchctl("bootstrap", "system", daemon, **root).returncode == 0
    assert "\ttype = LaunchDaemon\n" in bench.launchctl("print", "system/com.example.daemon").stdout


def test_scripted_codes_are_used_up(bench: Bench) -> None:
    bench.faults('{"launchctl.bootstrap": "5,37,0", "launchctl.bootout": "36"}')
    path = bench.agent("a", *SLEEPER)
    first, second, third = (bench.launchctl("bootstrap", "gui/501", path) for _ in range(3))
    assert (first.returncode, first.stderr) == (5, IO_ERROR)
    assert second.stderr == "Bootstrap failed: 37: Operation already in progress\n"
    assert (second.returncode, third.returncode) == (37, 0)
    out = bench.launchctl("bootout", "gui/501/a")
    assert (out.returncode, out.stderr) == (36, "Boot-out failed: 36: Operation now in progress\n")
    assert bench.launchctl("bootout", "gui/501/a").returncode == 0


def test_old_bootout_says_in_progress_though_it_works(tmp_path: Path) -> None:
    bench = Bench(tmp_path, macos="11.7").up()
    bench.launchctl("bootstrap", "gui/501", bench.agent("a", *SLEEPER, RunAtLoad=True))
    assert bench.launchctl("bootout", "gui/501/a").returncode == 36
    until(lambda: bench.launchctl("print", "gui/501/a").returncode == 113, "it is gone")
    bench.down()


def test_old_subcommands_fail_with_exit_code_0(bench: Bench) -> None:
    path = bench.agent("a", *SLEEPER, RunAtLoad=True)
    done = bench.launchctl("load", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "Load failed: 5: Input/output error\n"
        "Try running `launchctl bootstrap` as root for richer errors.\n"
    )
    assert bench.launchctl("unload", path).stderr.startswith("Unload failed: 5: ")
    inside = {"CLAWFLEET_LAB_DOMAIN": "gui/501"}
    assert bench.launchctl("load", path, **inside).stderr == ""
    assert bench.shown("gui/501/a")["state"] == "running"
    assert bench.launchctl("list", "a").returncode == 113, "SSH sees its own domain only"
    assert bench.launchctl("stop", "a", **inside).returncode == 0
    until(lambda: bench.shown("gui/501/a")["state"] == "not running", "it stopped")
    assert bench.launchctl("start", "a", **inside).returncode == 0
    assert bench.shown("gui/501/a")["runs"] == "2"
    assert bench.launchctl("unload", "-w", path, **inside).stderr == ""
    assert '"a" => disabled' in bench.launchctl("print-disabled", "gui/501").stdout


def test_openclaw_install_sequence(bench: Bench) -> None:
    """What `openclaw gateway install` of 2026.2.17 runs, over an agent that is there already."""
    target, label = "gui/501", "gui/501/ai.openclaw.gateway"
    path = bench.agent("ai.openclaw.gateway", *SLEEPER, RunAtLoad=True, KeepAlive=True)
    bench.faults('{"launchd.teardown": "0"}')
    assert bench.launchctl("bootout", target, path).returncode == 5
    assert bench.launchctl("unload", path).returncode == 0
    assert bench.launchctl("enable", label).returncode == 0
    assert bench.launchctl("bootstrap", target, path).returncode == 0
    assert bench.launchctl("kickstart", "-k", label).returncode == 0
    assert bench.shown(label)["state"] == "running"
