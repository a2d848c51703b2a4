"""Troubles with proxies, by the place in which they stand."""

from __future__ import annotations

from collections.abc import Iterable

from clawfleet import environment
from clawfleet.diagnosis.known import TASK, Case, Known, Seen

_SYSTEM = ("HTTP", "HTTPS", "SOCKS", "ProxyAutoConfig", "ProxyAutoDiscovery")


def _before_ollama(case: Case) -> Iterable[Seen]:
    """Each place from which a proxy reaches the gateway, unless the policy leaves it there."""
    plan = environment.plan(case.snapshot, case.settings)
    unset = case.settings.proxies == "unset"
    if not unset and not plan.files and not plan.steps:
        return
    for leak in plan.leaks:
        seen = f"{', '.join(leak.names)} in {leak.place}"
        if leak.place != environment.PROCESS:
            yield Seen(seen, TASK.format("environment"), "environment")
        elif unset:
            yield Seen(seen, TASK.format("gateway"), "gateway")


def _kept(case: Case) -> Iterable[Seen]:
    if case.settings.proxies == "keep":
        for leak in environment.plan(case.snapshot, case.settings).leaks:
            yield Seen(
                f"{', '.join(leak.names)} in {leak.place}",
                'set proxies = "unset" in the settings, then ' + TASK.format("environment"),
            )


def _shell(case: Case) -> Iterable[Seen]:
    for file in case.snapshot.shell_proxies:
        yield Seen(
            f"{file} sets a proxy",
            f"in {file}: export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost",
        )


def _at_login(case: Case) -> Iterable[Seen]:
    for file in case.snapshot.agent_proxies:
        yield Seen(
            f"{file} sets a proxy at each login",
            f"on the Mac: launchctl bootout gui/{case.snapshot.uid} {file}, and move it away",
        )


def _system(case: Case) -> Iterable[Seen]:
    found = case.symptoms.system_proxy
    on = [name for name in _SYSTEM if found.get(f"{name}Enable") == "1"]
    if on:
        where = ", ".join(
            f"{name} {found[f'{name}Proxy']}:{found.get(f'{name}Port', '?')}"
            if f"{name}Proxy" in found
            else name
            for name in on
        )
        yield Seen(
            f"the system's proxy is on ({where})",
            "nothing, as Node and Ollama ignore it; browsers must leave 127.0.0.1 out of it",
        )


TROUBLES = (
    Known(
        "proxy",
        "broken",
        "A proxy stands between the gateway and Ollama",
        "代理变量导致对本地 Ollama 的请求被转发",
        (
            "Failed to discover Ollama models: fetch failed",
            "Connection error.",
            "fetch failed",
        ),
        "with http_proxy or HTTPS_PROXY most versions of OpenClaw send requests for 127.0.0.1 to "
        "the proxy, which can't answer them. `unset` in a terminal cures only that terminal",
        "no proxy variable in anything that the gateway starts from",
        f"`{TASK.format('environment')}`",
        _before_ollama,
    ),
    Known(
        "proxy-kept",
        "risk",
        "A proxy is kept in the gateway's environment",
        "按设置保留了代理变量",
        ("Connection error.",),
        '`proxies = "keep"` leaves it there. A gateway that starts may look for plugins through '
        "it, which takes minutes where it does not answer",
        "no proxy before Ollama, or one that leaves 127.0.0.1 alone",
        '`proxies = "unset"`',
        _kept,
    ),
    Known(
        "proxy-shell",
        "note",
        "A shell's start file sets a proxy",
        "shell 配置文件中设置了代理",
        ("(`openclaw gateway` in a terminal does not reach Ollama)",),
        "it reaches a gateway that is started from a terminal, and none that launchd starts",
        "no_proxy=127.0.0.1,localhost beside it",
        "add no_proxy and NO_PROXY in that file",
        _shell,
    ),
    Known(
        "proxy-at-login",
        "risk",
        "A LaunchAgent sets a proxy at each login",
        "LaunchAgent 在登录时设置代理",
        ("(the proxy is back after a reboot)",),
        "what was taken out of launchd's domain comes back after a reboot",
        "no `launchctl setenv` of a proxy at login",
        "move that LaunchAgent away",
        _at_login,
    ),
    Known(
        "proxy-system",
        "note",
        "The system's proxy is on",
        "已开启系统代理",
        ("(`scutil --proxy` shows one)",),
        "Node and Ollama ignore it: it neither helps nor harms here",
        "nothing",
        "nothing",
        _system,
    ),
)
