"""The policy for proxies on a Mac: applied before the gateway starts, read back when it runs."""

from __future__ import annotations

from dataclasses import replace

from pyinfra import host

from clawfleet import commit, proxied_start, running
from clawfleet import environment as environment_plan
from clawfleet.operations.mac import (
    Commands,
    announce,
    execute,
    mac_operation,
    with_stamp,
    write,
)
from clawfleet.plan import Trouble
from clawfleet.run import MacRun, current

FIX = "pyinfra inventory.py tasks/environment.py"


@mac_operation
def environment() -> Commands:
    """Everything that the gateway starts from is as the setting `proxies` says.

    **Example:**

    .. code:: python

        environment.environment(name="sends nothing for Ollama through a proxy")
    """
    mac = current()
    mac.look_at(environment_plan.profiles(mac.snapshot, mac.settings))
    plan = environment_plan.plan(mac.snapshot, mac.settings)
    for note in (*plan.notes, *proxied_start.warning(plan.leaks, mac.settings)):
        mac.say(note, "yellow")
    if not plan.files and not plan.steps and not plan.other:
        how = {"unset": "without proxies", "bypass": "around proxies", "keep": "with what is there"}
        host.noop(f"the gateway starts {how[mac.settings.proxies]}")
        return
    for leak in plan.leaks:
        mac.say(f"found {', '.join(leak.names)} in {leak.place}")
    announce(mac, plan.steps, [*plan.files, *plan.other])
    if plan.files or plan.steps:
        reasons = ["proxy variables were changed in what it starts from"]
        mac.evidence += reasons
    if plan.files:
        yield write(list(plan.files), restart_reasons=reasons)
    for step in plan.steps:
        kept = replace(step, script=commit.head(mac.transaction, "gateway") + step.script)
        yield execute(with_stamp(kept, reasons[0]))
    if plan.other:
        yield write(list(plan.other))


def read_back(mac: MacRun) -> None:
    """Trouble when the gateway that runs now has an environment that the policy forbids."""
    found = running.against(mac.snapshot, mac.settings)
    if found:
        raise Trouble(
            "; ".join(found),
            expected=f'an environment as proxies = "{mac.settings.proxies}" says',
            fix=f"{FIX}; docs/proxies.md lists every place that a proxy comes from",
        )
