"""What passes between two Macs when one gives a model to the other: manifests, blobs, and the
scripts that let one read from the other for the time of one transfer."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from clawfleet.names import manifest_path
from clawfleet.plan import quote
from clawfleet.scripts import load
from clawfleet.store import Build

BOUND = 4 * 3600
"""Seconds after which an access is useless and gone, whatever has happened to its run: 18 GB over a
slow wireless link take one hour."""
UNSEEN, BROKE, FOREIGN, OURS = 70, 71, 72, 73
"""Exit codes of the receiving scripts: the Macs do not reach each other, it broke off, foreign
bytes, something on the receiver itself."""
MEBIBYTE = 1 << 20
"""Transfers go on at a multiple of it: `dd` skips whole blocks."""
_HOST_KEYS = {
    "ssh-ed25519": "ssh-ed25519",
    "ssh-rsa": "rsa-sha2-512,rsa-sha2-256",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384": "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521": "ecdsa-sha2-nistp521",
}


@dataclass(frozen=True)
class Stock:
    """What a receiver has of a model's blobs."""

    there: frozenset[str] = frozenset()
    """In its store, and looked at as a whole."""
    ready: frozenset[str] = frozenset()
    """Arrived and looked at, not yet in the store."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Bytes that are there of one that was cut off."""
    free: int | None = None
    """Bytes free on that volume."""

    def missing(self, build: Build) -> dict[str, int]:
        """Layers still to come, with their sizes."""
        return {
            digest: size
            for digest, size in build.layers.items()
            if digest not in self.there and digest not in self.ready
        }

    def to_come(self, build: Build) -> int:
        """Bytes still to come."""
        missing = self.missing(build)
        parts = (self.parts.get(digest, 0) // MEBIBYTE * MEBIBYTE for digest in missing)
        return sum(missing.values()) - sum(parts)


def look(store: str, build: Build) -> str:
    """sh that prints what a receiver has already, for :func:`read_stock`."""
    return f"{_want(build.layers)}{_store(store)}{load('lan-look.sh')}"


def read_stock(output: str) -> Stock:
    """What `look` has printed."""
    found: dict[str, dict[str, int]] = {"there": {}, "ready": {}, "part": {}}
    free = None
    for line in output.splitlines():
        words = line.split("\t")
        if len(words) == 3 and words[0] in found and words[2].isdigit():
            found[words[0]][f"sha256:{words[1]}"] = int(words[2])
        elif words[0] == "free" and len(words) == 2 and words[1].isdigit():
            free = int(words[1])
    return Stock(frozenset(found["there"]), frozenset(found["ready"]), found["part"], free)


@dataclass(frozen=True)
class Access:
    """One Mac may read some blobs of another one."""

    run: str
    public: str
    """The public key, ``ssh-ed25519 AAAA...``; it was made for this."""
    reader: str
    """Address of the Mac that may come."""
    store: str
    layers: tuple[str, ...]

    def open(self) -> str:
        """sh that gives the access, prints ``open``, and takes it back when its standard input
        ends; then it prints ``closed``."""
        values = {
            "RUN": self.run,
            "KEY": self.public,
            "FROM": str(ipaddress.ip_address(self.reader)),
            "BOUND": str(BOUND),
            "STORE": self.store,
            "ALLOW": " ".join(_blob(digest) for digest in self.layers),
            "SERVE": load("lan-serve.sh"),
        }
        return f"{_assign(values)}{load('lan-keys.sh')}{load('lan-open.sh')}"


def close() -> str:
    """sh that takes back an access which a run that died has left."""
    return f"{load('lan-keys.sh')}{load('lan-close.sh')}"


def fetch(
    store: str,
    layers: Mapping[str, int],
    *,
    address: str,
    port: int,
    login: str,
    key: str,
    host: str,
) -> str:
    """sh with which a Mac fetches layers from another one.

    `key`: the private key as a file holds it. `host`: the other one's host key, ``TYPE BASE64``.
    """
    values = {
        "ADDRESS": str(ipaddress.ip_address(address)),
        "PORT": str(port),
        "LOGIN": login,
        "KEY": key.strip(),
        "KNOWN": f"clawfleet-source {host}",
        "HOSTKEYS": _HOST_KEYS[host.partition(" ")[0]],
    }
    return f"{_assign(values)}{_want(layers)}{_store(store)}{load('lan-fetch.sh')}"


def known_kind(host: str) -> bool:
    """Whether a host key is of a kind that can be asked for by its name."""
    return host.partition(" ")[0] in _HOST_KEYS


def send(digest: str, skip: int, store: str) -> str:
    """sh that prints a line and then a blob from its `skip`-th mebibyte on: what `lan-serve.sh`
    does for another Mac, for the machine that runs this."""
    path = quote(f"{store}/blobs/{_blob(digest)}")
    return (
        f'f={path}\n[ -f "$f" ] && [ ! -L "$f" ] || {{ echo \'no such file\' >&2; exit 1; }}\n'
        'printf \'clawfleet %s\\n\' "$(stat -f %z "$f")"\n'
        f'exec dd if="$f" bs={MEBIBYTE} skip={skip} 2>/dev/null\n'
    )


def take(store: str, digest: str, size: int) -> str:
    """sh that says ``ready N`` (mebibytes that it has) and takes the rest from standard input."""
    return f"HEX={_hex(digest)}\nSIZE={size}\n{_store(store)}{load('lan-take.sh')}"


def place(store: str, model: str, manifest: bytes, build: Build) -> str:
    """sh that puts what has arrived into the store, the manifest last. `build` is what it says."""
    values = {
        "MANIFEST": manifest_path(model),
        "TEXT": base64.b64encode(manifest).decode(),
        "HEX": _hex(build.digest),
    }
    return f"{_assign(values)}{_want(build.layers)}{_store(store)}{load('lan-place.sh')}"


def tidy(store: str) -> str:
    """sh that takes away what waits before the store and came into it in another way."""
    return f"{_store(store)}tidy\n"


def _store(store: str) -> str:
    return f"STORE={quote(store)}\n{load('lan-store.sh')}"


def _want(layers: Mapping[str, int]) -> str:
    return _assign({"WANT": "\n".join(f"{_hex(d)} {size}" for d, size in layers.items())})


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _blob(digest: str) -> str:
    return f"sha256-{_hex(digest)}"


def _assign(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={quote(value)}\n" for name, value in values.items())
