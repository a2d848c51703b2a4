"""Whose part of a value is whose: what we wrote, compared with what is found there now."""

from __future__ import annotations

from typing import Any

from clawfleet.edits import ID, UNKNOWN, Item, Path, part_of
from clawfleet.json5 import same


def at(value: Any, path: Path) -> Any:
    """What lies at a path of a value, UNKNOWN where nothing does."""
    for step in path:
        value = part_of(value, step)
    return value


def put(value: Any, path: Path, part: Any) -> Any:
    """The value with another part at a path whose parent is there.

    UNKNOWN takes the part out. Parts that are not concerned are shared with the old value.
    """
    if not path:
        return part
    step, inner = path[0], path[1:]
    old = part_of(value, step)
    new = put(old, inner, part)
    if isinstance(step, str):
        return {key: one for key, one in {**value, step: new}.items() if one is not UNKNOWN}
    parts = [new if one is old else one for one in value] + [new] * (old is UNKNOWN)
    return [one for one in parts if one is not UNKNOWN]


def parts_of(written: Any, path: Path, *others: Any) -> list[tuple[str | Item, Any]] | None:
    """The parts by which a value at a path is compared with others, None: only as a whole.

    The key that selects an element of a list is none of its parts.
    """
    if isinstance(written, dict) and all(isinstance(other, dict) for other in others):
        selector = path[-1].key if path and isinstance(path[-1], Item) else None
        return [(key, part) for key, part in written.items() if key != selector]
    if _goes_by_id(written) and all(isinstance(other, list) for other in others):
        return [(Item(ID, part[ID]), part) for part in written]
    return None


def _goes_by_id(value: Any) -> bool:
    listed = isinstance(value, list) and bool(value)
    return listed and all(isinstance(part, dict) and ID in part for part in value)


def rest_of(found: Any, written: Any, path: Path) -> Any:
    """What others have in a value of ours, UNKNOWN where that is nothing."""
    if same(found, written):
        return UNKNOWN
    parts = parts_of(written, path, found)
    if parts is None:
        others = without_ours(found, written, [])
        return found if others is None else others or UNKNOWN
    rest = found
    for step, part in parts:
        inner = part_of(found, step)
        if inner is not UNKNOWN:
            rest = put(rest, (step,), rest_of(inner, part, (*path, step)))
    last = path[-1] if path else None
    hollow = {last.key} if isinstance(last, Item) else set()
    return rest if (rest.keys() - hollow if isinstance(rest, dict) else rest) else UNKNOWN


def without_ours(found: Any, written: Any, before: Any) -> list[Any] | None:
    """A list of plain values without the elements that we put in, with those that we took out.

    As it was found where it holds none of ours. None where one of the three is no such list.
    """
    for value in (found, written, before):
        if not isinstance(value, list) or any(isinstance(part, dict | list) for part in value):
            return None
    ours = [part for part in written if not _among(part, before)]
    kept = [part for part in found if not _among(part, ours)]
    if len(kept) == len(found):
        return kept
    return [*(p for p in before if not _among(p, written) and not _among(p, kept)), *kept]


def _among(value: Any, parts: list[Any]) -> bool:
    return any(same(value, part) for part in parts)
