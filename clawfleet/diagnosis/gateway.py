"""Troubles of the gateway: who runs it, whether it answers, what stands in its way."""

from __future__ import annotations

import re
from collections.abc import Iterable

from clawfleet import gateway, started
from clawfleet.diagnosis.known import DEPLOY, TASK, Case, Known, Seen, quoted
from clawfleet.plan import Trouble, quote
from clawfleet.snapshot import GATEWAY_LABEL, Process

_COMMAND = re.compile(r"\bgateway (?!run\b|--)[a-z]")
"""``openclaw gateway call`` and the like, which only speak to one."""
YOUNG = 120
"""Seconds: a process that is younger, after several starts that failed, is a crash loop's."""


def _strangers(case: Case) -> list[Process]:
    job = case.job.pid if case.job else None
    return [
        p
        for p in case.snapshot.gateway_port.processes
        if job not in (p.pid, p.ppid) and not gateway.is_gateway(p.command)
    ]


def _hand_started(case: Case) -> list[Process]:
    job = case.job.pid if case.job else None
    return [
        p
        for p in case.snapshot.gateway_port.processes
        if job not in (p.pid, p.ppid) and gateway.is_gateway(p.command)
    ]


def _no_gui(case: Case) -> Iterable[Seen]:
    if not case.snapshot.gui and not case.snapshot.daemons:
        yield Seen(
            f"nobody is logged in at the screen ({case.snapshot.gui_error or 'no domain gui'})",
            f"log in as {case.snapshot.user} at the screen, and turn on automatic login",
        )


def _system(case: Case) -> Iterable[Seen]:
    if not case.snapshot.gateway_twin:
        return
    if case.snapshot.daemons:
        yield Seen(
            f"a LaunchAgent {GATEWAY_LABEL} beside the LaunchDaemon",
            "on the Mac: openclaw gateway uninstall",
        )
    else:
        yield Seen(
            f"system/{GATEWAY_LABEL} is loaded",
            f"on the Mac: sudo launchctl bootout system/{GATEWAY_LABEL} and move its plist out of "
            "/Library/LaunchDaemons",
        )


def _port(case: Case) -> Iterable[Seen]:
    port = case.snapshot.gateway_port
    for process in _strangers(case):
        yield Seen(
            f"port {port.port} is taken by pid {process.pid}: {process.command[:90]}",
            f"look at it, then end it on the Mac: kill {process.pid}; or set another gateway_port",
        )
    if not port.processes and case.snapshot.gateway_http:
        yield Seen(
            f"port {port.port} is taken by a process of another user",
            f"on the Mac: sudo lsof -nP -iTCP:{port.port} -sTCP:LISTEN shows it",
        )


def _by_hand(case: Case) -> Iterable[Seen]:
    for process in _hand_started(case):
        yield Seen(
            f"pid {process.pid}: {process.command[:60]}",
            f"{TASK.format('gateway')}: it ends this one and starts launchd's",
            "gateway",
        )


def _several(case: Case) -> Iterable[Seen]:
    job = case.job.pid if case.job else None
    on_port = {p.pid for p in case.snapshot.gateway_port.processes}
    others = [
        p
        for p in case.symptoms.gateways
        if gateway.is_gateway(p.command)
        and not _COMMAND.search(p.command)
        and job not in (p.pid, p.ppid)
        and not on_port & {p.pid, p.ppid}
    ]
    if case.job and case.job.pid and others:
        yield Seen(
            f"besides launchd's (pid {job}): "
            + "; ".join(f"pid {p.pid}: {p.command[:60]}" for p in others),
            f"look at it, then end it on the Mac: kill {' '.join(str(p.pid) for p in others)}",
        )
    legacy = [
        name for name in case.symptoms.agents if name.startswith(("com.clawdbot", "bot.molt"))
    ]
    for name in legacy:
        label = name.removesuffix(".plist")
        path = f"~/Library/LaunchAgents/{name}"
        yield Seen(
            f"{path}, from before OpenClaw had its name",
            f"on the Mac: launchctl bootout gui/{case.snapshot.uid}/{quote(label)}; "
            f"mv {path} ~/.Trash/",
        )


def _not_installed(case: Case) -> Iterable[Seen]:
    if case.snapshot.openclaw and not case.snapshot.plist.exists:
        yield Seen(f"no {case.snapshot.plist.path}", DEPLOY)


def _ready(case: Case) -> bool:
    """A LaunchAgent that could be loaded, and nobody in its place."""
    snapshot = case.snapshot
    domain = snapshot.gui or snapshot.daemons
    return bool(snapshot.openclaw and snapshot.plist.exists and domain)


def _domain(case: Case) -> str:
    return "system" if case.snapshot.daemons else f"gui/{case.snapshot.uid}"


def _free(case: Case) -> bool:
    snapshot = case.snapshot
    return not snapshot.gateway_port.processes and not snapshot.gateway_http


def _disabled(case: Case) -> Iterable[Seen]:
    if _ready(case) and case.snapshot.gateway_override == "disabled":
        yield Seen(
            f"launchd has {GATEWAY_LABEL} disabled",
            f"if that was not on purpose: {TASK.format('gateway')}, which enables it",
        )


def _not_loaded(case: Case) -> Iterable[Seen]:
    disabled = case.snapshot.gateway_override == "disabled"
    if _ready(case) and case.job is None and not disabled and _free(case):
        yield Seen(
            f"{_domain(case)}/{GATEWAY_LABEL} is not loaded",
            TASK.format("gateway"),
            "gateway",
        )


def _failed(last_exit: str) -> bool:
    return bool(last_exit) and last_exit.split(":", maxsplit=1)[0] not in (
        "(never exited)",
        "0",
        "Terminated",
    )


def _crashes(case: Case) -> bool:
    job = case.job
    if job is None or not _ready(case) or _strangers(case):
        return False
    if job.pid is None:
        return True
    young = case.started is not None and case.snapshot.now - case.started < YOUNG
    return job.runs >= 3 and young and _failed(job.last_exit)


def _crash_loop(case: Case) -> Iterable[Seen]:
    job = case.job
    if job is None or not _crashes(case):
        return
    said = case.said(*_REASONS)
    yield Seen(
        f"launchd: {job.state}, runs {job.runs}, last exit {job.last_exit or 'unknown'}"
        + (f"; {quoted(said)}" if said else ""),
        "the cause is in the log: ~/.openclaw/logs/gateway.err.log or "
        f"~/Library/Logs/openclaw/gateway.log; then {TASK.format('gateway')}",
    )


def _starts(case: Case) -> bool:
    """Whether its process is young: after a login a gateway may need a minute."""
    try:
        decision = gateway.decide(case.snapshot, case.settings, case.port, ())
    except Trouble:
        return False
    return decision.action == "wait"


def _starting(case: Case) -> Iterable[Seen]:
    job = case.job
    if job and _starts(case) and not _crashes(case):
        yield Seen(
            f"pid {job.pid} was started {job.age} s ago and does not answer yet",
            "wait a minute and look again",
        )


def _deaf(case: Case) -> Iterable[Seen]:
    job, snapshot = case.job, case.snapshot
    if job is None or job.pid is None or _crashes(case) or _strangers(case) or not _ready(case):
        return
    if _hand_started(case) or _starts(case):
        return
    if not snapshot.gateway_port.processes and not snapshot.gateway_http:
        yield _restart(f"pid {job.pid} does not listen on port {case.port}")
    elif snapshot.gateway_port.processes and snapshot.gateway_http == 0:
        yield _restart(f"pid {job.pid} listens on port {case.port} and does not answer")


def _restart(seen: str) -> Seen:
    return Seen(seen, TASK.format("gateway"), "gateway")


def _outdated(case: Case) -> Iterable[Seen]:
    if _ready(case):
        for reason in gateway.drift(case.snapshot, case.port, case.caps):
            yield Seen(reason, TASK.format("gateway"), "gateway")


def _stale(case: Case) -> Iterable[Seen]:
    reasons = (*case.snapshot.restart_needed, *started.outdated(case.snapshot))
    if reasons and case.snapshot.unfinished is None and _ready(case):
        yield Seen(f"not restarted since: {'; '.join(reasons)}", TASK.format("gateway"), "gateway")


_REASONS = (
    "Gateway start blocked",
    "Gateway failed to start",
    "Gateway already running",
    "another gateway instance is already listening",
    "Refusing to bind gateway",
    "Gateway auth is set to token, but no token is configured",
    "requires state migration",
    "Config invalid",
    "config is invalid",
    "Invalid config at",
    "EADDRINUSE",
)

TROUBLES = (
    Known(
        "no-login",
        "broken",
        "Nobody is logged in at the screen",
        "无人登录图形界面",
        ("Could not find domain for user gui", "requires a logged-in macOS GUI session"),
        "OpenClaw's LaunchAgent and Ollama.app run only in a GUI session",
        "the Mac's own user logged in at the screen",
        'log in once, and turn on automatic login; or services = "daemons"',
        _no_gui,
    ),
    Known(
        "system-daemon",
        "broken",
        "A system daemon and a LaunchAgent of the same label",
        "系统守护进程与用户代理同名",
        ("(the gateway is restarted again and again)",),
        "they restart each other",
        'the LaunchAgent alone, or with services = "daemons" the LaunchDaemon alone',
        f"`sudo launchctl bootout system/{GATEWAY_LABEL}`, or `openclaw gateway uninstall`",
        _system,
    ),
    Known(
        "gateway-port",
        "broken",
        "The gateway's port is taken by something else",
        "18789 端口被其他程序占用",
        ("EADDRINUSE", "Port 18789 is already in use"),
        "another program listens there. `kill $(lsof -ti :18789)` of the article would end its "
        "clients too: your browser, your tunnel",
        "OpenClaw's gateway there, or a free port",
        "end that process by its pid, or set another `gateway_port`",
        _port,
    ),
    Known(
        "gateway-by-hand",
        "broken",
        "gateway already running: one was started by hand",
        "网关已在运行(手动启动)",
        (
            "gateway already running",
            "Gateway already running locally",
            "another gateway instance is already listening",
            "another OpenClaw process owns gateway-lifecycle",
        ),
        "an `openclaw gateway` in a terminal holds the port; `openclaw gateway stop` stops only "
        "the service, and this one ends with its terminal",
        "launchd's gateway alone",
        f"`{TASK.format('gateway')}`",
        _by_hand,
    ),
    Known(
        "several-gateways",
        "risk",
        "Two gateways",
        "存在多个网关进程",
        ("another gateway instance is already listening",),
        "a copy that a restart left behind (2026.2.17), a second profile, or the agent of an older "
        "name; they share files and answer for each other",
        "one gateway for each user",
        "end the other by its pid",
        _several,
    ),
    Known(
        "gateway-not-installed",
        "broken",
        "The gateway is not installed",
        "网关服务未安装",
        ("Gateway service not loaded. Start with: openclaw gateway install",),
        "there is no LaunchAgent",
        "OpenClaw's LaunchAgent",
        f"`{DEPLOY}`",
        _not_installed,
    ),
    Known(
        "gateway-disabled",
        "broken",
        "The gateway is disabled in launchd",
        "网关服务被禁用",
        ("Bootstrap failed: 5: Input/output error",),
        "somebody ran `launchctl disable`, or turned it off in System Settings > Login Items",
        "an enabled LaunchAgent",
        f"`{TASK.format('gateway')}` (not by fix: it may be on purpose)",
        _disabled,
    ),
    Known(
        "gateway-not-loaded",
        "broken",
        "The gateway is not loaded",
        "网关服务未加载",
        ("Could not find service", "Gateway service not loaded"),
        "a restart that failed leaves it so; on 2026.2.x `gateway start` then starts nothing, with "
        "exit code 0",
        "a loaded job",
        f"`{TASK.format('gateway')}`",
        _not_loaded,
    ),
    Known(
        "gateway-crashes",
        "broken",
        "The gateway ends again and again",
        "网关反复崩溃",
        ("Gateway failed to start", "spawn scheduled"),
        "launchd starts it anew each time; the cause is in its log",
        "a gateway that stays",
        "read the log; most causes are rows of this table",
        _crash_loop,
        _REASONS,
    ),
    Known(
        "gateway-starting",
        "note",
        "The gateway is starting",
        "网关正在启动",
        ("Gateway not reachable after waiting",),
        "its process is young and does not answer yet: after a login, or on a busy Mac",
        "an answer within `gateway_start_timeout`",
        "patience",
        _starting,
    ),
    Known(
        "gateway-hangs",
        "broken",
        "The gateway does not answer",
        "网关无响应",
        ("gateway closed (1006", "Gateway not reachable"),
        "the process lives, and its port is closed or silent",
        "an answer over HTTP",
        f"`{TASK.format('gateway')}`",
        _deaf,
    ),
    Known(
        "gateway-outdated",
        "broken",
        "The LaunchAgent pins what has changed since",
        "LaunchAgent 中固化的端口/令牌/Node 已过期",
        ("unauthorized: device token mismatch",),
        "`gateway install` writes port, Node and (before 2026.3.13) the token into the plist",
        "a plist that agrees with the config",
        f"`{TASK.format('gateway')}`: installs it again",
        _outdated,
    ),
    Known(
        "gateway-stale",
        "broken",
        "The gateway was not restarted after a change",
        "修改配置后网关尚未重启",
        ("(a change has no effect)",),
        "a run ended between the change and the restart, or somebody changed what it reads only at "
        "its start",
        "a gateway that was started after the last change",
        f"`{TASK.format('gateway')}`",
        _stale,
    ),
)
