"""Variables of launchd's GUI domain: set and unset from a job inside it, and the way back.

``~/.clawfleet/domain`` on a Mac remembers what we set: lines ``NAME<TAB>BEFORE<TAB>AFTER``, without
BEFORE where the variable was not there. Only NO_PROXY and no_proxy are ever set, which hold no
secret; they last until the next login, as everything in that domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from clawfleet.plan import Step, quote
from clawfleet.scripts import load
from clawfleet.snapshot import Snapshot


def unset(snapshot: Snapshot, names: tuple[str, ...]) -> Step:
    """The step that takes variables out; commit.sh has to stand in front of its script."""
    given = f"NAMES={quote('|'.join(names))}\nWORDS={quote(_words(names))}\n"
    return Step(
        f"unset {', '.join(names)} in gui/{snapshot.uid}",
        "launchd hands them down to the gateway",
        given + load("domain.sh") + load("unset.sh"),
        f"in Terminal on the Mac itself: launchctl unsetenv {' '.join(names)}",
        timeout=60,
        show=f"launchctl unsetenv {' '.join(names)}  # inside gui/{snapshot.uid}",
    )


def put(snapshot: Snapshot, values: Mapping[str, str]) -> Step:
    """The step that sets variables; commit.sh has to stand in front of its script."""
    names = ", ".join(values)
    pairs = [word for pair in values.items() for word in pair]
    given = (
        f"NAMES={quote('|'.join(values))}\nWORDS={quote(_words(pairs))}\n"
        f"WANT={quote(chr(10).join(sorted(f'{name}={value}' for name, value in values.items())))}\n"
        f"OURS={quote(_remembered(snapshot, values))}\n"
    )
    shown = " ".join(f"{name} {value}" for name, value in values.items())
    return Step(
        f"set {names} in gui/{snapshot.uid}",
        "launchd hands the proxies there down to whatever it starts",
        given + load("domain.sh") + load("setenv.sh"),
        f"in Terminal on the Mac itself: launchctl setenv {shown}",
        timeout=60,
        show=f"launchctl setenv {shown}  # inside gui/{snapshot.uid}",
    )


def back(snapshot: Snapshot, lines: Sequence[str]) -> list[Step]:
    """Variables as a backup names them (``NAME=value``, or ``NAME`` for one that was not there)
    in the GUI domain again, but for those that hold a password: a command line can be read by
    everybody on the Mac."""
    there = snapshot.gui_environment
    pairs = [line.partition("=") for line in lines if "@" not in line]
    due = {n: v for n, equals, v in pairs if equals and there.get(n) != v}
    gone = [name for name, equals, _ in pairs if not equals and name in there]
    return _back(snapshot, due, gone, "a run of clawfleet changed them")


def without_ours(snapshot: Snapshot) -> list[Step]:
    """The steps that take back what we set and nobody has changed since."""
    due, gone = {}, []
    for name, (before, after) in _ours(snapshot).items():
        if snapshot.gui_environment.get(name) != after:
            continue
        if before:
            due[name] = before
        else:
            gone.append(name)
    return _back(snapshot, due, gone, "clawfleet had set them")


def _back(snapshot: Snapshot, due: Mapping[str, str], gone: Sequence[str], why: str) -> list[Step]:
    steps = []
    for verb, names, words in (
        ("set", list(due), [word for pair in due.items() for word in pair]),
        ("unset", list(gone), list(gone)),
    ):
        if not names:
            continue
        listed = ", ".join(names)
        value = " VALUE" if verb == "set" else ""
        steps.append(
            Step(
                f"{verb} {listed} in gui/{snapshot.uid} again",
                why,
                f"{load('domain.sh')}in_domain {verb}env {quote(_words(words))} || exit 1\n",
                f"in Terminal on the Mac itself: launchctl {verb}env NAME{value}, for {listed}",
                timeout=60,
                show=f"launchctl {verb}env {listed}  # inside gui/{snapshot.uid}",
            )
        )
    return steps


def _words(values: Sequence[str]) -> str:
    return "".join(f"<string>{escape(value)}</string>" for value in values)


def _ours(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    lines = [line.split("\t") for line in snapshot.domain_set.loose_text.splitlines()]
    return {parts[0]: (parts[1], parts[2]) for parts in lines if len(parts) == 3}


def _remembered(snapshot: Snapshot, values: Mapping[str, str]) -> str:
    """The new content of ``~/.clawfleet/domain``."""
    known = _ours(snapshot)
    for name, value in values.items():
        now = snapshot.gui_environment.get(name, "")
        before, after = known.get(name, ("", ""))
        known[name] = (before if name in known and now == after else now, value)
    return "".join(f"{name}\t{before}\t{after}\n" for name, (before, after) in known.items())
