"""Whether the running gateway applies a change of openclaw.json itself, so that it need not stop.

OpenClaw watches that file. What it makes of a change was measured with the real 2026.2.17 and
2026.9.6 (``docs/gateway.md``) and stands in :attr:`Capabilities.hot_paths`; with any other change
2026.2.17 starts a detached copy of itself, so there the gateway is stopped first.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawfleet import commit, environment, gateway, json5
from clawfleet.documents import at
from clawfleet.openclaw import can, clean
from clawfleet.plan import FileChange, Step, Trouble
from clawfleet.scripts import load
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot
from clawfleet.started import below, differences

BOUND = 30
"""Seconds for the gateway to say that it has applied a change. It took 1 s, and up to 5 s on a
machine with more to do than it could."""
MODES = (None, "hybrid", "hot")
"""Values of ``gateway.reload.mode`` with which a change is applied without a restart."""


def applied(
    snapshot: Snapshot,
    settings: Settings,
    port: int,
    files: Sequence[FileChange],
    pending: Sequence[str],
) -> tuple[str, ...]:
    """The keys of openclaw.json that change, where the running gateway takes all of them over by
    itself; empty where it has to be restarted for these files, or for another reason."""
    caps = can(snapshot, settings)
    config = snapshot.config
    # A version that nobody has measured may do anything.
    if not caps.hot_paths or caps.assumed or snapshot.openclaw != str(caps.version):
        return ()
    if [file.path for file in files] != [config.link or config.path] or files[0].gone:
        return ()
    try:
        state = gateway.decide(snapshot, settings, port, pending).state
        leaks = environment.plan(snapshot, settings)
        before, now = (
            json5.loads(text.decode()) for text in (config.content or b"", files[0].after)
        )
    except (Trouble, ValueError):
        return ()
    mode = at(now, ("gateway", "reload", "mode"))
    if state != "well" or leaks.files or leaks.steps or settings.reset_sessions:
        return ()
    paths = list(differences(before, now))
    if mode not in MODES or not all(below(path, caps.hot_paths) for path in paths):
        return ()
    return tuple(".".join(path) for path in paths)


def step(snapshot: Snapshot, settings: Settings, port: int, run: str) -> Step:
    """The script that waits until the running gateway has applied the change of the run `run`.

    Its exit code is 0 only when the gateway's log says so, its process is the one from before and
    it is well; then the transaction of the run is closed. Else everything is left as it is, for a
    restart.
    """
    script = (
        clean(snapshot, settings)
        + commit.head(run, "gateway")
        + f"TIMEOUT={BOUND}\nBOUND={BOUND}\nSETTLE={settings.gateway_settle}\n"
        + f"probe() {{ {gateway.probe(can(snapshot, settings))}; }}\n"
        + commit.launchd(port, snapshot.daemons)
        + load("well.sh")
        + load("reload.sh")
    )
    return Step(
        "see the gateway apply its new config",
        "it takes these keys over while it runs",
        script,
        "run again: it is restarted then",
        timeout=BOUND * 2 + 120,
    )
