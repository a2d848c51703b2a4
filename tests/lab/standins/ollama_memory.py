"""Which models are in memory: sizes, what fits, who is put out, and for how long one stays."""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.lab.standins.ollama_store import Model

GIB = 1 << 30
RESERVE = GIB // 2
"""Bytes of GPU memory that Ollama leaves alone."""
GRAPH = 500_000_000
"""Bytes for the compute graph of one loaded model."""
MAX_LOADED = 3
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def gpu_memory(memory: int, wired_limit_mb: int = 0) -> int:
    """Metal's recommended working set in bytes for a Mac with `memory` bytes.

    Two thirds up to 36 GB (22,906.5 MB on captured 32 GB Macs), three quarters above. Newer
    captures show more on small Macs (24 GB: 17.8 GiB); ``vram`` in ollama.json sets any value.
    A limit that the user has set, in MiB, replaces it.
    """
    if wired_limit_mb:
        return wired_limit_mb << 20
    return memory * 2 // 3 if memory <= 36 * GIB else memory * 3 // 4


def default_context(vram: int, *, by_memory: bool) -> int:
    """num_ctx where neither the request, the model nor the environment names one."""
    if not by_memory or vram < 23 * GIB:
        return 4096
    return 262144 if vram >= 47 * GIB else 32768


def variable(text: str | None) -> float | None:
    """OLLAMA_KEEP_ALIVE, which may be a number of seconds as well (envconfig.KeepAlive)."""
    if not text:
        return None
    return seconds(int(text) if re.fullmatch(r"-?\d+", text) else text)


def seconds(value: object) -> float | None:
    """A request's keep_alive such as ``"5m"``, ``300`` or ``-1`` (for ever); None where absent.

    ValueError with Go's text for a duration that is none: also ``"-1"``, as a text needs a unit
    (api/types.go, Duration.UnmarshalJSON).
    """
    if value is None:
        return None
    if isinstance(value, int | float):
        return math.inf if value < 0 else float(value)
    text = str(value)
    if re.fullmatch(r"-?[1-9]\d*", text):
        raise ValueError(f'time: missing unit in duration "{text}"')
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    found = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", body)
    if not found or "".join(number + unit for number, unit in found) != body:
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in found)
    return math.inf if sign < 0 else total


@dataclass
class Runner:
    """One model in memory."""

    model: Model
    key: str
    options: tuple[object, ...]
    num_ctx: int
    size: int
    size_vram: int
    keep_alive: float
    loaded: threading.Event = field(default_factory=threading.Event)
    turn: threading.Semaphore = field(default_factory=threading.Semaphore)
    users: int = 0
    expires: float = math.inf
    prompt: str = ""
    """The last prompt, whose beginning needs no new prefill."""


class Memory:
    """The scheduler of one server."""

    def __init__(self, vram: Callable[[], int]) -> None:
        self._vram = vram
        self._change = threading.Condition()
        self._runners: dict[str, Runner] = {}
        self.parallel = int(os.environ.get("OLLAMA_NUM_PARALLEL") or 1)
        self.limit = int(os.environ.get("OLLAMA_MAX_LOADED_MODELS") or 0) or MAX_LOADED
        self.kv_share = {"q8_0": 0.5, "q4_0": 0.25}.get(
            os.environ.get("OLLAMA_KV_CACHE_TYPE", ""), 1.0
        )
        default = variable(os.environ.get("OLLAMA_KEEP_ALIVE"))
        self.keep_alive = 300.0 if default is None else default

    def needed(self, model: Model, num_ctx: int) -> int:
        """Bytes that a model takes with that context."""
        cache = int(model.config.get("lab_kv_bytes_per_token", 1024)) * num_ctx * self.parallel
        return model.nominal_size + int(cache * self.kv_share) + GRAPH

    def running(self) -> list[Runner]:
        """What /api/ps shows, the one that stays longest first."""
        with self._change:
            self._expire()
            loaded = [runner for runner in self._runners.values() if runner.loaded.is_set()]
        return sorted(loaded, key=lambda runner: -runner.expires)

    def unload(self, model: Model) -> None:
        """Put a model out of memory as soon as nobody uses it."""
        key = _key(model)
        with self._change:
            runner = self._runners.get(key)
            if runner is None:
                return
            runner.keep_alive = 0.0
            if runner.users == 0:
                self._drop(runner)

    @contextlib.contextmanager
    def use(
        self,
        model: Model,
        num_ctx: int,
        options: tuple[object, ...],
        keep_alive: float | None,
        load: Callable[[], None],
    ) -> Iterator[Runner]:
        """The model in memory for one request: waits for its turn, evicts and loads as needed.

        Another context length or other runner options than those loaded mean a reload.
        """
        runner = self._enter(model, num_ctx, options, keep_alive, load)
        try:
            with runner.turn:
                yield runner
        finally:
            with self._change:
                runner.users -= 1
                runner.expires = time.time() + runner.keep_alive
                if runner.keep_alive == 0 and runner.users == 0:
                    self._drop(runner)
                self._change.notify_all()

    def _enter(
        self,
        model: Model,
        num_ctx: int,
        options: tuple[object, ...],
        keep_alive: float | None,
        load: Callable[[], None],
    ) -> Runner:
        key = _key(model)
        wanted = (num_ctx, *options)
        with self._change:
            while True:
                self._expire()
                runner = self._runners.get(key)
                if runner is not None and runner.options == wanted:
                    runner.users += 1
                    runner.expires = math.inf
                    if keep_alive is not None:
                        runner.keep_alive = keep_alive
                    break
                if runner is None and self._fits(model, num_ctx):
                    runner = self._runners[key] = self._new(model, key, wanted, num_ctx)
                    runner.users = 1
                    runner.keep_alive = self.keep_alive if keep_alive is None else keep_alive
                    break
                victim = runner or self._victim()
                if victim is not None and victim.users == 0:
                    self._drop(victim)
                    continue
                self._change.wait()
        if runner.loaded.is_set():
            return runner
        try:
            with runner.turn:
                if not runner.loaded.is_set():
                    load()
                    runner.loaded.set()
        except BaseException:
            with self._change:
                runner.users -= 1
                self._drop(runner)
            raise
        return runner

    def _new(self, model: Model, key: str, options: tuple[object, ...], num_ctx: int) -> Runner:
        size = self.needed(model, num_ctx)
        usable = self._vram() - RESERVE
        runner = Runner(model, key, options, num_ctx, size, min(size, usable), 0.0)
        runner.turn = threading.Semaphore(self.parallel)
        return runner

    def _fits(self, model: Model, num_ctx: int) -> bool:
        """Alone anything is loaded, in part on the CPU; a further one only wholly on the GPU."""
        others = sum(runner.size for runner in self._runners.values())
        if not self._runners:
            return True
        return (
            len(self._runners) < self.limit
            and others + self.needed(model, num_ctx) <= self._vram() - RESERVE
        )

    def _victim(self) -> Runner | None:
        idle = [runner for runner in self._runners.values() if runner.users == 0]
        return min(idle, key=lambda runner: runner.expires, default=None)

    def _drop(self, runner: Runner) -> None:
        if self._runners.get(runner.key) is runner:
            del self._runners[runner.key]
        self._change.notify_all()

    def _expire(self) -> None:
        now = time.time()
        for runner in list(self._runners.values()):
            if runner.users == 0 and runner.expires <= now:
                self._drop(runner)


def _key(model: Model) -> str:
    """Models that share their weights share one place in memory."""
    layer = model.layer("model")
    return str(layer["digest"]) if layer else model.digest
