"""Whether the gateway has to be installed or restarted, and the script that does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clawfleet import commit, daemons, environment, running, sessions
from clawfleet.capabilities import Capabilities
from clawfleet.gateway_states import Facts, JobState, PortState, State, state_of
from clawfleet.launch_agent import drift
from clawfleet.openclaw import can, clean
from clawfleet.plan import Step, Trouble, quote
from clawfleet.proof import answer
from clawfleet.scripts import load
from clawfleet.settings import Settings
from clawfleet.snapshot import GATEWAY_LABEL, Process, Snapshot
from clawfleet.started import outdated, serving, was_well

LEAST_BACK: int = Settings.model_fields["gateway_start_timeout"].default
"""Seconds that a gateway has at least when the files from before return: a short
``gateway_start_timeout`` says how soon to give up on what is new, not on what ran before."""


CRASHES = 3
"""Runs of a job, the last of which ended badly, from which on it is a crash loop: launchd waits ten
seconds between two starts, so that is half a minute without a gateway."""


@dataclass(frozen=True)
class Decision:
    action: Literal["none", "wait", "install", "reinstall", "restart", "remove"]
    reasons: tuple[str, ...]
    """Why; for "none", what shows that it is well."""
    state: str = ""
    """Its name in :data:`clawfleet.gateway_states.STATES`."""


def decide(snapshot: Snapshot, settings: Settings, port: int, pending: Sequence[str]) -> Decision:
    """What the gateway needs. `pending`: what this run changes (or would change) before it.

    Trouble when no service could run here: nobody is logged in at the screen, a system daemon of
    the same label, or a foreign process on the port.
    """
    because = _because(snapshot, settings, pending)
    outdated = pinned(snapshot, settings, port)
    seen = facts(snapshot, settings, fits=not outdated, current=not because)
    state = state_of(seen)
    if state.action == "stop":
        raise _trouble(state, snapshot)
    if state.action == "none":
        pid = snapshot.gateway.pid if snapshot.gateway else "?"
        return Decision("none", (f"pid {pid} answers on port {port}",), state.name)
    reasons = [*_reasons(state, snapshot, port, outdated), *because]
    # While its files are replaced this run itself keeps it stopped, and has said why.
    if because and state.name == "deregistered":
        reasons = because
    reasons += [
        f"ends pid {p.pid}, a gateway that was started by hand ({p.command[:60]})"
        for p in snapshot.gateway_port.processes
        if seen.port == "other" and not _owns(snapshot, p)
    ]
    return Decision(state.action, tuple(dict.fromkeys(reasons)), state.name)


def pinned(snapshot: Snapshot, settings: Settings, port: int) -> tuple[str, ...]:
    """What of the job's plist is not as it has to be; empty also where there is none."""
    if not snapshot.plist.exists:
        return ()
    if not snapshot.daemons:
        return drift(snapshot, port, can(snapshot, settings))
    fits = daemons.gateway(snapshot, settings, port, foreseen=True).same
    return () if fits else ("its plist is not as services, port and OpenClaw want it",)


def facts(snapshot: Snapshot, settings: Settings, *, fits: bool, current: bool) -> Facts:
    """The facts of the table, told from what one reading of the Mac saw."""
    live = snapshot.gateway_live or not can(snapshot, settings).health_json
    return Facts(
        domain=snapshot.gui or snapshot.daemons,
        allowed=snapshot.sudo_free or not snapshot.daemons,
        twin=snapshot.gateway_twin,
        installed=snapshot.plist.exists,
        fits=fits,
        override=snapshot.gateway_override,
        job=_job(snapshot, settings),
        port=_port(snapshot),
        answers=snapshot.gateway_http != 0 and live,
        current=current,
    )


def _job(snapshot: Snapshot, settings: Settings) -> JobState:
    job = snapshot.gateway
    if job is None:
        return "absent"
    badly = job.last_exit not in ("", "0", "(never exited)")
    serves = serving(snapshot) is not None
    if badly and job.runs >= CRASHES and not serves:
        return "looping"
    if job.pid is None:
        return "crashed" if badly else "idle"
    young = job.age is not None and job.age < settings.gateway_start_timeout
    young = young and not was_well(snapshot)
    return "starting" if young and not (serves and snapshot.gateway_http) else "running"


def _port(snapshot: Snapshot) -> PortState:
    processes = snapshot.gateway_port.processes
    strangers = [p for p in processes if not _owns(snapshot, p)]
    if any(not is_gateway(p.command) for p in strangers):
        return "foreign"
    if not processes:
        # Without root, lsof shows the user's own processes only.
        return "hidden" if snapshot.gateway_http else "free"
    return "other" if serving(snapshot) is None or strangers else "own"


def _owns(snapshot: Snapshot, process: Process) -> bool:
    pid = snapshot.gateway.pid if snapshot.gateway else None
    return pid is not None and pid in (process.pid, process.ppid)


def _because(snapshot: Snapshot, settings: Settings, pending: Sequence[str]) -> list[str]:
    """Why a gateway that is well would be restarted all the same."""
    reasons = [*snapshot.restart_needed, *pending]
    if snapshot.unfinished and not pending:
        reasons.append(f"run {snapshot.unfinished} was cut off before it was seen well")
    if snapshot.gateway is not None and snapshot.gateway.pid is not None:
        reasons += running.against(snapshot, settings)
    return [*reasons, *outdated(snapshot)]


def _reasons(
    state: State, snapshot: Snapshot, port: int, outdated: tuple[str, ...]
) -> tuple[str, ...]:
    """What was found of a state, for a person."""
    job = snapshot.gateway
    match state.name:
        case "not installed":
            return (f"no {'LaunchDaemon' if snapshot.daemons else 'LaunchAgent'} on this Mac",)
        case "outdated plist":
            return outdated
        case "disabled":
            return ("launchd has it disabled",)
        case "never loaded":
            return ("it is installed but not loaded, and never was",)
        case "deregistered":
            return ("it is installed but not loaded",)
        case "crashed" | "idle" | "crash loop" if job is not None:
            times = f", started {job.runs} times by now" if state.name == "crash loop" else ""
            what = "runs without its port" if job.pid else "is loaded but not running"
            return (f"it {what} ({job.state}, last exit {job.last_exit}){times}",)
        case "starting" if job is not None:
            return (f"pid {job.pid} was started {job.age} s ago and does not answer yet",)
        case "by hand":
            return ("launchd has not loaded it",)
        case "deaf" | "two gateways":
            return (f"nothing of it listens on port {port}",)
        case "hung":
            return (f"it listens on port {port} and does not answer",)
    return ()


def _trouble(state: State, snapshot: Snapshot) -> Trouble:
    port = snapshot.gateway_port.port
    match state.name:
        case "no GUI domain":
            return no_login(snapshot)
        case "no sudo":
            return daemons.no_sudo(snapshot)
        case "twin" if snapshot.daemons:
            return Trouble(
                f"a LaunchAgent of {snapshot.user} is called {GATEWAY_LABEL} as well; after a "
                "login the two would restart each other",
                expected="the LaunchDaemon alone, as services says",
                fix="on the Mac: openclaw gateway uninstall (or launchctl bootout "
                f"gui/{snapshot.uid}/{GATEWAY_LABEL}; mv ~/Library/LaunchAgents/"
                f"{GATEWAY_LABEL}.plist ~/.Trash/), then run again",
            )
        case "twin":
            return Trouble(
                f"a system daemon is called {GATEWAY_LABEL} as well; the two restart each other",
                expected="the user's LaunchAgent alone",
                fix="where clawfleet set it up: pyinfra inventory.py tasks/remove.py --data "
                f"services=daemons; else on the Mac: sudo launchctl bootout system/{GATEWAY_LABEL} "
                "and move its plist out of /Library/LaunchDaemons",
            )
        case "foreign process":
            taken = next(
                p
                for p in snapshot.gateway_port.processes
                if not _owns(snapshot, p) and not is_gateway(p.command)
            )
            return Trouble(
                f"port {port} is taken by pid {taken.pid}: {taken.command[:90]}",
                expected="OpenClaw's gateway there, or a free port",
                fix=f"end it on the Mac (kill {taken.pid}), or set another gateway_port",
            )
    return Trouble(
        f"port {port} is taken by a process of another user",
        expected="OpenClaw's gateway there, or a free port",
        fix=f"on the Mac: sudo lsof -nP -iTCP:{port} -sTCP:LISTEN shows it; end it, or "
        "set another gateway_port",
    )


def no_login(snapshot: Snapshot) -> Trouble:
    """Nobody is logged in at the screen: what was found of that, and what helps on this Mac."""
    locked = "On" in snapshot.filevault
    seen = [snapshot.gui_error or "no domain gui"]
    automatic = snapshot.automatic_login
    seen.append(f"automatic login: {automatic or 'off'}")
    if snapshot.filevault:
        seen.append(snapshot.filevault.rstrip("."))
    if automatic == snapshot.user:
        fix = "restart the Mac, or log in at its screen (automatic login is on and has not run "
        fix += "since somebody logged out), then run again"
    elif locked:
        fix = (
            "log in at the screen after each start: FileVault rules automatic login out, unless "
            "`sudo fdesetup disable` turns it off. Then run again"
        )
    else:
        fix = (
            "log in at the screen once, or turn on automatic login (System Settings > Users & "
            "Groups), then run again"
        )
    return Trouble(
        f"nobody is logged in at the screen ({'; '.join(seen)})",
        expected=f"a GUI session of {snapshot.user}: OpenClaw's LaunchAgent and Homebrew's service "
        'of Ollama are loaded into it; or services = "daemons", which need none (docs/gateway.md)',
        fix=fix,
    )


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
    verb = None if snapshot.daemons else verbs.get(decision.action)
    gone = decision.action == "remove"
    start = ":" if gone else f"openclaw_gateway {verb} && around" if verb else "again"
    written = "; ".join(
        f"this {quote(file.path)} {quote(commit.backup_name(file.path))}"
        for file in (snapshot.plist, snapshot.service_env)
    )
    back = max(settings.gateway_start_timeout, LEAST_BACK)
    prelude = f"""TIMEOUT={settings.gateway_start_timeout}
BACK={back}
SETTLE={settings.gateway_settle}
WAIT={"yes" if decision.action == "wait" else "no"}
AFTER={":" if gone else "well"}
probe() {{ {probe(caps)}; }}
reset() {{ {sessions.while_stopped(snapshot, settings, caps, keys)}; }}
forget() {{ {sessions.once_well(settings, caps, keys) or ":"}; }}
around() {{ {_around(snapshot, settings)}; }}
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
        + commit.launchd(port, snapshot.daemons)
        + load("well.sh")
        + load("gateway.sh")
    )
    titles = {
        "install": "install the gateway",
        "reinstall": "install the gateway again",
        "remove": "take the gateway out of launchd",
        "wait": "wait for the gateway, or restart it",
    }
    target = "system" if snapshot.daemons else f"gui/{snapshot.uid}"
    done = "bootout" if gone else "bootout and bootstrap"
    shown = f"{'sudo ' if snapshot.daemons else ''}launchctl {done} {target}/{GATEWAY_LABEL}"
    return Step(
        titles.get(decision.action, "restart the gateway"),
        "; ".join(decision.reasons),
        script,
        "on the Mac: openclaw gateway status, and openclaw doctor",
        timeout=settings.gateway_start_timeout * 3 + back + 180,
        show=f"openclaw gateway {verb}" if verb else shown,
    )


def start_again(port: int, run: str, *, daemons: bool = False) -> str:
    """sh for a Mac that failed while a transaction was open: the files from before it back, and
    the gateway started.

    Exit code 0 when a gateway was started; what was put back is told on stdout.
    """
    return f"""{commit.launchd(port, daemons)}B=$HOME/.clawfleet/backups/{run}/gateway
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
# Nobody waits here until it answers, so how long it did not is not known.
rm -f "$DOWN"
"""


def probe(caps: Capabilities) -> str:
    """sh that asks the gateway on $PORT over HTTP; exit code 0 when it answers as a healthy one."""
    url = "http://127.0.0.1:$PORT"
    if caps.health_json:
        return f"ask {url}/healthz | grep -Eq '\"ok\": *true'"
    # Any path answers 200 with the control page here, so this proves the listener only.
    return f'[ "$(ask {url}/ -o /dev/null -w "%{{http_code}}")" = 200 ]'


def _around(snapshot: Snapshot, settings: Settings) -> str:
    """sh for what OpenClaw has just installed: the variables of the policy "bypass" in it."""
    if settings.proxies != "bypass":
        return ":"
    values = environment.around(snapshot, settings).items()
    return "; ".join(f"bypass {name} {quote(value)} || return 1" for name, value in values) + (
        '; [ -z "$changed" ] || { stop && again; }'
    )


def is_gateway(command: str) -> bool:
    """Whether a command line is an OpenClaw gateway's, and not only one with the word in a path.

    scripts/launchd.sh asks the same before it ends a process.
    """
    return command.startswith("openclaw-gateway") or bool(
        re.search(r"(/node_modules/openclaw/\S*|/bin/openclaw) (\S+ )*?gateway\b", command)
    )


def health_ok(output: str) -> bool:
    """Whether ``openclaw health --json`` said ok (noise around the object is passed over)."""
    return answer(output).get("ok") is True
