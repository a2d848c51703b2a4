"""Whether the gateway has to be installed or restarted, and the script that does it."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clawfleet import commit, json5, sessions
from clawfleet.capabilities import Capabilities
from clawfleet.documents import at, read
from clawfleet.openclaw import can, clean, in_range
from clawfleet.plan import Step, Trouble, quote
from clawfleet.proof import answer
from clawfleet.scripts import load
from clawfleet.settings import Settings
from clawfleet.snapshot import GATEWAY_LABEL, Snapshot

DEFAULT_PORT: int = Settings.model_fields["gateway_port"].default
"""OpenClaw's own, too."""
LEAST_BACK: int = Settings.model_fields["gateway_start_timeout"].default
"""Seconds that a gateway has at least when the files from before return: a short
``gateway_start_timeout`` says how soon to give up on what is new, not on what ran before."""


@dataclass(frozen=True)
class Decision:
    action: Literal["none", "install", "reinstall", "restart", "remove"]
    reasons: tuple[str, ...]
    """Why; for "none", what shows that it is well."""


def decide(snapshot: Snapshot, settings: Settings, port: int, pending: Sequence[str]) -> Decision:
    """What the gateway needs. `pending`: what this run changes (or would change) before it.

    Trouble when no service could run here: nobody is logged in at the screen, a system daemon of
    the same label, or a foreign process on the port.
    """
    if not snapshot.gui:
        raise Trouble(
            f"nobody is logged in at the screen ({snapshot.gui_error or 'no domain gui'})",
            expected=f"a GUI session of {snapshot.user}: OpenClaw's LaunchAgent runs only in one",
            fix="log in at the screen once, or turn on automatic login (System Settings > Users & "
            "Groups), then run again",
        )
    if snapshot.gateway_system:
        raise Trouble(
            f"a system daemon is called {GATEWAY_LABEL} as well; the two restart each other",
            expected="the user's LaunchAgent alone",
            fix=f"on the Mac: sudo launchctl bootout system/{GATEWAY_LABEL} and move its plist out "
            "of /Library/LaunchDaemons",
        )
    if stranger := _stranger(snapshot):
        raise stranger
    job = snapshot.gateway
    by_hand = tuple(
        f"ends pid {p.pid}, a gateway that was started by hand ({p.command[:60]})"
        for p in snapshot.gateway_port.processes
        if job is None or job.pid not in (p.pid, p.ppid)
    )
    if not snapshot.plist.exists:
        return Decision("install", ("no LaunchAgent on this Mac", *by_hand))
    outdated = drift(snapshot, port, can(snapshot, settings))
    if outdated:
        return Decision("reinstall", (*outdated, *by_hand))
    reasons = [*snapshot.restart_needed, *pending, *by_hand]
    if snapshot.unfinished and not pending:
        reasons.append(f"run {snapshot.unfinished} was cut off before it was seen well")
    if snapshot.gateway_disabled:
        reasons.append("launchd has it disabled")
    if job is None:
        # While its files are replaced this run itself keeps it stopped, and has said why.
        reasons = reasons or ["it is installed but not loaded"]
    elif job.pid is None:
        reasons.append(f"it is loaded but not running ({job.state}, last exit {job.last_exit})")
    elif not _serves(snapshot, job.pid):
        reasons.append(f"nothing of it listens on port {port}")
    elif snapshot.gateway_http == 0:
        reasons.append(f"it listens on port {port} and does not answer")
    if snapshot.gateway_port.proxies and settings.proxies == "unset":
        names = ", ".join(snapshot.gateway_port.proxies)
        reasons.append(f"the running process has {names} in its environment")
    if reasons:
        return Decision("restart", tuple(dict.fromkeys(reasons)))
    return Decision("none", (f"pid {job.pid if job else '?'} answers on port {port}",))


def step(
    snapshot: Snapshot,
    settings: Settings,
    port: int,
    decision: Decision,
    *,
    run: str,
    opens: int | None = None,
    keys: Sequence[str] = (),
) -> Step:
    """The script that carries a decision out and waits until the gateway is well.

    Its exit code is 0 only when `openclaw health` and an HTTP probe agree, the process is the
    job's own, and it stayed the same for ``gateway_settle`` seconds. Else everything that the run
    `run` changed of what the gateway starts from goes back, and the gateway is started with it.
    `opens` is the port that it opens then, where that is not the `port` that it has now; `keys` are
    the sessions that it forgets once it is well.
    """
    caps = can(snapshot, settings)
    verbs = {"install": "install", "reinstall": "install --force"}
    verb = verbs.get(decision.action)
    gone = decision.action == "remove"
    start = ":" if gone else f"openclaw_gateway {verb}" if verb else "again"
    written = "; ".join(
        f"this {quote(file.path)} {quote(commit.backup_name(file.path))}"
        for file in (snapshot.plist, snapshot.service_env)
    )
    back = max(settings.gateway_start_timeout, LEAST_BACK)
    prelude = f"""PORT={port}
TIMEOUT={settings.gateway_start_timeout}
BACK={back}
SETTLE={settings.gateway_settle}
AFTER={":" if gone else "well"}
probe() {{ {_probe(caps)}; }}
reset() {{ {sessions.while_stopped(snapshot, settings, caps, keys)}; }}
forget() {{ {sessions.once_well(settings, caps, keys) or ":"}; }}
begin() {{ PORT={opens or port}; {start}; }}
written() {{ {written if verb else ":"}; }}
undo() {{ (
{commit.restore(run)}
) }}
"""
    script = (
        clean(snapshot, settings)
        + commit.head(run, "gateway")
        + prelude
        + load("launchd.sh")
        + load("gateway.sh")
    )
    titles = {
        "install": "install the gateway",
        "reinstall": "install the gateway again",
        "remove": "take the gateway out of launchd",
    }
    shown = f"launchctl bootout and bootstrap gui/{snapshot.uid}/{GATEWAY_LABEL}"
    if gone:
        shown = f"launchctl bootout gui/{snapshot.uid}/{GATEWAY_LABEL}"
    return Step(
        titles.get(decision.action, "restart the gateway"),
        "; ".join(decision.reasons),
        script,
        "on the Mac: openclaw gateway status, and openclaw doctor",
        timeout=settings.gateway_start_timeout * 2 + back + 180,
        show=f"openclaw gateway {verb}" if verb else shown,
    )


def opened(snapshot: Snapshot) -> int | None:
    """The port that the gateway of these files opens: its LaunchAgent's, else its config's; None
    where neither says one."""
    agent = _launch_agent(snapshot)
    pinned = _pinned(agent[0]) if agent else None
    return int(pinned) if pinned and pinned.isdigit() else configured(snapshot)


def configured(snapshot: Snapshot) -> int | None:
    """The gateway's port in openclaw.json, None where it says none."""
    try:
        port = at(read(snapshot.config), ("gateway", "port"))
    except Trouble:
        return None
    return port if isinstance(port, int) and 0 < port < 65536 else None


def start_again(port: int, run: str) -> str:
    """sh for a Mac that failed while a transaction was open: the files from before it back, and
    the gateway started.

    Exit code 0 when a gateway was started; what was put back is told on stdout.
    """
    return f"""PORT={port}
{load("launchd.sh")}B=$HOME/.clawfleet/backups/{run}/gateway
for f in "$B"/*.due "$B/domain"; do [ ! -e "$f" ] || {{ stop; break; }}; done
(
{commit.restore(run)}
)
case $? in
0) echo "the files from before this run are back";;
3) ;;
*) say "not everything could be put back; it is in $B"; exit 1;;
esac
rm -f "$HOME/.clawfleet/unfinished"
[ -f "$P" ] || {{ say "there was no gateway before"; exit 1; }}
loaded || again || {{ say "$why"; exit 1; }}
"""


def _probe(caps: Capabilities) -> str:
    url = "http://127.0.0.1:$PORT"
    if caps.health_json:
        return f"ask {url}/healthz | grep -Eq '\"ok\": *true'"
    # Any path answers 200 with the control page here, so this proves the listener only.
    return f'[ "$(ask {url}/ -o /dev/null -w "%{{http_code}}")" = 200 ]'


def is_gateway(command: str) -> bool:
    """Whether a command line is an OpenClaw gateway's, and not only one with the word in a path.

    scripts/launchd.sh asks the same before it ends a process.
    """
    return command.startswith("openclaw-gateway") or bool(
        re.search(r"(/node_modules/openclaw/\S*|/bin/openclaw) (\S+ )*?gateway\b", command)
    )


def _stranger(snapshot: Snapshot) -> Trouble | None:
    port = snapshot.gateway_port
    job = snapshot.gateway.pid if snapshot.gateway else None
    for process in port.processes:
        ours = process.pid == job or process.ppid == job
        if ours or is_gateway(process.command):
            continue
        return Trouble(
            f"port {port.port} is taken by pid {process.pid}: {process.command[:90]}",
            expected="OpenClaw's gateway there, or a free port",
            fix=f"end it on the Mac (kill {process.pid}), or set another gateway_port",
        )
    if not port.processes and snapshot.gateway_http:
        # Without root, lsof shows the user's own processes only.
        return Trouble(
            f"port {port.port} is taken by a process of another user",
            expected="OpenClaw's gateway there, or a free port",
            fix=f"on the Mac: sudo lsof -nP -iTCP:{port.port} -sTCP:LISTEN shows it; end it, or "
            "set another gateway_port",
        )
    return None


def _serves(snapshot: Snapshot, pid: int) -> bool:
    return any(pid in (p.pid, p.ppid) for p in snapshot.gateway_port.processes)


def drift(snapshot: Snapshot, port: int, caps: Capabilities) -> tuple[str, ...]:
    """What the plist pins at install time (port, token, Node) and is otherwise by now."""
    agent = _launch_agent(snapshot)
    if agent is None:
        return ("its plist can't be read",)
    arguments, environment = agent
    reasons = []
    for node in snapshot.nodes:
        if node.path in arguments and not in_range(node.version, caps.node):
            reasons.append(
                f"its plist has Node {node.version}, OpenClaw {caps.version} needs {caps.node}"
            )
    pinned = _pinned(arguments)
    if pinned and pinned != str(port):
        reasons.append(f"its plist has port {pinned}, the config {port}")
    token = environment.get("OPENCLAW_GATEWAY_TOKEN")
    if token is not None and snapshot.config.content:
        try:
            config = json5.loads(snapshot.config.content.decode())
            wanted = config["gateway"]["auth"]["token"]
        except (ValueError, KeyError, TypeError):
            wanted = None
        if isinstance(wanted, str) and "${" not in wanted and wanted != token:
            reasons.append("its plist has another token than the config")
    return tuple(reasons)


def _launch_agent(snapshot: Snapshot) -> tuple[list[str], dict[str, Any]] | None:
    """The arguments and the environment in the LaunchAgent, None where it can't be read."""
    try:
        plist: Any = plistlib.loads(snapshot.plist.content or b"")
        arguments = [str(argument) for argument in plist.get("ProgramArguments", [])]
        return arguments, dict(plist.get("EnvironmentVariables", {}))
    except Exception:
        return None


def _pinned(arguments: list[str]) -> str | None:
    return arguments[arguments.index("--port") + 1] if "--port" in arguments[:-1] else None


def health_ok(output: str) -> bool:
    """Whether ``openclaw health --json`` said ok (noise around the object is passed over)."""
    return answer(output).get("ok") is True
