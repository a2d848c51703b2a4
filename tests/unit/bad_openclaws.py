"""Macs with one trouble of OpenClaw: its files, proxies, its gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clawfleet.sessions import Session
from clawfleet.snapshot import Listener, Node, Process, Snapshot
from clawfleet.symptoms import Symptoms, Verdict
from tests.unit.bad_macs import GATEWAY, NOW, SILENT, config, good, job, provider, said
from tests.unit.factory import HOME, file, healthy, plist, with_file

OPENCLAWS: list[tuple[str, Snapshot, Symptoms, dict[str, Any], list[str]]] = [
    ("openclaw-too-old", healthy("2026.1.30"), good(), {}, ["OpenClaw 2026.1.30"]),
    (
        "openclaw-not-measured",
        replace(healthy(), openclaw="2027.1.1"),
        good(),
        {},
        ["OpenClaw 2027.1.1"],
    ),
    (
        "node-too-old",
        replace(healthy(), nodes=(Node("/usr/local/bin/node", "22.12.0"),)),
        good(),
        {},
        ["22.12.0; OpenClaw 2026.9.6 needs Node >=24.16.0"],
    ),
    (
        "config-malformed",
        with_file(healthy(), "config", file(healthy().config.path, "{\n gateway: {,}\n}\n")),
        replace(good(), verdict=Verdict(False, "SyntaxError")),
        {},
        ["line 2, column 12"],
    ),
    (
        "config-refused",
        healthy(),
        replace(good(), verdict=Verdict(False, 'Config invalid\n  Unrecognized key: "nope"\n')),
        {},
        ['Config invalid Unrecognized key: "nope"'],
    ),
    (
        "gateway-mode",
        config(healthy(), lambda c: c["gateway"].pop("mode")),
        good(),
        {},
        ["gateway.mode is missing"],
    ),
    (
        "legacy-credentials",
        with_file(healthy(), "auth", file(healthy().auth.path, "{}")),
        good(),
        {},
        ["auth-profiles.json", "doctor --fix"],
    ),
    (
        "window-too-small",
        config(healthy(), lambda c: provider(c)["models"][0].update(contextWindow=16384)),
        replace(good(), sessions=()),
        {},
        ["gpt-oss:20b is 16,384", "needs 32,768"],
    ),
    (
        "session-too-long",
        healthy(),
        replace(
            good(),
            sessions=(Session("agent:main:main", 90000), Session("agent:main:x", None)),
            messages=said("Context overflow: prompt too large for the model.").messages,
        ),
        {},
        ["session agent:main:main holds 90,000 tokens, the window is 32,768", "when-needed"],
    ),
    (
        "context-overflow",
        healthy(),
        said("lane task error: Context overflow: prompt too large for the model."),
        {},
        ["Context overflow"],
    ),
    (
        "discovery",
        healthy(),
        said("Failed to discover Ollama models: TypeError: fetch failed"),
        {},
        ["tasks/environment.py"],
    ),
    (
        "cooldown",
        healthy(),
        said("No available auth profile for ollama (all in cooldown or unavailable)."),
        {},
        ["cooldown"],
    ),
    ("token", healthy(), said("unauthorized: device token mismatch"), {}, ["mismatch"]),
    (
        "model-unknown",
        config(healthy(), lambda c: c["agents"]["defaults"]["model"].update(primary="ollama/gone")),
        good(),
        {},
        ["nobody provides ollama/gone"],
    ),
    (
        "readable-by-others",
        healthy(),
        replace(
            good(),
            folders=(("755", f"{HOME}/.openclaw"),),
            readable=(("644", f"{HOME}/.openclaw/openclaw.json"), ("644", "/elsewhere")),
        ),
        {},
        ["mode 755", "openclaw.json (644)", "chmod -R go-rwx"],
    ),
    (
        "proxy",
        with_file(
            healthy(), "dotenv", file(f"{HOME}/.openclaw/.env", "HTTPS_PROXY=http://p\n", mtime=1)
        ),
        good(),
        {},
        ["HTTPS_PROXY in /Users/mac/.openclaw/.env"],
    ),
    (
        "proxy",
        replace(healthy(), gui_environment={"http_proxy": "http://p"}),
        good(),
        {},
        ["http_proxy in launchd's domain gui/501"],
    ),
    (
        "proxy",
        replace(healthy(), gateway_port=replace(healthy().gateway_port, proxies=("http_proxy",))),
        good(),
        {},
        ["http_proxy in the running gateway", "tasks/gateway.py"],
    ),
    (
        "proxy-kept",
        replace(healthy(), gui_environment={"http_proxy": "http://p"}),
        good(),
        {"proxies": "keep"},
        ["http_proxy in launchd's domain"],
    ),
    ("proxy-shell", replace(healthy(), shell_proxies=("~/.zshrc",)), good(), {}, ["~/.zshrc"]),
    ("proxy-at-login", replace(healthy(), agent_proxies=("~/a.plist",)), good(), {}, ["~/a.plist"]),
    (
        "proxy-system",
        healthy(),
        replace(
            good(), system_proxy={"HTTPEnable": "1", "HTTPProxy": "10.1.1.1", "HTTPPort": "7890"}
        ),
        {},
        ["HTTP 10.1.1.1:7890"],
    ),
    (
        "no-login",
        replace(healthy(), gui=False, gui_error="Bad request."),
        good(),
        {},
        ["Bad request"],
    ),
    ("system-daemon", replace(healthy(), gateway_twin=True), good(), {}, ["sudo launchctl"]),
    (
        "gateway-port",
        replace(healthy(), gateway=None, gateway_port=Listener(18789, (Process(7, 1, 9, "nc"),))),
        replace(good(), gateways=()),
        {},
        ["taken by pid 7: nc", "kill 7"],
    ),
    (
        "gateway-port",
        replace(healthy(), gateway=None, gateway_port=SILENT),
        replace(good(), gateways=()),
        {},
        ["a process of another user"],
    ),
    (
        "gateway-by-hand",
        replace(
            healthy(), gateway=None, gateway_port=Listener(18789, (Process(7, 1, 9, GATEWAY),))
        ),
        replace(good(), gateways=(Process(7, 1, 9, GATEWAY),)),
        {},
        ["pid 7"],
    ),
    (
        "several-gateways",
        healthy(),
        replace(good(), gateways=(*good().gateways, Process(7, 1, 9, GATEWAY))),
        {},
        ["besides launchd's (pid 900): pid 7"],
    ),
    (
        "several-gateways",
        healthy(),
        replace(good(), agents=("ai.openclaw.gateway.plist", "com.clawdbot.gateway.plist")),
        {},
        ["com.clawdbot.gateway.plist", "launchctl bootout gui/501/com.clawdbot.gateway"],
    ),
    (
        "gateway-not-installed",
        replace(
            healthy(),
            plist=file(healthy().plist.path),
            gateway=None,
            gateway_port=SILENT,
            gateway_http=0,
        ),
        replace(good(), gateways=()),
        {},
        ["no /Users/mac/Library/LaunchAgents"],
    ),
    (
        "gateway-disabled",
        replace(
            healthy(),
            gateway_override="disabled",
            gateway=None,
            gateway_port=SILENT,
            gateway_http=0,
        ),
        replace(good(), gateways=()),
        {},
        ["disabled"],
    ),
    (
        "gateway-not-loaded",
        replace(healthy(), gateway=None, gateway_port=SILENT, gateway_http=0),
        replace(good(), gateways=()),
        {},
        ["gui/501/ai.openclaw.gateway is not loaded"],
    ),
    (
        "gateway-crashes",
        replace(
            job(pid=None, state="spawn scheduled", runs=9, last_exit="1"),
            gateway_port=SILENT,
            gateway_http=0,
        ),
        replace(said("Gateway failed to start: oh"), gateways=()),
        {},
        ["runs 9, last exit 1", "Gateway failed to start: oh"],
    ),
    (
        "gateway-crashes",
        replace(
            job(runs=4, last_exit="78: EX_CONFIG"),
            gateway_port=Listener(18789, (Process(900, 1, 3, GATEWAY),)),
        ),
        replace(good(), gateways=()),
        {},
        ["runs 4, last exit 78: EX_CONFIG"],
    ),
    (
        "gateway-hangs",
        replace(healthy(), gateway_http=0),
        good(),
        {},
        ["pid 900 listens on port 18789 and does not answer"],
    ),
    (
        "gateway-hangs",
        replace(healthy(), gateway_http=0, gateway_port=SILENT),
        good(),
        {},
        ["pid 900 does not listen"],
    ),
    (
        "gateway-outdated",
        with_file(healthy(), "plist", file(healthy().plist.path, plist(port=18790), mode="644")),
        good(),
        {},
        ["its plist has port 18790, the config 18789"],
    ),
    (
        "gateway-stale",
        replace(healthy(), restart_needed=("openclaw.json was changed",)),
        good(),
        {},
        ["not restarted since: openclaw.json was changed"],
    ),
    (
        "gateway-stale",
        replace(healthy(), openclaw_since=NOW - 10),
        good(),
        {},
        ["OpenClaw 2026.9.6 was put in place after it was started"],
    ),
    (
        "gateway-starting",
        replace(job(age=5), gateway_http=0, gateway_live=False),
        good(),
        {},
        ["pid 900 was started 5 s ago"],
    ),
]
