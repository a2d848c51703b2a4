"""Ollama's store as facts/mac.sh reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.lab.standins.ollama_store import seed
from tests.unit.test_reading import SH, command, mac, read, write

__all__ = ["mac"]

GPT = "registry.ollama.ai/library/gpt-oss/20b"


@pytest.mark.parametrize("shell", SH)
def test_manifests_of_wanted_models_and_all_blobs(mac: Path, shell: str) -> None:
    models = mac / ".ollama" / "models"
    wanted, other = seed(models, "gpt-oss:20b", factor=0.001), seed(models, "tiny", factor=0.001)
    store = read(mac, shell, models=f"{GPT}\nregistry.ollama.ai/library/nope/latest").store
    assert store.path == str(models)
    assert store.manifests.keys() == {"gpt-oss:20b"}
    manifest = store.manifests["gpt-oss:20b"]
    assert manifest.sha256 == wanted.digest
    assert hashlib.sha256(manifest.content or b"").hexdigest() == wanted.digest
    layers = [*wanted.layers, *other.layers]
    assert store.blobs == {layer["digest"]: layer["size"] for layer in layers}
    assert store.partials == {}


@pytest.mark.parametrize("shell", SH)
def test_what_is_no_blob_is_not_taken_for_one(mac: Path, shell: str) -> None:
    blobs = mac / ".ollama/models/blobs"
    digest = "a" * 64
    write(mac, f".ollama/models/blobs/x sha256-{digest}", "1")
    write(mac, f".ollama/models/blobs/sha256-{digest} x", "1")
    write(mac, f".ollama/models/blobs/sha256-x\nstore.blob\t9 sha256-{digest}", "1")
    write(mac, ".ollama/models/blobs/sha256-short", "1")
    (blobs / f"sha256-{'b' * 64}").mkdir()
    (blobs / f"sha256-{'c' * 64}").symlink_to("nowhere")
    write(mac, ".ollama/models/blobs/real", "12345")
    (blobs / f"sha256-{'d' * 64}").symlink_to("real")
    assert read(mac, shell).store.blobs == {f"sha256:{'d' * 64}": 5}


@pytest.mark.parametrize("shell", SH)
def test_an_unfinished_download_is_what_its_parts_have(mac: Path, shell: str) -> None:
    name = f".ollama/models/blobs/sha256-{'e' * 64}-partial"
    write(mac, name, "x" * 1000)
    for number, done in enumerate((400, 0, 17)):
        note = {"N": number, "Offset": 500 * number, "Size": 500, "Completed": done}
        end = "\n" if number else ""
        write(mac, f"{name}-{number}", json.dumps(note, separators=(",", ":")) + end)
    write(mac, f"{name}-3", "")
    write(mac, f"{name}-4", "no json")
    store = read(mac, shell).store
    assert store.blobs == {}
    assert store.partials == {f"sha256:{'e' * 64}": 417}


@pytest.mark.parametrize("shell", SH)
def test_what_came_from_another_mac_waits_beside_the_blobs(mac: Path, shell: str) -> None:
    disk = mac / "big disk"
    (disk / "blobs").mkdir(parents=True)
    (mac / ".ollama/models").mkdir(parents=True)
    (mac / ".ollama/models/blobs").symlink_to(disk / "blobs")
    write(mac, f"big disk/clawfleet-incoming/{'e' * 64}.part", "12345")
    write(mac, f"big disk/clawfleet-incoming/{'f' * 64}", "123")
    write(mac, "big disk/clawfleet-incoming/note", "1")
    assert read(mac, shell).store.incoming == {f"sha256:{'e' * 64}": 5, f"sha256:{'f' * 64}": 3}


@pytest.mark.parametrize("shell", SH)
def test_the_name_in_another_case_is_found(mac: Path, shell: str) -> None:
    seed(mac / ".ollama" / "models", "gpt-oss:20b", factor=0.001)
    folder = mac / ".ollama/models/manifests/registry.ollama.ai/library"
    (folder / "gpt-oss").rename(folder / "GPT-OSS")
    assert read(mac, shell, models=GPT).store.manifests.keys() == {"GPT-OSS:20b"}


@pytest.mark.parametrize("shell", SH)
def test_a_manifest_that_is_none_of_a_model_stops_nothing(mac: Path, shell: str) -> None:
    seed(mac / ".ollama" / "models", "gpt-oss:20b", factor=0.001)
    write(mac, f".ollama/models/manifests/{GPT} copy", "{}")
    write(mac, ".ollama/models/manifests/registry.ollama.ai/a.b/c/latest", "{}")
    command(mac, "lsof", "exit 1")
    command(mac, "curl", "exit 7")
    assert [model.name for model in read(mac, shell).models] == ["gpt-oss:20b"]


@pytest.mark.parametrize("shell", SH)
def test_the_store_is_where_the_service_has_it(mac: Path, shell: str) -> None:
    mac = mac.rename(mac.parent / "plain")
    elsewhere = mac.parent / "big disk" / "models"
    seed(elsewhere, "gpt-oss:20b", factor=0.001)
    write(mac, ".homebrew/services/ollama.env", f"OLLAMA_MODELS=/x\nOLLAMA_MODELS={elsewhere}")
    assert read(mac, shell, models=GPT).store.path == str(mac / ".ollama/models")
    write(mac, "brew/bin/brew", "", 0o755)
    (mac / "brew/opt").mkdir()
    (mac / "brew/opt/ollama").symlink_to("../Cellar/ollama/0.32.3")
    store = read(mac, shell, models=GPT, prefix=str(mac / "brew")).store
    assert store.path == str(elsewhere)
    assert store.manifests.keys() == {"gpt-oss:20b"}
    write(mac, ".homebrew/services/ollama.env", "OLLAMA_MODELS=relative\n")
    store = read(mac, shell, models=GPT, prefix=str(mac / "brew")).store
    assert store.path == str(mac / ".ollama/models")


@pytest.mark.parametrize("shell", SH)
def test_the_store_of_the_gui_domain(mac: Path, shell: str) -> None:
    command = mac.parent / "bin" / "launchctl"
    block = "environment = {\\n\\t\\tOLLAMA_MODELS => /Volumes/big disk/m\\n\\t}"
    command.write_text(f"#!/bin/sh\nprintf 'gui/501 = {{\\n\\t{block}\\n}}\\n'\n")
    assert read(mac, shell).store.path == "/Volumes/big disk/m"
