"""Ollama's store on disk: ``manifests/HOST/NAMESPACE/MODEL/TAG`` and ``blobs/sha256-HEX``."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.standins import ollama_models
from tests.lab.standins.ollama_names import Name, parse

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."

Json = dict[str, Any]


class Gone(Exception):
    """A model, or a blob that its manifest names, is not in the store."""


@dataclass(frozen=True)
class Model:
    """One manifest with what its small blobs say."""

    name: Name
    manifest: Json
    digest: str
    """sha256 of the manifest file, 64 hex digits."""
    modified: float
    config: Json
    parameters: Json

    @property
    def layers(self) -> list[Json]:
        """All layers and then the config, in the order in which a pull fetches them."""
        return [*self.manifest["layers"], self.manifest["config"]]

    @property
    def size(self) -> int:
        """Bytes on disk by the manifest."""
        return sum(int(layer["size"]) for layer in self.layers)

    def layer(self, kind: str) -> Json | None:
        """The first layer of a kind such as ``model`` or ``params``."""
        wanted = LAYER_TYPE + kind
        return next((x for x in self.manifest["layers"] if x["mediaType"] == wanted), None)

    @property
    def capabilities(self) -> list[str]:
        return list(self.config.get("lab_capabilities", ["completion"]))

    @property
    def context_length(self) -> int:
        """Trained context in tokens."""
        return int(self.config.get("lab_context_length", 8192))

    @property
    def nominal_size(self) -> int:
        """Bytes of memory that the weights take."""
        return int(self.config.get("lab_nominal_size", self.size))

    @property
    def shape(self) -> Json:
        """What the weights say of themselves, without the architecture's name in front."""
        return dict(self.config.get("lab_shape", {}))

    @property
    def details(self) -> Json:
        """As /api/tags, /api/ps and /api/show tell it."""
        return {
            "parent_model": "",
            "format": self.config["model_format"],
            "family": self.config["model_family"],
            "families": self.config["model_families"],
            "parameter_size": self.config["model_type"],
            "quantization_level": self.config["file_type"],
        }


class Store:
    """A models folder; nothing is kept in memory, since files may change behind a server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"

    def blob(self, digest: str) -> Path:
        """File of ``sha256:HEX``."""
        return self.blobs / digest.replace(":", "-")

    def manifest(self, name: Name) -> Path:
        """File of a model's manifest, whether it exists or not."""
        return self.manifests.joinpath(*name.parts)

    def names(self) -> list[Name]:
        """Every file four levels below manifests/ that is a valid name."""
        found = []
        for path in self.manifests.glob("*/*/*/*"):
            host, namespace, model, tag = path.relative_to(self.manifests).parts
            name = parse(f"{host}/{namespace}/{model}:{tag}")
            if name and path.is_file():
                found.append(name)
        return found

    def existing(self, name: Name) -> Name | None:
        """The stored name that equals `name` without regard to case."""
        wanted = tuple(part.lower() for part in name.parts)
        for candidate in self.names():
            if tuple(part.lower() for part in candidate.parts) == wanted:
                return candidate
        return None

    def model(self, name: Name) -> Model:
        """What the store has under `name`; Gone without manifest or config blob."""
        stored = self.existing(name)
        if stored is None:
            raise Gone(name.short)
        path = self.manifest(stored)
        try:
            raw = path.read_bytes()
            manifest = json.loads(raw)
            config = json.loads(self.blob(manifest["config"]["digest"]).read_bytes())
            parameters: Json = {}
            for layer in manifest["layers"]:
                if layer["mediaType"] == LAYER_TYPE + "params":
                    parameters = json.loads(self.blob(layer["digest"]).read_bytes())
        except (OSError, ValueError, KeyError) as error:
            raise Gone(name.short) from error
        digest = hashlib.sha256(raw).hexdigest()
        return Model(stored, manifest, digest, path.stat().st_mtime, config, parameters)

    def models(self) -> list[Model]:
        """What /api/tags lists, newest first; a model without its config blob is left out."""
        found = []
        for name in self.names():
            try:
                found.append(self.model(name))
            except Gone:
                continue
        return sorted(found, key=lambda model: -model.modified)

    def text(self, model: Model, kind: str) -> str:
        """Text of a small layer such as ``template``; empty where there is none."""
        layer = model.layer(kind)
        return self.blob(layer["digest"]).read_text() if layer else ""

    def add_blob(self, chunks: Iterable[bytes], kind: str) -> Json:
        """Store bytes as a layer of media type `kind` and return its entry for a manifest."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        part = self.blobs / f"sha256-{os.getpid()}-{time.monotonic_ns()}.tmp"
        digest = hashlib.sha256()
        size = 0
        with part.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        part.chmod(0o644)
        part.rename(self.blobs / f"sha256-{digest.hexdigest()}")
        return {"mediaType": kind, "digest": f"sha256:{digest.hexdigest()}", "size": size}

    def write_manifest(self, name: Name, raw: bytes) -> None:
        """Put a manifest in place, with the folders above it."""
        path = self.manifest(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        path.chmod(0o644)

    def used(self) -> set[str]:
        """Digests that any manifest names."""
        found: set[str] = set()
        for name in self.names():
            try:
                manifest = json.loads(self.manifest(name).read_bytes())
            except (OSError, ValueError):
                continue
            found.update(x["digest"] for x in [*manifest["layers"], manifest["config"]])
        return found

    def delete(self, name: Name) -> None:
        """Remove a manifest and the layers that no other one uses; Gone where it is not there."""
        stored = self.existing(name)
        if stored is None:
            raise Gone(name.short)
        path = self.manifest(stored)
        manifest = json.loads(path.read_bytes())
        path.unlink()
        for folder in list(path.parents)[:3]:
            if not any(folder.iterdir()):
                folder.rmdir()
        self.remove_unused(x["digest"] for x in [*manifest["layers"], manifest["config"]])

    def remove_unused(self, digests: Iterable[str]) -> int:
        """Delete those blobs that no manifest names any more; their number."""
        used = self.used()
        gone = [digest for digest in set(digests) if digest not in used]
        for digest in gone:
            self.blob(digest).unlink(missing_ok=True)
        return len(gone)

    def prune(self, grace: float) -> list[str]:
        """Remove what no manifest needs from blobs/ unless younger than `grace` seconds.

        Partial downloads fall under this too. Returns the names of the removed files.
        """
        used = {digest.replace(":", "-") for digest in self.used()}
        removed = []
        for path in sorted(self.blobs.glob("*")):
            if path.name in used or (grace and time.time() - path.stat().st_mtime < grace):
                continue
            path.unlink()
            removed.append(path.name)
        return removed


def compact(document: object) -> bytes:
    """JSON as Go writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def manifest_bytes(config: Json, layers: list[Json]) -> bytes:
    """A manifest in the field order of Ollama's own."""
    return compact(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    )


def seed(models: str | Path, name: str, *, factor: float | None = None, revision: int = 1) -> Model:
    """Write a model of the lab's registry into a store without any network.

    `revision` other than 1 gives an older or newer build of the same name, whose digest differs.
    KeyError for a model that the lab does not have.
    """
    parsed = parse(name)
    recipe = ollama_models.RECIPES[parsed.short if parsed else name]
    assert parsed is not None
    store = Store(Path(models))
    factor = ollama_models.scale() if factor is None else factor
    layers = [
        store.add_blob(ollama_models.weights(recipe, factor, revision), LAYER_TYPE + "model"),
        store.add_blob([recipe.template.encode()], LAYER_TYPE + "template"),
        store.add_blob([ollama_models.LICENSE.encode()], LAYER_TYPE + "license"),
    ]
    if recipe.parameters:
        raw = compact(dict(recipe.parameters))
        layers.append(store.add_blob([raw], LAYER_TYPE + "params"))
    config = store.add_blob([compact(ollama_models.config(recipe))], CONFIG_TYPE)
    store.write_manifest(parsed, manifest_bytes(config, layers))
    return store.model(parsed)
