"""The running gateway of the small OpenClaw: its port, its HTTP answers, its sessions."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

from tests.lab.spec import faults
from tests.lab.standins import openclaw_small_config as configuration
from tests.lab.standins import openclaw_small_reload as reloading
from tests.lab.standins import openclaw_small_turn as turns
from tests.lab.standins.here import mac

MIGRATE = (
    "Gateway failed to start: Auth profile store ~/.openclaw/state/openclaw.sqlite requires legacy "
    "credential migration; affected providers: {providers}; run openclaw doctor --fix."
)
_PAGE = b"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>OpenClaw Control</title>
  </head>
  <body></body>
</html>
"""


def rename(name: str) -> None:
    """Show this process under a name of its own, as Node's ``process.title`` does (Linux only)."""
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(15, name.encode(), 0, 0, 0)
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (OSError, AttributeError):
        return
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, name.encode()[: end - start - 1], min(len(name), end - start - 1))


class Sessions:
    """Conversation of the one agent: a JSON file on 2026.2.x, SQLite on 2026.9.x."""

    def __init__(self, home: Path, version: str) -> None:
        agent = home / ".openclaw" / "agents" / "main"
        self.new = configuration.recent(version)
        self.file = agent / "sessions" / "sessions.json"
        self.database = agent / "agent" / "openclaw-agent.sqlite"
        (self.database if self.new else self.file).parent.mkdir(parents=True, exist_ok=True)

    def _sql(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.database)
        connection.execute("CREATE TABLE IF NOT EXISTS turns (session TEXT, message TEXT)")
        # The columns of 2026.9.6 that hold what others may read.
        connection.execute(
            "CREATE TABLE IF NOT EXISTS session_nodes (session_key TEXT NOT NULL PRIMARY KEY, "
            "current_session_id TEXT NOT NULL, entry_json TEXT NOT NULL)"
        )
        return connection

    def _index(self) -> dict[str, dict[str, Any]]:
        try:
            index: dict[str, dict[str, Any]] = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return index

    def open(self, key: str) -> tuple[str, list[dict[str, str]]]:
        """The session's id and its messages so far."""
        if self.new:
            with self._sql() as sql:
                rows = sql.execute("SELECT message FROM turns WHERE session = ?", (key,))
                return key, [json.loads(row[0]) for row in rows]
        session = self._index().get(key, {}).get("sessionId")
        if not session:
            return str(uuid.uuid4()), []
        lines = (self.file.parent / f"{session}.jsonl").read_text().splitlines()
        return session, [json.loads(line) for line in lines]

    def add(
        self, key: str, session: str, messages: list[dict[str, str]], tokens: tuple[int, int]
    ) -> None:
        """Append messages to a session; `tokens` were read and written for them."""
        entry: dict[str, Any] = {"sessionId": session, "updatedAt": int(time.time() * 1000)}
        if tokens[0]:
            entry |= {"inputTokens": tokens[0], "outputTokens": tokens[1]}
            entry |= {"totalTokens": tokens[0], "totalTokensFresh": True}
        if self.new:
            with self._sql() as sql:
                rows = [(key, json.dumps(message)) for message in messages]
                sql.executemany("INSERT INTO turns VALUES (?, ?)", rows)
                node = (key, session, json.dumps(entry))
                sql.execute("INSERT OR REPLACE INTO session_nodes VALUES (?, ?, ?)", node)
            return
        index = self._index()
        index[key] = entry
        self.file.write_text(json.dumps(index, indent=2) + "\n")
        self.file.chmod(0o600)
        with open(self.file.parent / f"{session}.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(message) + "\n" for message in messages)

    def reset(self, key: str) -> None:
        """Forget a session; its transcript stays on 2026.2.x, as with the real one."""
        if self.new:
            with self._sql() as sql:
                sql.execute("DELETE FROM turns WHERE session = ?", (key,))
                sql.execute("DELETE FROM session_nodes WHERE session_key = ?", (key,))
            return
        index = self._index()
        index.pop(key, None)
        self.file.write_text(json.dumps(index, indent=2) + "\n")


def turn(home: Path, version: str, message: str, key: str, *, embedded: bool) -> dict[str, Any]:
    """Answer one message with the configuration as it lies there now."""
    config = configuration.load(home, version)
    sessions = Sessions(home, version)
    session, history = sessions.open(key)
    said = {"role": "user", "content": message}
    answer = turns.run(config, version, [*history, said], home)
    kept = [said]
    if answer.failure is None:
        kept.append({"role": "assistant", "content": answer.text})
    sessions.add(key, session, kept, answer.tokens)
    return turns.report(answer, version, session, embedded=embedded)


def _log(text: str, *, bad: bool = False) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
    print(stamp, text, file=sys.stderr if bad else sys.stdout, flush=True)


def blocked(config: configuration.Config, version: str, home: Path, unconfigured: bool) -> int:
    """Why the gateway would not start: 0 when nothing is in the way, else the exit code.

    The reason has been written to standard error.
    """
    new = configuration.recent(version)
    if config.unparseable is not None and not new:
        _log(f"Failed to read config at {config.file} SyntaxError: {config.unparseable}", bad=True)
        return 1
    if config.issues and new:
        lines = "\n".join(configuration.lines_of(config, version))
        _log(f"Gateway failed to start: Invalid config at {config.file}:\n{lines}\n"
             'Run "openclaw doctor --fix" to repair, then retry.', bad=True)  # fmt: skip
        return 78
    if config.get("gateway", "mode") != "local" and not unconfigured:
        found = config.get("gateway", "mode") or "unset"
        if not new:
            _log("Gateway start blocked: set gateway.mode=local "
                 f"(current: {found}) or pass --allow-unconfigured.", bad=True)  # fmt: skip
            return 1
        _log("Gateway start blocked: existing config is missing gateway.mode. Treat this as "
             "suspicious or clobbered config. Re-run `openclaw onboard --mode local` or `openclaw "
             "setup`, set gateway.mode=local manually, or pass --allow-unconfigured.",
             bad=True)  # fmt: skip
        return 78
    if version == "2026.2.12" and not config.get("gateway", "auth", "token"):
        _log("Gateway auth is set to token, but no token is configured.", bad=True)
        return 1
    old = home / ".openclaw" / "agents" / "main" / "agent" / "auth-profiles.json"
    if new and old.exists():
        profiles = json.loads(old.read_text()).get("profiles", {}).values()
        names = ", ".join(sorted({profile.get("provider", "?") for profile in profiles}))
        _log(MIGRATE.format(providers=names), bad=True)
        return 78
    return 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    version_ = ""
    home = Path()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        return

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def _allowed(self) -> bool:
        token = configuration.load(self.home, self.version_).get("gateway", "auth", "token")
        # On 2026.2.x the service's own token, from its plist, wins over the file's.
        token = os.environ.get("OPENCLAW_GATEWAY_TOKEN") or token
        if self.headers.get("Authorization") == f"Bearer {token}":
            return True
        self._json({"error": {"message": "Unauthorized", "type": "unauthorized"}}, 401)
        return False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/__lab/health":
            if self._allowed():
                self._json({"ok": True, "ts": int(time.time() * 1000)})
        elif not configuration.recent(self.version_):
            self._send(200, _PAGE, "text/html; charset=utf-8")
        elif path in ("/healthz", "/health"):
            self._json({"ok": True, "status": "live"})
        elif path in ("/readyz", "/ready"):
            self._json({"ready": True, "failing": [], "uptimeMs": 1})
        elif path == "/v1/models":
            entry = {"id": "openclaw", "object": "model", "created": 0, "owned_by": "openclaw"}
            self._json({"object": "list", "data": [entry]})
        else:
            self._send(200, _PAGE, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if not self._allowed():
            return
        if self.path == "/__lab/agent":
            key = body["session"]
            self._json(turn(self.home, self.version_, body["message"], key, embedded=False))
        elif self.path == "/__lab/reset":
            Sessions(self.home, self.version_).reset(body["session"])
            self._json({"ok": True})
        elif self.path == "/v1/chat/completions":
            self._completions(body)
        else:
            self._json({"error": {"message": "Not Found"}}, 404)

    def _completions(self, body: dict[str, Any]) -> None:
        config = configuration.load(self.home, self.version_)
        if not config.get("gateway", "http", "endpoints", "chatCompletions", "enabled"):
            self._json({"error": {"message": "Not Found"}}, 404)
            return
        key = f"agent:main:openai:{uuid.uuid4()}"
        text = str(body["messages"][-1]["content"])
        done = turn(self.home, self.version_, text, key, embedded=True)
        message = {"role": "assistant", "content": done["payloads"][0]["text"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._json({"object": "chat.completion", "model": "openclaw", "choices": [choice]})


def _load_dotenv(home: Path) -> None:
    try:
        lines = (home / ".openclaw" / ".env").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            os.environ.setdefault(key.strip(), value.strip().strip("'\""))


def serve(home: Path, version: str, port: int) -> int:
    """Run the gateway until SIGTERM; 1 (2026.9: 78) when the port is taken.

    The fault ``openclaw.gateway`` is ``exit`` (end at once, code 1), ``exit:TEXT`` (the same while
    openclaw.json holds that text, as a version does that its validator lets pass and its gateway
    does not), or ``deaf`` (never listen).
    """
    fault = faults(mac()).get("openclaw.gateway")
    word, _, text = (fault or "").partition(":")
    if word == "exit" and text in (home / ".openclaw/openclaw.json").read_text("utf-8"):
        _log("Gateway failed to start: told so by the lab's fault openclaw.gateway", bad=True)
        return 1
    _load_dotenv(home)
    rename("openclaw-gateway")
    signal.signal(signal.SIGTERM, _leave)
    if fault == "deaf":
        signal.pause()
    handler = type("Handler", (_Handler,), {"version_": version, "home": home})
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        if configuration.recent(version):
            _log("Gateway failed to start: another OpenClaw process owns gateway-lifecycle",
                 bad=True)  # fmt: skip
            return 78
        _log("Gateway already running locally. Stop it (openclaw gateway stop) or use a different "
             "port.", bad=True)  # fmt: skip
        return 1
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    reloading.Watch(home, version, _log, server.server_close)
    _log(f"[gateway] listening on ws://127.0.0.1:{port} (PID {os.getpid()})")
    server.serve_forever()
    return 0


def _leave(_: int, __: FrameType | None) -> None:
    _log("[gateway] received SIGTERM; shutting down")
    # Threads may still wait for a model: a stopping gateway does not wait for them.
    os._exit(0)
