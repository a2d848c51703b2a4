"""What proxies that a policy leaves to the gateway do to its start and its turns, in words.

OpenClaw 2026.9.6 opens its port only after it has looked for plugins that openclaw.json names and
that are missing (a provider such as ``zai`` is one). It asks ClawHub four times and waits 30 s for
each answer (its source: ``CLAWHUB_RETRY_DELAYS_MS``, ``DEFAULT_FETCH_TIMEOUT_MS``), through
HTTPS_PROXY where there is one. A proxy that refuses costs seconds; one that takes the connection
and says nothing costs minutes, which is more than `gateway_start_timeout`.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawfleet import environment
from clawfleet.leaks import PROXIES, Leak
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

LATE = "not well after"
"""How ``scripts/well.sh`` begins where a gateway did not come up in time, whatever it did."""


def warning(found: Sequence[Leak], settings: Settings) -> list[str]:
    """What will happen with the proxies that "keep" leaves, before anything does; empty where there
    are none, and for the other policies."""
    if settings.proxies != "keep" or not _proxies(found):
        return []
    return [
        'proxies = "keep": most versions of OpenClaw send requests for Ollama through these, where '
        "they fail unless NO_PROXY names 127.0.0.1; and a gateway that starts may look for plugins "
        "through them: a proxy that does not answer keeps it waiting for minutes, and a start that "
        f"takes longer than gateway_start_timeout ({settings.gateway_start_timeout} s) is undone. "
        'To avoid both: proxies = "unset"; "bypass" avoids the first'
    ]


def blamed(snapshot: Snapshot, settings: Settings, why: str) -> tuple[str, str] | None:
    """(Likely reason, fix) for a start that failed with the words `why`; None where it was not
    late, or where no proxy is left to it."""
    left = _proxies(environment.leaking(snapshot))
    if settings.proxies == "unset" or not why.startswith(LATE) or not left:
        return None
    return (
        f'the likely reason: {_named(left)}, left there by proxies = "{settings.proxies}"; '
        "OpenClaw may look for plugins through them before it opens its port",
        'set proxies = "unset", or have those proxies answer, or wait for them with '
        "gateway_start_timeout = 600; then pyinfra inventory.py deploy.py",
    )


def of_a_turn(snapshot: Snapshot, settings: Settings) -> str:
    """The fix for a turn of the agent that failed where "keep" leaves proxies; else empty."""
    left = _proxies(environment.leaking(snapshot))
    if settings.proxies != "keep" or not left:
        return ""
    return (
        f'proxies = "keep" leaves {_named(left)}, and most versions of OpenClaw send requests '
        'for Ollama through them: set proxies = "unset" or "bypass", then pyinfra inventory.py '
        "deploy.py"
    )


def _proxies(found: Sequence[Leak]) -> list[Leak]:
    """Those that name a proxy, in places that a gateway starts from."""
    only = [Leak(x.place, tuple(n for n in x.names if n in PROXIES)) for x in found]
    return [leak for leak in only if leak.names and leak.place != environment.PROCESS]


def _named(left: Sequence[Leak]) -> str:
    return "; ".join(f"{', '.join(leak.names)} in {leak.place}" for leak in left)
