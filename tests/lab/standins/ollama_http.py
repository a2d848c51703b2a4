"""HTTP as Go's server speaks it: JSON, chunked streams, errors, one log line a request."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from tests.lab.standins.ollama_store import Json, compact

JSON_TYPE = "application/json; charset=utf-8"
_BLOCK = 1 << 16


class ApiError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Disconnect(Exception):
    """The connection is to be closed without an answer."""


class Handler(BaseHTTPRequestHandler):
    """Base of the request handler; `route` of the subclass answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    chunked = False
    answered = 0

    def route(self) -> None:
        raise NotImplementedError

    def _answer(self) -> None:
        started = time.monotonic()
        self.answered = 0
        self._read_all = False
        try:
            self.route()
        except ApiError as error:
            self.drain()
            self.fail(error)
        except Disconnect:
            self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.answered = self.answered or 499
            self.close_connection = True
        stamp = time.strftime("%Y/%m/%d - %H:%M:%S")
        took = f"{(time.monotonic() - started) * 1000:.3f}ms"
        line = f"[GIN] {stamp} | {self.answered:3d} | {took:>13} | {self.client_address[0]:>15} |"
        sys.stderr.write(f'{line} {self.command:<7}  "{self.path}"\n')

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = _answer

    def fail(self, error: ApiError) -> None:
        """Send an error in the shape of the endpoint's family."""
        if not self.path.startswith("/v1/"):
            self.send_json({"error": error.message}, error.status)
            return
        kinds = {400: "invalid_request_error", 404: "not_found_error"}
        body = {
            "message": error.message,
            "type": kinds.get(error.status, "api_error"),
            "param": None,
            "code": None,
        }
        self.send_json({"error": body}, error.status)

    def log_message(self, format: str, *args: Any) -> None:
        """The line in Gin's format is enough."""

    def send_response(self, code: int, message: str | None = None) -> None:
        self.answered = code
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def chunks(self) -> Iterator[bytes]:
        """The request's body, with a length or chunked."""
        self._read_all = True
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0].strip() or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                continue
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(_BLOCK, left))):
            left -= len(block)
            yield block

    def drain(self) -> None:
        """Read what is left of the body, so that the connection can be used again."""
        if not self._read_all:
            for _ in self.chunks():
                continue

    def read_json(self) -> Json:
        """The request's object; ApiError 400 with Go's text where it is none."""
        raw = b"".join(self.chunks())
        self.body_size = len(raw)
        if not raw:
            raise ApiError(400, "missing request body")
        try:
            loaded = json.loads(raw)
        except ValueError as error:
            raise ApiError(400, "invalid character in request body") from error
        if not isinstance(loaded, dict):
            raise ApiError(400, "json: cannot unmarshal value into Go value of type api.Request")
        return loaded

    def send_bytes(self, body: bytes, content_type: str, status: int = 200) -> None:
        """A whole answer; only its headers to a HEAD."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def send_json(self, document: object, status: int = 200) -> None:
        self.send_bytes(compact(document), JSON_TYPE, status)

    def start_stream(self, content_type: str) -> None:
        """Begin a stream of unknown length; chunked unless the client speaks HTTP/1.0."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.chunked = self.request_version != "HTTP/1.0"
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.close_connection = True
        self.end_headers()

    def send_line(self, document: object) -> None:
        """One object of an NDJSON stream."""
        self.send_chunk(compact(document) + b"\n")

    def send_event(self, data: bytes) -> None:
        """One event of an SSE stream."""
        self.send_chunk(b"data: " + data + b"\n\n")

    def send_chunk(self, data: bytes) -> None:
        if self.chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.wfile.write(data)
        self.wfile.flush()

    def end_stream(self) -> None:
        if self.chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        try:
            peeked: bytes = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return not peeked
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise Disconnect


class Server(ThreadingHTTPServer):
    """One thread a connection, quiet about those that break off."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """As the base class, without its look-up of this machine's name."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handle_error(request, client_address)

    def run_in_thread(self) -> threading.Thread:
        """Serve until `shutdown`."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        return thread
