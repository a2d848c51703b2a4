"""``date`` without GNU's ``-d`` and ``%N``."""

from __future__ import annotations

import calendar
import re
import sys
import time

from tests.lab.standins.here import complain

_USAGE = "usage: date [-jnRu] [-I[date|hours|minutes|seconds|ns]] [-f input_fmt]\n"
_USAGE += "            [ -z output_zone ] [-r filename|seconds] [-v[+|-]val[y|m|w|d|H|M|S]]\n"
_USAGE += "            [[[[mm]dd]HH]MM[[cc]yy][.SS] | new_date] [+output_fmt]"
_STEPS = {"S": 1, "M": 60, "H": 3600, "d": 86400, "w": 604800}
_ISO = {"date": "%Y-%m-%d", "": "%Y-%m-%d", "seconds": "%Y-%m-%dT%H:%M:%S%z"}


def moved(moment: float, change: str) -> float:
    """The moment after a change such as ``+1d`` or ``-2y``; ValueError for another text."""
    match = re.fullmatch(r"([+-]?)(\d+)([ymwdHMS])", change)
    if not match:
        raise ValueError(change)
    amount = int(match[2]) * (-1 if match[1] == "-" else 1)
    if match[3] in _STEPS:
        return moment + amount * _STEPS[match[3]]
    then = time.localtime(moment)
    months = then.tm_year * 12 + then.tm_mon - 1 + amount * (12 if match[3] == "y" else 1)
    year, month = divmod(months, 12)
    day = min(then.tm_mday, calendar.monthrange(year, month + 1)[1])
    clock = (then.tm_hour, then.tm_min, then.tm_sec, 0, 0, -1)
    return time.mktime((year, month + 1, day, *clock))


def main(argv: list[str]) -> int:
    """Exit code 1 for what BSD's date does not know."""
    words, moment, utc, form, given = list(argv), time.time(), False, "", ""
    changes: list[str] = []
    iso: str | None = None
    while words:
        word = words.pop(0)
        if word.startswith("+"):
            form = word[1:]
        elif word in ("-u", "-j", "-n", "-ju", "-uj"):
            utc = utc or "u" in word
        elif word == "-r" and words:
            moment = int(words.pop(0))
        elif word == "-f" and len(words) > 1:
            given, text = words.pop(0), words.pop(0)
            try:
                moment = time.mktime(time.strptime(text, given))
            except ValueError:
                complain(f"Failed conversion of ``{text}'' using format ``{given}''\n{_USAGE}")
                return 1
        elif word.startswith("-v"):
            changes.append(word[2:] or words.pop(0))
        elif word.startswith("-I") and word[2:] in _ISO:
            iso = _ISO[word[2:]]
        elif word == "-R":
            iso = "%a, %d %b %Y %H:%M:%S %z"
        elif word.startswith("-"):
            complain(f"date: illegal option -- {word[1:2]}\n{_USAGE}")
            return 1
        else:
            complain(f"date: illegal time format\n{_USAGE}")
            return 1
    try:
        for change in changes:
            moment = moved(moment, change)
    except ValueError as error:
        complain(f"date: {error}: Cannot apply date adjustment\n{_USAGE}")
        return 1
    then = time.gmtime(moment) if utc else time.localtime(moment)
    # libc's of this machine may know more than BSD's: %N is no conversion there.
    chosen = (form or iso or "%a %b %e %H:%M:%S %Z %Y").replace("%N", "N").replace("%s", "\1")
    text = time.strftime(chosen, then).replace("GMT", "UTC") if chosen else ""
    sys.stdout.write(text.replace("\1", str(int(moment))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
