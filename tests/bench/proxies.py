"""Requests to Ollama that still reach a proxy, with one in every place of a Mac.

For each OpenClaw version a lab of two Macs, one deployed with "unset", one with "bypass"; the turns
go through the running gateway, half of them by the native API and half by a provider at /v1.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.proxied import Scene, stage
from tests.lab.evil import ollama
from tests.lab.plan import LabError
from tests.lab.standins.evil_proxy import WORDS


@dataclass(frozen=True)
class Row:
    """What one Mac showed."""

    version: str
    policy: str
    before: int
    """Hits for Ollama of one turn before the deploy."""
    turns: int
    answered: int
    hits: int
    """Hits for Ollama, the deploy with its proof included."""
    cloud: bool
    """The cloud answered, which is reached through the proxy only."""

    @property
    def good(self) -> bool:
        """Whether it is as the policy promises."""
        asked = self.before > 0 and self.answered == self.turns and self.hits == 0
        return asked and self.cloud == (self.policy == "bypass")


def rows(scene: Scene) -> list[Row]:
    """One row for each Mac."""
    found = []
    for name, told in scene.told.items():
        mac = scene.lab.macs[name]
        asked = [told.answers[whom] for whom in ("main", "desk")]
        answered = [text for turns in asked for text in turns.answers if "Hello from" in text]
        found.append(
            Row(
                scene.version,
                scene.policies[name]["proxies"],
                ollama(told.control_hits, mac),
                sum(turns.count for turns in asked),
                len(answered),
                sum(ollama(hits, mac) for hits in told.hits.values()),
                WORDS in told.answers["cloud"].answers,
            )
        )
    return found


def table(found: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| OpenClaw | policy | hits of one turn before | turns | answered | hits for Ollama "
        "| cloud |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {row.version} | {row.policy} | {row.before} | {row.turns} | {row.answered} "
        f"| {row.hits} | {'through the proxy' if row.cloud else 'not reached'} |"
        for row in found
    ]
    return "\n".join(lines)


def main(versions: Sequence[str], turns: int) -> int:
    """Measure, print the table; 1 when a row is not as its policy promises. What goes on is told
    on stderr."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {text}", file=sys.stderr, flush=True)

    found: list[Row] = []
    for version in versions:
        say(f"OpenClaw {version}: two Macs, {turns} turns on each")
        with tempfile.TemporaryDirectory(prefix="clawfleet-bench-", dir="/tmp") as scratch:
            try:
                with stage(version, turns, Path(scratch), say=say) as scene:
                    if scene.first.code != 0:
                        print(f"bench: the deploy ended with {scene.first.code}", file=sys.stderr)
                        print(scene.first.log[-3000:], file=sys.stderr)
                        return 1
                    found += rows(scene)
            except LabError as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
        say(f"measured: {found[-2:]}")
    print(table(found))
    return 0 if all(row.good for row in found) else 1
