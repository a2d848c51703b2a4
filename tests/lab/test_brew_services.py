"""``brew services`` with launchd: which domain, which plist, which words."""

from __future__ import annotations

import os
import plistlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.standins.launchd_bench import Bench, until

LABEL = "homebrew.mxcl.ollama"


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[Bench]:
    """A Mac with the formula, whose program only waits."""
    bench = Bench(tmp_path).up()
    bench.run("brew_setup", "--quiet")
    bench.run("brew", "__lab", "install-formula", "ollama", "0.32.3")
    program = Path(bench.mac.homebrew_prefix, "Cellar/ollama/0.32.3/bin/ollama")
    program.write_text('#!/bin/sh\nenv > "$HOME/environment"\nexec sleep 1000\n')
    yield bench
    bench.down()


def services(bench: Bench, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return bench.run("brew", "services", *words, **env)


def test_start_restart_stop(mac: Bench) -> None:
    plist = Path(mac.mac.home, f"Library/LaunchAgents/{LABEL}.plist")
    log = f"{mac.mac.homebrew_prefix}/var/log/ollama.log"
    assert services(mac, "list").stdout == "Name   Status User File\nollama none\n"
    started = services(mac, "start", "ollama")
    success = f"==> Successfully started `ollama` (label: {LABEL})\n"
    assert (started.returncode, started.stdout, started.stderr) == (0, success, "")
    assert plistlib.loads(plist.read_bytes()) == {
        "EnvironmentVariables": {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
        "KeepAlive": True,
        "Label": LABEL,
        "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO", "System"],
        "ProgramArguments": [f"{mac.mac.homebrew_prefix}/opt/ollama/bin/ollama", "serve"],
        "RunAtLoad": True,
        "StandardErrorPath": log,
        "StandardOutPath": log,
        "WorkingDirectory": f"{mac.mac.homebrew_prefix}/var",
    }
    pid = mac.shown(f"gui/501/{LABEL}")["pid"]
    assert services(mac, "list").stdout == (
        f"Name   Status  User File\nollama started mac  ~/Library/LaunchAgents/{LABEL}.plist\n"
    )
    assert services(mac, "start", "ollama").stdout == (
        "Service `ollama` already started, use `brew services restart ollama` to restart.\n"
    )
    assert f"PID: {pid}\n" in services(mac, "info", "ollama").stdout
    file = Path(mac.mac.home, ".homebrew/services/ollama.env")
    file.parent.mkdir(parents=True)
    file.write_text("# ours\nOLLAMA_HOST=127.0.0.1:11500\n")
    file.chmod(0o600)
    stopping = "Stopping `ollama`... (might take a while)\n"
    stopped = f"==> Successfully stopped `ollama` (label: {LABEL})\n"
    assert services(mac, "restart", "ollama").stdout == stopping + stopped + success
    assert mac.shown(f"gui/501/{LABEL}")["pid"] != pid
    dump = Path(mac.mac.home, "environment")
    until(lambda: "OLLAMA_HOST=127.0.0.1:11500\n" in dump.read_text(), "the setting arrived")
    file.chmod(0o622)
    warned = services(mac, "restart", "ollama")
    assert "writable by group or others" in warned.stderr
    assert "OLLAMA_HOST" not in plistlib.loads(plist.read_bytes())["EnvironmentVariables"]
    assert services(mac, "stop", "ollama").stdout == stopping + stopped
    assert not plist.exists()
    assert services(mac, "stop", "ollama").stderr == "Warning: Service `ollama` is not started.\n"


def test_nobody_at_the_console(mac: Bench) -> None:
    """Without a terminal brew still takes gui/UID and fails; with one it takes user/UID."""
    mac.launchctl("__lab", "logout")
    failed = services(mac, "start", "ollama")
    assert failed.returncode == 1
    plist = f"{mac.mac.home}/Library/LaunchAgents/{LABEL}.plist"
    assert failed.stderr == (
        "Bootstrap failed: 125: Domain does not support specified action\n"
        f"Error: Failure while executing; `/bin/launchctl bootstrap gui/501 {plist}`"
        " exited with 125.\n"
    )
    started = services(mac, "start", "ollama", SSH_TTY="/dev/ttys001")
    assert started.returncode == 0
    assert started.stderr.startswith("Warning: running over SSH without /dev/console ownership")
    assert mac.shown(f"user/501/{LABEL}")["state"] == "running"


def test_formulae_without_a_service(mac: Bench) -> None:
    done = services(mac, "start", "node@22")
    assert done.returncode == 1
    assert "has not implemented #plist, #service" in done.stderr
    mac.run("brew", "uninstall", "ollama")
    done = services(mac, "start", "ollama")
    assert done.stderr == "Error: Formula `ollama` is not installed.\n"
    assert not os.path.exists(f"{mac.mac.home}/Library/LaunchAgents/{LABEL}.plist")
