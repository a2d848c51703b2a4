"""Take our change of some lines back out of a text that others have changed since."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher


def reverse(before: str | None, after: str, now: str) -> tuple[str | None, bool]:
    """`now` without the change that made `after` of `before`, and whether all of it came out.

    Exactly `before` (None: there was no file) where nobody else changed the text. A part of the
    change whose lines somebody has altered is left as it is: the second value is False then. No
    line goes that is not ours, and a text that somebody has emptied stays empty.
    """
    if now in (after, before or ""):
        return before, True
    if not now.strip():
        return None if before is None else now, True
    # Split by the line feed alone, so that a text without the last one is no special case.
    old, ours, lines = (before or "").split("\n"), after.split("\n"), now.split("\n")
    places = {
        block.a + offset: block.b + offset
        for block in SequenceMatcher(None, ours, lines, autojunk=False).get_matching_blocks()
        for offset in range(block.size)
    }
    known = set(places.values())
    strange = {line for index, line in enumerate(lines) if index not in known and line.strip()}
    gone: set[int] = set()
    back: dict[int, list[str]] = {}
    complete = True
    hunks = SequenceMatcher(None, ours, old, autojunk=False).get_opcodes()
    for _, start, end, old_start, old_end in (hunk for hunk in hunks if hunk[0] != "equal"):
        first = max((places[i] + 1 for i in places if i < start), default=0)
        stop = min((places[i] for i in places if i >= end), default=len(lines))
        between = [lines[i] for i in range(first, stop) if i not in known]
        here = [places[i] for i in range(start, end) if i in places]
        taken_out = old[old_start:old_end]
        if not here and taken_out and between == taken_out:
            continue  # Somebody has put them back already.
        if not taken_out:
            missing = {ours[i] for i in range(start, end) if i not in places}
            if missing and (between or missing & strange):
                complete = False
            else:
                gone.update(here)
        elif start < end:
            if len(here) == end - start and here[-1] - here[0] == end - start - 1:
                gone.update(here)
                back.setdefault(here[0], []).extend(taken_out)
            else:
                complete = False
        elif start == 0 or start - 1 in places:
            back[first] = taken_out
        elif start == len(ours) or start in places:
            back.setdefault(stop, []).extend(taken_out)
        else:
            complete = False
    kept: list[str] = []
    for index, line in enumerate([*lines, ""]):
        kept += back.get(index, [])
        kept += [line] if index < len(lines) and index not in gone else []
    lost = (Counter(lines) & Counter(old)) - Counter(kept)
    if any(line.strip() for line in lost):
        # We had moved a line, and its old place is no more to be found.
        return now, False
    text = "\n".join(kept)
    return None if before is None and not text else text, complete
