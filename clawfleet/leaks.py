"""Where a Mac has proxies, and what each of these places reaches. Names of variables, never values:
those may hold passwords.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clawfleet import dotenv, json5, variables
from clawfleet.snapshot import PROXY_VARIABLES, Snapshot

PROXIES = tuple(name for name in PROXY_VARIABLES if name.lower() != "no_proxy")
MANAGED = "OPENCLAW_PROXY_URL"
"""OpenClaw's own (2026.9.6 docs/security/network-proxy.md): what is on loopback stays direct."""


@dataclass(frozen=True)
class Leak:
    place: str
    names: tuple[str, ...]
    """Variables, or keys of a config, or proxies of macOS."""
    reach: str = ""
    """What it has to do with the gateway, where that does not start from it."""

    @property
    def told(self) -> str:
        """For a person."""
        return f"{self.place} has {', '.join(self.names)}: {self.reach}"


def domain(snapshot: Snapshot) -> str:
    """What the GUI domain is called in a text."""
    return f"launchd's domain gui/{snapshot.uid}"


def reported(snapshot: Snapshot) -> list[Leak]:
    """Places that no policy changes, or only when asked to."""
    found = [*_files(snapshot), *_managed(snapshot), *_config(snapshot)]
    names = snapshot.proxy_names
    for file in snapshot.shell_proxies:
        reach = "it sets a proxy, which reaches only a gateway that is started from a terminal"
        found.append(Leak(file, names.get(file, ()), reach))
    for file in snapshot.shell_setenv:
        reach = "it sets a proxy with launchctl setenv whenever a terminal is opened"
        found.append(Leak(file, names.get(file, ()), f"{reach}; take that out of it"))
    for file in snapshot.agent_proxies:
        reach = (
            "it sets a proxy with launchctl setenv at each login; take it out to keep the gateway "
            "free of it after a reboot"
        )
        found.append(Leak(file, names.get(file, ()), reach))
    if snapshot.system_proxies:
        reach = "Node and Ollama do not look at them"
        found.append(Leak("macOS' network settings", snapshot.system_proxies, reach))
    return found


def _files(snapshot: Snapshot) -> Iterator[Leak]:
    for file, reach in (
        (snapshot.brew_env, "only Homebrew reads it, for its downloads"),
        (snapshot.ollama_env, "only Ollama reads it, for pulls; it never uses one on loopback"),
    ):
        names = tuple(n for n in PROXIES if dotenv.values(file.loose_text).get(n))
        if names:
            warning = ""
            if file is snapshot.ollama_env and {"HTTP_PROXY", "http_proxy"} & {*names}:
                warning = "; Ollama's FAQ warns of HTTP_PROXY, HTTPS_PROXY is enough"
            yield Leak(file.path, names, reach + warning)
    for path in snapshot.brew_proxies:
        names = snapshot.proxy_names.get(path, ())
        yield Leak(path, names, "only Homebrew reads it, for its downloads")


def _managed(snapshot: Snapshot) -> Iterator[Leak]:
    reach = "OpenClaw of 2026.9 sends everything through it but what is on loopback"
    places = {
        snapshot.plist.path: variables.in_plist(snapshot.plist.loose_text),
        snapshot.service_env.path: dotenv.values(snapshot.service_env.loose_text),
        snapshot.dotenv.path: dotenv.values(snapshot.dotenv.loose_text),
        domain(snapshot): snapshot.gui_environment,
    }
    for place, found in places.items():
        if found.get(MANAGED):
            yield Leak(place, (MANAGED,), reach)


def _config(snapshot: Snapshot) -> Iterator[Leak]:
    try:
        config: Any = json5.loads(snapshot.config.loose_text or "{}")
    except ValueError:
        return  # told elsewhere, with line and column
    if not isinstance(config, dict):
        return
    env = config.get("env")
    env = env if isinstance(env, dict) else {}
    inner = env.get("vars")
    keys = [f"env.{name}" for name in PROXIES if env.get(name)]
    keys += [f"env.vars.{n}" for n in PROXIES if isinstance(inner, dict) and inner.get(n)]
    if keys:
        reach = "OpenClaw sets them when it runs, so requests to Ollama may go there; take them out"
        yield Leak(snapshot.config.path, tuple(keys), f"{reach}: openclaw config unset KEY")
    proxy = config.get("proxy")
    if isinstance(proxy, dict) and proxy.get("proxyUrl") and proxy.get("enabled") is not False:
        mode = proxy.get("loopbackMode", "gateway-only")
        reach = "everything but what is on loopback goes through it"
        if mode != "gateway-only":
            shown = mode if re.fullmatch(r"[a-z-]{1,20}", str(mode)) else "another one"
            reach = f"loopbackMode is {shown}: requests to Ollama do not go directly either"
        yield Leak(snapshot.config.path, ("proxy.proxyUrl",), reach)
