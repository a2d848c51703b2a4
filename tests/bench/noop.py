"""What it costs to find out that nothing has to be changed.

One lab with as many Macs as the largest fleet is provisioned once; then runs over parts of it are
measured. The Macs have the lab's small stand-in for OpenClaw, so npm is not needed: what a Mac
itself takes for an answer is a part of the wall time, and is named in the output.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from tests.bench import changes
from tests.lab import profiles
from tests.lab.lab import Lab

REPO = Path(__file__).resolve().parents[2]
KINDS = {"converged": ("-y",), "dry run": ("--dry", "--diff")}
AIM_SESSIONS, AIM_MEMORY = 12, 150


class NotConverged(Exception):
    """A run that was to change nothing failed or changed something; says what."""


@dataclass(frozen=True)
class Run:
    """One run of pyinfra."""

    seconds: float
    peak: float
    """Largest memory of the control machine's process, in MB (10^6 bytes). Not less than that of
    the process which measures (some 33 MB): the kernel counts from before the exec on."""
    stdout: str
    stderr: str
    code: int


@dataclass(frozen=True)
class Cost:
    """Medians over the runs of one kind; the counts are for one Mac, the largest of all Macs."""

    macs: int
    rtt: float
    kind: str
    seconds: float
    slowest: float
    sessions: int
    received: int
    """Bytes that the Mac got."""
    sent: int
    peak: float


def pyinfra(lab: Lab, hosts: Path, *arguments: str, task: str = "deploy.py") -> Run:
    """Run a task in the lab's network with that inventory, and measure it."""
    command = [*lab.network(), sys.executable, "-m", "pyinfra", "inventory.py", task]
    environment = {**os.environ, "CLAWFLEET_HOSTS": str(hosts), "PYINFRA_PROGRESS": "off"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * unit / 1e6, texts[0], texts[1], process.returncode)


def inventory(lab: Lab, version: str, reports: Path) -> Path:
    """A hosts.yml for the lab with what its Macs need besides: the lab's own internet."""
    hosts = lab.folder / "bench.yml"
    lines = [
        f"    openclaw_version: {json.dumps(version)}",
        f"    reports: {json.dumps(str(reports))}",
        "    verify: 'off'",
    ]
    text = lab.inventory().read_text()
    if "homebrew_installer" not in text:
        lines.append(f"    homebrew_installer: {lab.internet}/homebrew/install.sh")
    hosts.write_text(text + "\n".join(lines) + "\n")
    return hosts


def converge(lab: Lab, hosts: Path, version: str) -> None:
    """Provision all Macs, and prove that another run changes nothing."""
    for mac in lab.macs.values():
        mac.set_faults({"npm.openclaw": "small"})
        profiles.apply(mac, "half", version)
    first = pyinfra(lab, hosts, "-y")
    if first.code != 0:
        raise NotConverged(f"the first run ended with {first.code}:\n{first.stderr[-3000:]}")
    second = pyinfra(lab, hosts, "-y", "--json")
    found = changes.changes(json.loads(second.stdout)) if second.stdout else ["no output"]
    if second.code != 0 or found:
        raise NotConverged(
            f"the second run ended with {second.code}, expected 0 and no change; "
            f"found: {'; '.join(found)}\n{second.stderr[-3000:]}"
        )


def measure(lab: Lab, hosts: Path, macs: Sequence[str], rtt: float, kind: str, runs: int) -> Cost:
    """Median cost of that many runs over these Macs."""
    limit = [word for name in macs for word in ("--limit", name)]
    before = lab.sessions()
    done = []
    for _ in range(runs):
        run = pyinfra(lab, hosts, *KINDS[kind], *limit)
        if run.code != 0:
            raise NotConverged(f"a {kind} ended with {run.code}:\n{run.stderr[-3000:]}")
        done.append(run)
    after = lab.sessions()

    def most(what: str) -> int:
        return max(round((after[name][what] - before[name][what]) / runs) for name in macs)

    return Cost(
        macs=len(macs),
        rtt=rtt,
        kind=kind,
        seconds=statistics.median(run.seconds for run in done),
        slowest=max(run.seconds for run in done),
        sessions=most("sessions"),
        received=most("bytes_in"),
        sent=most("bytes_out"),
        peak=max(run.peak for run in done),
    )


def table(costs: Sequence[Cost]) -> str:
    """The costs as a Markdown table."""
    lines = [
        "| Macs | round trip | run | wall time (slowest) | sessions per Mac"
        " | kB to / from each Mac | peak memory |",
        "|---:|---:|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {cost.macs} | {cost.rtt:g} ms | {cost.kind} | {cost.seconds:.1f} s ({cost.slowest:.1f})"
        f" | {cost.sessions} | {cost.received / 1000:.0f} / {cost.sent / 1000:.0f}"
        f" | {cost.peak:.0f} MB |"
        for cost in costs
    ]
    return "\n".join(lines)


def setting(lab: Lab, runs: int, version: str) -> str:
    """Where this was measured: without it the figures say nothing."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    load = f"load {os.getloadavg()[0]:.1f}"
    counted = "network interface" if lab.level == "namespaces" else "SSH connection"
    return (
        f"{system}, {load}; Python {platform.python_version()}, pyinfra {version_of('pyinfra')}; "
        f"lab level {lab.level}, OpenClaw stand-in {version}, verify=off; medians of {runs}; "
        f"bytes of each Mac's {counted}; memory of the pyinfra process."
    )


def main(
    fleets: Sequence[int], rtts: Sequence[float], runs: int, *, version: str, folder: str | None
) -> int:
    """Measure, print the table and how it compares with the aim; the exit code."""
    with tempfile.TemporaryDirectory(prefix="clawfleet-bench-", dir="/tmp") as scratch:
        where = Path(folder) if folder else Path(scratch) / "lab"
        costs: list[Cost] = []
        with Lab.up(max(fleets), rtt=0, dir=where) as lab:
            print(f"provisioning {max(fleets)} simulated Macs once", file=sys.stderr)
            hosts = inventory(lab, version, Path(scratch) / "reports")
            try:
                converge(lab, hosts, version)
                for rtt in rtts:
                    lab.net("all", rtt=rtt)
                    for count in fleets:
                        macs = list(lab.macs)[:count]
                        for kind in KINDS:
                            costs.append(measure(lab, hosts, macs, rtt, kind, runs))
                            print(f"measured: {costs[-1]}", file=sys.stderr)
            except (NotConverged, profiles.ProfileError) as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
            print(table(costs))
            print(f"\n{setting(lab, runs, version)}")
    sessions, peak = max(cost.sessions for cost in costs), max(cost.peak for cost in costs)
    print(
        f"Aim: at most {AIM_SESSIONS} sessions per Mac (most: {sessions}) "
        f"and under {AIM_MEMORY} MB (most: {peak:.0f})."
    )
    return 0
