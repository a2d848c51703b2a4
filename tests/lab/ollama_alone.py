"""One stand-in Ollama without the rest of a simulated Mac, for fast tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.lab.spec import MacSpec
from tests.lab.standins.ollama_store import Store

REPO = Path(__file__).parents[2]
WAIT = 20.0
"""Seconds after which a server that does not answer is an error."""

Json = dict[str, Any]


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers; RuntimeError when it ended or never does."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            httpx.get(url + "/api/version", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"no answer from {url} in {WAIT} s")


class Alone:
    """A folder that stands for a Mac, with an ``ollama`` command and a server when started."""

    def __init__(
        self,
        folder: Path,
        *,
        version: str = "0.32.3",
        internet: str = "http://127.0.0.1:9",
        name: str = "mac1",
        memory: int = 32 << 30,
    ) -> None:
        self.root = folder
        self.version = version
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        home = folder / "Users" / "mac"
        self.spec = MacSpec(
            name=name,
            level="ports",
            root=str(folder),
            home=str(home),
            user="mac",
            uid=os.getuid(),
            gid=os.getgid(),
            state=str(folder / "state"),
            homebrew_prefix=str(folder / "opt/homebrew"),
            applications=str(home / "Applications"),
            python=sys.executable,
            repo=str(REPO),
            cache=str(folder / "cache"),
            internet=internet,
            bin=str(folder / "usr/local/lab-bin"),
            ollama_port=self.port,
            memory=memory,
        )
        self.state = folder / "state"
        self.logfile = folder / "serve.log"
        self.store = Store(home / ".ollama" / "models")
        self.process: subprocess.Popen[bytes] | None = None
        for path in (self.state, home, Path(self.spec.bin)):
            path.mkdir(parents=True)
        self.spec.save(self.state / "mac.json")
        self.command = self.wrapper(folder / "opt/homebrew/bin/ollama", "ollama")
        self.settings(load_ms=0, first_token_ms=0, decode_tps=100_000)

    def wrapper(self, path: Path, module: str) -> Path:
        """An executable that starts a stand-in as the lab's own wrappers do."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "#!/bin/sh\n"
            f"CLAWFLEET_LAB_MAC={self.state}/mac.json PYTHONPATH={REPO} "
            f'OLLAMA_STANDIN_VERSION={self.version} CLAWFLEET_LAB_ARGV0="$0" '
            f'exec {sys.executable} -S -P -m tests.lab.standins.{module} "$@"\n'
        )
        path.chmod(0o755)
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """As clean as that of a Mac's session."""
        return {"HOME": self.spec.home, "PATH": f"{self.spec.bin}:/usr/bin:/bin", **more}

    def settings(self, **values: object) -> None:
        """Write ``ollama.json``, see ``ollama_answer.Speed``."""
        (self.state / "ollama.json").write_text(json.dumps(values))

    def faults(self, **values: str) -> None:
        """Switch on faults; two underscores stand for a dot: ``ollama__pull="stall"``."""
        switches = {key.replace("__", "."): value for key, value in values.items()}
        (self.state / "faults.json").write_text(json.dumps(switches))

    def serve(self, **environment: str) -> Alone:
        """Start the server and wait until it answers."""
        self.stop()
        with self.logfile.open("wb") as log:
            self.process = subprocess.Popen(
                [self.command, "serve"],
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until_up(self.url, self.process)
        return self

    def stop(self) -> None:
        """End the server, if there is one."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT)
            self.process = None

    def cli(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``ollama ARGV``."""
        return subprocess.run(
            [self.command, *argv],
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def get(self, path: str) -> Json:
        """The object behind a GET that succeeds."""
        answer = httpx.get(self.url + path, trust_env=False)
        answer.raise_for_status()
        loaded: Json = answer.json()
        return loaded

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(self.url + path, json=body, trust_env=False, timeout=60)

    def lines(self, path: str, body: object) -> list[Json]:
        """All objects of an NDJSON stream."""
        return [json.loads(line) for line in self.post(path, body).text.splitlines()]

    def pull(self, name: str, **more: object) -> list[Json]:
        """All events of a pull."""
        return self.lines("/api/pull", {"model": name, **more})

    def running(self) -> dict[str, Json]:
        """Models in memory by name."""
        return {model["name"]: model for model in self.get("/api/ps")["models"]}

    def requests(self) -> list[Json]:
        """The server's request log."""
        text = (self.state / "ollama-requests.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]
