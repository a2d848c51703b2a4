"""A change of openclaw.json under the running gateway, where its version was seen to apply it."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api import FunctionCommand

from clawfleet import reload
from clawfleet.operations.mac import call, last_lines, shell
from clawfleet.run import MacRun


def seen(paths: Sequence[str], reasons: Sequence[str]) -> FunctionCommand:
    """A command that waits until the gateway has taken the new values over.

    Where it does not say so, that is no failure: `reasons` become those of a restart, which the
    gateway's own operation makes.
    """

    def look(mac: MacRun) -> None:
        step = reload.step(mac.snapshot, mac.settings, mac.port, mac.transaction)
        ok, output = shell(mac, step.script, step.timeout)
        if not ok:
            said = last_lines(mac, output, 1)
            mac.say(f"{said}: it will be restarted", "yellow")
            mac.evidence += [*reasons, said]
            return
        mac.stopped = mac.cut = False
        mac.results["reload"] = {"applied": list(paths)}
        mac.say(f"the running gateway has applied {', '.join(paths)}")

    return call(look)
