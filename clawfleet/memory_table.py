"""What fits into a Mac, as a table for the person who is about to deploy."""

from __future__ import annotations

from collections.abc import Mapping

from clawfleet import ollama, promise
from clawfleet.memory import RESERVE
from clawfleet.promise import Plan, Promise, gb
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

HEAD = ("model", "weights", "context", "memory", "verdict", "to transfer")
_LEFT = ("model", "context", "verdict")


def lines(
    snapshot: Snapshot,
    settings: Settings,
    plan: Plan,
    transfers: Mapping[str, int | None] | None = None,
) -> list[str]:
    """The table, its sums below it, and why a context is not the one that is wished.

    `transfers`: bytes that each pull has to bring (None: not known); without it, what the settings
    say of the models that are missing. At most 90 columns wide where the models' names have at most
    30 characters.
    """
    missing = transfers
    if missing is None:
        missing = {wish.id: wish.size for wish in ollama.missing(snapshot, settings)}
    rows = [HEAD, *(_row(each, missing) for each in plan.models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    shown = [
        "  ".join(
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for cell, width, name in zip(row, widths, HEAD, strict=True)
        ).rstrip()
        for row in rows
    ]
    shown += [*_gpu(snapshot, plan), *_disk(snapshot, missing)]
    shown += [
        f"{each.id}: {each.why}" for each in plan.models if each.why and plan.obstacle is None
    ]
    unknown = promise.undecided(plan)
    if unknown:
        shown.append(
            f"what {', '.join(unknown)} needs is not known before it is there: its context is "
            "decided after the pull"
        )
    return shown


def _row(each: Promise, missing: Mapping[str, int | None]) -> tuple[str, ...]:
    wished = f"{each.wished} -> " if each.wished != each.tokens else ""
    promised = each.tokens if each.verdict != "does not fit" else "none"
    transfer = "-"
    if each.id in missing:
        size = missing[each.id]
        transfer = gb(size) if size else "not known"
    return (
        each.id,
        gb(each.load.weights) if each.load.weights else "not known",
        f"{wished}{promised}",
        gb(each.size) if each.size else "not known",
        each.verdict,
        transfer,
    )


def _gpu(snapshot: Snapshot, plan: Plan) -> list[str]:
    if not plan.limit:
        if snapshot.arch != "arm64":
            return ["an Intel Mac: Ollama has no GPU there, and what fits is not claimed"]
        return ["the Mac does not tell its memory: what fits is not claimed"]
    raised = ", as iogpu.wired_limit_mb says" if snapshot.wired_limit else ""
    text = (
        f"GPU: {gb(plan.limit)}{raised}, {gb(RESERVE)} of it stays free; cache {plan.serving.kept}"
    )
    if plan.serving.slots > 1:
        text += f", {plan.serving.slots} requests at once"
    if plan.together is False and plan.obstacle is None and len(plan.models) > 1:
        return [text, "they do not stay in memory together: each fallback is a reload"]
    return [text]


def _disk(snapshot: Snapshot, missing: Mapping[str, int | None]) -> list[str]:
    if not missing or snapshot.disk_free is None:
        return []
    left = snapshot.disk_free - sum(size or 0 for size in missing.values())
    more = ", less what is not known" if not all(missing.values()) else ""
    return [f"disk: {gb(snapshot.disk_free)} free, {gb(left)} after the pull{more}"]
