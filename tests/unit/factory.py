"""A converged Mac and the default settings, to vary with ``dataclasses.replace`` and keywords."""

from __future__ import annotations

import hashlib
import plistlib
import runpy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from clawfleet import daemons as daemon_plists
from clawfleet import ollama, wish
from clawfleet import settings as settings_module
from clawfleet.architecture import known
from clawfleet.openclaw import can
from clawfleet.plan import DAEMONS, Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import File, Job, Listener, Model, Node, Process, Snapshot

REPO = Path(__file__).parents[2]
HOME = "/Users/mac"
BREW = "/opt/homebrew"
TOKEN = "5ecret-gateway-token-0f1e2d3c4b5a"
OLD, NEW = "2026.2.17", "2026.9.6"
TEMPLATES = {
    name: (REPO / "templates" / name).read_text(encoding="utf-8")
    for name in (wish.CONFIG, wish.AUTH)
}


@cache
def _all() -> dict[str, Any]:
    path = REPO / "group_data" / "all.py"
    return {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}


def defaults() -> dict[str, Any]:
    """What group_data/all.py says."""
    return dict(_all())


def settings(**changes: Any) -> Settings:
    """The settings of group_data/all.py, some of them changed."""
    return settings_module.load({**defaults(), **changes}, where="test")


def file(path: str, content: str | bytes | None = None, **more: Any) -> File:
    """A file as the reading script would have seen it; absent without content."""
    if content is None:
        return File(path, None, **more)
    raw = content.encode() if isinstance(content, str) else content
    values: dict[str, Any] = {"mode": "600", "uid": 501, "mtime": 1763850000} | more
    return File(path, raw, sha256=hashlib.sha256(raw).hexdigest(), **values)


def plist(
    environment: Mapping[str, str] | None = None, *, port: int = 18789, token: str | None = None
) -> bytes:
    """OpenClaw's LaunchAgent; with `token` as OpenClaw 2026.2.x writes it."""
    variables = {"HOME": HOME, **(environment or {})}
    if token is not None:
        variables["OPENCLAW_GATEWAY_TOKEN"] = token
    return plistlib.dumps(
        {
            "Label": "ai.openclaw.gateway",
            "ProgramArguments": [
                f"{BREW}/opt/node@24/bin/node",
                f"{BREW}/lib/node_modules/openclaw/dist/index.js",
                "gateway",
                "--port",
                str(port),
            ],
            "EnvironmentVariables": variables,
            "KeepAlive": True,
        }
    )


def with_file(snapshot: Snapshot, name: str, changed: File) -> Snapshot:
    """The Mac with another file in the field `name`."""
    fields: dict[str, Any] = {name: changed}
    return replace(snapshot, **fields)


def bare() -> Snapshot:
    """A Mac as it leaves the shop, with a user logged in at the screen."""
    openclaw = f"{HOME}/.openclaw"
    return Snapshot(
        kernel="Darwin",
        macos="15.6",
        arch="arm64",
        chip="Apple M2 Pro",
        memory=32 * 1024**3,
        user="mac",
        uid=501,
        home=HOME,
        sudo_free=True,
        now=1763850000,
        disk_free=200 * 10**9,
        gui=True,
        config=file(f"{openclaw}/openclaw.json"),
        auth=file(f"{openclaw}/agents/main/agent/auth-profiles.json"),
        dotenv=file(f"{openclaw}/.env"),
        service_env=file(f"{openclaw}/service-env/ai.openclaw.gateway.env"),
        plist=file(f"{HOME}/Library/LaunchAgents/ai.openclaw.gateway.plist"),
        ollama_env=file(f"{HOME}/.homebrew/services/ollama.env"),
        preload=file(f"{HOME}/Library/LaunchAgents/ai.clawfleet.preload.plist"),
    )


def equipped(version: str = NEW) -> Snapshot:
    """Homebrew, Ollama with its models, Node and OpenClaw are there; nothing is configured."""
    server = Process(700, 1, 5000, f"{BREW}/opt/ollama/bin/ollama serve")
    variables = ollama.server_environment(bare(), settings())
    environment = "".join(f"{name}={value}\n" for name, value in variables.items())
    return replace(
        bare(),
        brew=BREW,
        brew_env=file(f"{BREW}/etc/homebrew/brew.env"),
        ollama_formula="0.32.3",
        ollama_link="../Cellar/ollama/0.32.3/bin/ollama",
        ollama_port=Listener(11434, (server,)),
        ollama_server="0.32.3",
        ollama_job=Job("running", 700, 1, "(never exited)", {}, variables),
        models=(
            Model("gpt-oss:20b", "sha256:1", 13793441244, known("gpt-oss:20b")),
            Model("qwen3-coder:latest", "sha256:2", 18556688736, known("qwen3-coder")),
        ),
        ollama_env=file(f"{HOME}/.homebrew/services/ollama.env", environment),
        openclaw=version,
        openclaw_bin=f"{BREW}/bin/openclaw",
        openclaw_entry=f"{BREW}/lib/node_modules/openclaw/openclaw.mjs",
        nodes=(Node(f"{BREW}/opt/node@24/bin/node", "24.18.0"),),
        npm=f"{BREW}/opt/node@24/bin/npm",
        sqlite=version == NEW,
    )


def healthy(version: str = NEW, **wished: Any) -> Snapshot:
    """A Mac on which a deploy with these settings has nothing to do."""
    snapshot = equipped(version)
    chosen = settings(**wished)
    for change in wish.plan(snapshot, chosen, TEMPLATES, lambda: TOKEN).files:
        written = file(change.path, change.after, mode=change.mode)
        name = "config" if change.path == snapshot.config.path else "auth"
        snapshot = with_file(snapshot, name, written)
    caps = can(snapshot, chosen)
    process = Process(900, 1, 4000, f"{BREW}/opt/node@24/bin/node openclaw/dist/index.js gateway")
    pinned = plist(token=TOKEN if caps.service_env == "plist" else None)
    return replace(
        snapshot,
        plist=file(snapshot.plist.path, pinned, mode="644"),
        gateway_port=Listener(18789, (process,)),
        gateway=Job("running", 900, 1, "(never exited)", {}, {}),
        gateway_http=200,
        gateway_live=caps.health_json,
    )


def daemons(version: str = NEW, **wished: Any) -> Snapshot:
    """The same with LaunchDaemons, and nobody at the screen."""
    chosen = settings(services="daemons", **wished)
    agents = healthy(version, **wished)
    snapshot = replace(
        agents,
        daemons=True,
        gui=False,
        plist=file(f"{DAEMONS}/ai.openclaw.gateway.plist"),
        preload=file(f"{DAEMONS}/ai.clawfleet.preload.plist"),
        ollama_daemon=file(f"{DAEMONS}/ai.clawfleet.ollama.plist"),
    )
    plists = {
        "plist": daemon_plists.gateway(snapshot, chosen, 18789),
        "ollama_daemon": daemon_plists.ollama(snapshot, chosen),
    }
    for name, change in plists.items():
        written = file(change.path, change.after, mode="644", uid=0)
        snapshot = with_file(snapshot, name, written)
    loaded = plistlib.loads(plists["ollama_daemon"].after)
    arguments, environment = loaded["ProgramArguments"], loaded["EnvironmentVariables"]
    job = Job("running", 700, 1, "(never exited)", {}, environment, tuple(arguments))
    variables = ollama.server_environment(snapshot, chosen)
    return replace(snapshot, ollama_job=job, ollama_variables=variables)


def trouble_is_useful(trouble: Trouble, *words: str) -> None:
    """All parts of an error are there and say something; `words` stand somewhere in them."""
    for part in (trouble.found, trouble.expected, trouble.fix):
        assert part.strip(), trouble.lines()
        assert "None" not in part, trouble.lines()
        assert "()" not in part, trouble.lines()
        assert "  " not in part.replace("   # ", ""), trouble.lines()
    text = "\n".join(trouble.lines())
    for word in words:
        assert word in text, text
    assert TOKEN not in text
