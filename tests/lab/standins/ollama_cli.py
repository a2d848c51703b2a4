"""The command line of ``ollama``, a client of the server on OLLAMA_HOST."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.lab.standins import here, ollama_text

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

Json = dict[str, Any]
NO_SERVER = "could not connect to ollama server, run 'ollama serve' to start it"
WAIT_FOR_APP = 15.0
"""Seconds for which a client waits after it has opened Ollama.app (a real one: 5)."""


class ServerError(Exception):
    """What goes behind ``Error:``."""


class Client:
    """HTTP over a plain socket: importing ``http.client`` costs more than all the rest."""

    def __init__(self, mac: MacSpec) -> None:
        text = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'")
        text = (text.partition("://")[2] or text).partition("/")[0]
        host, _, port = text.rpartition(":")
        if not port.isdigit() or text.endswith("]"):
            host, port = text, str(mac.ollama_port)
        host = host.strip("[]") or "127.0.0.1"
        self.host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.port = int(port)

    def stream(self, method: str, path: str, body: Json | None = None) -> Iterator[bytes]:
        """Lines of an answer; ServerError for an error status, ConnectionError without a server."""
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: {self.host}:{self.port}\r\n"
            f"User-Agent: ollama/standin\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(raw)}\r\n\r\n"
        )
        with socket.create_connection((self.host, self.port)) as connection:
            connection.sendall(head.encode() + raw)
            with connection.makefile("rb") as file:
                status = int(file.readline().split()[1])
                while file.readline().strip():
                    continue
                if status < 400:
                    yield from file
                    return
                answer = file.read()
        try:
            message = json.loads(answer)["error"]
        except (ValueError, KeyError):
            message = answer.decode(errors="replace")
        raise ServerError(str(message))

    def json(self, method: str, path: str, body: Json | None = None) -> Json:
        """The whole answer, an empty object for an empty one."""
        text = b"".join(self.stream(method, path, body))
        loaded: Json = json.loads(text) if text.strip() else {}
        return loaded

    def alive(self) -> bool:
        try:
            list(self.stream("HEAD", "/"))
        except OSError:
            return False
        return True


def version(client: Client, own: str) -> int:
    """``--version`` in its three shapes, all on stdout with exit code 0."""
    try:
        server = str(client.json("GET", "/api/version").get("version", ""))
    except (OSError, ServerError, ValueError):
        server = ""
    if server:
        print(f"ollama version is {server}")
    else:
        print("Warning: could not connect to a running Ollama instance")
    if server != own:
        print(f"Warning: client version is {own}")
    return 0


def app_of(program: str) -> str | None:
    """The Ollama.app that a client is a link into; None for a client of its own."""
    if not os.path.islink(program):
        return None
    match = re.match(r"^.*/Ollama\s?\d*\.app", os.readlink(program))
    return match[0] if match else None


def heartbeat(client: Client, mac: MacSpec) -> None:
    """ServerError unless a server answers; a client of Ollama.app opens the app for that."""
    if client.alive():
        return
    called = os.environ.get("CLAWFLEET_LAB_ARGV0", "")
    app = app_of(called if "/" in called else shutil.which(called) or "")
    if app is not None:
        command = [f"{mac.bin}/open", "-j", "-a", app, "--args", "--fast-startup"]
        opened = subprocess.run(command, check=False, capture_output=True)
        end = time.monotonic() + WAIT_FOR_APP
        while opened.returncode == 0 and time.monotonic() < end:
            if client.alive():
                return
            time.sleep(0.1)
    raise ServerError(NO_SERVER)


def list_models(client: Client, pattern: str = "") -> int:
    models = client.json("GET", "/api/tags")["models"]
    rows = [["NAME", "ID", "SIZE", "MODIFIED"]]
    for model in models:
        if model["name"].lower().startswith(pattern.lower()):
            changed = ollama_text.relative(ollama_text.moment(model["modified_at"]))
            size = ollama_text.size(model["size"])
            rows.append([model["name"], model["digest"][:12], size, changed])
    sys.stdout.write(ollama_text.table(rows))
    return 0


def list_running(client: Client) -> int:
    rows = [["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]]
    for model in client.json("GET", "/api/ps")["models"]:
        rows.append(
            [
                model["name"],
                model["digest"][:12],
                ollama_text.size(model["size"]),
                ollama_text.processor(model["size"], model["size_vram"]),
                str(model["context_length"]),
                ollama_text.until(ollama_text.moment(model["expires_at"])),
            ]
        )
    sys.stdout.write(ollama_text.table(rows))
    return 0


def pull(client: Client, name: str, *, insecure: bool = False) -> int:
    """Progress goes to stderr, redrawn in place also where that is no terminal."""
    body = {"model": name, "insecure": insecure, "stream": True}
    lines: dict[str, str] = {}
    drawn = 0
    for raw in client.stream("POST", "/api/pull", body):
        event = json.loads(raw)
        if "error" in event:
            sys.stderr.write("\n")
            raise ServerError(event["error"])
        status = event["status"]
        lines[status] = status
        if "digest" in event:
            total, done = event.get("total", 0), event.get("completed", 0)
            share = done * 100 // total if total else 0
            bar = "█" * (share // 5)
            size = ollama_text.size(total)
            lines[status] = f"{status}: {share:3d}% ▕{bar:<20}▏ {size:>7}"
        up = f"\x1b[{drawn - 1}A" if drawn > 1 else ""
        text = "\x1b[K\n".join(lines.values())
        sys.stderr.write(f"\x1b[?2026h\x1b[?25l{up}\x1b[1G{text}\x1b[K\x1b[?25h\x1b[?2026l")
        drawn = len(lines)
    sys.stderr.write("\n")
    return 0


def show(client: Client, name: str) -> int:
    model = client.json("POST", "/api/show", {"model": name})
    info, details = model["model_info"], model["details"]
    architecture = info["general.architecture"]
    print("  Model")
    print(f"    {'architecture':<20}{architecture}")
    print(f"    {'parameters':<20}{details['parameter_size']}")
    print(f"    {'context length':<20}{info[architecture + '.context_length']}")
    print(f"    {'quantization':<20}{details['quantization_level']}")
    print("\n  Capabilities")
    for capability in model["capabilities"]:
        print(f"    {capability}")
    if model.get("parameters"):
        print("\n  Parameters")
        for line in model["parameters"].splitlines():
            key, _, value = line.partition(" ")
            print(f"    {key:<20}{value.strip()}")
    print()
    return 0


def run(client: Client, name: str, words: list[str]) -> int:
    """Answer one prompt (or load the model), after a pull where the model is absent."""
    try:
        client.json("POST", "/api/show", {"model": name})
    except ServerError:
        pull(client, name)
    body = {"model": name, "prompt": " ".join(words)}
    thinking = False
    for raw in client.stream("POST", "/api/generate", body):
        event = json.loads(raw)
        if event.get("thinking") and not thinking:
            thinking = True
            sys.stdout.write("Thinking...\n")
        if event.get("response") and thinking:
            thinking = False
            sys.stdout.write("\n...done thinking.\n\n")
        sys.stdout.write(event.get("thinking", "") + event.get("response", ""))
        sys.stdout.flush()
    sys.stdout.write("\n\n")
    return 0


def remove(client: Client, names: list[str]) -> int:
    for name in names:
        client.json("DELETE", "/api/delete", {"model": name})
        print(f"deleted '{name}'")
    return 0


def command(argv: list[str], own: str) -> int:
    """Exit code of ``ollama ARGV``; errors as ``Error: …`` on stderr with 1."""
    mac = here.mac()
    client = Client(mac)
    if argv[0] in ("--version", "-v"):
        return version(client, own)
    name, rest = argv[0], [word for word in argv[1:] if not word.startswith("-")]
    needs = {"show": 1, "pull": 1, "run": 1, "rm": 1, "stop": 1, "cp": 2}
    if name not in ("list", "ls", "ps", *needs):
        sys.stderr.write(f'Error: unknown command "{name}" for "ollama"\n')
        return 1
    if len(rest) < needs.get(name, 0):
        wanted = needs[name]
        text = f"requires at least {wanted} arg(s), only received {len(rest)}"
        if name in ("show", "pull", "cp"):
            text = f"accepts {wanted} arg(s), received {len(rest)}"
        sys.stderr.write(f"Error: {text}\n")
        return 1
    try:
        heartbeat(client, mac)
        if name in ("list", "ls"):
            return list_models(client, *rest[:1])
        if name == "ps":
            return list_running(client)
        if name == "pull":
            return pull(client, rest[0], insecure="--insecure" in argv)
        if name == "show":
            return show(client, rest[0])
        if name == "run":
            return run(client, rest[0], rest[1:])
        if name == "rm":
            return remove(client, rest)
        if name == "stop":
            client.json("POST", "/api/generate", {"model": rest[0], "keep_alive": 0})
            return 0
        client.json("POST", "/api/copy", {"source": rest[0], "destination": rest[1]})
        print(f"copied '{rest[0]}' to '{rest[1]}'")
        return 0
    except ServerError as error:
        sys.stderr.write(f"Error: {error}\n")
    except OSError:
        sys.stderr.write(f"Error: {NO_SERVER}\n")
    return 1
