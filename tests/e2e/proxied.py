"""Two Macs with a proxy in every place, before and after a deploy: what each of them showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.deploys import Done, own_files, pyinfra, tree
from tests.lab import turns
from tests.lab.evil import EvilProxy, ollama, poison
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import NODE_FOR
from tests.lab.profiles import apply, rich_config

POLICIES = {"mac1": {"proxies": "unset"}, "mac2": {"proxies": "bypass"}}
BATCH = 10
"""Turns after which it is told how many there were."""
UNREACHED = 120
"""Seconds after which a turn for somebody who can't be reached is given up: longer than OpenClaw
itself goes on trying."""
Say = Callable[[str], None]


@dataclass
class Told:
    """What one Mac showed."""

    control: turns.Turns
    """A turn before the deploy, for Ollama at /v1."""
    control_hits: Counter[str]
    files: dict[str, str]
    """The user's (`files`), before the deploy."""
    before: float = 0
    """When the deploy's hits began to be counted (`EvilProxy.clear`). The gateway of before has a
    proxy until it is stopped, and goes on trying to answer a turn whose client has gone."""
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


def prepare(mac: Mac, version: str, evil: EvilProxy, unreached: int, say: Say) -> Told:
    """A rich Mac whose gateway runs with the proxies, and what a turn did then."""
    apply(mac, "rich", version)
    say(f"{mac.name}: has OpenClaw {version} and a gateway")
    own = rich_config(version, mac.spec)
    poison(mac, evil.url, turns.with_endpoint(own, version, mac.spec.ollama_port))
    turns.wait_for_gateway(mac)
    say(f"{mac.name}: the gateway runs with proxies from every place; a turn before the deploy")
    evil.clear()
    control = turns.ask(mac, version, whom="desk", patience=unreached)
    hits = evil.hits()
    say(f"{mac.name}: {ollama(hits, mac)} requests for Ollama reached the proxy")
    return Told(control, hits, files(mac))


def converse(
    mac: Mac, version: str, evil: EvilProxy, told: Told, count: int, unreached: int, say: Say
) -> None:
    """Turns for the local models (`count` in all), one for the cloud, and one by the command."""
    told.hits["deploy"] = evil.hits(told.before)
    say(f"{mac.name}: deployed, {ollama(told.hits['deploy'], mac)} hits for Ollama")
    half = max(count // 2, 1)
    for whom, times in (("main", count - half), ("desk", half)):
        evil.clear()
        told.answers[whom] = talk(mac, version, whom, times, say)
        told.hits[whom] = evil.hits()
        say(f"{mac.name}: turns for {whom}: {ollama(told.hits[whom], mac)} hits for Ollama")
    evil.clear()
    told.answers["cloud"] = turns.ask(mac, version, whom="cloud", patience=unreached)
    told.hits["cloud"] = evil.hits()
    say(f"{mac.name}: a turn for the cloud: {told.answers['cloud'].answers or 'no answer'}")
    evil.clear()
    brew = mac.spec.homebrew_prefix
    path = f"{brew}/opt/node@{NODE_FOR[version]}/bin:{brew}/bin"
    command = f'PATH="{path}:$PATH" openclaw agent --agent main -m hi --json'
    told.command = mac.exec(command).stdout
    told.hits["command"] = evil.hits()
    say(f"{mac.name}: a turn by the command: {ollama(told.hits['command'], mac)} hits for Ollama")


def talk(mac: Mac, version: str, whom: str, count: int, say: Say) -> turns.Turns:
    """That many turns, and a word after each `BATCH` of them."""
    done = turns.Turns(0, (), ())
    while done.count < count:
        more = turns.ask(mac, version, min(BATCH, count - done.count), whom=whom)
        answers, failures = done.answers + more.answers, done.failures + more.failures
        done = turns.Turns(done.count + more.count, answers, failures)
        say(f"{mac.name}: {done.count} of {count} turns for {whom}, {len(failures)} failed")
    return done


@contextmanager
def stage(
    version: str, count: int, folder: Path, *, unreached: int = UNREACHED, say: Say = print
) -> Iterator[Scene]:
    """Both Macs after the deploy and their turns; the lab is up inside the ``with`` block. `say`
    is told each step."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(2, dir=folder / "lab"))
        evils = {
            name: stack.enter_context(EvilProxy(mac, [turns.CLOUD]))
            for name, mac in lab.macs.items()
        }
        both = stack.enter_context(ThreadPoolExecutor(2))
        ready = both.map(
            lambda name: prepare(lab.macs[name], version, evils[name], unreached, say), lab.macs
        )
        told = dict(zip(lab.macs, ready, strict=True))
        nothing = Done(1, "", "did not run")
        scene = Scene(lab, version, POLICIES, told, nothing, nothing, folder / "reports")
        for name, evil in evils.items():
            told[name].before = evil.clear()
        say("the dry run")
        scene.dry = scene.run("--dry", "--diff")
        say("the deploy, with its proof")
        scene.first = scene.run("-y", "--json")
        say(f"the deploy ended with {scene.first.code}")

        def after(name: str) -> None:
            mac = lab.macs[name]
            converse(mac, version, evils[name], told[name], count, unreached, say)

        if scene.first.code == 0:
            list(both.map(after, lab.macs))
        yield scene
