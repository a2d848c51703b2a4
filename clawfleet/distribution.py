"""Who gets a model from whom: each Mac that has it feeds the next one, so that the internet is
asked for it once and the time grows with the logarithm of the number of Macs."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

AT_ONCE = 1
"""Macs that one Mac feeds at a time: two would share the same cable and both end later."""
TRIES = 2
"""Transfers between the same two Macs before that pair is given up."""
PULLERS = 2
"""Macs that may fail to pull a model for all others before each one pulls for itself."""


@dataclass(frozen=True)
class Copy:
    """From another Mac of this run."""

    source: str
    direct: bool = True
    """Mac to Mac; else through the machine that runs this."""


@dataclass(frozen=True)
class Download:
    """From the internet."""

    alone: bool = False
    """For itself only: the others do so, too."""


@dataclass(frozen=True)
class Wait:
    """Until another Mac is ready."""

    reason: str


Choice = Copy | Download | Wait
Outcome = Literal["done", "unseen", "broke", "foreign", "lost", "other", "ours", "failed"]
"""How a transfer ended: ``done``; ``unseen`` (the two Macs do not reach each other), ``broke``
(before its end), ``foreign`` (the bytes are not the model's), ``lost`` (this machine reaches the
source no more), ``other`` (the source has another build of it, or none), ``ours`` (the receiver
can't take it), ``failed`` (a pull)."""


@dataclass
class Board:
    """What one run knows of its Macs: who has what, who feeds whom, and who is not asked again."""

    holders: dict[str, set[str]] = field(default_factory=dict)
    """Model -> Macs that have it."""
    serving: Counter[str] = field(default_factory=Counter)
    """Mac -> how many it feeds now."""
    fetching: dict[str, str] = field(default_factory=dict)
    """Mac -> model that it gets now, after which it has it."""
    refused: set[str] = field(default_factory=set)
    """Macs that feed nobody any more in this run."""
    unseen: set[tuple[str, str]] = field(default_factory=set)
    """(receiver, source) that do not reach each other."""
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(receiver, source) -> transfers that broke."""
    others: set[tuple[str, str]] = field(default_factory=set)
    """(Mac, model) of which the Mac has another build than is wanted."""
    alone: set[tuple[str, str]] = field(default_factory=set)
    """(Mac, model) that no other Mac can give to it."""
    pulls_failed: Counter[str] = field(default_factory=Counter)

    def choose(self, receiver: str, model: str) -> Choice:
        """What a Mac that lacks the model does now."""
        if (receiver, model) in self.alone:
            return Download(alone=True)
        sources = self._sources(receiver, model)
        if free := [mac for mac in sources if self.serving[mac] < AT_ONCE]:
            # One that it reaches first; then by name, so that a plan can be told. Whoever has
            # not reached several is behind a wall, and each further try takes its time.
            walled = sum(mac == receiver for mac, _ in self.unseen) >= TRIES
            hidden = [walled or (receiver, mac) in self.unseen for mac in free]
            unreached, source = min(zip(hidden, free, strict=True))
            return Copy(source, direct=not unreached)
        if sources:
            return Wait(f"{', '.join(sources)} feed{'s' if len(sources) == 1 else ''} another Mac")
        coming = sorted(
            mac
            for mac, what in self.fetching.items()
            if what == model and mac != receiver and self._usable(receiver, mac, model)
        )
        if coming:
            return Wait(f"{coming[0]} gets it first")
        return Download(alone=self.pulls_failed[model] >= PULLERS)

    def begin(self, receiver: str, model: str, choice: Choice) -> None:
        """The Mac does what was chosen."""
        if isinstance(choice, Copy):
            self.serving[choice.source] += 1
        if choice != Download(alone=True):
            self.fetching[receiver] = model

    def end(self, receiver: str, model: str, choice: Choice, outcome: Outcome) -> None:
        """It has done so."""
        self.fetching.pop(receiver, None)
        if isinstance(choice, Copy):
            pair = (receiver, choice.source)
            self.serving[choice.source] -= 1
            if outcome == "unseen":
                # Through the machine that runs this there is no other way left.
                self.unseen.add(pair)
                self.broken[pair] += 0 if choice.direct else TRIES
            elif outcome == "broke":
                self.broken[pair] += 1
            elif outcome in ("foreign", "lost"):
                self.refused.add(choice.source)
            elif outcome == "ours":
                self.alone.add((receiver, model))
            elif outcome == "other":
                self.others.add((choice.source, model))
        elif outcome == "failed":
            self.pulls_failed[model] += 1
        if outcome == "done":
            self.holders.setdefault(model, set()).add(receiver)

    def _sources(self, receiver: str, model: str) -> list[str]:
        holders = self.holders.get(model, set()) - {receiver}
        return sorted(mac for mac in holders if self._usable(receiver, mac, model))

    def _usable(self, receiver: str, source: str, model: str) -> bool:
        return (
            source not in self.refused
            and (source, model) not in self.others
            and self.broken[receiver, source] < TRIES
        )


Round = dict[str, tuple[str, Choice]]
"""Receiver -> the model that it gets, and how."""


def rounds(board: Board, wanted: Mapping[str, Iterable[str]]) -> list[Round]:
    """How a fleet in which each transfer takes as long as any other would be fed.

    `wanted`: Mac -> models that it lacks, in its order. The board stays as it is.
    """
    board = copy.deepcopy(board)
    left = {mac: list(models) for mac, models in sorted(wanted.items())}
    found: list[Round] = []
    while any(left.values()):
        now: Round = {}
        for mac, models in left.items():
            if models and not isinstance(choice := board.choose(mac, models[0]), Wait):
                board.begin(mac, models[0], choice)
                now[mac] = (models[0], choice)
        for mac, (model, choice) in now.items():
            board.end(mac, model, choice, "done")
            left[mac].pop(0)
        found.append(now)
    return found


def origin(board: Board, wanted: Mapping[str, Iterable[str]], mac: str, model: str) -> str:
    """Where a Mac will get a model from, for the plan; which Mac is free first is seen only then.

    ``from mac1 over the LAN``, ``from the internet, for the others too``.
    """
    fleet = {name: list(models) for name, models in wanted.items()}
    for now in rounds(board, fleet):
        what, choice = now.get(mac, ("", None))
        if what != model:
            continue
        if isinstance(choice, Copy):
            has = choice.source in board.holders.get(model, set())
            return f"from {choice.source} over the LAN" + ("" if has else ", once that has it")
        break
    others = any(model in models for name, models in fleet.items() if name != mac)
    return "from the internet, for the others too" if others else "from the internet"
