"""The blobs of a model on their way from one Mac to another."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko import SSHException

from clawfleet import lan
from clawfleet.connection import is_lost, transport_of
from clawfleet.distribution import Outcome
from clawfleet.lan import Access, Stock
from clawfleet.live import Line
from clawfleet.pulls import gigabytes
from clawfleet.run import MacRun
from clawfleet.session import Session
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot
from clawfleet.store import Build

EVERY = 5.0
"""Seconds between two lines of progress."""
OPENING = 30
"""Seconds in which an access is given, or taken back."""
CHECKING = 1800
"""Seconds in which a Mac has computed the hash of one blob."""
_ENDS: dict[int, Outcome] = {
    0: "done",
    lan.UNSEEN: "unseen",
    lan.FOREIGN: "foreign",
    lan.OURS: "ours",
}


@dataclass
class Transfer:
    """One model, from one Mac to one other. What has arrived stays there for another try."""

    mac: MacRun
    source: MacRun
    there: Snapshot
    """The source as it was read for this."""
    model: str
    build: Build
    stock: Stock

    @property
    def stall(self) -> int:
        """Seconds without a byte, or any word of a script, after which it is given up."""
        return self.mac.settings.pull_stall

    def direct(self) -> tuple[Outcome, str]:
        """Mac to Mac. How it ended, and why, for a person."""
        here = self.mac.snapshot
        reader = _address(self.mac.settings, here)
        giver = _address(self.source.settings, self.there)
        private, public = _key_pair()
        missing = self.stock.missing(self.build)
        try:
            host_key = _host_key(self.source)
            if reader is None or giver is None or host_key is None:
                return "unseen", "no address of one of them is known"
            access = Access(
                self.source.run, public, reader[0], self.there.store.path, tuple(missing)
            )
            script = lan.fetch(
                here.store.path,
                missing,
                address=giver[0],
                port=giver[1],
                login=self.there.user,
                key=private,
                host=host_key,
            )
            self._say("over the LAN")
            with Session(self.source.host, access.open()) as keeper:
                if keeper.line(OPENING) != "open":
                    return "unseen", keeper.error() or "no access was given"
                try:
                    with (
                        Session(self.mac.host, script) as fetching,
                        Line(self.mac.host.name) as line,
                    ):
                        fetching.finish()
                        return self._watch(fetching, _Progress(self, line))
                finally:
                    self._close(keeper)
        except (EOFError, OSError, SSHException) as error:
            return self._lost(error)

    def relayed(self) -> tuple[Outcome, str]:
        """Through this machine, over the two connections that it has. As for `direct`."""
        self._say("through this machine")
        try:
            with Line(self.mac.host.name) as line:
                progress = _Progress(self, line)
                for digest, size in self.stock.missing(self.build).items():
                    outcome, why = self._relay(digest, size, progress)
                    if outcome != "done":
                        return outcome, why
                    progress.done += size
        except (EOFError, OSError, SSHException) as error:
            return self._lost(error)
        return "done", ""

    def _relay(self, digest: str, size: int, progress: _Progress) -> tuple[Outcome, str]:
        to = self.mac.snapshot.store.path
        with Session(self.mac.host, lan.take(to, digest, size)) as taker:
            word, _, skip = (taker.line(self.stall) or "").partition(" ")
            if word != "ready" or not skip.isdigit():
                return "ours", taker.error() or "it takes nothing"
            at = int(skip) * lan.MEBIBYTE
            with Session(
                self.source.host, lan.send(digest, int(skip), self.there.store.path)
            ) as sender:
                head = sender.line(self.stall) or ""
                if head != f"clawfleet {size}":
                    foreign = head.startswith("clawfleet ")
                    return "foreign" if foreign else "broke", sender.error() or head or "no answer"
                while at <= size and (block := sender.read(self.stall)):
                    at += len(block)
                    taker.write(block, self.stall)
                    progress.at(at)
            taker.finish()
            code = taker.code(CHECKING)
            return _ENDS.get(code, "broke"), taker.error() or f"exit code {code}"

    def _watch(self, fetching: Session, progress: _Progress) -> tuple[Outcome, str]:
        layers, digest = self.build.layers, ""
        checking = False
        while (line := fetching.line(self.stall)) is not None:
            word, _, rest = line.partition(" ")
            if word == "blob":
                digest, checking = f"sha256:{rest}", False
            elif word == "checking":
                checking = True
            elif word == "got":
                progress.done += layers.get(f"sha256:{rest}", 0)
                progress.at(0)
            elif word == "at" and rest.isdigit() and not checking:
                progress.at(min(int(rest), layers.get(digest, 0)))
            if progress.silent > self.stall and not checking:
                return "broke", f"no byte for {self.stall} s"
        code = fetching.code(OPENING)
        return _ENDS.get(code, "broke"), fetching.error() or f"exit code {code}"

    def _close(self, keeper: Session) -> None:
        """Take the access back; where that can't be seen, say what remains and for how long."""
        try:
            keeper.finish()
            if keeper.line(OPENING) == "closed":
                return
            why = keeper.error() or "no answer"
        except (EOFError, OSError) as error:
            why = str(error) or type(error).__name__
        self.source.say(
            f"the access of {self.mac.host.name} was perhaps not taken back ({why}): the Mac "
            f"itself does so, at the latest after {lan.BOUND // 3600} hours; or take the line that "
            f"ends in clawfleet-lan-{self.source.run} out of ~/.ssh/authorized_keys",
            "red",
        )

    def _lost(self, error: Exception) -> tuple[Outcome, str]:
        if is_lost(self.mac.host):
            raise error
        why = str(error) or type(error).__name__
        return "lost" if is_lost(self.source.host) else "broke", why

    def _say(self, way: str) -> None:
        left = self.stock.to_come(self.build)
        self.mac.say(f"{self.model}: {gigabytes(left)} from {self.source.host.name}, {way}")


class _Progress:
    """What a person sees of it, and when the last byte came."""

    def __init__(self, transfer: Transfer, line: Line) -> None:
        self._transfer, self._line = transfer, line
        self.total = sum(transfer.stock.missing(transfer.build).values())
        self.done = 0
        """Bytes of the blobs that are there."""
        self._before = self.total - transfer.stock.to_come(transfer.build)
        self._last = -1
        self._began = self._said = self._moved = time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the last byte came."""
        return time.monotonic() - self._moved

    def at(self, size: int) -> None:
        """So many bytes of the present blob are there."""
        whole, now = self.done + size, time.monotonic()
        if whole != self._last:
            self._last, self._moved = whole, now
        if not self.total:
            return
        rate = max(0, whole - self._before) / max(now - self._began, 0.001)
        left = f", {(self.total - whole) / rate / 60:.0f} min left" if rate > 0 else ""
        mac = self._transfer.mac
        text = (
            f"{self._transfer.model}: {100 * whole / self.total:3.0f} % of {gigabytes(self.total)} "
            f"from {self._transfer.source.host.name}, {rate / 1e6:.1f} MB/s{left}"
        )
        if not self._line.show(f"{mac.host.print_prefix}{text}") and now - self._said >= EVERY:
            self._said = now
            mac.say(text)


def _address(settings: Settings, snapshot: Snapshot) -> tuple[str, int] | None:
    """Where another Mac reaches this one's SSH."""
    found = snapshot.reached
    if settings.distribution_address:
        return settings.distribution_address, found[1] if found else 22
    return found


def _host_key(mac: MacRun) -> str | None:
    """The key by which this machine knows the Mac, ``TYPE BASE64``; None where another Mac could
    not ask for that kind."""
    transport = transport_of(mac.host)
    if transport is None:
        return None
    key = transport.get_remote_server_key()
    named = f"{key.get_name()} {key.get_base64()}"
    return named if lan.known_kind(named) else None


def _key_pair() -> tuple[str, str]:
    """A new key for one transfer: the private one as a file holds it, the public one as a line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()
