"""One download for the fleet against one for each Mac, through one shared link to the internet.

Both ways in one run, on the same simulated Macs and the same bytes: the models of the lab's
registry, scaled to the wanted size. The registry's bandwidth is limited for all Macs together, as
an office's line is; between the Macs nothing is limited but by this machine.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.noop import NotConverged, inventory, pyinfra
from tests.lab import profiles
from tests.lab.lab import Lab
from tests.lab.standins.ollama_models import RECIPES, SCALE_ENV

MODELS = ("gpt-oss:20b", "qwen3-coder:latest")
WAYS = {"none": "each from the internet", "lan": "one download"}


@dataclass(frozen=True)
class Cost:
    """What it took until every Mac had both models."""

    macs: int
    way: str
    """``none`` or ``lan``, as the setting."""
    seconds: float
    internet: int
    """Bytes that the registry has sent."""
    manifests: int
    """How often it was asked for a manifest."""
    between: int
    """Bytes that the Macs have got from each other, as their network interfaces count."""


def control(lab: Lab, path: str, *more: str) -> Any:
    """Ask the lab's internet, or tell it something."""
    command = ["curl", "-sS", f"{lab.internet}/{path}", *more]
    return json.loads(lab.run(command, capture_output=True, check=True).stdout)


def digests(lab: Lab, name: str) -> dict[str, str]:
    """What a Mac's Ollama lists."""
    mac = lab.macs[name]
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/tags"
    done = mac.exec(["curl", "-sS", "--noproxy", "*", url], check=True)
    return {m["name"]: m["digest"] for m in json.loads(done.stdout)["models"]}


def measure(lab: Lab, hosts: Path, macs: Sequence[str], way: str, rate: float) -> Cost:
    """Bring both models to these Macs, which have none, and look that they are right."""
    for mac in lab.macs.values():
        mac.exec("rm -rf ~/.ollama/models/* ~/.clawfleet", check=True)
    control(lab, "__ctl", "-d", json.dumps({"reset": True, "kbps": rate * 1000}))
    before = lab.sessions()
    limit = [word for name in macs for word in ("--limit", name)]
    began = time.monotonic()
    run = pyinfra(lab, hosts, "-y", "--data", f"distribution={way}", *limit, task="tasks/models.py")
    seconds = time.monotonic() - began
    if run.code != 0:
        raise NotConverged(f"{way} ended with {run.code}:\n{run.stderr[-3000:]}")
    after = lab.sessions()
    listed = [digests(lab, name) for name in macs]
    if any(found != listed[0] for found in listed) or sorted(listed[0]) != sorted(MODELS):
        raise NotConverged(f"{way}: the Macs have {listed}, expected {', '.join(MODELS)} on each")
    check = "cd ~/.ollama/models/blobs && shasum -a 256 * | awk '\"sha256-\" $1 != $2'"
    for name in macs:
        if wrong := lab.macs[name].exec(check, check=True).stdout:
            raise NotConverged(f"{way}: {name} has blobs with other bytes: {wrong.decode()}")
    stats = control(lab, "__stats")
    internet = stats["prefixes"]["/v2"]["bytes"]
    asked = [n["requests"] for path, n in stats["paths"].items() if "/manifests/" in path]
    received = sum(after[name]["bytes_in"] - before[name]["bytes_in"] for name in macs)
    return Cost(len(macs), way, seconds, internet, sum(asked), max(0, received - internet))


def table(costs: Sequence[Cost]) -> str:
    """The costs as a Markdown table; each pair of rows is one fleet, both ways."""
    lines = [
        "| Macs | way | wall time | ratio | from the internet | manifests asked | between Macs |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    alone = {cost.macs: cost.seconds for cost in costs if cost.way == "none"}
    lines += [
        f"| {cost.macs} | {WAYS[cost.way]} | {cost.seconds:.1f} s"
        f" | {cost.seconds / alone[cost.macs]:.2f} | {cost.internet / 1e6:.1f} MB"
        f" | {cost.manifests} | {cost.between / 1e6:.0f} MB |"
        for cost in costs
    ]
    return "\n".join(lines)


@contextmanager
def scaled(size: float) -> Iterator[int]:
    """The registry's models together of `size` MB; their bytes."""
    plain = sum(RECIPES[name].blob_size for name in MODELS)
    factor = size * 1e6 / plain
    before = os.environ.get(SCALE_ENV)
    os.environ[SCALE_ENV] = str(factor)
    try:
        yield sum(int(RECIPES[name].blob_size * factor) for name in MODELS)
    finally:
        if before is None:
            del os.environ[SCALE_ENV]
        else:
            os.environ[SCALE_ENV] = before


def main(fleets: Sequence[int], *, size: float, rate: float, folder: str | None) -> int:
    """Measure, print the table and what it should show; the exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="clawfleet-bench-", dir="/tmp") as scratch,
        scaled(size) as whole,
    ):
        where = Path(folder) if folder else Path(scratch) / "lab"
        costs: list[Cost] = []
        with Lab.up(max(fleets), dir=where) as lab:
            hosts = inventory(lab, "2026.2.17", Path(scratch) / "reports")
            try:
                for mac in lab.macs.values():
                    profiles.apply(mac, "served", "2026.2.17")
                control(lab, "v2/library/gpt-oss/manifests/20b")  # now it makes its models
                for count in fleets:
                    for way in WAYS:
                        macs = list(lab.macs)[:count]
                        costs.append(measure(lab, hosts, macs, way, rate))
                        print(f"measured: {costs[-1]}", file=sys.stderr)
            except (NotConverged, profiles.ProfileError) as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
            level = lab.level
    print(table(costs))
    print(
        f"\n{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; lab level {level}; two models of together "
        f"{whole / 1e6:.0f} MB with one layer in common, a line of {rate:g} MB/s for all Macs; "
        "every byte's hash looked at afterwards."
    )
    most = max(cost.internet for cost in costs if cost.way == "lan")
    print(
        f"Aim: one copy and some manifests from the internet, whatever the number (most: {most})."
    )
    return 0 if most < whole + 20_000 else 1
