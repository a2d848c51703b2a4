"""Which models a Mac has to pull and why, and what Ollama's /api/pull says while it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clawfleet import store
from clawfleet.lock import RENEW, Lock
from clawfleet.plan import Trouble
from clawfleet.preflight import SPARE
from clawfleet.settings import ModelWish, Settings
from clawfleet.snapshot import Snapshot
from clawfleet.store import Build

SLOW = 900
"""Seconds for what Ollama does in silence at the end: it reads 18 GB for their sha256."""
TRIES = 4
"""Tries in a row that brought nothing; one that brought bytes does not count."""
WORTH = 1_000_000
"""Bytes that a try must bring so that it does not count."""
WINDOW = 10.0
"""Seconds over which the rate is told."""


@dataclass(frozen=True)
class Pull:
    """One model that a Mac has to pull."""

    model: str
    kind: Literal["absent", "outdated", "broken"]
    why: tuple[str, ...] = ()
    had: Build | None = None
    """What is there under this name."""
    locked: Build | None = None
    """What models.lock wants; None: whatever is published."""
    aside: Mapping[str, int] = field(default_factory=dict)
    """Blobs of a wrong size (digest -> bytes), which Ollama would take for good ones."""
    size: int | None = None
    """Bytes of the whole model, None: not known before the pull."""
    to_fetch: int | None = None
    """Bytes that have to come over the network."""

    def lines(self) -> list[str]:
        """What will be done, for a person."""
        size = gigabytes(self.size) if self.size else ""
        part = size if self.to_fetch is None else gigabytes(self.to_fetch)
        size = size if part == size else f"{part} of {size}"
        sizes = f" ({size})" if size else ""
        again = "" if self.kind == "absent" else " again"
        because = f": {self.kind}, {'; '.join(self.why)}" if self.why else ""
        lines = [f"Will pull {self.model}{again}{sizes}{because}"]
        if self.aside:
            names = ", ".join(digest[7:19] for digest in self.aside)
            lines.append(f"  {names} is put aside first: Ollama would take it for whole")
        if self.kind == "outdated" and self.had:
            lines.append(f"  Ollama then deletes what only build {self.had.short} uses")
        return lines


def plan(snapshot: Snapshot, settings: Settings, lock: Lock | None) -> list[Pull]:
    """What is missing, broken, or another build than models.lock says; in the settings' order."""
    pulls = []
    for wish in settings.models:
        locked = lock.build(wish.id) if lock else None
        found = store.state(snapshot, wish.id, locked)
        if found.kind == "present":
            continue
        build = locked or found.build
        pulls.append(
            Pull(
                wish.id,
                found.kind,
                found.why,
                found.build,
                locked,
                store.wrong(snapshot, build) if build else {},
                build.size if build else wish.size,
                store.to_fetch(snapshot, build, copied=settings.distribution == "lan")
                if build
                else _unknown(snapshot, settings, wish),
            )
        )
    return pulls


def _unknown(snapshot: Snapshot, settings: Settings, wish: ModelWish) -> int | None:
    """What the settings say of the size, less what may be there of it already: which layers it has
    is not known yet."""
    return max(0, wish.size - store.begun(snapshot, settings)) if wish.size else wish.size


def check_room(pulls: Sequence[Pull], snapshot: Snapshot) -> bool:
    """Whether the blobs that are put aside have to go before the new ones come, as the disk can't
    hold both. Trouble when there is no room in either case."""
    free, needed = snapshot.disk_free, sum(pull.to_fetch or 0 for pull in pulls)
    if free is None or not needed or needed + SPARE <= free:
        return False
    if needed + SPARE <= free + sum(sum(pull.aside.values()) for pull in pulls):
        return True
    names = ", ".join(pull.model for pull in pulls)
    raise Trouble(
        f"{gigabytes(free)} free where the models lie",
        expected=f"{gigabytes(needed + SPARE)}: {gigabytes(needed)} for {names} and "
        f"{gigabytes(SPARE)} to spare",
        fix="make room on that Mac, or take models off its list",
    )


def check_published(pull: Pull, published: Build, host: str) -> None:
    """Trouble when a pull would bring another build than models.lock says."""
    if pull.locked is None or published.is_same(pull.locked):
        return
    has = f"this Mac has {pull.had.short}" if pull.had else "this Mac has none"
    own = ""
    if pull.kind == "outdated" and pull.had:
        own = f"; or keep what this Mac has: {RENEW} --data lock_from={host}"
    raise Trouble(
        f"{pull.model}: build {published.short} is published now, models.lock has "
        f"{pull.locked.short}, {has}",
        expected="the build of models.lock; nothing was pulled or replaced",
        fix=f'bring it from a Mac that has it (distribution = "lan", docs/models.md); or take the '
        f"new one: delete {pull.model} in models.lock, run again, then {RENEW}{own}",
    )


class PullError(Exception):
    """The pull ended with an error; `again` says whether another try can help."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


@dataclass
class Progress:
    """Bytes of every layer so far; fed with the lines of the answer."""

    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """digest: (completed, total)"""
    status: str = "waiting for the first line"
    done: bool = False

    @property
    def completed(self) -> int:
        return sum(completed for completed, _ in self.layers.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self.layers.values())

    def take(self, event: dict[str, Any]) -> None:
        """One line. PullError for an error in it: Ollama sends these inside HTTP 200, as the first
        line is out before the trouble is known (server/routes.go of v0.16.1)."""
        if "error" in event:
            raise PullError(str(event["error"]), again=_may_pass(str(event["error"])))
        self.status = str(event.get("status", ""))
        if event.get("digest"):
            completed, total = int(event.get("completed", 0)), int(event.get("total", 0))
            self.layers[str(event["digest"])] = (completed, total)
        self.done = self.status == "success"


class Watch:
    """One try of a pull, as time goes on. Every `now` is a monotonic clock in seconds."""

    def __init__(self, stall: float, now: float) -> None:
        self.progress = Progress()
        self.stall = stall
        self.begun = self._moved = now
        self._first: int | None = None
        self._seen: tuple[str, int] = ("", -1)
        self._points: deque[tuple[float, int]] = deque()

    @property
    def gained(self) -> int:
        """Bytes that came in this try; what was there before does not count."""
        return 0 if self._first is None else self.progress.completed - self._first

    def take(self, event: dict[str, Any], now: float) -> None:
        """One line of the answer; PullError for an error in it."""
        digest = str(event.get("digest", ""))
        known = self.progress.layers.get(digest, (0, 0))[1] > 0
        self.progress.take(event)
        completed = self.progress.completed
        here, total = self.progress.layers.get(digest, (0, 0))
        if total and not known:
            # The first line about a layer tells what was there of it already.
            self._first = (self._first or 0) + here
            self._points = deque((at, size + here) for at, size in self._points)
        # Ollama sends a line every 60 ms even when no byte comes.
        if (self.progress.status, completed) != self._seen:
            self._seen, self._moved = (self.progress.status, completed), now
        self._points.append((now, completed))
        while len(self._points) > 2 and now - self._points[1][0] >= WINDOW:
            self._points.popleft()

    def check(self, now: float) -> None:
        """PullError when nothing has moved for too long, whether lines come or not."""
        quiet = now - self._moved
        fetching = self.progress.status.startswith(("waiting", "pulling"))
        if quiet > (self.stall if fetching else max(SLOW, self.stall)) and not self.progress.done:
            what = "no byte" if self.progress.layers else f"nothing after {self.progress.status!r}"
            raise PullError(f"{what} for {quiet:.0f} s", again=True)

    def rate(self, now: float) -> float:
        """Bytes a second over the last WINDOW seconds."""
        if not self._points or now - self._points[0][0] <= 0:
            return 0.0
        at, size = self._points[0]
        return max(0, self.progress.completed - size) / (now - at)

    def line(self, now: float) -> str:
        """Bytes, rate and remaining time, or what Ollama is doing."""
        progress, rate = self.progress, self.rate(now)
        if not progress.total or not progress.status.startswith("pulling"):
            return progress.status
        percent = 100 * progress.completed // progress.total
        text = f"{percent:3d} % of {gigabytes(progress.total)}, {rate / 1e6:.1f} MB/s"
        left = progress.total - progress.completed
        return f"{text}, {_duration(left / rate)} left" if rate and left else text


class Tries:
    """How often a pull is begun again, and after which pause."""

    def __init__(self) -> None:
        self.fruitless = 0

    def pause(self, error: PullError, gained: int, chance: float) -> float | None:
        """Seconds until the next try; None: no further one.

        `chance` (0 to 1) spreads the pauses, so that twenty Macs that one router has cut off don't
        come back in step. A blob that arrived damaged counts, however many bytes it had.
        """
        if not error.again:
            return None
        if gained >= WORTH and "digest mismatch" not in str(error):
            self.fruitless = 0
        self.fruitless += 1
        if self.fruitless >= TRIES:
            return None
        return float(2**self.fruitless) * (0.5 + chance / 2)


def _may_pass(message: str) -> bool:
    final = (
        "file does not exist",
        "newer version of Ollama",
        "invalid",
        "unauthorized",
        "no space",
    )
    return not any(word in message for word in final)


def explain(model: str, message: str) -> tuple[str, str]:
    """What was expected and what fixes it, for an error of a pull."""
    if "file does not exist" in message:
        return (
            "a model of the Ollama library (https://ollama.com/library)",
            f"correct {model!r} in `models` of the settings",
        )
    if "invalid model name" in message or "unauthorized" in message:
        return "a model that anybody may pull", f"correct {model!r} in `models` of the settings"
    if "newer version of Ollama" in message:
        return "a server that can run this model", "on the Mac: brew upgrade ollama, then run again"
    if "no space" in message:
        return "room for the model", "make room on that Mac and run again: the pull resumes"
    if "proxyconnect" in message:
        return (
            "an answer of the proxy that Ollama's server has in its environment",
            "start that proxy; or name another one, pull_proxy; or take it out of what the server "
            "inherits (pyinfra inventory.py tasks/environment.py) and restart it, on the Mac: "
            "brew services restart ollama",
        )
    return (
        'a stream that ends with "success"',
        "run again: the pull resumes where it was; behind a proxy set pull_proxy (Ollama's server "
        "then pulls through it, and the gateway does not see it)",
    )


def gigabytes(size: int) -> str:
    """``13.8 GB``, or ``4.4 MB`` below one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
