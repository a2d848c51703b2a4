"""Pulling a model: parts that resume, shared downloads, and the events that /api/pull sends."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab.standins.ollama_names import Name
from tests.lab.standins.ollama_registry import PullError, Registry
from tests.lab.standins.ollama_store import Json, Store, manifest_bytes
from tests.lab.standins.ollama_versions import Traits

TICK = 0.06
"""Seconds between two progress events."""
PARTS = 4
"""Parts of one blob fetched at once (Ollama: 16, of at least 100 MB; ours scale with our blobs)."""
MIN_PART = 1_000_000
CHUNK = 1 << 16
RETRIES = 6


Gone = Callable[[], bool]
"""Tells whether the client of a pull has closed its connection."""


class Download(threading.Thread):
    """One blob on its way, shared by all pulls that want it."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        digest: str,
        fault: Callable[[], str],
        stall: float | None,
    ) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.registry = registry
        self.digest = digest
        self.fault = fault
        self.stall = stall
        self.total = 0
        self.users: list[Gone] = []
        self.error: str | None = None
        self.finished = threading.Event()
        self.cancelled = threading.Event()
        self._done: dict[int, int] = {}

    @property
    def completed(self) -> int:
        """Bytes that are in the partial file."""
        return sum(self._done.values())

    @property
    def _partial(self) -> Path:
        return self.store.blob(self.digest).with_name(self.digest.replace(":", "-") + "-partial")

    def run(self) -> None:
        try:
            self._fetch()
        except PullError as error:
            self.error = str(error)
        except OSError as error:
            self.error = f"write {self._partial}: {(error.strerror or 'error').lower()}"
        finally:
            self.finished.set()

    def _fetch(self) -> None:
        parts = self._prepare()
        location = self.registry.blob_location(self.digest)
        todo = [part for part in parts if part["Completed"] < part["Size"]]
        lock = threading.Lock()
        errors: list[PullError] = []

        def work() -> None:
            while not self.cancelled.is_set() and not errors:
                with lock:
                    if not todo:
                        return
                    part = todo.pop(0)
                try:
                    self._part_with_retries(location, part)
                except PullError as error:
                    errors.append(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(PARTS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if errors:
            raise errors[0]
        if self.cancelled.is_set():
            raise PullError("context canceled")
        self._partial.rename(self.store.blob(self.digest))
        for path in self.store.blobs.glob(self._partial.name + "-*"):
            path.unlink()

    def _prepare(self) -> list[Json]:
        """The parts on disk, else new ones. Their sizes make the total, also when some are lost."""
        self.store.blobs.mkdir(parents=True, exist_ok=True)
        files = sorted(self.store.blobs.glob(self._partial.name + "-*"))
        parts: list[Json] = [json.loads(path.read_text()) for path in files]
        if not parts:
            size = self.registry.blob_size(self.digest)
            step = max(MIN_PART, -(-size // 16))
            for number, offset in enumerate(range(0, size, step)):
                length = min(step, size - offset)
                parts.append({"N": number, "Offset": offset, "Size": length, "Completed": 0})
            for part in parts:
                self._save(part)
        self.total = sum(part["Size"] for part in parts)
        self._done = {part["N"]: part["Completed"] for part in parts}
        with self._partial.open("ab") as file:
            file.truncate(self.total)
        return parts

    def _save(self, part: Json) -> None:
        path = self._partial.with_name(f"{self._partial.name}-{part['N']}")
        path.write_text(json.dumps(part, separators=(",", ":")))

    def _part_with_retries(self, location: str, part: Json) -> None:
        failures = 0
        while not self.cancelled.is_set():
            try:
                self._part(location, part)
                return
            except TimeoutError:
                continue
            except (PullError, OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    # Tried again for any other reason only (server/download.go).
                    text = f"write {self._partial}: no space left on device"
                    raise PullError(text) from error
                failures += 1
                if failures == RETRIES or self.fault() == "half":
                    text = str(error) if isinstance(error, PullError) else "unexpected EOF"
                    raise PullError(f"max retries exceeded: {text}") from error
                self.cancelled.wait(0.02 * 2**failures)

    def _part(self, location: str, part: Json) -> None:
        """Fetch the rest of one part; TimeoutError when the watchdog sees no byte for too long."""
        if self.fault() == "stall":
            self._stand_still()
        first, last = part["Offset"] + part["Completed"], part["Offset"] + part["Size"] - 1
        headers = {"Range": f"bytes={first}-{last}"}
        with (
            self.registry.open("GET", location, headers) as answer,
            self._partial.open("r+b") as file,
        ):
            file.seek(first)
            while part["Completed"] < part["Size"] and not self.cancelled.is_set():
                if self.fault() == "full" and self.completed * 2 >= self.total:
                    raise OSError(errno.ENOSPC, "No space left on device")
                if self.fault() == "half" and self.completed * 2 >= self.total:
                    raise PullError("unexpected EOF")
                wanted = min(CHUNK, part["Size"] - part["Completed"])
                chunk = answer.read1(wanted)
                if not chunk:
                    raise PullError("unexpected EOF")
                if self.cancelled.is_set():
                    return
                file.write(chunk)
                file.flush()
                part["Completed"] += len(chunk)
                self._done[part["N"]] = part["Completed"]
                self._save(part)

    def _stand_still(self) -> None:
        until = None if self.stall is None else time.monotonic() + self.stall
        while not self.cancelled.wait(TICK):
            if until is not None and time.monotonic() > until:
                raise TimeoutError


class Downloads:
    """The blobs that one server is fetching."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Download] = {}

    def join(self, digest: str, make: Callable[[], Download], gone: Gone) -> Download:
        """The running download of a blob, or a new one.

        One whose clients are all gone is not joined: it may stand still for ever.
        """
        with self._lock:
            download = self._running.get(digest)
            if download is not None and all(user() for user in download.users):
                download.cancelled.set()
            if download is None or download.finished.is_set() or download.cancelled.is_set():
                download = self._running[digest] = make()
                download.start()
            download.users.append(gone)
            return download

    def leave(self, download: Download, gone: Gone) -> None:
        """One pull wants it no longer; with the last the download stops and keeps its parts."""
        with self._lock:
            download.users.remove(gone)
            if not download.users and not download.finished.is_set():
                download.cancelled.set()


def pull(
    store: Store,
    downloads: Downloads,
    registry: Registry,
    traits: Traits,
    fault: Callable[[], str],
    stall_seconds: float,
    gone: Gone,
) -> Iterator[Json]:
    """The events of one pull; PullError ends it. Closing the iterator cancels the download."""
    name: Name = registry.name
    yield {"status": "pulling manifest"}
    try:
        if fault() == "unknown":
            raise PullError("file does not exist")
        raw = registry.manifest()
    except PullError as error:
        raise PullError(f"pull model manifest: {error}") from error
    manifest = json.loads(raw)
    replaced = _digests(store, name)
    layers: list[Json] = [*manifest["layers"], manifest["config"]]
    fetched = []
    stall = stall_seconds if traits.watchdog_before_first_byte else None
    for layer in layers:
        digest = str(layer["digest"])
        status = {"status": f"pulling {digest[7:19]}", "digest": digest}
        path = store.blob(digest)
        if path.exists():
            size = path.stat().st_size
            yield {**status, "total": size, "completed": size}
            continue

        def make(digest: str = digest) -> Download:
            return Download(store, registry, digest, fault, stall)

        yield from _follow(downloads, downloads.join(digest, make, gone), status, gone)
        fetched.append(digest)
    yield {"status": "verifying sha256 digest"}
    for digest in fetched:
        _verify(store.blob(digest), digest, spoil=fault() == "digest")
    yield {"status": "writing manifest"}
    if not traits.keeps_manifest_bytes:
        raw = manifest_bytes(manifest["config"], manifest["layers"])
    store.write_manifest(name, raw)
    unused = replaced - store.used()
    if unused:
        yield {"status": "removing unused layers"}
        store.remove_unused(unused)
    yield {"status": "success"}


def _follow(downloads: Downloads, download: Download, status: Json, gone: Gone) -> Iterator[Json]:
    try:
        finished = False
        while not finished:
            finished = download.finished.wait(TICK)
            if finished and download.error:
                raise PullError(download.error)
            event = {**status}
            if download.total:
                event["total"] = download.total
            if download.completed:
                event["completed"] = download.completed
            yield event
    finally:
        downloads.leave(download, gone)


def _digests(store: Store, name: Name) -> set[str]:
    try:
        manifest = json.loads(store.manifest(name).read_bytes())
    except (OSError, ValueError):
        return set()
    return {x["digest"] for x in [*manifest["layers"], manifest["config"]]}


def _verify(path: Path, digest: str, *, spoil: bool) -> None:
    with path.open("rb") as file:
        found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    if spoil:
        found = "sha256:" + hashlib.sha256(found.encode()).hexdigest()
    if found != digest:
        path.unlink()
        raise PullError(
            f"digest mismatch, file must be downloaded again: want {digest}, got {found}"
        )
