"""The state of one stand-in server: its Mac, store, memory, downloads and logs."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from tests.lab.spec import MacSpec, faults
from tests.lab.standins import ollama_answer, ollama_memory
from tests.lab.standins.ollama_http import ApiError
from tests.lab.standins.ollama_names import Name, parse
from tests.lab.standins.ollama_pull import Downloads
from tests.lab.standins.ollama_store import Gone, Json, Model, Store
from tests.lab.standins.ollama_versions import Traits

_ENV_SHOWN = (
    "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_DEBUG",
    "OLLAMA_FLASH_ATTENTION",
    "OLLAMA_HOST",
    "OLLAMA_KEEP_ALIVE",
    "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_LOAD_TIMEOUT",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MAX_QUEUE",
    "OLLAMA_MODELS",
    "OLLAMA_NOPRUNE",
    "OLLAMA_NUM_PARALLEL",
    "OLLAMA_ORIGINS",
)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def host_and_port(mac: MacSpec) -> tuple[str, int]:
    """What OLLAMA_HOST means: by default loopback and the port that this Mac's Ollama has."""
    text = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    text = text.partition("://")[2] or text
    text = text.partition("/")[0]
    host, _, port = text.rpartition(":")
    if not port.isdigit() or text.endswith("]"):
        host, port = text, str(mac.ollama_port)
    return host.strip("[]") or "127.0.0.1", int(port)


def models_folder(mac: MacSpec) -> Path:
    """OLLAMA_MODELS, else the user's own store."""
    return Path(os.environ.get("OLLAMA_MODELS") or f"{mac.home}/.ollama/models")


def gibibytes(size: int) -> str:
    return f"{size / ollama_memory.GIB:.1f} GiB"


class Api:
    """What the endpoints work with."""

    def __init__(self, mac: MacSpec, traits: Traits) -> None:
        self.mac = mac
        self.traits = traits
        self.store = Store(models_folder(mac))
        self.memory = ollama_memory.Memory(self.vram)
        self.downloads = Downloads()
        self._log_lock = threading.Lock()

    def vram(self) -> int:
        """Bytes of GPU memory."""
        settings = ollama_answer.speed(self.mac.state)
        return settings.vram or ollama_memory.gpu_memory(self.mac.memory, self._wired_limit())

    def _wired_limit(self) -> int:
        """``sysctl iogpu.wired_limit_mb``, which Metal's working set follows."""
        try:
            return int(Path(self.mac.state, "wired_limit_mb").read_text())
        except FileNotFoundError:
            return 0

    def num_ctx(self) -> int:
        """The server's default context length in tokens."""
        configured = int(os.environ.get("OLLAMA_CONTEXT_LENGTH") or 0)
        return configured or ollama_memory.default_context(
            self.vram(), by_memory=self.traits.context_by_memory
        )

    def name(self, text: str) -> Name:
        """ApiError 400 for what is no name."""
        name = parse(text)
        if name is None:
            raise ApiError(400, "invalid model name")
        return name

    def find(self, text: str) -> Model:
        """The stored model that `text` means; ApiError 404 where there is none."""
        name = parse(text)
        try:
            if name is None:
                raise Gone(text)
            return self.store.model(name)
        except Gone as error:
            raise ApiError(404, f"model '{text}' not found") from error

    def check_blobs(self, model: Model) -> None:
        """ApiError 500 where a layer's file is missing or too short, as loading it shows."""
        for layer in model.layers:
            path = self.store.blob(layer["digest"])
            if not path.exists():
                raise ApiError(500, f"open {path}: no such file or directory")
            if path.stat().st_size != layer["size"]:
                raise ApiError(500, f"unable to load model: {path}")

    def speed(self, model: Model) -> ollama_answer.Speed:
        return ollama_answer.speed(self.mac.state, model.name.short)

    def text(self, model: Model) -> str:
        """What every prompt is answered with: it tells which model of which Mac spoke."""
        return f"Hello from {model.name.short} on {self.mac.name}."

    def fault(self, kind: str, model: str) -> str:
        """The fault switched on now for one model, else for all; empty for none."""
        switches = faults(self.mac)
        return switches.get(f"{kind}:{model}", switches.get(kind, ""))

    def chat_fault(self, model: Model) -> str:
        return self.fault("ollama.chat", model.name.short)

    def record(self, entry: Json) -> None:
        """Append one line to the request log that tests read."""
        line = json.dumps({"at": round(time.time(), 3), **entry}) + "\n"
        with self._log_lock, open(f"{self.mac.state}/ollama-requests.jsonl", "a") as file:
            file.write(line)

    def log(self, level: str, source: str, message: str, **values: object) -> None:
        """One line of the server's log."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000%z")
        if not message.isidentifier():
            message = f'"{message}"'
        extra = "".join(f" {key}={_quoted(value)}" for key, value in values.items())
        sys.stderr.write(f"time={stamp} level={level} source={source} msg={message}{extra}\n")
        sys.stderr.flush()

    def log_start(self, host: str, port: int, pruned: int) -> None:
        """The lines that a provisioner can read a server's effective values from."""
        effective = {key: os.environ.get(key, "") for key in (*_ENV_SHOWN, *_PROXIES)}
        defaults = {
            "OLLAMA_CONTEXT_LENGTH": "0",
            "OLLAMA_FLASH_ATTENTION": "false",
            "OLLAMA_HOST": f"http://{host}:{port}",
            "OLLAMA_KEEP_ALIVE": "5m0s",
            "OLLAMA_LOAD_TIMEOUT": "5m0s",
            "OLLAMA_MAX_LOADED_MODELS": "0",
            "OLLAMA_MAX_QUEUE": "512",
            "OLLAMA_MODELS": str(self.store.root),
            "OLLAMA_NOPRUNE": "false",
            "OLLAMA_NUM_PARALLEL": "1",
        }
        shown = {key: value or defaults.get(key, "") for key, value in effective.items()}
        shown["OLLAMA_HOST"] = defaults["OLLAMA_HOST"]
        text = " ".join(f"{key}:{value}" for key, value in sorted(shown.items()))
        self.log("INFO", "routes.go:1663", "server config", env=f"map[{text}]")
        self.log("INFO", "images.go:473", f"total unused blobs removed: {pruned}")
        listening = f"Listening on {host}:{port} (version {self.traits.version})"
        self.log("INFO", "routes.go:1716", listening)
        total = gibibytes(self.vram())
        self.log(
            "INFO",
            "types.go:42",
            "inference compute",
            id="0",
            library="Metal",
            name="Metal",
            description=self.mac.chip,
            total=total,
            available=total,
        )
        if self.traits.context_by_memory:
            context = ollama_memory.default_context(self.vram(), by_memory=True)
            self.log(
                "INFO",
                "routes.go:1748",
                "vram-based default context",
                total_vram=total,
                default_num_ctx=context,
            )


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(' "=') or not text else text
