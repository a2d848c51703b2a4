"""The states in which a Mac's gateway is found, and what each needs: one table, in its order.

:func:`state_of` and the picture in ``docs/gateway.md`` are both made from :data:`STATES`. The first
row that fits decides, so a row may count on what those above it have ruled out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal, get_args

Action = Literal["none", "wait", "restart", "reinstall", "install", "stop"]
Override = Literal["", "enabled", "disabled"]
JobState = Literal["absent", "idle", "crashed", "looping", "starting", "running"]
PortState = Literal["free", "own", "other", "foreign", "hidden"]


@dataclass(frozen=True)
class Facts:
    """What decides, told from a snapshot by :func:`clawfleet.gateway.facts`."""

    domain: bool = True
    """The domain is there: ``gui/UID``, or where services are daemons the system's, as ever."""
    allowed: bool = True
    """We may load a job into it; into the system's only root may."""
    twin: bool = False
    """The other one of the two has a job of the same label."""
    installed: bool = True
    """The job's plist is there."""
    fits: bool = True
    """It pins the port, the token and a Node that are right by now; of a LaunchDaemon, which is
    ours, everything else is as it should be, too."""
    override: Override = "enabled"
    """launchd's override of the label; empty: nobody ever loaded it."""
    job: JobState = "running"
    """``idle``: loaded, and its last process ended well or none ever ran; ``crashed``: ended
    badly; ``looping``: ended badly several times and serves nothing; ``starting``: its process is
    young and serves nothing yet."""
    port: PortState = "own"
    """Who listens: nobody, the job's process, a gateway that is not the job's, another program, or
    a process that this user can't see."""
    answers: bool = True
    """The gateway on the port answers its health probe."""
    current: bool = True
    """The process has all that it reads as it is now, and nothing wants it started anew."""


@dataclass(frozen=True)
class State:
    """One row."""

    name: str
    action: Action
    meaning: str
    """For a person: what it is, and where it comes from."""
    when: Mapping[str, tuple[object, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Field of :class:`Facts` -> the values that fit; a field that is not named may be anything."""

    def fits(self, facts: Facts) -> bool:
        return all(getattr(facts, name) in values for name, values in self.when.items())


def _when(**values: object) -> Mapping[str, tuple[object, ...]]:
    return MappingProxyType(
        {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    )


STATES: tuple[State, ...] = (
    State(
        "no GUI domain",
        "stop",
        "nobody is logged in at the screen: a LaunchAgent runs only where somebody is",
        _when(domain=False),
    ),
    State(
        "no sudo",
        "stop",
        "services are daemons, and `sudo` asks for a password: only root loads a LaunchDaemon",
        _when(allowed=False),
    ),
    State(
        "twin",
        "stop",
        "a LaunchDaemon has the same label as the LaunchAgent, or the other way round: each starts "
        "again when the other takes the port",
        _when(twin=True),
    ),
    State("foreign process", "stop", "another program has the port", _when(port="foreign")),
    State(
        "hidden process",
        "stop",
        "the port answers, and no process of this user listens there",
        _when(port="hidden"),
    ),
    State(
        "not installed", "install", "launchd has nothing to start it from", _when(installed=False)
    ),
    State(
        "outdated plist",
        "reinstall",
        "it pins another port, token or Node than the config and OpenClaw want",
        _when(fits=False),
    ),
    State(
        "disabled",
        "restart",
        "`launchctl disable` was called: it is not loaded at a login, and bootstrap answers 5",
        _when(override="disabled"),
    ),
    State(
        "by hand",
        "restart",
        "a gateway runs that launchd did not start: in a Terminal, or left over",
        _when(port="other", job="absent"),
    ),
    State(
        "two gateways",
        "restart",
        "another gateway has the job's port: 2026.2.17 starts such a copy of itself when a change "
        "of its config wants a restart, and launchd's job then fails again and again",
        _when(port="other"),
    ),
    State(
        "never loaded", "restart", "installed, and nobody ever loaded it",
        _when(job="absent", override=""),
    ),
    State(
        "deregistered",
        "restart",
        "installed and not loaded: `openclaw gateway stop`, or a restart that failed half-way",
        _when(job="absent"),
    ),
    State(
        "crash loop",
        "restart",
        "launchd starts it again and again, and it ends each time",
        _when(job="looping"),
    ),
    State("crashed", "restart", "loaded, and its last process ended badly", _when(job="crashed")),
    State("idle", "restart", "loaded, and no process runs", _when(job="idle")),
    State(
        "starting",
        "wait",
        "its process is young and does not answer yet: after a login, or on a busy Mac",
        _when(job="starting", answers=False, current=True),
    ),
    State("deaf", "restart", "its process runs, and nothing listens", _when(port="free")),
    State("hung", "restart", "it listens, and does not answer", _when(answers=False)),
    State(
        "outdated process",
        "restart",
        "well, and started before something that it reads was changed",
        _when(current=False),
    ),
    State("well", "none", "launchd's own process answers, with everything as it is now"),
)  # fmt: skip


def state_of(facts: Facts) -> State:
    """The state, for every combination of facts."""
    return next(state for state in STATES if state.fits(facts))


ACTIONS: Mapping[Action, str] = MappingProxyType(
    {
        "stop": "told, with the command that helps; nothing is changed",
        "install": "openclaw gateway install, or the LaunchDaemon written and loaded",
        "reinstall": "openclaw gateway install --force, or the LaunchDaemon written and loaded",
        "restart": "bootout, wait until it is gone, enable, bootstrap, kickstart",
        "wait": "wait until it answers; else restart",
        "none": "nothing",
    }
)


def picture() -> str:
    """A Mermaid flowchart of the table: which fact leads to which state, and that to what."""
    lines = ["```mermaid", "flowchart LR", '  look(["what the Mac shows"])']
    for number, state in enumerate(STATES):
        why = "<br>".join(_words(state)) or "none of these"
        lines.append(f'  look -- "{number + 1}. {why}" --> s{number}["{state.name}"]')
    used = dict.fromkeys(state.action for state in STATES)
    for action in used:
        shape = ('[["', '"]]') if action in ("stop", "none") else ('{{"', '"}}')
        lines.append(f"  {action}{shape[0]}<b>{action}</b><br>{ACTIONS[action]}{shape[1]}")
    lines += [f"  s{number} --> {state.action}" for number, state in enumerate(STATES)]
    changing = [action for action in used if action not in ("stop", "none")]
    lines.append('  well(["well: launchd\'s pid listens, answers, and stays"])')
    lines.append('  back(["the files from before this run, and the gateway with them"])')
    lines += [f"  {action} --> well" for action in changing]
    lines += [f'  {action} -. "not well in time" .-> back' for action in changing]
    return "\n".join([*lines, "```"]) + "\n"


def table() -> str:
    """The same as a Markdown table."""
    lines = ["| state | told by | what it is | what is done |", "|---|---|---|---|"]
    for state in STATES:
        told = ", ".join(_words(state)) or "none of the above"
        lines.append(f"| {state.name} | {told} | {state.meaning} | {state.action} |")
    return "\n".join(lines) + "\n"


_WORDS: Mapping[str, Mapping[object, str]] = MappingProxyType(
    {
        "domain": {False: "no domain gui/UID"},
        "allowed": {False: "sudo -n fails"},
        "twin": {True: "the label in the other domain"},
        "installed": {False: "no plist"},
        "fits": {False: "plist does not fit"},
        "override": {"": "no override", "disabled": "override: disabled"},
        "job": {
            "absent": "job not loaded",
            "idle": "loaded, no pid",
            "crashed": "no pid, last exit not 0",
            "looping": "3 runs and more, last exit not 0, port not its own",
            "starting": "young pid",
        },
        "port": {
            "free": "port closed",
            "other": "a gateway that is not the job's listens",
            "foreign": "no gateway listens",
            "hidden": "answers, no listener seen",
        },
        "answers": {False: "no answer"},
        "current": {True: "nothing it reads is newer", False: "what it reads is newer"},
    }
)


def _words(state: State) -> list[str]:
    return [_WORDS[name][value] for name, values in state.when.items() for value in values]


def values() -> dict[str, tuple[object, ...]]:
    """Every value of every field of :class:`Facts`."""
    known: dict[str, tuple[object, ...]] = {
        "override": get_args(Override),
        "job": get_args(JobState),
        "port": get_args(PortState),
    }
    return {item.name: known.get(item.name, (True, False)) for item in fields(Facts)}


if __name__ == "__main__":
    print(f"{picture()}\n{table()}", end="")
