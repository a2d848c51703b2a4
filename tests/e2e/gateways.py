"""Bad states of a gateway, built on a simulated Mac with its own commands."""

from __future__ import annotations

import json
import plistlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.deploys import Done, pyinfra
from tests.lab.lab import Lab, Mac
from tests.lab.profiles import LABEL

JOB = f"gui/$(id -u)/{LABEL}"
AGENT = f"Library/LaunchAgents/{LABEL}.plist"
PATIENCE = 120
"""Seconds for a state to be there; a real gateway on a busy machine needs some."""


def until(condition: Callable[[], Any], what: str) -> None:
    """AssertionError naming `what` when the condition does not come true in time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def shown(mac: Mac) -> dict[str, str]:
    """What launchd shows of the job, {} where it is not loaded."""
    out = mac.exec(f"launchctl print {JOB}").stdout.decode()
    pairs = (line[1:].split(" = ", 1) for line in out.splitlines() if line.count("\t") == 1)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def listeners(mac: Mac) -> list[str]:
    """Pids on the gateway's port."""
    return mac.exec(f"lsof -nP -tiTCP:{mac.spec.gateway_port} -sTCP:LISTEN").stdout.decode().split()


def answers(mac: Mac) -> bool:
    """Whether the port answers HTTP."""
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/"
    return mac.exec(f"curl -s -m 3 --noproxy '*' -o /dev/null {url}").returncode == 0


def well(mac: Mac) -> bool:
    """Whether launchd's own process listens and answers, and nobody else does."""
    return listeners(mac) == [shown(mac).get("pid")] and answers(mac)


def boot_out(mac: Mac) -> None:
    """Take the job out of launchd, and wait until it and its process are gone."""
    mac.exec(f"launchctl bootout {JOB}")
    until(lambda: not shown(mac) and not listeners(mac), "the job is gone")


def by_hand(mac: Mac) -> None:
    """Start the gateway as a person in a Terminal would: not by launchd."""
    plist = plistlib.loads(read(mac, AGENT))
    arguments = " ".join(f"'{word}'" for word in plist["ProgramArguments"])
    environment = plist.get("EnvironmentVariables", {})
    words = " ".join(f"{name}='{value}'" for name, value in environment.items())
    mac.exec(f"{words} nohup {arguments} > by-hand.log 2>&1 & sleep 0.1")
    until(lambda: answers(mac), "the gateway in the Terminal answers")


def read(mac: Mac, path: str) -> bytes:
    return mac.read(f"{mac.spec.home}/{path}")


def rewrite(mac: Mac, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change openclaw.json as an editor does: beside it, then moved into its place."""
    path = f"{mac.spec.home}/.openclaw/openclaw.json"
    # What a deploy has written on a fresh Mac is plain JSON.
    config = json.loads(mac.read(path))
    edit(config)
    mac.write(f"{path}.new", json.dumps(config, indent=2).encode(), 0o600)
    mac.exec(f"mv -f {path}.new {path}", check=True)


def leave_a_copy(mac: Mac, **faults: str) -> str:
    """Let 2026.2.17 answer an edit as it does: it leaves a copy of itself, whose pid this is.

    launchd's next start of the job has to wait meanwhile: else either of them may be the first.
    """
    mac.set_faults({"launchd.throttle": "600", **faults})
    job = shown(mac)["pid"]
    profile = {"provider": "zai", "mode": "api_key"}
    rewrite(mac, lambda config: config["auth"]["profiles"].update({"zai:default": profile}))
    until(lambda: listeners(mac) not in ([], [job]), "a copy listens")
    mac.set_faults(faults)
    return listeners(mac)[0]


def listening_program(mac: Mac) -> str:
    """Another program on the gateway's port; its pid."""
    code = (
        "import http.server as h; "
        f"h.HTTPServer(('127.0.0.1', {mac.spec.gateway_port}), h.SimpleHTTPRequestHandler)"
        ".serve_forever()"
    )
    python = mac.spec.python
    out = mac.exec(f'"{python}" -S -c "{code}" > /dev/null 2>&1 & echo $!', check=True).stdout
    until(lambda: answers(mac), "the program answers")
    return out.decode().strip()


def keep_alive_script(mac: Mac, script: str) -> None:
    """Replace the program of the LaunchAgent by a script, its port still among the arguments."""
    plist = plistlib.loads(read(mac, AGENT))
    plist["ProgramArguments"] = ["/bin/sh", "-c", script, *plist["ProgramArguments"]]
    path = f"{mac.spec.home}/{AGENT}"
    mac.write(path, plistlib.dumps(plist), 0o644)


def task(lab: Lab, reports: Path, *arguments: str, name: str = "gateway") -> Done:
    """``pyinfra inventory.py tasks/NAME.py -y``"""
    return pyinfra(lab, "-y", "--json", *arguments, task=f"tasks/{name}.py", reports=reports)
