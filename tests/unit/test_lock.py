from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import lock
from clawfleet.lock import Found, Lock
from clawfleet.settings import SettingsError
from clawfleet.snapshot import Model, Store
from clawfleet.store import Build
from tests.unit.factory import equipped, file, settings
from tests.unit.test_store import BUILD, LAYERS, OTHER, RAW, REWRITTEN

LOCK = Lock({"gpt-oss:20b": BUILD, "qwen3-coder:latest": OTHER}, "0.32.3", "2026.9.6")


def test_what_is_written_is_read_again() -> None:
    text = lock.dumps(LOCK)
    assert lock.parse(text) == LOCK
    assert lock.dumps(lock.parse(text)) == text
    assert lock.parse(lock.dumps(Lock())) == Lock()
    assert text.endswith("}\n")


def test_the_same_lock_is_the_same_text_in_any_order() -> None:
    turned = Build(BUILD.digest, dict(reversed(LAYERS.items())))
    other = Lock({"qwen3-coder:latest": OTHER, "gpt-oss:20b": turned}, "0.32.3", "2026.9.6")
    assert lock.dumps(other) == lock.dumps(LOCK)


def test_names_are_found_as_ollama_finds_them() -> None:
    assert LOCK.build("qwen3-coder") == OTHER
    assert LOCK.build("GPT-OSS:20b") == BUILD
    assert LOCK.build("tiny") is None


def broken(**changes: Any) -> str:
    document = json.loads(lock.dumps(LOCK))
    document["models"]["gpt-oss:20b"] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("<<<<<<< HEAD\n{}", "not valid JSON"),
        ("[]", "expected an object"),
        ('{"model": {}}', "model: valid are models, ollama, openclaw"),
        ('{"ollama": 0.32}', "ollama: expected a version"),
        ('{"models": []}', "expected names with their builds"),
        ('{"models": {"a b": {}}}', "is not a model's name"),
        ('{"models": {"a": {}}}', "expected digest, layers and size"),
        (broken(digest="17052f91a42e"), "'17052f91a42e' is no digest"),
        (broken(layers={}), "layers: expected digests with their bytes"),
        (broken(layers={BUILD.digest: True}), "expected whole numbers"),
        (broken(size=7), "size is 7, its layers have 1057 bytes"),
        ('{"models": {}, "models": {}}', "models stands there twice"),
        (
            lock.dumps(LOCK).replace("qwen3-coder:latest", "GPT-OSS:20b"),
            "one model stands there twice",
        ),
    ],
)
def test_what_is_no_lock_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=r"models\.lock: ") as refused:
        lock.parse(text)
    assert said in str(refused.value)
    # The command alone would read the same file first, and stop as well.
    assert f"rm models.lock; {lock.RENEW}" in str(refused.value)


def test_drift_names_what_differs() -> None:
    seen = replace(
        equipped(),
        models=(Model("gpt-oss:20b", file("/m", RAW).sha256 or "", 1057),),
        store=Store("/models", {"gpt-oss:20b": file("/m", RAW)}, {**LAYERS}),
    )
    assert lock.drift(seen, settings(), LOCK) == []
    assert lock.drift(seen, settings(), None) == []
    other = Lock({"gpt-oss:20b": OTHER}, "0.31.0", "2026.2.17")
    notes = "\n".join(lock.drift(seen, settings(), other))
    assert f"gpt-oss:20b is outdated: build {BUILD.short}, not {OTHER.short}" in notes
    assert "Ollama is 0.32.3, models.lock has 0.31.0: versions are reported" in notes
    assert "OpenClaw is 2026.9.6, models.lock has 2026.2.17" in notes
    short = replace(seen, store=replace(seen.store, blobs={**LAYERS, next(iter(LAYERS)): 3}))
    (note,) = lock.drift(short, settings(), None)
    assert note == "gpt-oss:20b is broken: aaaaaaaaaaaa has 3 of 1000 bytes"


def test_what_one_mac_has() -> None:
    seen = replace(
        equipped(),
        models=(Model("gpt-oss:20b", file("/m", RAW).sha256 or "", 1057),),
        store=Store("/models", {"gpt-oss:20b": file("/m", RAW)}, {**LAYERS}),
    )
    assert lock.found("mac1", seen, settings()) == Found(
        "mac1", {"gpt-oss:20b": BUILD}, (), "0.32.3", "2026.9.6"
    )
    broken = replace(seen, store=replace(seen.store, blobs={}))
    found = lock.found("mac1", broken, settings())
    assert found.models == {}
    assert "gpt-oss:20b is not counted, as it is broken" in found.notes[0]
    elsewhere = lock.found("mac1", replace(seen, store=Store("/x")), settings())
    assert elsewhere.notes == ("gpt-oss:20b is not counted: its files are not in /x",)


def mac(name: str, build: Build | None = BUILD, ollama: str = "1", openclaw: str = "2") -> Found:
    return Found(name, {"m:1": build} if build else {}, (), ollama, openclaw)


def test_all_macs_agree() -> None:
    made = lock.agree([mac("a"), mac("b", REWRITTEN), mac("c", None)], Lock(), ["m:1"])
    assert made.differ == ()
    assert made.lock == Lock({"m:1": BUILD}, "1", "2")
    again = lock.agree([mac("b", REWRITTEN)], made.lock, ["m:1"])
    assert again.lock == made.lock


def test_who_differs_is_named_and_nothing_is_written_for_it() -> None:
    before = Lock({"m:1": OTHER}, "0", "2")
    macs = [mac("a"), mac("b", OTHER, ollama="9"), mac("c")]
    made = lock.agree(macs, before, ["m:1"])
    assert made.lock == before
    assert made.differ == (
        f"m:1: {BUILD.short} on a, c; {OTHER.short} on b",
        "Ollama: 1 on a, c; 9 on b",
    )
    assert lock.agree(macs, Lock(), ["m:1"]).lock == Lock({}, None, "2")


def test_one_mac_can_be_named() -> None:
    macs = [mac("a"), mac("b", OTHER, ollama="9")]
    assert lock.agree(macs, Lock(), ["m:1"], "b").lock == Lock({"m:1": OTHER}, "9", "2")
    with pytest.raises(ValueError, match="x is none of a, b"):
        lock.agree(macs, Lock(), ["m:1"], "x")


def test_what_other_macs_want_stays_and_the_rest_goes() -> None:
    before = Lock({"m:1": OTHER, "kept:1": OTHER, "gone:1": OTHER}, "1", "2")
    made = lock.agree([mac("a", None)], before, ["m:1", "kept:1"])
    assert made.lock.models == {"m:1": OTHER, "kept:1": OTHER}


def test_a_diff_of_the_file() -> None:
    new = lock.dumps(replace(LOCK, ollama="0.33.0"))
    lines = lock.diff(lock.dumps(LOCK), new, "models.lock")
    assert '-  "ollama": "0.32.3",' in lines
    assert '+  "ollama": "0.33.0",' in lines
    assert lock.diff(None, new, "models.lock")[0] == "--- /dev/null"
