"""Macs that give each other models: four with a running Ollama, and what a test asks of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deploys import REPO, Done, pyinfra
from tests.lab import levels, plan, power
from tests.lab.lab import Lab, Mac
from tests.lab.profiles import apply

MODELS = ("gpt-oss:20b", "qwen3-coder")
BLOBS = {"gpt-oss:20b": 4_400_000, "qwen3-coder": 5_900_000}
"""Bytes of the weights in the lab's registry."""
LAN = ("--data", "distribution=lan")
OWN = b"# mine\nssh-ed25519 AAAAC3Nz somebody@laptop"
"""What the user has in authorized_keys, below the key of the lab; the last line has no end."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four Macs with a running Ollama, on cables whose rate can be changed."""
    why = levels.obstacle([plan.REPO])
    if why is None and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        why = "/dev/net/tun is closed to this user"
    if why or os.environ.get("CLAWFLEET_LAB") == "ports":
        pytest.skip(f"Macs that reach each other need the level namespaces ({why or 'ports'})")
    with Lab.up(4, level="namespaces", rtt=0, dir=tmp_path_factory.mktemp("lab")) as running:
        for mac in running.macs.values():
            apply(mac, "served", "2026.2.17")
            keys = mac.read(f"{mac.spec.home}/.ssh/authorized_keys").rstrip(b"\n") + b"\n" + OWN
            mac.write(f"{mac.spec.home}/.ssh/authorized_keys", keys, 0o640)
        yield running


class Fleet:
    """The Macs, empty at first, and what a test asks of them."""

    def __init__(self, lab: Lab, reports: Path) -> None:
        self.lab, self.reports = lab, reports
        self.before = {name: access(mac) for name, mac in lab.macs.items()}
        self.net(rate=0)
        for mac in lab.macs.values():
            mac.exec("rm -rf ~/.ollama/models/* ~/.clawfleet", check=True)
            mac.set_faults({})
            mac.exec("mkdir -p ~/.ollama/models/blobs")
        self.control(faults=[], kbps=0, reset=True)

    def __getitem__(self, name: str) -> Mac:
        return self.lab.macs[name]

    def net(self, **quality: float) -> None:
        self.lab.net("all", **quality)

    def control(self, **wish: object) -> None:
        self._internet("__ctl", "-d", json.dumps(wish))

    def stats(self) -> dict[str, Any]:
        loaded: dict[str, Any] = self._internet("__stats")
        return loaded

    def _internet(self, path: str, *more: str) -> Any:
        address = f"{self.lab.internet}/{path}"
        done = self.lab.run(["curl", "-sS", address, *more], capture_output=True, check=True)
        return json.loads(done.stdout)

    def downloaded(self) -> int:
        """Bytes that came from the registry."""
        size: int = self.stats()["prefixes"].get("/v2", {"bytes": 0})["bytes"]
        return size

    def deploy(self, *arguments: str) -> Done:
        return pyinfra(
            self.lab, *arguments, *LAN, task="tasks/models.py", reports=self.reports, timeout=300
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same, while it runs."""
        environment = {
            **os.environ,
            "CLAWFLEET_HOSTS": str(self.lab.inventory()),
            "PYINFRA_PROGRESS": "off",
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, "-m", "pyinfra", "inventory.py", "tasks/models.py", "-y"]
        return subprocess.Popen(
            [*self.lab.network(), *argv, *LAN, *arguments],
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def as_before(self) -> None:
        """Nobody may read anything of another Mac any more."""
        eventually(
            lambda: {name: access(mac) for name, mac in self.lab.macs.items()} == self.before,
            "an access that remains",
        )


def access(mac: Mac) -> bytes:
    """All that gives an access, and what is left of a transfer."""
    script = (
        'cat ~/.ssh/authorized_keys; stat -f "%Sp %Su %z" ~/.ssh/authorized_keys; ls -A ~/.ssh; '
        'ls -d ~/.clawfleet/lan "$TMPDIR"clawfleet-lan* 2>/dev/null; true'
    )
    return mac.exec(script, check=True).stdout


def models(mac: Mac) -> dict[str, str]:
    """What the Mac's Ollama lists: name -> digest."""
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/tags"
    done = mac.exec(["curl", "-sS", "--noproxy", "*", url], check=True)
    return {m["name"]: m["digest"] for m in json.loads(done.stdout)["models"]}


def damaged(mac: Mac) -> bytes:
    """Blobs whose bytes are not those of their names; empty where all is well."""
    script = (
        'cd ~/.ollama/models/blobs && for f in *; do [ -e "$f" ] || continue; '
        'h=$(shasum -a 256 < "$f" | cut -c1-64); [ "$f" = "sha256-$h" ] || echo "$f"; done'
    )
    return mac.exec(script, check=True).stdout


def eventually(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def fleet(lab: Lab, reports: Path) -> Iterator[Fleet]:
    made = Fleet(lab, reports)
    yield made
    for mac in lab.macs.values():
        power.disarm(mac)


def whole(fleet: Fleet, *names: str) -> None:
    """These Macs have both models, the same ones, and every byte of them is right."""
    listed = [models(fleet[name]) for name in names]
    assert sorted(listed[0]) == ["gpt-oss:20b", "qwen3-coder:latest"]
    assert all(found == listed[0] for found in listed)
    for name in names:
        assert damaged(fleet[name]) == b""
        left = fleet[name].exec("ls -A ~/.ollama/models ~/.ollama/models/manifests").stdout
        assert b"incoming" not in left
