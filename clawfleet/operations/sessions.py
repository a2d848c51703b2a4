"""The agent's conversations, read where a restart or a wish makes that worth its while."""

from __future__ import annotations

from clawfleet import openclaw, sessions
from clawfleet.documents import read
from clawfleet.facts import mac as mac_fact
from clawfleet.plan import Trouble
from clawfleet.run import MacRun
from clawfleet.sessions import Forget


def to_forget(mac: MacRun, *, restarts: bool) -> Forget:
    """The conversations that go, and those that are told of because they can't fit the window.

    They are read only where ``reset_sessions`` asks for it, or the gateway `restarts` anyway: a run
    that changes nothing does not pay for it.
    """
    seen, wish = mac.snapshot, mac.settings.reset_sessions
    if seen.openclaw is None or not (restarts or wish):
        return Forget()
    found: tuple[sessions.Session, ...] = ()
    try:
        found = mac_fact.read_sessions(mac.host, seen, mac.settings)
    except Trouble as trouble:
        if wish == "when-needed":
            raise
        # To forget all of them they need not be understood.
        mac.say(f"whether its conversations fit is not known: {trouble.found}", "yellow")
    return sessions.plan(found, read(seen.config), mac.settings, openclaw.can(seen, mac.settings))
