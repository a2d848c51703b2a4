"""A simulated Mac in a folder, with its launchd and nothing else: for tests of single stand-ins."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import plistlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tests.lab.spec import ENV, MacSpec

REPO = Path(__file__).resolve().parents[3]
PATIENCE = 60.0
"""Seconds after which a condition that does not come true fails the test."""


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; AssertionError naming ``what`` if it never comes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"still not true after {PATIENCE:g} s: {what}")


class Bench:
    """The Mac, and its stand-ins."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        root = folder / "mac1"
        values: dict[str, Any] = {
            "name": "mac1",
            "level": "ports",
            "root": str(root),
            "home": f"{root}/Users/mac",
            "user": "mac",
            "uid": 501,
            "gid": 20,
            "state": f"{root}/private/var/lab",
            "homebrew_prefix": f"{root}/opt/homebrew",
            "applications": f"{root}/Users/mac/Applications",
            "python": sys.executable,
            "repo": str(REPO),
            "cache": str(folder / "cache"),
            "internet": "http://127.0.0.1:9",
            "bin": f"{root}/usr/local/lab-bin",
            **settings,
        }
        self.mac = MacSpec(**values)
        for path in (self.mac.home, self.mac.state, self.mac.bin):
            os.makedirs(path, exist_ok=True)
        self.mac.save(Path(self.mac.state) / "mac.json")
        self.daemon: subprocess.Popen[bytes] | None = None

    def environment(self, **more: str) -> dict[str, str]:
        """What a command over SSH finds: nothing of the machine's own environment."""
        return {
            "HOME": self.mac.home,
            "USER": self.mac.user,
            "LOGNAME": self.mac.user,
            "PATH": f"{self.mac.bin}:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": self.mac.repo,
            ENV: f"{self.mac.state}/mac.json",
            **more,
        }

    def up(self) -> Bench:
        """Start launchd and wait until it answers."""
        self.daemon = subprocess.Popen(
            [self.mac.python, "-S", "-m", "tests.lab.standins.launchd"], env=self.environment()
        )
        until(lambda: os.path.exists(f"{self.mac.state}/launchd.sock"), "launchd listens")
        return self

    def down(self) -> None:
        """End launchd and with it every job."""
        if self.daemon is not None:
            self.daemon.terminate()
            assert self.daemon.wait(PATIENCE) == 0
            self.daemon = None

    def run(self, module: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A stand-in called inside this process: what it prints, and its exit code.

        ``env`` comes on top of an SSH session's environment.
        """
        main = importlib.import_module(f"tests.lab.standins.{module}").main
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(**env), clear=True),
            contextlib.chdir(self.mac.home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(list(words))
        return subprocess.CompletedProcess([module, *words], code, out.getvalue(), err.getvalue())

    def process(self, module: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The same as a process of its own, as a Mac would run it."""
        return subprocess.run(
            [self.mac.python, "-S", "-m", f"tests.lab.standins.{module}", *words],
            env=self.environment(**env),
            cwd=self.mac.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def launchctl(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``launchctl`` as called over SSH, unless ``env`` says otherwise."""
        return self.run("launchctl", *words, **env)

    def agent(self, label: str, *arguments: str, **keys: Any) -> str:
        """Write a LaunchAgent; its path."""
        path = Path(self.mac.home, "Library", "LaunchAgents", f"{label}.plist")
        path.parent.mkdir(parents=True, exist_ok=True)
        plist = {"Label": label, "ProgramArguments": list(arguments), **keys}
        path.write_bytes(plistlib.dumps(plist))
        path.chmod(0o644)
        return str(path)

    def faults(self, text: str) -> None:
        """Set the faults of the Mac, as JSON."""
        Path(self.mac.state, "faults.json").write_text(text)

    def shown(self, target: str) -> dict[str, str]:
        """The lines with one TAB of ``launchctl print``, as a consumer should read them."""
        out = self.launchctl("print", target).stdout
        pairs = (line[1:].split(" = ", 1) for line in out.splitlines() if line.count("\t") == 1)
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
