from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import store
from clawfleet.snapshot import File, Model, Snapshot, Store
from tests.unit.factory import file

WEIGHTS, LICENSE, CONFIG = (f"sha256:{letter * 64}" for letter in "abc")
LAYERS = {WEIGHTS: 1000, LICENSE: 50, CONFIG: 7}


def manifest(layers: dict[str, int] = LAYERS, **more: Any) -> bytes:
    *rest, config = [{"digest": digest, "size": size} for digest, size in layers.items()]
    return json.dumps({"schemaVersion": 2, "config": config, "layers": rest, **more}).encode()


RAW = manifest()
BUILD = store.read(RAW)
OTHER = store.read(manifest({**LAYERS, f"sha256:{'d' * 64}": 1}))
REWRITTEN = store.read(manifest(anew=True))


def mac(
    raw: bytes | None = RAW,
    *,
    listed: bool = True,
    running: bool = True,
    name: str = "gpt-oss:20b",
    **sizes: int,
) -> Snapshot:
    """A Mac with one model, some of its blobs (a, b, c) of another size or not there (-1)."""
    blobs = {
        digest: sizes.get(digest[7], size)
        for digest, size in LAYERS.items()
        if sizes.get(digest[7], size) >= 0
    }
    manifests = {} if raw is None else {name: file("/m", raw)}
    digest = hashlib.sha256(raw).hexdigest() if raw is not None else "9" * 64
    return Snapshot(
        "Darwin",
        ollama_server="0.32.3" if running else None,
        models=(Model(name, digest, 1057),) if listed else (),
        store=Store("/models", manifests, blobs),
    )


STATES: list[tuple[str, Snapshot, store.Build | None, str, tuple[str, ...]]] = [
    ("whole", mac(), None, "present", ()),
    ("as locked", mac(), BUILD, "present", ()),
    ("locked in other words", mac(), REWRITTEN, "present", ()),
    ("no server", mac(running=False), BUILD, "present", ()),
    ("another case", mac(name="GPT-OSS:20b"), BUILD, "present", ()),
    ("nothing", mac(None, listed=False), BUILD, "absent", ()),
    ("another store", mac(listed=False), None, "absent", ()),
    ("elsewhere", mac(None), None, "present", ()),
    ("elsewhere, locked", mac(None), BUILD, "outdated", ("build 999999999999",)),
    ("another build", mac(), OTHER, "outdated", (f"build {BUILD.short}, not",)),
    ("no weights", mac(a=-1), None, "broken", ("aaaaaaaaaaaa is missing (1000 bytes)",)),
    ("short", mac(a=999), None, "broken", ("aaaaaaaaaaaa has 999 of 1000 bytes",)),
    ("long", mac(b=51), BUILD, "broken", ("bbbbbbbbbbbb has 51 of 50 bytes",)),
    ("empty", mac(a=0), None, "broken", ("has 0 of 1000",)),
    ("no config", mac(c=-1, listed=False), None, "broken", ("cccccccccccc is missing",)),
    (
        "short and outdated",
        mac(a=1),
        OTHER,
        "outdated",
        (f"build {BUILD.short}, not {OTHER.short}", "aaaaaaaaaaaa has 1 of"),
    ),
    ("empty manifest", mac(b"", listed=False), None, "broken", ("no manifest",)),
    ("odd manifest", mac(b'{"layers":[]}', listed=False), None, "broken", ("no manifest",)),
]


@pytest.mark.parametrize(
    ("snapshot", "locked", "kind", "why"),
    [row[1:] for row in STATES],
    ids=[row[0] for row in STATES],
)
def test_states(
    snapshot: Snapshot,
    locked: store.Build | None,
    kind: str,
    why: tuple[str, ...],
) -> None:
    found = store.state(snapshot, "gpt-oss:20b", locked)
    assert found.kind == kind
    assert len(found.why) == len(why)
    for part, said in zip(why, found.why, strict=True):
        assert part in said


def test_a_manifest_that_cannot_be_read() -> None:
    unread = {"gpt-oss:20b": File("/m", None, trouble="not readable by this user")}
    snapshot = replace(mac(listed=False), store=Store("/models", unread))
    found = store.state(snapshot, "gpt-oss:20b")
    assert (found.kind, found.why) == ("broken", ("this user can't read its manifest",))


def test_blobs_that_a_pull_would_take_for_good_ones() -> None:
    assert store.wrong(mac(), BUILD) == {}
    assert store.wrong(mac(a=-1), BUILD) == {}
    assert store.wrong(mac(a=999, b=51, c=7), BUILD) == {WEIGHTS: 999, LICENSE: 51}
    assert store.wrong(mac(a=0), BUILD) == {WEIGHTS: 0}


def test_what_a_pull_still_has_to_bring() -> None:
    assert store.to_fetch(mac(), BUILD) == 0
    assert store.to_fetch(mac(a=-1), BUILD) == 1000
    assert store.to_fetch(mac(a=999, b=-1), BUILD) == 1050
    partly = replace(mac(a=-1), store=Store("/models", {}, {}, {WEIGHTS: 400, LICENSE: 99}))
    assert store.to_fetch(partly, BUILD) == 600 + 7


BAD: list[Callable[[dict[str, Any]], object]] = [
    lambda m: m.pop("config"),
    lambda m: m.update(layers={}),
    lambda m: m["config"].update(digest="sha256:../../x"),
    lambda m: m["config"].update(size=-1),
    lambda m: m["config"].update(size="many"),
]


@pytest.mark.parametrize("spoil", BAD)
def test_what_is_no_manifest_is_refused(spoil: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(RAW)
    spoil(document)
    with pytest.raises(ValueError, match="manifest"):
        store.read(json.dumps(document).encode())
