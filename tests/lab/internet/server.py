"""The server: ``/homebrew``, ``/v2``, ``/__stats`` and ``/__ctl``."""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from tests.lab.internet.traffic import Fault, Traffic
from tests.lab.standins import ollama_models, ollama_names, ollama_store

MANIFEST = re.compile(r"/v2/([\w-]+)/([\w.-]+)/manifests/([\w.-]+)")
BLOB = re.compile(r"/v2/[\w-]+/[\w.-]+/blobs/(sha256:[0-9a-f]{64})")
BOTTLE = re.compile(r"/bottles/(.+)--([^/]+)\.tar\.gz")
CASK = re.compile(r"/casks/(.+)--([^/]+)\.zip")
_BLOCK = 1 << 14


class Content:
    """What can be fetched: an Ollama store, and Homebrew's files made on the fly."""

    def __init__(self, folder: Path, factor: float) -> None:
        self.store = ollama_store.Store(folder / "models")
        self.static = folder / "static"
        """Files here come before everything that is made."""
        self._made: dict[str, bytes] = {}
        self._factor = factor
        self._seeding = threading.Lock()
        self._seeded = False

    def registry(self) -> ollama_store.Store:
        """The store behind /v2, made when first asked for: a lab must not wait for it at start."""
        with self._seeding:
            if not self._seeded:
                for name in ollama_models.RECIPES:
                    ollama_store.seed(self.store.root, name, factor=self._factor)
                self._seeded = True
        return self.store

    def find(self, path: str) -> Path | bytes | None:
        """The file or bytes behind a path, None for 404."""
        given = (self.static / path.lstrip("/")).resolve()
        if given.is_relative_to(self.static.resolve()) and given.is_file():
            return given
        if match := MANIFEST.fullmatch(path):
            name = ollama_names.parse(f"{match[1]}/{match[2]}:{match[3]}")
            file = self.registry().manifest(name) if name else None
        elif match := BLOB.fullmatch(path):
            file = self.registry().blob(match[1])
        else:
            return self._homebrew(path)
        return file if file and file.is_file() else None

    def _homebrew(self, path: str) -> bytes | None:
        """Below /homebrew, or below /mirrors/NAME/homebrew, which has the same files."""
        match = re.fullmatch(r"(?:/mirrors/[^/]+)?/homebrew(/.*)", path)
        if match is None:
            return None
        rest = match[1]
        if rest not in self._made:
            made = self._make(rest)
            if made is None:
                return None
            self._made[rest] = made
        return self._made[rest]

    def _make(self, rest: str) -> bytes | None:
        # Imported when first asked for: pulls work in a lab without Homebrew's stand-in.
        brew: Any = importlib.import_module("tests.lab.standins.brew_catalogue")
        if rest == "/install.sh":
            text: str = brew.installer()
            return text.encode()
        if rest == "/api/catalogue.json":
            return json.dumps(brew.catalogue()).encode()
        for pattern, make in ((BOTTLE, brew.bottle), (CASK, brew.cask)):
            if match := pattern.fullmatch(rest):
                try:
                    made: bytes = make(match[1], match[2])
                except KeyError:
                    return None
                return made
        return None


class InternetHandler(BaseHTTPRequestHandler):
    """One connection; `content` and `traffic` are set on the subclass that `build` makes."""

    content: Content
    traffic: Traffic
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    @property
    def client(self) -> str:
        """The Mac's name where the client says it (all share one address at the level "ports")."""
        return self.headers.get("X-Lab-Mac") or str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:
        """The counters are enough."""

    def do_GET(self) -> None:
        # A proxy is asked for a whole address; so a poisoned one can be told from none.
        path = re.sub(r"^https?://[^/]+", "", self.path).partition("?")[0]
        if path == "/__stats":
            self._json(self.traffic.stats())
        elif path == "/__ctl":
            self._json(self.traffic.control({}))
        else:
            self._fetch(path)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/__ctl":
            self._empty(404)
            return
        try:
            self._json(self.traffic.control(json.loads(raw)))
        except (TypeError, ValueError) as error:
            self._json({"error": str(error)}, 400)

    def _fetch(self, path: str) -> None:
        client = self.client
        self.traffic.request(path, client)
        fault = self.traffic.fault(path, client)
        if fault.delay:
            time.sleep(fault.delay)
        if fault.redirect:
            self._empty(307, fault.redirect + path)
            return
        if fault.status:
            self._empty(fault.status)
            return
        found = self.content.find(path)
        if found is None:
            self._empty(404)
            return
        size = len(found) if isinstance(found, bytes) else found.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.command == "GET" and not wanted and BLOB.fullmatch(path):
            # An unmodified Ollama takes the place of the bytes from this header.
            self._empty(200, path)
            return
        first, last = 0, size - 1
        if wanted:
            first = int(wanted[1])
            last = min(int(wanted[2] or last), last)
            if first > last:
                self._empty(416)
                return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        if MANIFEST.fullmatch(path):
            self.send_header("Content-Type", ollama_store.MANIFEST_TYPE)
        self.end_headers()
        if self.command != "HEAD":
            self._body(path, client, found, first, last - first + 1, fault)

    def _body(
        self, path: str, client: str, found: Path | bytes, first: int, left: int, fault: Fault
    ) -> None:
        total = 0
        for block in _blocks(found, first, left):
            data = block
            if fault.corrupt and total == 0:
                data = bytes([block[0] ^ 1]) + block[1:]
            if 0 <= fault.cut <= total + len(data):
                data = data[: fault.cut - total]
            self.wfile.write(data)
            self.wfile.flush()
            total += len(data)
            self.traffic.sent(path, client, len(data))
            if total == fault.cut:
                self.close_connection = True
                return

    def _empty(self, status: int, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if location:
            self.send_header("Location", location)
        self.end_headers()

    def _json(self, document: object, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _blocks(found: Path | bytes, first: int, left: int) -> Iterator[bytes]:
    if isinstance(found, bytes):
        for start in range(first, first + left, _BLOCK):
            yield found[start : min(start + _BLOCK, first + left)]
        return
    with found.open("rb") as file:
        file.seek(first)
        while left and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


class InternetServer(ThreadingHTTPServer):
    """One thread a connection."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """As the base class, without its look-up of this machine's name."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the game; anything else is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def build(host: str, port: int, folder: Path, factor: float | None = None) -> InternetServer:
    """A server that listens (port 0: any free one) and keeps its files in `folder`."""
    content = Content(folder, ollama_models.scale() if factor is None else factor)
    handler = type("BoundHandler", (InternetHandler,), {"content": content, "traffic": Traffic()})
    return InternetServer((host, port), handler)
