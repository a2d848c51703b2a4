"""A Mac in a folder with the small OpenClaw on it, and an Ollama of a few lines: for fast tests."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.lab import wrappers
from tests.lab.openclaw import NODE_FOR
from tests.lab.standins import node_wrapper
from tests.lab.standins.launchd_bench import Bench

TOKEN = "tok-lab-0123456789abcdef"


def free_port() -> int:
    """A port of the loopback interface on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Clawed(Bench):
    """The Mac; its node is the wrapper of the version's major, its cache is empty."""

    def __init__(self, folder: Path, version: str, **settings: Any) -> None:
        super().__init__(folder, gateway_port=free_port(), **settings)
        self.version = version
        self.major = NODE_FOR.get(version, 22)
        self.prefix = Path(self.mac.homebrew_prefix)
        self.keg = self.prefix / "Cellar" / f"node@{self.major}" / "1"
        node_wrapper.install(self.mac, self.keg, self.major)
        self.calls_file = Path(self.mac.state, "launchctl-calls")
        wrappers.write(self.mac, "launchctl", f"{self.mac.state}/launchctl")
        launchctl = Path(self.mac.bin, "launchctl")
        launchctl.write_text(
            f'#!/bin/sh\necho "$*" >>{self.calls_file}\nexec {self.mac.state}/launchctl "$@"\n'
        )
        launchctl.chmod(0o755)

    def sh(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command with Homebrew and its node on PATH, as one over SSH would set it."""
        values = self.environment(**env)
        del values["PYTHONPATH"]
        values["PATH"] = f"{self.keg}/bin:{self.prefix}/bin:{values['PATH']}"
        return subprocess.run(
            ["/usr/bin/env", *argv],
            env=values,
            cwd=self.mac.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def npm(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``npm ...``"""
        return self.sh("npm", *argv, **env)

    def install_small(self) -> None:
        """``npm install -g`` of the small stand-in."""
        done = self.npm("install", "-g", f"openclaw@{self.version}", CLAWFLEET_LAB_OPENCLAW="small")
        assert done.returncode == 0, done.stderr

    def openclaw(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``openclaw ...``, with the home written as ``~`` in what it prints."""
        done = self.sh("openclaw", *argv, **env)
        done.stdout, done.stderr = (
            text.replace(self.mac.home, "~") for text in (done.stdout, done.stderr)
        )
        return done

    def write_config(self, text: str | dict[str, Any]) -> None:
        """``~/.openclaw/openclaw.json``."""
        folder = Path(self.mac.home, ".openclaw")
        folder.mkdir(mode=0o700, exist_ok=True)
        content = text if isinstance(text, str) else json.dumps(text)
        (folder / "openclaw.json").write_text(content)

    def gateway(self) -> dict[str, Any]:
        """The least ``gateway`` block that starts everywhere."""
        auth = {"mode": "token", "token": TOKEN}
        port = self.mac.gateway_port
        return {"mode": "local", "bind": "loopback", "port": port, "auth": auth}

    def calls(self) -> list[str]:
        """The launchctl calls since the last look, with plain paths."""
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        self.calls_file.unlink(missing_ok=True)
        return text.replace(self.mac.home, "~").replace(str(self.mac.uid), "UID").splitlines()


class FakeOllama:
    """Answers chats in both dialects; ``faults`` maps a model to an HTTP status or ``reset``."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.faults: dict[str, int | str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
                return

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                outer.requests.append({
                    "path": self.path, "bytes": len(raw), "body": body,
                    "authorization": self.headers.get("Authorization"),
                })  # fmt: skip
                fault = outer.faults.get(body["model"])
                if fault == "reset":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if isinstance(fault, int):
                    why = {"error": f"model '{body['model']}' not found"}
                    openai = {"error": {"message": why["error"]}}
                    self.answer(fault, why if self.path == "/api/chat" else openai)
                elif self.path == "/api/chat":
                    self.answer(200, {"message": {"content": body["model"]}, "done": True})
                else:
                    delta = {"choices": [{"delta": {"content": body["model"]}}]}
                    self.answer(200, delta, prefix=b"data: ")

            def answer(self, status: int, value: object, prefix: bytes = b"") -> None:
                content = prefix + json.dumps(value).encode() + b"\n"
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self.thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
