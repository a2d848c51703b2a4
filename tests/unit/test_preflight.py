from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet import preflight
from clawfleet.plan import Trouble
from clawfleet.snapshot import Listener, Model, Process, Snapshot, Store
from tests.unit.factory import (
    NEW,
    OLD,
    TEMPLATES,
    bare,
    equipped,
    file,
    healthy,
    settings,
    trouble_is_useful,
)


def check(snapshot: Snapshot, **wished: Any) -> list[str]:
    return preflight.check(snapshot, settings(**wished), 18789, TEMPLATES)


@pytest.mark.parametrize(
    "snapshot", [bare(), equipped(OLD), equipped(NEW), healthy(OLD), healthy(NEW)]
)
def test_nothing_stands_in_the_way(snapshot: Snapshot) -> None:
    notes = check(snapshot)
    assert notes[0] == "macOS 15.6, Apple M2 Pro, 32 GB, user mac"


def serves(command: str) -> Listener:
    return Listener(11434, (Process(7, 1, 1, command),))


def config(text: str, **more: Any) -> Any:
    return file("/Users/mac/.openclaw/openclaw.json", text, **more)


@pytest.mark.parametrize(
    ("snapshot", "wished", "words"),
    [
        (Snapshot("Linux"), {}, ["Linux", "macOS", "hosts.yml"]),
        (Snapshot(""), {}, ["an unknown system"]),
        (replace(bare(), uid=0), {}, ["root", "ansible_user"]),
        (replace(bare(), macos="13.6.1"), {}, ["macOS 13.6.1", "macOS 14", "update macOS"]),
        (replace(bare(), sudo_free=False), {}, ["no Homebrew", "sudo"]),
        (replace(equipped(), ollama_app="/Applications/Ollama.app"), {}, ["Ollama twice"]),
        (replace(equipped(), ollama_port=serves("nc"), ollama_server=None), {}, ["port 11434"]),
        (equipped("2026.1.1"), {}, ["2026.1.1", "2026.2.12"]),
        (bare(), {"openclaw_install": "none"}, ["no OpenClaw", "npm install"]),
        (replace(bare(), gui=False), {}, ["logged in at the screen"]),
        (
            replace(healthy(), gateway_port=Listener(18789, (Process(7, 1, 1, "nc -l"),))),
            {},
            ["port 18789", "pid 7"],
        ),
        (replace(equipped(), config=config("{ a: ")), {}, ["line 1, column "]),
        (replace(equipped(), config=config("{gateway:{mode:'remote'}}")), {}, ["gateway.mode"]),
        (replace(equipped(), config=config("{agents:{$include:'x'}}")), {}, ["$include"]),
        (replace(equipped(), config=config("{}", link="/elsewhere/x")), {}, ["is a link to"]),
        (replace(bare(), config=file("/c", trouble="not a regular file")), {}, ["regular file"]),
        (replace(equipped(NEW), auth=file("/a", "{}")), {}, ["openclaw doctor --fix"]),
        (replace(equipped(OLD), auth=file("/a", "{")), {}, ["/a line 1, column "]),
        (
            replace(bare(), disk_free=20 * 10**9),
            {},
            ["20.0 GB free", "gpt-oss:20b, qwen3-coder", "34.5 GB", "2.1 GB to spare"],
        ),
        (
            replace(bare(), memory=16 * 1024**3),
            {},
            ["gpt-oss:20b does not fit", "this Mac of 16 GB gives its GPU 11.5 GB"],
        ),
        (
            replace(bare(), memory=16 * 1024**3),
            {"ollama_install": "cask"},
            ["gpt-oss:20b does not fit"],
        ),
    ],
)
def test_what_stops_a_mac_is_found_before_anything_is_changed(
    snapshot: Snapshot, wished: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Trouble) as caught:
        check(snapshot, **wished)
    trouble_is_useful(caught.value, *words)


def test_the_table_is_there_also_for_a_mac_that_is_stopped() -> None:
    small = replace(bare(), memory=16 * 1024**3)
    assert "does not fit" in "\n".join(preflight.fit(small, settings()))
    assert preflight.fit(Snapshot("Linux"), settings()) == []


def test_credentials_of_before_an_upgrade_do_not_stop_it() -> None:
    snapshot = replace(healthy(OLD), nodes=equipped(NEW).nodes)
    assert check(snapshot, openclaw_version=NEW)


@pytest.mark.parametrize(
    ("free", "there", "fits"),
    [
        (35 * 10**9, [], True),
        (34 * 10**9, [], False),
        (17 * 10**9, ["qwen3-coder:latest"], True),
        (10**9, ["qwen3-coder:latest", "gpt-oss:20b"], True),
        (None, [], True),
    ],
)
def test_only_what_is_still_to_be_pulled_needs_room(
    free: int | None, there: list[str], fits: bool
) -> None:
    models = tuple(Model(name, "", 1) for name in there)
    snapshot = replace(equipped(), models=models, disk_free=free)
    if fits:
        assert check(snapshot)
        return
    with pytest.raises(Trouble):
        check(snapshot)


def test_what_came_from_another_mac_needs_no_room_again() -> None:
    waits = Store("/m", incoming={f"sha256:{'a' * 64}": 15 * 10**9})
    snapshot = replace(bare(), disk_free=20 * 10**9, store=waits)
    assert check(snapshot, distribution="lan")
    with pytest.raises(Trouble, match=r"20\.0 GB free"):
        check(snapshot)


@pytest.mark.parametrize(
    ("snapshot", "wished", "note"),
    [
        (bare(), {}, "to pull: gpt-oss:20b, qwen3-coder (32.4 GB, 200.0 GB free)"),
        (
            bare(),
            {"models": [{"id": "x"}], "primary": "ollama/x", "fallbacks": []},
            "to pull: x (200.0 GB free)",
        ),
        (
            replace(bare(), disk_free=None),
            {"models": [{"id": "x"}], "primary": "ollama/x", "fallbacks": []},
            "to pull: x",
        ),
        (replace(bare(), arch="x86_64"), {}, "an Intel Mac"),
    ],
)
def test_notes(snapshot: Snapshot, wished: dict[str, Any], note: str) -> None:
    assert any(given.startswith(note) for given in check(snapshot, **wished))
    assert len(check(healthy())) == 1


def test_what_the_plan_says_is_to_be_transferred() -> None:
    """Also of a model that is there and broken, less what a cut pull has brought."""
    plain = "\n".join(preflight.fit(equipped(), settings()))
    assert "disk:" not in plain
    lines = preflight.fit(equipped(), settings(), {"qwen3-coder": 5 * 10**9})
    assert [line.split()[-2:] for line in lines if line.startswith("qwen3-coder  ")] == [
        ["5.0", "GB"]
    ]
    assert "disk: 200.0 GB free, 195.0 GB after the pull" in lines
