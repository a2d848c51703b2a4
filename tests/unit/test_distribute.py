"""Which build of a model is given on, and who counts as having it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from clawfleet import store
from clawfleet.operations import distribute, registry
from clawfleet.operations.distribute import Fleet
from clawfleet.plan import Trouble
from clawfleet.pulls import Pull
from clawfleet.snapshot import Snapshot
from clawfleet.store import Build, State

OLD = Build("sha256:" + "1" * 64, {"sha256:" + "a" * 64: 10})
NEW = Build("sha256:" + "2" * 64, {"sha256:" + "b" * 64: 10})
NEW_REWRITTEN = Build("sha256:" + "3" * 64, NEW.layers)
ONE = Pull("gpt-oss:20b", "absent")
LOCKED = Pull("gpt-oss:20b", "absent", locked=OLD)


@dataclass
class World:
    """What other Macs have, and what the registry says."""

    mac: Any
    owned: dict[str, Build] = field(default_factory=dict)
    published: Build | None = NEW
    asked: int = 0
    said: list[str] = field(default_factory=list)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    said: list[str] = []
    made = World(SimpleNamespace(say=lambda text, *_: said.append(text)), said=said)

    def published(*_: object) -> Build:
        made.asked += 1
        if made.published is None:
            raise Trouble("HTTP 503", expected="x", fix="y")
        return made.published

    monkeypatch.setattr(registry, "published", published)
    monkeypatch.setattr(distribute, "owners", lambda *_: made.owned)
    return made


def test_the_locked_build_counts_and_nobody_is_asked(world: World) -> None:
    world.owned = {"a": OLD, "b": NEW}
    assert Fleet().holders(world.mac, LOCKED) == {"a"}
    assert world.asked == 0


def test_without_a_lock_what_is_published_counts(world: World) -> None:
    world.owned = {"a": OLD, "b": NEW, "c": NEW_REWRITTEN}
    fleet = Fleet()
    assert fleet.holders(world.mac, ONE) == {"b", "c"}
    assert fleet.holders(world.mac, ONE) == {"b", "c"}
    assert world.asked == 1
    assert "a has build 111111111111, wanted is 222222222222" in world.said[0]


def test_where_the_registry_is_silent_the_first_macs_build_counts(world: World) -> None:
    world.owned, world.published = {"b": NEW, "a": OLD}, None
    fleet = Fleet()
    assert fleet.holders(world.mac, ONE) == {"a"}
    assert "the build of a (111111111111) is the one that is given on (HTTP 503)" in world.said[0]
    assert fleet.holders(world.mac, ONE) == {"a"}
    assert world.asked == 1


def test_a_mac_that_cannot_be_read_is_no_other_macs_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = State("present", NEW)

    class Broken:
        @property
        def snapshot(self) -> Snapshot:
            raise TypeError("an answer that nobody foresaw")

    peers = {"a": Broken(), "b": SimpleNamespace(snapshot="b")}
    monkeypatch.setattr(distribute, "peers", lambda _: peers)
    monkeypatch.setattr(store, "state", lambda *_: whole)
    mac: Any = SimpleNamespace(host=SimpleNamespace(name="c"))
    assert distribute.owners(mac, ONE) == {"b": NEW}


def test_where_nobody_has_it_nobody_is_asked(world: World) -> None:
    fleet = Fleet()
    assert fleet.holders(world.mac, ONE) == set()
    fleet.pulled(ONE, OLD)
    world.owned = {"a": OLD, "b": NEW}
    assert fleet.holders(world.mac, ONE) == {"a"}
    assert world.asked == 0
