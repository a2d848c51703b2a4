"""A proxy of the evil kind: it counts what it is asked for, and answers 503.

    python -m tests.lab.standins.evil_proxy PORT LOG [CLOUD ...]

Each request is a line of LOG: ``{"verb": "CONNECT", "target": "127.0.0.1:11434", "client": "node
dist/index.js gateway", "born": 81.3}``, with the command of the process that asked and when that
was started, in seconds since boot (nulls where its socket has gone already). Only for the hosts
named after LOG, it is the way to the cloud: it plays an OpenAI-compatible provider itself, at
addresses that nobody reaches otherwise, so an answer from there has come through it.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.lab.standins.here import mac
from tests.lab.standins.lsof import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

WORDS = "The cloud greets you."


class EvilHandler(BaseHTTPRequestHandler):
    """One connection; the five values are set on the subclass that `main` makes."""

    spec: MacSpec
    log: str
    cloud: tuple[str, ...]
    lock: threading.Lock
    protocol_version = "HTTP/1.1"
    tunnel = ""
    """Host to which this connection is a tunnel."""

    def log_message(self, format: str, *args: object) -> None:
        """The log file is enough."""

    def _counted(self) -> str:
        """The host that is asked for, written down; "" inside a tunnel or without a host."""
        if self.tunnel:
            return self.tunnel
        target = self.path if self.command == "CONNECT" else urlsplit(self.path).netloc
        with self.lock, open(self.log, "a", encoding="utf-8") as file:
            hit = {"verb": self.command, "target": target or "itself"}
            file.write(json.dumps(hit | client_of(self.spec, self.connection)) + "\n")
        return target.rpartition(":")[0] or target

    def do_CONNECT(self) -> None:
        host = self._counted()
        if host not in self.cloud:
            self._refuse()
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        self.tunnel = host
        # undici sends "connection: close" with CONNECT, which is meant for this request alone.
        self.close_connection = False

    def do_GET(self) -> None:
        if self._counted() in self.cloud:
            self._json({"object": "list", "data": []})
        else:
            self._refuse()

    do_HEAD = do_PUT = do_DELETE = do_GET

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._counted() not in self.cloud:
            self._refuse()
            return
        wish = json.loads(raw)
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        head = {"id": "cloud-1", "created": 1, "model": wish.get("model", "")}
        if not wish.get("stream"):
            message = {"role": "assistant", "content": WORDS}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            done = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            self._json(done)
            return
        head["object"] = "chat.completion.chunk"
        said = {"index": 0, "delta": {"role": "assistant", "content": WORDS}}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        events = [{**head, "choices": [said]}, {**head, "choices": [end], "usage": usage}]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self._send(200, "text/event-stream", body.encode())

    def _json(self, document: object) -> None:
        self._send(200, "application/json", json.dumps(document).encode())

    def _refuse(self) -> None:
        self._send(503, "text/plain", b"no\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def client_of(spec: MacSpec, connection: socket.socket) -> dict[str, object]:
    """The process of this Mac at the other end, ``client`` and ``born``; nulls when none has that
    socket any more."""
    ends = connection.getpeername(), connection.getsockname()
    for one in opened(spec):
        if (one.socket.local, one.socket.remote) == ends:
            return {"client": one.process.command, "born": one.process.born}
    return {"client": None, "born": None}


def main(argv: list[str]) -> None:
    """Serve until standard input ends; ``ready`` on standard output once it listens."""
    port, log, *cloud = argv
    more = {"spec": mac(), "log": log, "cloud": tuple(cloud), "lock": threading.Lock()}
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), type("Handler", (EvilHandler,), more))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1:])
