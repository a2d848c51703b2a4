"""Macs with one trouble of their own, or of Ollama, and the good one from which each is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clawfleet.sessions import Session
from clawfleet.snapshot import Job, Listener, Model, Process, Snapshot, Store
from clawfleet.symptoms import Message, Served, Symptoms, Verdict
from tests.unit.factory import BREW, HOME, file, healthy, with_file

NOW = 1763850000
APP = "/Applications/Ollama.app"
GATEWAY = f"{BREW}/opt/node@24/bin/node {BREW}/lib/node_modules/openclaw/dist/index.js gateway"


def good() -> Symptoms:
    """Awake, logged in by itself, its config accepted, its models served as promised."""
    return Symptoms(
        power={"sleep": 0, "autorestart": 1, "womp": 1},
        filevault=False,
        auto_login="mac",
        console="mac",
        brew_owner="mac",
        brew_writable=True,
        client="0.32.3",
        served=(Served("gpt-oss:20b", 32768, 10, 10),),
        gateways=(Process(900, 1, 4000, GATEWAY),),
        sessions=(Session("agent:main:main", 20000),),
        verdict=Verdict(True),
    )


def config(snapshot: Snapshot, change: Callable[[dict[str, Any]], None]) -> Snapshot:
    """The Mac with something changed in its openclaw.json."""
    document = json.loads(snapshot.config.content or b"{}")
    change(document)
    return with_file(snapshot, "config", file(snapshot.config.path, json.dumps(document)))


def provider(document: dict[str, Any]) -> dict[str, Any]:
    ollama: dict[str, Any] = document["models"]["providers"]["ollama"]
    return ollama


def served_by(command: str, version: str | None = "0.32.3") -> Snapshot:
    """A Mac on which that command listens on Ollama's port."""
    listener = Listener(11434, (Process(700, 1, 5000, command),))
    return replace(healthy(), ollama_port=listener, ollama_server=version)


def job(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {"state": "running", "pid": 900, "runs": 1, "last_exit": ""} | changes
    return replace(healthy(), gateway=Job(**values, inherited={}, environment={}))


def said(text: str, age: int = 60) -> Symptoms:
    path = f"{HOME}/.openclaw/logs/gateway.err.log"
    return replace(good(), messages=(Message(path, text, NOW - age),))


def app(**more: Any) -> Snapshot:
    """A Mac with Ollama.app in the place of the formula."""
    values: dict[str, Any] = {
        "ollama_formula": None,
        "ollama_cask": "ollama-app",
        "ollama_app": APP,
        "ollama_app_version": "0.32.3",
        "ollama_link": f"{APP}/Contents/Resources/ollama",
    } | more
    return replace(served_by(f"{APP}/Contents/Resources/ollama serve"), **values)


def damaged() -> Snapshot:
    """A Mac on which one blob of a model is too short."""
    layers = [{"digest": f"sha256:{'1' * 64}", "size": 9}]
    manifest = {"layers": layers, "config": {"digest": f"sha256:{'2' * 64}", "size": 1}}
    raw = json.dumps(manifest).encode()
    store = Store(
        "/models",
        {"gpt-oss:20b": file("/models/manifests/x", raw)},
        {f"sha256:{'1' * 64}": 4, f"sha256:{'2' * 64}": 1},
    )
    listed = (Model("gpt-oss:20b", hashlib.sha256(raw).hexdigest(), 9), *healthy().models[1:])
    return replace(healthy(), store=store, models=listed)


SILENT = Listener(18789)
ENV = f"{HOME}/.homebrew/services/ollama.env"

HOSTS: list[tuple[str, Snapshot, Symptoms, dict[str, Any], list[str]]] = [
    ("root-user", replace(healthy(), uid=0), good(), {}, ["root"]),
    ("macos-too-old", replace(healthy(), macos="13.6.1"), good(), {}, ["macOS 13.6.1"]),
    ("intel", replace(healthy(), arch="x86_64"), good(), {}, []),
    ("sleeps", healthy(), replace(good(), power={"sleep": 1, "womp": 1}), {}, ["sleep 1"]),
    ("stays-off", healthy(), replace(good(), power={"sleep": 0, "autorestart": 0}), {}, []),
    ("filevault", healthy(), replace(good(), filevault=True, auto_login=None), {}, ["is On"]),
    (
        "no-automatic-login",
        healthy(),
        replace(good(), auto_login=None),
        {},
        ["no automatic login"],
    ),
    (
        "no-automatic-login",
        healthy(),
        replace(good(), auto_login="eve"),
        {},
        ["automatic login of eve"],
    ),
    ("disk-full", replace(healthy(), disk_free=10**9), good(), {}, ["1.0 GB free"]),
    (
        "foreign-homebrew",
        healthy(),
        replace(good(), brew_owner="eve", brew_writable=False),
        {},
        ["belongs to eve", "chown"],
    ),
    (
        "brew-env",
        with_file(healthy(), "brew_env", file(f"{BREW}/b", "export A=1\nHOMEBREW_X='y'\n# ok\n")),
        good(),
        {},
        ["export A (export)", "HOMEBREW_X (quotes"],
    ),
    (
        "run-cut-off",
        replace(healthy(), unfinished="20261123-153000-1a2b"),
        good(),
        {},
        ["20261123-153000-1a2b"],
    ),
    ("run-cut-off", replace(healthy(), unfinished="; rm"), good(), {}, ["names no run"]),
    (
        "ollama-twice",
        replace(healthy(), ollama_app=APP, ollama_app_version="0.32.3"),
        good(),
        {},
        ["the formula 0.32.3", APP, "--zap"],
    ),
    (
        "ollama-app-gone",
        app(ollama_app=None, ollama_app_version=None),
        good(),
        {},
        ["reinstall --cask"],
    ),
    ("ollama-link", healthy(), replace(good(), dangling="../Cellar/x"), {}, ["brew link"]),
    ("ollama-link", app(), replace(good(), dangling=f"{APP}/y"), {}, ["ln -sfn /Applications"]),
    ("ollama-port", served_by("nc -l 11434", None), good(), {}, ["pid 700: nc -l", "kill 700"]),
    ("ollama-port", served_by("/tmp/ollama serve", "0.16.1"), good(), {}, ["Ollama 0.16.1"]),
    ("ollama-by-hand", served_by("/tmp/ollama serve"), good(), {}, ["pid 700"]),
    (
        "ollama-down",
        replace(healthy(), ollama_port=Listener(11434), ollama_server=None),
        replace(good(), served=(), client=None),
        {},
        ["nothing listens on port 11434"],
    ),
    ("ollama-hung", replace(healthy(), ollama_server=None), good(), {}, ["does not answer"]),
    (
        "ollama-version",
        replace(healthy(), ollama_formula="0.33.0_1"),
        good(),
        {},
        ["server is 0.32.3", "installed is 0.33.0"],
    ),
    ("ollama-version", healthy(), replace(good(), client="0.16.1"), {}, ["is 0.16.1"]),
    (
        "ollama-stale",
        replace(healthy(), ollama_variables={"OLLAMA_CONTEXT_LENGTH": "4096"}),
        good(),
        {},
        ["runs without OLLAMA_CONTEXT_LENGTH of /Users/mac/.homebrew"],
    ),
    (
        "ollama-fight",
        healthy(),
        said("Error: listen tcp 127.0.0.1:11434: bind: address already in use"),
        {},
        ["gateway.err.log, 2025-11-22 22:19 UTC: Error"],
    ),
    (
        "ollama-env-mode",
        with_file(healthy(), "ollama_env", replace(healthy().ollama_env, mode="664")),
        good(),
        {},
        ["mode 664"],
    ),
    (
        "models-missing",
        replace(healthy(), models=(Model("qwen3-coder:latest", "", 1),)),
        good(),
        {},
        ["missing: gpt-oss:20b (13.8 GB)"],
    ),
    ("model-broken", damaged(), good(), {}, ["gpt-oss:20b: 111111111111 has 4 of 9 bytes"]),
    (
        "context-served",
        healthy("2026.2.12"),
        replace(good(), served=(Served("gpt-oss:20b", 4096, 10, 10),)),
        {},
        ["served with 4,096 tokens", "promises 32,768"],
    ),
    (
        "context-served",
        replace(
            with_file(
                healthy("2026.2.12"), "ollama_env", file(ENV, "OLLAMA_CONTEXT_LENGTH=4096\n")
            ),
            ollama_variables={"OLLAMA_CONTEXT_LENGTH": "4096"},
        ),
        replace(good(), served=()),
        {},
        ["ollama.env says 4096"],
    ),
    (
        "ollama-truncates",
        healthy(),
        said('time=2025-11-22T22:19:00Z level=WARN msg="truncating input prompt"'),
        {},
        ["truncating"],
    ),
    (
        "model-too-big",
        replace(healthy(), memory=24 * 1024**3),
        good(),
        {},
        ["qwen3-coder does not fit"],
    ),
    (
        "model-too-big",
        healthy(),
        replace(good(), served=(Served("gpt-oss:20b", 131072, 100, 75),)),
        {},
        ["25 % are off the GPU"],
    ),
    (
        "base-url",
        config(healthy(), lambda c: provider(c).update(baseUrl="http://127.0.0.1:9/v1")),
        good(),
        {},
        ["Ollama is on port 11434"],
    ),
    (
        "base-url",
        config(healthy(), lambda c: provider(c).update(baseUrl="http://localhost:11434/v1")),
        good(),
        {},
        ["there is no /v1"],
    ),
]
