"""Two Macs with a proxy in every place, before and after a deploy: what each of them showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.deploys import Done, own_files, pyinfra, tree
from tests.lab import turns
from tests.lab.evil import EvilProxy, poison
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import NODE_FOR
from tests.lab.profiles import apply, rich_config

POLICIES = {"mac1": {"proxies": "unset"}, "mac2": {"proxies": "bypass"}}


@dataclass
class Told:
    """What one Mac showed."""

    control: turns.Turns
    """A turn before the deploy, for Ollama at /v1."""
    control_hits: Counter[str]
    files: dict[str, str]
    """The user's (`files`), before the deploy."""
    answers: dict[str, turns.Turns] = field(default_factory=dict)
    """By whom the turns were for."""
    hits: dict[str, Counter[str]] = field(default_factory=dict)
    """The same; and ``deploy``, with its proof, and ``command``: a turn by OpenClaw's command."""
    command: bytes = b""
    """What that command printed."""


@dataclass
class Scene:
    """A deploy with the real OpenClaw on both Macs, and what followed."""

    lab: Lab
    version: str
    policies: Mapping[str, Mapping[str, str]]
    told: dict[str, Told]
    dry: Done
    first: Done
    reports: Path

    def run(self, *arguments: str, task: str = "deploy.py") -> Done:
        """Another run with the same settings."""
        pin = ("--data", f"openclaw_version={self.version}")
        return pyinfra(
            self.lab, *arguments, *pin, own=self.policies, task=task, reports=self.reports
        )


def files(mac: Mac) -> dict[str, str]:
    """Files that a deploy could write, but for those that OpenClaw makes for the other agents."""
    others = tuple(f"./.openclaw/agents/{name}/" for name in turns.MODELS)
    return {
        path: what for path, what in own_files(tree(mac)).items() if not path.startswith(others)
    }


def prepare(mac: Mac, version: str, evil: EvilProxy) -> Told:
    """A rich Mac whose gateway runs with the proxies, and what a turn did then."""
    apply(mac, "rich", version)
    own = rich_config(version, mac.spec)
    poison(mac, evil.url, turns.with_endpoint(own, version, mac.spec.ollama_port))
    turns.wait_for_gateway(mac)
    control = turns.ask(mac, version, whom="desk")
    return Told(control, evil.hits(), files(mac))


def converse(mac: Mac, version: str, evil: EvilProxy, told: Told, count: int) -> None:
    """Turns for the local models (`count` in all), one for the cloud, and one by the command."""
    told.hits["deploy"] = evil.hits()
    half = max(count // 2, 1)
    for whom, times in (("main", count - half), ("desk", half), ("cloud", 1)):
        evil.clear()
        told.answers[whom] = turns.ask(mac, version, times, whom=whom)
        told.hits[whom] = evil.hits()
    evil.clear()
    brew = mac.spec.homebrew_prefix
    path = f"{brew}/opt/node@{NODE_FOR[version]}/bin:{brew}/bin"
    command = f'PATH="{path}:$PATH" openclaw agent --agent main -m hi --json'
    told.command = mac.exec(command).stdout
    told.hits["command"] = evil.hits()


@contextmanager
def stage(version: str, count: int, folder: Path) -> Iterator[Scene]:
    """Both Macs after the deploy and their turns; the lab is up inside the ``with`` block."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(2, dir=folder / "lab"))
        evils = {
            name: stack.enter_context(EvilProxy(mac, [turns.CLOUD]))
            for name, mac in lab.macs.items()
        }
        both = stack.enter_context(ThreadPoolExecutor(2))
        ready = both.map(lambda name: prepare(lab.macs[name], version, evils[name]), lab.macs)
        told = dict(zip(lab.macs, ready, strict=True))
        nothing = Done(1, "", "did not run")
        scene = Scene(lab, version, POLICIES, told, nothing, nothing, folder / "reports")
        for evil in evils.values():
            evil.clear()
        scene.dry = scene.run("--dry", "--diff")
        scene.first = scene.run("-y", "--json")
        if scene.first.code == 0:
            done = both.map(
                lambda name: converse(lab.macs[name], version, evils[name], told[name], count),
                lab.macs,
            )
            list(done)
        yield scene
