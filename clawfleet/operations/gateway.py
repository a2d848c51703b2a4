"""The one operation that starts, restarts and repairs the gateway; whatever state it is in."""

from __future__ import annotations

import re
from dataclasses import asdict

from pyinfra import host
from pyinfra.api import FunctionCommand

from clawfleet import daemons, gateway, proxied_start
from clawfleet.gateway import Decision
from clawfleet.operations import environment
from clawfleet.operations.mac import (
    Commands,
    announce,
    call,
    hand_over,
    last_lines,
    mac_operation,
    remember,
    shell,
    write,
)
from clawfleet.operations.sessions import to_forget
from clawfleet.plan import Step, Trouble
from clawfleet.run import MacRun, current


@mac_operation
def running() -> Commands:
    """The gateway runs under launchd with what its files say now; restarted only for a reason.

    What is done for which state is the table in :mod:`clawfleet.gateway_states`.

    **Example:**

    .. code:: python

        gateway.running(name="runs and is well")
    """
    mac = current()
    decision = gateway.decide(mac.snapshot, mac.settings, mac.port, mac.evidence)
    forget = to_forget(mac, restarts=decision.action != "none")
    for note in forget.notes:
        mac.say(note, "yellow")
    if forget.reasons:
        still = decision.action in ("none", "wait")
        before = () if still else decision.reasons
        action = "restart" if still else decision.action
        decision = Decision(action, (*before, *forget.reasons), decision.state)
    if decision.action == "none":
        host.noop("; ".join(decision.reasons))
        return
    step = gateway.step(
        mac.snapshot, mac.settings, mac.port, decision, run=mac.transaction, keys=forget.keys
    )
    files = []
    if mac.daemons and decision.action in ("install", "reinstall"):
        dry = not mac.executing
        files = [daemons.gateway(mac.snapshot, mac.settings, mac.port, foreseen=dry)]
    announce(mac, [step], files)
    former = mac.snapshot
    if files:
        yield write(files, restart_reasons=decision.reasons)
    # From here on the script itself looks after the gateway, also when it fails.
    yield call(hand_over)
    yield carry_out(step, decision)
    if decision.action == "reinstall" and not files:
        yield remember(former)
    yield call(read_back)


def carry_out(step: Step, decision: Decision) -> FunctionCommand:
    """A command that runs the gateway's script on the Mac, and keeps for the report what it says:
    how long nobody answered, and the command that helps where it failed."""

    def run(mac: MacRun) -> None:
        ok, output = shell(mac, step.script, step.timeout)
        if ok:
            told(mac, decision, said(output.stdout, "down"))
            return
        # The ends of three logs are in it.
        *before, last = last_lines(mac, output, 40).splitlines()
        mac.results["output"] = [*before, last]
        for line in before:
            mac.say(line)
        found, fix = f"{step.title} failed: {last}", said(output.stdout, "fix") or step.fix
        if proxy := proxied_start.blamed(mac.snapshot, mac.settings, last):
            likely, fix = proxy
            found += f"\n{likely}"
        raise Trouble(found, expected="launchd's own process listens, answers, and stays", fix=fix)

    return call(run)


def said(output: str, what: str) -> str:
    """What a script told about itself, the last time: ``clawfleet:down 6400``."""
    return next(iter(re.findall(rf"^clawfleet:{what} (.*)$", output, re.M)[::-1]), "")


def told(mac: MacRun, decision: Decision, down: str) -> None:
    """Keep for the report what was done with the gateway; `down`: milliseconds, or empty."""
    seconds = int(down) / 1000 if down.isdigit() else None
    reasons = [mac.redacted(reason) for reason in decision.reasons]
    mac.results["gateway"] = {**asdict(decision), "reasons": reasons, "downtime_seconds": seconds}
    if seconds is not None:
        mac.say(f"nobody answered for {seconds:.1f} s")


def read_back(mac: MacRun) -> None:
    """The Mac is read again: the process that runs now is the job's, listens and answers, in an
    environment that the policy for proxies allows."""
    environment.read_back(mac)
    after = gateway.decide(mac.snapshot, mac.settings, mac.port, ())
    if after.state == "outdated process":
        mac.say(f"the next run would restart it again: {'; '.join(after.reasons)}", "yellow")
    elif after.action != "none":
        raise Trouble(
            f"the gateway was well, and then: {after.state} ({'; '.join(after.reasons)})",
            expected="launchd's own process listens, answers, and stays",
            fix="run again; on the Mac: openclaw doctor, and the end of its log",
        )
