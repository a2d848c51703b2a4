"""The proxy for Ollama's own downloads, in the environment of its server alone."""

from __future__ import annotations

from collections.abc import Mapping

from clawfleet import ownership
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

LOOPBACK = "localhost,127.0.0.1,::1"


def lines(snapshot: Snapshot, settings: Settings) -> dict[str, str | None]:
    """Lines for the file from which Homebrew's service has its variables; None takes one out.

    HTTPS_PROXY only: Ollama's FAQ warns of HTTP_PROXY, which its clients take as well. A NO_PROXY
    of the user's stays; Go leaves loopback out in any case. Without `pull_proxy`, what an earlier
    run wrote goes, and what stood there before it comes back.
    """
    now = _values(snapshot.ollama_env.loose_text)
    if settings.pull_proxy:
        return {"HTTPS_PROXY": settings.pull_proxy, "NO_PROXY": now.get("NO_PROXY", LOOPBACK)}
    known = ownership.ledger_of(snapshot).lines.get(
        snapshot.ollama_env.link or snapshot.ollama_env.path
    )
    if known is None:
        return {}
    before, ours = _values(known.before or ""), _values(known.after)
    return {
        name: before.get(name)
        for name in ("HTTPS_PROXY", "NO_PROXY")
        if name in ours and ours[name] != before.get(name) and now.get(name) == ours[name]
    }


def note(settings: Settings, *, service: bool) -> list[str]:
    """Why the proxy does not reach the server that there is."""
    if not settings.pull_proxy or service:
        return []
    return [
        "pull_proxy is not given to this server: Ollama.app, and one started by hand, have no "
        "variables of their own that the gateway would not see as well; with the formula they do"
    ]


def _values(text: str) -> Mapping[str, str]:
    pairs = (line.partition("=")[::2] for line in text.split("\n") if not line.startswith("#"))
    return {name.strip(): value.rstrip("\r") for name, value in pairs if value}
