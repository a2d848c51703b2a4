"""What the gateway's LaunchAgent pins at install time, and what launchd has loaded of it."""

from __future__ import annotations

import plistlib
from typing import Any

from clawfleet import json5
from clawfleet.capabilities import Capabilities
from clawfleet.documents import at, read
from clawfleet.openclaw import in_range
from clawfleet.plan import Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import PROXY_VARIABLES, Snapshot

DEFAULT_PORT: int = Settings.model_fields["gateway_port"].default
"""OpenClaw's own, too."""


def opened(snapshot: Snapshot) -> int | None:
    """The port that the gateway of these files opens: its LaunchAgent's, else its config's; None
    where neither says one."""
    agent = _read(snapshot)
    pinned = _pinned(agent[0]) if agent else None
    return int(pinned) if pinned and pinned.isdigit() else configured(snapshot)


def configured(snapshot: Snapshot) -> int | None:
    """The gateway's port in openclaw.json, None where it says none."""
    try:
        port = at(read(snapshot.config), ("gateway", "port"))
    except Trouble:
        return None
    return port if isinstance(port, int) and 0 < port < 65536 else None


def drift(snapshot: Snapshot, port: int, caps: Capabilities) -> tuple[str, ...]:
    """What the plist pins at install time (port, token, Node) and is otherwise by now."""
    agent = _read(snapshot)
    if agent is None:
        return ("its plist can't be read",)
    arguments, environment = agent
    reasons = []
    for node in snapshot.nodes:
        if node.path in arguments and not in_range(node.version, caps.node):
            reasons.append(
                f"its plist has Node {node.version}, OpenClaw {caps.version} needs {caps.node}"
            )
    pinned = _pinned(arguments)
    if pinned and pinned != str(port):
        reasons.append(f"its plist has port {pinned}, the config {port}")
    token = environment.get("OPENCLAW_GATEWAY_TOKEN")
    if token is not None and snapshot.config.content:
        try:
            config = json5.loads(snapshot.config.content.decode())
            wanted = config["gateway"]["auth"]["token"]
        except (ValueError, KeyError, TypeError):
            wanted = None
        if isinstance(wanted, str) and "${" not in wanted and wanted != token:
            reasons.append("its plist has another token than the config")
    return tuple(reasons)


def not_loaded(snapshot: Snapshot) -> tuple[str, ...]:
    """What the plist says otherwise than the job that launchd has loaded.

    launchd reads a plist at bootstrap only: neither ``kickstart -k`` nor a crash makes it look
    again. Names of variables only; empty also where `launchctl print` showed neither arguments nor
    environment.
    """
    agent, job = _read(snapshot), snapshot.gateway
    if agent is None or job is None or not (job.arguments and job.environment):
        return ()
    arguments, environment = agent
    reasons = []
    if tuple(arguments) != job.arguments:
        reasons.append("launchd has loaded other arguments than its plist says")
    shown = {name: value for name, value in environment.items() if "\n" not in str(value)}
    names = [name for name, value in shown.items() if job.environment.get(name) != str(value)]
    # Only names of which it is known that launchd does not add them by itself.
    names += [
        name
        for name in job.environment
        if name not in environment and (name in PROXY_VARIABLES or name.startswith("OPENCLAW_"))
    ]
    if names:
        reasons.append(f"launchd has loaded {', '.join(names)} otherwise than its plist says")
    return tuple(reasons)


def _read(snapshot: Snapshot) -> tuple[list[str], dict[str, Any]] | None:
    """The arguments and the environment in the LaunchAgent, None where it can't be read."""
    try:
        plist: Any = plistlib.loads(snapshot.plist.content or b"")
        arguments = [str(argument) for argument in plist.get("ProgramArguments", [])]
        return arguments, dict(plist.get("EnvironmentVariables", {}))
    except Exception:
        return None


def _pinned(arguments: list[str]) -> str | None:
    return arguments[arguments.index("--port") + 1] if "--port" in arguments[:-1] else None
