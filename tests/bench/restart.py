"""How long nobody answers while the gateway is restarted, and whether it always comes back.

One simulated Mac with the real OpenClaw. Before each run openclaw.json and .env are given new
contents, so that each has to restart the gateway. In between, the same gateway is restarted bare:
bootout, wait, bootstrap, and its port asked until it answers. Other programs keep connections open
meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import gateways
from tests.e2e.deploys import pyinfra
from tests.lab import profiles
from tests.lab.lab import Lab, Mac

EACH = 5
"""After so many runs the gateway is restarted bare once."""
WINDOWS = (32768, 36864)
"""Context windows that the runs wish in turn."""
BARE = """set -u
P=$HOME/Library/LaunchAgents/ai.openclaw.gateway.plist; J=gui/$(id -u)/ai.openclaw.gateway
ms() { perl -MTime::HiRes=time -e 'printf "%d", time * 1000'; }
began=$(ms)
launchctl bootout "$J"
while launchctl print "$J" >/dev/null 2>&1; do sleep 0.1; done
until launchctl bootstrap "gui/$(id -u)" "$P"; do sleep 0.1; done
until curl -s -m 3 --noproxy '*' -o /dev/null "http://127.0.0.1:$PORT/"; do sleep 0.1; done
echo $(($(ms) - began))
"""
HOLDS = """import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
kept, _ = server.accept()
other = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("open", flush=True)
while True:
    client.sendall(b"x")
    assert kept.recv(1) == b"x"
    other.settimeout(0.2)
    try:
        assert other.recv(1), "closed"
    except TimeoutError:
        pass
"""
"""Holds a connection of its own program, and one to Ollama's port; ends when one is closed."""


class NotWell(Exception):
    """A restart after which the gateway was not well, or that did not happen; says what."""


@dataclass(frozen=True)
class Restart:
    """One run."""

    down: float
    """Seconds from bootout to the first answer, as the Mac itself measured."""
    whole: float
    """Seconds of the whole run of pyinfra."""


def once(lab: Lab, mac: Mac, number: int, base: Sequence[str], reports: Path) -> Restart:
    """Change what the gateway reads and run the task; NotWell unless it ends with a new process
    that is well."""
    before = gateways.shown(mac).get("pid")
    mac.exec(f"echo 'BENCH={number}' > ~/.openclaw/.env && chmod 600 ~/.openclaw/.env", check=True)
    wish = ("--data", f"context_window={WINDOWS[number % 2]}")
    began = time.monotonic()
    done = pyinfra(lab, "-y", *base, *wish, task="tasks/config.py", reports=reports)
    whole = time.monotonic() - began
    after = gateways.shown(mac).get("pid")
    if done.code != 0 or after in (None, before) or not gateways.well(mac):
        raise NotWell(
            f"run {number}: exit code {done.code}, pid {before} then {after}, listening: "
            f"{gateways.listeners(mac)}\n{done.log[-3000:]}"
        )
    newest: dict[str, Any] = json.loads(max(reports.glob("*.json")).read_text(encoding="utf-8"))
    return Restart(newest["macs"][mac.name]["gateway"]["downtime_seconds"], whole)


def bare(mac: Mac) -> float:
    """Seconds without an answer of a restart that does nothing else."""
    done = mac.exec(BARE, env={"PORT": str(mac.spec.gateway_port)}, check=True)
    gateways.until(lambda: gateways.well(mac), "the gateway is back")
    return int(done.stdout) / 1000


def row(name: str, seconds: Sequence[float], well: int) -> str:
    """A line of the table."""
    ordered = sorted(seconds)
    # Nearest rank: the smallest value that at least 95 of 100 are not above.
    p95 = ordered[max(0, -(-95 * len(ordered) // 100) - 1)]
    cells = (ordered[0], statistics.median(ordered), p95, ordered[-1])
    return f"| {name} | {len(ordered)} | {well} | " + " | ".join(f"{c:.1f} s" for c in cells) + " |"


def table(runs: Sequence[Restart], bares: Sequence[float]) -> str:
    """The figures as a Markdown table."""
    down = [run.down for run in runs]
    return "\n".join(
        [
            "| nobody answers during | times | well afterwards | min | median | p95 | max |",
            "|---|---:|---:|---:|---:|---:|---:|",
            row("a run that changes openclaw.json and .env", down, len(down)),
            row("bare bootout and bootstrap", bares, len(bares)),
        ]
    )


def main(times: int, *, version: str, folder: str | None) -> int:
    """Measure, print the table; the exit code is 1 when one restart did not end well."""
    with tempfile.TemporaryDirectory(prefix="clawfleet-bench-", dir="/tmp") as scratch:
        where, reports = Path(folder) if folder else Path(scratch) / "lab", Path(scratch) / "r"
        base = ("--data", f"openclaw_version={version}", "--data", "verify=off")
        runs: list[Restart] = []
        bares: list[float] = []
        with Lab.up(1, dir=where) as lab:
            mac = lab.macs["mac1"]
            profiles.apply(mac, "half", version)
            first = pyinfra(lab, "-y", *base, reports=reports)
            if first.code != 0:
                print(f"bench: the first run failed:\n{first.log[-3000:]}", file=sys.stderr)
                return 1
            mac.write(f"{mac.spec.home}/holds.py", HOLDS.encode())
            holds = f'"{mac.spec.python}" -S holds.py {mac.spec.ollama_port}'
            out = mac.exec(f"{holds} > holds.log 2>&1 & echo $!", check=True).stdout
            client = out.decode().strip()
            gateways.until(lambda: gateways.read(mac, "holds.log") == b"open\n", "the client runs")
            try:
                for number in range(times):
                    runs.append(once(lab, mac, number, base, reports))
                    print(f"{number + 1}/{times}: {runs[-1]}", file=sys.stderr)
                    if number % EACH == 0:
                        bares.append(bare(mac))
                        print(f"bare: {bares[-1]:.1f} s", file=sys.stderr)
            except NotWell as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
            alive = mac.exec(f"kill -0 {client}").returncode == 0
            system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
            print(table(runs, bares))
            ratio = statistics.median(run.down for run in runs) / statistics.median(bares)
            whole = statistics.median(run.whole for run in runs)
            print(
                f"\nRatio of the medians: {ratio:.2f}. {system}, load {os.getloadavg()[0]:.1f}; lab"
            )
            print(
                f"level {lab.level}, real OpenClaw {version}; a whole run: {whole:.1f} s (median)."
            )
    print(f"Connections of other programs: {'all open' if alive else 'CLOSED'}.")
    return 0 if alive else 1
