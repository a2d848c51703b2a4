"""The LaunchDaemons of a Mac at whose screen nobody is logged in: the gateway's and Ollama's.

Both run as the Mac's own user (``UserName``), from what that user owns; only their plists are
root's, as launchd wants it, and no secret stands in those: everybody on the Mac can read them.
Whatever changes often stays where it is with LaunchAgents: openclaw.json, .env, and the variables
of Ollama's server in Homebrew's ``ollama.env``.
"""

from __future__ import annotations

import plistlib
from collections.abc import Iterable, Mapping
from typing import Any

from clawfleet import environment, homebrew, memory
from clawfleet.openclaw import can, node_for
from clawfleet.plan import FileChange, Trouble, guard, is_roots, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import GATEWAY_LABEL, OLLAMA_LABEL, File, Job, Snapshot

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
REASON = 'services = "daemons": launchd starts it without a login'

_SERVE = (
    'while IFS= read -r l || [ -n "$l" ]; do case $l in *=*) case ${l%%=*} in '
    "''|[0-9]*|*[!A-Za-z0-9_]*) ;; *) export \"$l\";; esac;; esac; "
    'done 2>/dev/null < "$HOME/.homebrew/services/ollama.env"; exec '
)
"""In one line, as launchctl shows arguments line by line. The values are taken as they are, as
Homebrew 6 does: a shell that reads the file would expand what stands in them."""


def gateway(
    snapshot: Snapshot, settings: Settings, port: int, *, foreseen: bool = False
) -> FileChange:
    """The gateway's plist as it has to be. Trouble where no Node on the Mac can run it, but for a
    dry run (`foreseen`), which names what Homebrew and npm will bring.

    ``OPENCLAW_NO_RESPAWN``: with it both 2026.2.17 and 2026.9.6 answer a change that they can't
    apply with a restart inside their process. Else the former leaves a detached copy of itself,
    and the latter asks the GUI domain for one (their ``restartGatewayProcessWithFreshPid``).
    """
    caps = can(snapshot, settings)
    found = node_for(snapshot, caps)
    node = found.path if found else ""
    entry = snapshot.openclaw_entry or ""
    if foreseen:
        there = homebrew.prefix(snapshot, settings)
        node = node or f"{there}/opt/{caps.node_formula}/bin/node"
        entry = entry or f"{there}/lib/node_modules/openclaw/openclaw.mjs"
    folders = ["/opt/homebrew/bin", "/usr/local/bin", SYSTEM_PATH]
    if snapshot.brew:
        folders.insert(0, f"{snapshot.brew}/bin")
    folders.insert(0, node.rpartition("/")[0])
    logs = f"{snapshot.home}/.openclaw/logs"
    variables = {
        "HOME": snapshot.home,
        "PATH": ":".join(dict.fromkeys(folders)),
        "OPENCLAW_GATEWAY_PORT": str(port),
        "OPENCLAW_NO_RESPAWN": "1",
        "OPENCLAW_SERVICE_KIND": "gateway",
        "OPENCLAW_SERVICE_MARKER": "openclaw",
    }
    if settings.proxies == "bypass":
        variables |= environment.around(snapshot, settings)
    plist = {
        **_as_user(snapshot, GATEWAY_LABEL, variables),
        "ProgramArguments": [node, entry, "gateway", "--port", str(port)],
        "StandardOutPath": f"{logs}/gateway.log",
        "StandardErrorPath": f"{logs}/gateway.err.log",
        "Umask": 0o077,
    }
    if not node or not entry:
        raise Trouble(
            f"no Node {caps.node} beside OpenClaw {snapshot.openclaw or '(none)'}",
            expected="both, for the gateway's LaunchDaemon",
            fix="pyinfra inventory.py tasks/openclaw.py",
        )
    return _change(snapshot, snapshot.plist, plist)


def ollama(snapshot: Snapshot, settings: Settings) -> FileChange:
    """The plist of Ollama's server as it has to be.

    It has the variables that Homebrew's own service sets; further ones, which may hold a proxy's
    password, it reads from the file that is that service's as well, before each start.
    """
    program = f"{homebrew.prefix(snapshot, settings)}/opt/ollama/bin/ollama"
    variables = {"HOME": snapshot.home, "PATH": SYSTEM_PATH, **memory.SERVICE}
    logs = f"{snapshot.home}/.clawfleet/ollama.log"
    plist = {
        **_as_user(snapshot, OLLAMA_LABEL, variables),
        "ProgramArguments": ["/bin/sh", "-c", f"{_SERVE}{quote(program)} serve"],
        "StandardOutPath": logs,
        "StandardErrorPath": logs,
    }
    return _change(snapshot, snapshot.ollama_daemon, plist)


def differs(job: Job | None, change: FileChange) -> bool:
    """Whether launchd has loaded something else than a plist says; it reads one at bootstrap
    only."""
    if job is None or not job.arguments:
        return job is None
    wanted = plistlib.loads(change.after)
    variables: Mapping[str, str] = wanted["EnvironmentVariables"]
    return job.arguments != tuple(wanted["ProgramArguments"]) or any(
        job.environment.get(name) != value for name, value in variables.items()
    )


def no_sudo(snapshot: Snapshot) -> Trouble:
    """Services are daemons, and sudo asks for a password."""
    return Trouble(
        "sudo asks for a password",
        expected=f"`sudo -n true` works for {snapshot.user}: services are daemons, and "
        "only root loads a LaunchDaemon",
        fix=f"on the Mac: echo '{snapshot.user} ALL=(ALL) NOPASSWD: ALL' | sudo tee "
        '/etc/sudoers.d/clawfleet; or set services = "agents"',
    )


def check_way_back(snapshot: Snapshot, changes: Iterable[FileChange]) -> None:
    """Trouble where these changes of a rollback or removal can't be made whole with the setting
    `services` as it is: a job of the other kind would go on, without its file or its config."""
    roots = next((change.path for change in changes if is_roots(change.path)), None)
    again = "the same command with --data services="
    if snapshot.daemons and not snapshot.sudo_free:
        raise no_sudo(snapshot)
    if roots and not snapshot.daemons:
        raise Trouble(
            f"{roots} is among what goes back, a LaunchDaemon's plist",
            expected='services = "daemons", so that its job is stopped and started with it',
            fix=f"{again}daemons",
        )
    if snapshot.daemons and snapshot.gateway_twin and not roots and not snapshot.plist.exists:
        raise Trouble(
            f"the gateway here is a LaunchAgent of {snapshot.user}",
            expected='services = "agents", so that it is stopped and started with its files',
            fix=f"{again}agents",
        )


def _as_user(snapshot: Snapshot, label: str, variables: Mapping[str, str]) -> dict[str, Any]:
    return {
        "Label": label,
        "UserName": snapshot.user,
        "EnvironmentVariables": dict(variables),
        "KeepAlive": True,
        "RunAtLoad": True,
        "WorkingDirectory": snapshot.home,
    }


def _change(snapshot: Snapshot, file: File, plist: Mapping[str, Any]) -> FileChange:
    # A plist that was there before may hold a secret, and comes back with the mode that it has now.
    kept = file.exists and not int(file.mode or "644", 8) & 0o022
    mode = file.mode if kept and file.mode else "644"
    return FileChange(guard(file, snapshot), plistlib.dumps(dict(plist)), mode, (REASON,))
