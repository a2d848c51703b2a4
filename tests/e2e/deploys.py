"""The real command line against simulated Macs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.lab import Lab, Mac

REPO = Path(__file__).parents[2]
_NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROXIES = dict.fromkeys(_NAMES, "http://127.0.0.1:9")
"""Proxies that lead nowhere, in the environment of whoever deploys."""


@dataclass(frozen=True)
class Done:
    """What a run of pyinfra left."""

    code: int
    out: str
    """stdout: pure JSON with ``--json``."""
    log: str
    """stderr: what a person reads."""

    @property
    def result(self) -> dict[str, Any]:
        """pyinfra's JSON of the run."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    def changed(self) -> list[str]:
        """Names of the operations that changed something on some Mac."""
        operations = self.result["results"]["operations"]
        return [op["name"] for op in operations if op["success"]]


def pyinfra(
    lab: Lab,
    *arguments: str,
    task: str = "deploy.py",
    reports: Path,
    own: Mapping[str, Mapping[str, str]] | None = None,
    timeout: float = 900,
) -> Done:
    """``pyinfra inventory.py TASK ARGUMENTS`` where the lab's Macs can be reached; `own`: settings
    of single Macs."""
    hosts = lab.inventory()
    text = hosts.read_text()
    for name, values in (own or {}).items():
        lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in values.items())
        text = text.replace(f"    {name}:\n", f"    {name}:\n{lines}")
    hosts.write_text(text)
    environment = {
        **os.environ,
        **PROXIES,
        "CLAWFLEET_HOSTS": str(hosts),
        "PYINFRA_PROGRESS": "off",
    }
    argv = [sys.executable, "-m", "pyinfra", "inventory.py", task, *arguments]
    done = lab.run(
        [*argv, "--data", f"reports={reports}"],
        cwd=REPO,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def interrupted(lab: Lab, *arguments: str, at: str, reports: Path, task: str = "deploy.py") -> Done:
    """A run that gets Ctrl-C when its log first holds `at`."""

    def stop(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGINT)

    return watched(lab, *arguments, on={at: stop}, reports=reports, task=task)


def watched(
    lab: Lab,
    *arguments: str,
    on: Mapping[str, Callable[[subprocess.Popen[str]], None]],
    reports: Path,
    task: str = "deploy.py",
) -> Done:
    """A run in which something happens when its log first holds a text."""
    environment = {
        **os.environ,
        "CLAWFLEET_HOSTS": str(lab.inventory()),
        "PYINFRA_PROGRESS": "off",
        "PYTHONUNBUFFERED": "1",
    }
    # A job in the background of a shell ignores Ctrl-C, and so would everything that it starts.
    heeds = "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    heeds += "os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-m", "pyinfra", "inventory.py", task, *arguments]
    argv = [sys.executable, "-c", heeds, *argv]
    log, due = "", dict(on)
    with subprocess.Popen(
        [*lab.network(), *argv, "--data", f"reports={reports}"],
        cwd=REPO,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            log += line
            for text in [text for text in due if text in line]:
                due.pop(text)(process)
        code = process.wait(300)
    return Done(code, "", log)


def tree(mac: Mac) -> dict[str, str]:
    """Every file of the Mac's user that a deploy could change: path -> hash (none of a folder) and
    mode.

    What changes by itself while a gateway runs is left out: logs, caches, databases.
    """
    hashed = '! -path "*/logs/*" ! -name "*.log" ! -name "*.sqlite*" ! -name "*.lock"'
    listed = '! -path "*/tmp/*" ! -path "*/cache/*"'
    script = (
        f'cd "$HOME" && find . -type f {hashed} {listed} -exec shasum -a 256 {{}} + 2>/dev/null; '
        f'find . {listed} -exec stat -f "%Lp %N" {{}} + 2>/dev/null | sort'
    )
    found: dict[str, str] = {}
    for line in mac.exec(script, check=True).stdout.decode().splitlines():
        what, _, path = line.partition(" ")
        found[path.strip()] = f"{found.get(path.strip(), '')} {what}"
    return found


def owned(found: dict[str, str]) -> dict[str, str]:
    """A tree without what a running OpenClaw writes in its own folder at any time: of that folder
    only the files that a deploy writes."""
    ours = ("openclaw.json", "auth-profiles.json", ".env", "ai.openclaw.gateway.env")
    return {
        path: what
        for path, what in found.items()
        if not path.startswith("./.openclaw/") or path.rpartition("/")[2] in ours
    }


def own_files(found: dict[str, str]) -> dict[str, str]:
    """Files, not folders, that a deploy could write, without what says what it did."""
    return {
        path: what
        for path, what in owned(found).items()
        if not path.startswith("./.clawfleet") and len(what.split()) == 2
    }


def awake(mac: Mac) -> None:
    """A Mac as it should stand on a shelf: no sleep, on after a power cut, logged in by itself."""
    window = "/Library/Preferences/com.apple.loginwindow"
    mac.exec(
        "sudo pmset -a sleep 0 disksleep 0 womp 1 autorestart 1 && "
        f"sudo mkdir -p {mac.spec.path('/Library/Preferences')} && "
        f"sudo defaults write {window} autoLoginUser {mac.spec.user} && "
        f"sudo chmod 644 {mac.spec.path(window)}.plist",
        check=True,
    )


def report(reports: Path) -> dict[str, Any]:
    """The newest JSON report."""
    newest = max(reports.glob("*.json"))
    loaded: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return loaded


def home(mac: Mac, name: str) -> str:
    """A file below the Mac user's home, as text."""
    return mac.read(f"{mac.spec.home}/{name}").decode()
