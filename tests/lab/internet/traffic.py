"""What passes through the lab's internet: counters, faults and a bandwidth that all share."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]


@dataclass
class Fault:
    """What happens to requests whose path begins with `prefix`."""

    prefix: str
    status: int = 0
    """Answer with this status and no content."""
    delay: float = 0.0
    """Seconds of silence before the answer."""
    cut: int = -1
    """End the connection after that many bytes of the body."""
    corrupt: bool = False
    """Turn one bit of the body."""
    redirect: str = ""
    """307 to this base address with the same path."""
    times: int = -1
    """How many requests are hit; -1: all."""
    client: str = ""
    """Only requests of this client (Mac or address)."""


class Traffic:
    """Shared by all connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._free_at = 0.0
        self.kbps = 0.0
        """kB a second for all clients together; 0: no limit."""
        self._clear()

    def _clear(self) -> None:
        self._prefixes: dict[str, Json] = {}
        self._clients: dict[str, Json] = {}
        self._paths: dict[str, Json] = {}

    def control(self, wish: Json) -> Json:
        """Take a POST to /__ctl: ``faults`` and ``kbps`` replace what was, ``reset`` clears counts.

        TypeError for a key that no fault has.
        """
        with self._lock:
            if "faults" in wish:
                self._faults = [Fault(**fault) for fault in wish["faults"]]
            if "kbps" in wish:
                self.kbps = float(wish["kbps"])
            if wish.get("reset"):
                self._clear()
            return {"faults": [asdict(fault) for fault in self._faults], "kbps": self.kbps}

    def stats(self) -> Json:
        """Requests and bytes of bodies sent, by first path segment, client and whole path."""
        with self._lock:
            return {
                "prefixes": {key: dict(x) for key, x in sorted(self._prefixes.items())},
                "clients": {key: dict(x) for key, x in sorted(self._clients.items())},
                "paths": {key: dict(x) for key, x in sorted(self._paths.items())},
            }

    def fault(self, path: str, client: str) -> Fault:
        """The first fault that hits this request, used up by one; else one that does nothing."""
        with self._lock:
            for fault in self._faults:
                if not path.startswith(fault.prefix) or fault.times == 0:
                    continue
                if fault.client and fault.client != client:
                    continue
                fault.times -= 1 if fault.times > 0 else 0
                return fault
        return Fault("")

    def request(self, path: str, client: str) -> None:
        """Count one request."""
        self._count(path, client, 1, 0)

    def sent(self, path: str, client: str, size: int) -> None:
        """Count bytes of a body, and wait for their turn where bandwidth is limited."""
        self._count(path, client, 0, size)
        with self._lock:
            if not self.kbps:
                return
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + size / (self.kbps * 1000)
            wait = self._free_at - time.monotonic()
        time.sleep(max(0.0, wait))

    def _count(self, path: str, client: str, requests: int, size: int) -> None:
        prefix = re.sub(r"^(/[^/]*).*", r"\1", path)
        with self._lock:
            for table, key in (
                (self._prefixes, prefix),
                (self._clients, client),
                (self._paths, path),
            ):
                entry = table.setdefault(key, {"requests": 0, "bytes": 0})
                entry["requests"] += requests
                entry["bytes"] += size
