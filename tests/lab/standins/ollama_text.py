"""Sizes, times and tables as Ollama's command line prints them."""

from __future__ import annotations

import re
import time
from calendar import timegm

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))


def size(count: int) -> str:
    """Decimal units, cut off rather than rounded: 13,793,441,244 is ``13 GB``."""
    for unit, name in _SIZES:
        if count >= unit:
            value = count / unit
            if value >= 10 or value == int(value):
                return f"{int(value)} {name}"
            return f"{value:.1f} {name}"
    return f"{count} B"


def moment(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return 0.0
    base = float(timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")))
    if match[2] == "Z":
        return base
    sign = -1 if match[2][0] == "+" else 1
    return base + sign * (int(match[2][1:3]) * 3600 + int(match[2][4:6]) * 60)


def span(seconds: float) -> str:
    """A duration in the rough words of Ollama."""
    minutes, hours = int(seconds / 60), round(seconds / 3600)
    steps = (
        (seconds < 1, "Less than a second"),
        (seconds < 2, "1 second"),
        (seconds < 60, f"{int(seconds)} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((text for applies, text in steps if applies), f"{hours // 24 // 365} years")


def relative(seconds: float, zero: str = "Never") -> str:
    """``5 minutes ago`` for a past moment, ``4 minutes from now`` for a coming one."""
    if seconds == 0:
        return zero
    gap = seconds - time.time()
    return f"{span(gap)} from now" if gap > 0 else f"{span(-gap)} ago"


def until(expires: float) -> str:
    """The last column of ``ollama ps``."""
    gap = expires - time.time()
    if gap < 0:
        return "Stopping..."
    return "Forever" if gap > 100 * 365 * 86400 else relative(expires)


def processor(total: int, vram: int) -> str:
    """Where a model's memory is."""
    if vram == 0:
        return "100% CPU"
    if vram >= total:
        return "100% GPU"
    cpu = round((total - vram) / total * 100)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def table(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell plus four spaces, the last one too."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "".join(
        "".join(cell.ljust(width) + "    " for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in rows
    )
