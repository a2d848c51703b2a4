"""The environment of the gateway that runs now, compared with the policy for proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clawfleet import dotenv, environment, no_proxy
from clawfleet.leaks import PROXIES
from clawfleet.settings import Settings
from clawfleet.snapshot import PROXY_VARIABLES, Snapshot


@dataclass(frozen=True)
class Running:
    """What is known of the variables that the process was started with."""

    source: Literal["ps", "launchctl"]
    proxies: tuple[str, ...]
    """Names of all eight that are not blank, in the order of `PROXY_VARIABLES`."""
    no_proxy: Mapping[str, str]
    """Values of NO_PROXY and no_proxy, also blank ones."""


def read(snapshot: Snapshot) -> Running:
    """From ``ps eww``; where macOS shows it to nobody (programs that it protects), from what
    launchd says of the job and, where its wrapper reads the service-env file, that file."""
    if snapshot.gateway_shown or snapshot.gateway_port.proxies:
        return Running("ps", snapshot.gateway_port.proxies, snapshot.gateway_no_proxy)
    variables: dict[str, str] = {}
    if snapshot.gateway:
        variables = snapshot.gateway.inherited | snapshot.gateway.environment
    if environment.start_file(snapshot) is snapshot.service_env:
        variables |= dotenv.values(snapshot.service_env.loose_text)
    return Running(
        "launchctl",
        tuple(name for name in PROXY_VARIABLES if variables.get(name)),
        {name: variables[name] for name in no_proxy.NAMES if name in variables},
    )


def against(snapshot: Snapshot, settings: Settings) -> list[str]:
    """What the running process has against the policy; empty: nothing."""
    found = read(snapshot)
    if settings.proxies == "unset" and found.proxies:
        return [f"the running process has {', '.join(found.proxies)} in its environment"]
    if settings.proxies == "bypass":
        left = no_proxy.missing(no_proxy.effective(found.no_proxy), no_proxy.hosts(settings))
        if left:
            return [f"NO_PROXY of the running process does not name {', '.join(left)}"]
    return []


def told(snapshot: Snapshot, settings: Settings) -> str:
    """What the running process has, for a person: ``0 proxies in the running process (ps)``."""
    found = read(snapshot)
    ways = {"ps": "ps", "launchctl": "launchctl; macOS hides the process's own"}
    named = [name for name in found.proxies if name in PROXIES]
    count = f"{len(named)} {'proxy' if len(named) == 1 else 'proxies'} in the running process"
    shown = f" ({', '.join(named)})" if named else ""
    covers = "; bypass: NO_PROXY covers loopback" if settings.proxies == "bypass" else ""
    kept = "; kept, as proxies says" if settings.proxies == "keep" and named else ""
    return f"{count}{shown}{covers}{kept}, says {ways[found.source]}"
