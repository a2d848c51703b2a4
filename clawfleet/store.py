"""What Ollama's store on a Mac holds of a model, told by its manifest and by the sizes of blobs.

Ollama itself lists a model whose weights are missing, and takes a blob that is too short for one
that is there (server/download.go of v0.16.1: a hit by existence alone). So neither its list nor a
pull that ends well says that a model is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from clawfleet.names import same
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

Kind = Literal["present", "absent", "outdated", "broken"]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Build:
    """One build of a model: what a manifest says, wherever it lies."""

    digest: str
    """``sha256:`` and 64 hex digits, of the manifest's bytes."""
    layers: Mapping[str, int]
    """Digest -> bytes, of all layers and the config."""

    @property
    def size(self) -> int:
        """Bytes of the whole model."""
        return sum(self.layers.values())

    @property
    def short(self) -> str:
        """As ``ollama list`` shows it: the first 12 digits."""
        return self.digest.removeprefix("sha256:")[:12]

    def is_same(self, other: Build) -> bool:
        """Whether both are one build. Ollama before 0.19 writes the manifest anew in its own
        words, so the digests of one build may differ; its layers don't."""
        return self.digest == other.digest or dict(self.layers) == dict(other.layers)


@dataclass(frozen=True)
class State:
    """What a Mac has of one model."""

    kind: Kind
    build: Build | None = None
    """What its manifest says; None where there is none that can be read."""
    why: tuple[str, ...] = ()
    """What is wrong with it, such as ``1194192cf2a1 has 4096 of 18556688736 bytes``."""


def read(manifest: bytes) -> Build:
    """The build that a manifest describes. ValueError for what is no manifest."""
    try:
        document = json.loads(manifest)
        entries = [*document["layers"], document["config"]]
        layers = {str(entry["digest"]): int(entry["size"]) for entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("no manifest of a model") from error
    if not isinstance(document["layers"], list) or any(
        not _DIGEST.fullmatch(d) or size < 0 for d, size in layers.items()
    ):
        raise ValueError("a manifest without digests and sizes")
    return Build(f"sha256:{hashlib.sha256(manifest).hexdigest()}", layers)


def state(snapshot: Snapshot, model: str, locked: Build | None = None) -> State:
    """What the Mac has of `model`, compared with the build that it shall have, if one is named.

    Where a running server and the files contradict each other, its store is another one, and its
    word counts.
    """
    listed = next((m for m in snapshot.models if same(m.name, model)), None)
    file = next((f for n, f in snapshot.store.manifests.items() if same(n, model)), None)
    if file is None or (listed and listed.digest and listed.digest != file.sha256):
        if listed is None:
            return State("absent")
        if locked and listed.digest and f"sha256:{listed.digest}" != locked.digest:
            return State("outdated", why=(f"build {listed.digest[:12]}, not {locked.short}",))
        return State("present")
    try:
        build = read(file.content or b"")
    except ValueError as error:
        why = "this user can't read its manifest" if file.trouble else str(error)
        return State("broken", why=(why,))
    bad = tuple(_bad(snapshot, build))
    if listed is None and snapshot.ollama_server and not bad:
        return State("absent")
    if locked and not build.is_same(locked):
        why = f"build {build.short}, not {locked.short}"
        return State("outdated", build, (why, *bad))
    return State("broken" if bad else "present", build, bad)


def _bad(snapshot: Snapshot, build: Build) -> Iterable[str]:
    for digest, size in build.layers.items():
        found = snapshot.store.blobs.get(digest)
        name = digest.removeprefix("sha256:")[:12]
        if found is None:
            yield f"{name} is missing ({size} bytes)"
        elif found != size:
            yield f"{name} has {found} of {size} bytes"


def wrong(snapshot: Snapshot, build: Build) -> dict[str, int]:
    """Blobs of this build that are there in a wrong size: digest -> bytes. A pull takes them for
    good ones."""
    blobs = snapshot.store.blobs
    return {d: blobs[d] for d, size in build.layers.items() if blobs.get(d, size) != size}


def to_fetch(snapshot: Snapshot, build: Build, *, copied: bool = False) -> int:
    """Bytes that a pull of this build still has to bring to the Mac; with `copied` a copy from
    another Mac, which goes on from what waits before the store."""
    store = snapshot.store
    begun = [store.partials, *([store.incoming] if copied else [])]
    return sum(
        size - min(size, max(part.get(digest, 0) for part in begun))
        for digest, size in build.layers.items()
        if store.blobs.get(digest) != size
    )


def begun(snapshot: Snapshot, settings: Settings) -> int:
    """Bytes that pulls which were cut off have brought, and copies from other Macs, where those go
    on. They are there, and no longer free."""
    copies = snapshot.store.incoming if settings.distribution == "lan" else {}
    return sum(snapshot.store.partials.values()) + sum(copies.values())
