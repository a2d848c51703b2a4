"""Macs with Ollama and the lab's own registry, for tests of pulls."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.deploys import Done, pyinfra
from tests.lab.lab import Lab, Mac
from tests.lab.standins.ollama_store import Store

GPT = "gpt-oss:20b"
OFF = ("--data", "verify=off")


def control(lab: Lab, **wish: object) -> None:
    """Change what passes through the lab's internet."""
    ask(lab, "/__ctl", "-d", json.dumps(wish))


def ask(lab: Lab, path: str, *options: str) -> Any:
    argv = ["curl", "-sS", "--noproxy", "*", *options, f"{lab.internet}{path}"]
    return json.loads(lab.run(argv, check=True, capture_output=True).stdout)


def registry(lab: Lab) -> Path:
    """Folder of the store behind the lab's registry, filled."""
    ask(lab, "/v2/library/tiny/manifests/latest")
    return lab.folder / "internet" / "models"


def fetched(lab: Lab) -> int:
    """Bytes of blobs that went over the lab's internet."""
    paths = ask(lab, "/__stats")["paths"]
    return sum(entry["bytes"] for path, entry in paths.items() if "/blobs/" in path)


def size(lab: Lab, name: str = GPT) -> int:
    store = Store(registry(lab))
    return next(m.size for m in store.models() if m.name.short == name)


def models(mac: Mac) -> dict[str, str]:
    """Digests of a Mac's models by name, as its server lists them."""
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/tags"
    raw = mac.exec(["curl", "-sS", "--noproxy", "*", url], check=True).stdout
    return {model["name"]: model["digest"] for model in json.loads(raw)["models"]}


def run(lab: Lab, *arguments: str, reports: Path, only: str = GPT) -> Done:
    """tasks/models.py for one model."""
    return pyinfra(lab, *arguments, *wish(only), task="tasks/models.py", reports=reports)


def wish(only: str) -> tuple[str, ...]:
    chosen = json.dumps([{"id": only}])
    primary = ("--data", f"primary=ollama/{only}", "--data", "fallbacks=[]")
    return (*OFF, "--data", f"models={chosen}", *primary)


def until_still(lab: Lab) -> int:
    """Bytes of blobs, once no more come for a second."""
    end, before = time.monotonic() + 30, -1
    while (now := fetched(lab)) != before:
        assert time.monotonic() < end, "the server goes on pulling after its client has gone"
        before = now
        time.sleep(1)  # a span of silence is what is measured
    return now


def well(done: Done) -> Done:
    """A run that has to end well; its log is shown where it does not."""
    assert done.code == 0, done.log
    return done
