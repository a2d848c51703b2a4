"""What a diagnosis looks at beside the snapshot: what ``facts/diagnose.sh`` prints, typed.

Each part is read on its own: one that can't be understood is named in ``unread`` and leaves the
others as they are.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from clawfleet.printed import ProbeError, process
from clawfleet.sessions import Session, sessions
from clawfleet.snapshot import Process

Part = TypeVar("Part")


@dataclass(frozen=True)
class Served:
    """A model that Ollama holds in memory now, from ``/api/ps``."""

    name: str
    context: int | None
    """Tokens that are allocated, which is what is really served."""
    size: int
    size_gpu: int
    """Bytes, whole and on the GPU."""


@dataclass(frozen=True)
class Message:
    """A line of a log with a known text in it."""

    path: str
    text: str
    at: float
    """Seconds since 1970: the line's own time, else that of the log's last write."""


@dataclass(frozen=True)
class Verdict:
    """What the installed OpenClaw says of its config."""

    valid: bool | None
    """None: it was not asked, or could not say."""
    refused: str = ""
    """Why it refuses it."""


@dataclass(frozen=True)
class Symptoms:
    """What one reading saw. Absent things are None or empty."""

    power: Mapping[str, int] = field(default_factory=dict)
    """``pmset -g custom``, of the section ``AC Power``."""
    sleep_disabled: bool = False
    """``pmset disablesleep 1``, which overrides the rest."""
    system_proxy: Mapping[str, str] = field(default_factory=dict)
    """The plain values of ``scutil --proxy``."""
    filevault: bool | None = None
    auto_login: str | None = None
    """The user whom the Mac logs in by itself."""
    console: str | None = None
    """The user at the screen; ``root``: nobody."""
    brew_owner: str | None = None
    brew_writable: bool = False
    dangling: str | None = None
    """Where brew's link ``bin/ollama`` leads, when nothing is there."""
    client: str | None = None
    """Version of the ``ollama`` command."""
    served: tuple[Served, ...] = ()
    gateways: tuple[Process, ...] = ()
    """Every process whose command line looks like a gateway's."""
    agents: tuple[str, ...] = ()
    """LaunchAgents of OpenClaw and of what it was called before, by file name."""
    messages: tuple[Message, ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    """(Mode, path) of ``~/.openclaw`` and ``~/.clawfleet``, where others may enter."""
    readable: tuple[tuple[str, str], ...] = ()
    """(Mode, path) of files below them that others could read if they could enter."""
    sessions: tuple[Session, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict(None))
    unread: tuple[str, ...] = ()


def parse(output: str) -> Symptoms:
    """The symptoms in the script's output; ProbeError when it is not complete."""
    values = _values(output)
    unread: list[str] = []

    def every(name: str) -> list[str]:
        return values.get(name, [])

    def one(name: str) -> str | None:
        return next(iter(every(name)), None)

    def part(what: str, read: Callable[[], Part], otherwise: Part) -> Part:
        try:
            return read()
        except (LookupError, TypeError, ValueError) as error:
            unread.append(f"{what}: {str(error).splitlines()[0][:120]}")
            return otherwise

    def said(name: str) -> list[str]:
        return _said(values, name)

    def only(name: str) -> str:
        return said(name)[0].strip()

    owner = every("brew.owner")
    login = every("autologin") if one("autologin.rc") == "0" else []
    return Symptoms(
        power=part("pmset -g custom", lambda: _power(said("power")), {}),
        sleep_disabled=part("pmset -g", lambda: _sleep_disabled(said("pmset")), False),
        system_proxy=part("scutil --proxy", lambda: _proxy(said("scutil")), {}),
        filevault=part("fdesetup status", lambda: _filevault(said("filevault")), None),
        # Without automatic login the key is missing, and `defaults` ends with 1.
        auto_login=login[0].strip() if login else None,
        console=part("stat /dev/console", lambda: only("console"), None),
        brew_owner=owner[0] if owner and one("brew.owner.rc") == "0" else None,
        brew_writable=one("brew.writable") == "yes",
        dangling=one("ollama.dangling"),
        client=_client(every("ollama.version")),
        served=part("/api/ps", lambda: tuple(_served("".join(every("ollama.ps")))), ()),
        gateways=part("ps", lambda: tuple(map(process, every("gateways"))), ()),
        agents=tuple(every("agents")),
        messages=part("logs", lambda: tuple(_messages(values)), ()),
        folders=tuple(_modes(every("folders"))),
        readable=tuple(_modes(every("readable"))),
        sessions=part("sessions", lambda: _sessions(values), ()),
        unread=tuple(unread),
    )


def parse_sessions(output: str) -> tuple[Session, ...]:
    """The conversations in the output of ``facts/sessions.sh`` alone; ProbeError when they can't be
    read."""
    values = _values(output)
    try:
        return _sessions(values)
    except (LookupError, TypeError, ValueError) as error:
        raise ProbeError(f"the sessions: {error}") from error


def parse_verdict(output: str) -> Verdict:
    """What OpenClaw's own check has answered; ProbeError when the output is not complete."""
    values = _values(output)
    code = next(iter(values.get("config.rc", [])), "")
    said = "\n".join(values.get("config", [])).strip()
    # Of openclaw.validation: 0, or 1 with its words.
    return Verdict({"0": True, "1": False}.get(code), "" if code == "0" else said)


def _values(output: str) -> dict[str, list[str]]:
    """Values by name, in the order of the output; ProbeError when it is not complete."""
    values: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, tab, value = line.partition("\t")
        if tab:
            values.setdefault(name.removesuffix(":l"), []).append(value)
    if "clawfleet.reading" not in values or "clawfleet.end" not in values:
        raise ProbeError("the answer of the reading script was cut short")
    return values


def _said(values: Mapping[str, list[str]], name: str) -> list[str]:
    """Lines of a command that has to succeed."""
    code, lines = next(iter(values.get(f"{name}.rc", [])), None), values.get(name, [])
    if code != "0":
        last = lines[-1] if lines else "nothing"
        raise ValueError(f"exit code {code or 'unknown'}, printed {last!r}")
    return lines


def _power(lines: list[str]) -> dict[str, int]:
    """Numbers of the section for mains power: `` sleep   1 (sleep prevented by powerd)``.

    A key may hold blanks, and ``disksleep`` and ``displaysleep`` end like ``sleep``.
    """
    found: dict[str, int] = {}
    section = ""
    for line in lines:
        if line.endswith(":"):
            section = line.removesuffix(":")
        elif section == "AC Power" and (
            match := re.fullmatch(r" (\S.*?) +(\d+)(?: \(.*\))?", line.rstrip())
        ):
            found[match[1]] = int(match[2])
    if "sleep" not in found:
        raise ValueError("no line for sleep under AC Power")
    return found


def _sleep_disabled(lines: list[str]) -> bool:
    return any(line.split() == ["SleepDisabled", "1"] for line in lines)


def _proxy(lines: list[str]) -> dict[str, str]:
    if not lines or lines[0] != "<dictionary> {":
        raise ValueError(f"printed {lines[:1]!r}")
    return {
        match[1]: match[2] for line in lines if (match := re.fullmatch(r"  (\w+) : ([^<].*)", line))
    }


def _filevault(lines: list[str]) -> bool:
    for line in lines:
        if match := re.match(r"FileVault is (On|Off)\.", line):
            return match[1] == "On"
    raise ValueError(f"printed {lines[:1]!r}")


def _client(lines: list[str]) -> str | None:
    """Version of the command in the three shapes of ``ollama --version`` (0.16 to 0.32)."""
    for line in reversed(lines):
        if match := re.fullmatch(r"(?:Warning: client|ollama) version is (\S+)", line.strip()):
            return match[1]
    return None


def _served(text: str) -> Iterator[Served]:
    for model in json.loads(text or "{}").get("models") or []:
        context = model.get("context_length")
        yield Served(
            str(model["name"]),
            int(context) if context else None,
            int(model.get("size", 0)),
            int(model.get("size_vram", 0)),
        )


_TIME = re.compile(r"(?:^|time=)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))")


def _messages(values: Mapping[str, list[str]]) -> Iterator[Message]:
    number = 1
    while paths := values.get(f"log.{number}.path"):
        written = float(values[f"log.{number}.mtime"][0])
        for line in values.get(f"log.{number}", []):
            stamp = _TIME.search(line)
            at = datetime.fromisoformat(stamp[1]).timestamp() if stamp else written
            yield Message(paths[0], line.strip(), at)
        number += 1


def _modes(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        mode, blank, path = line.partition(" ")
        if blank:
            yield mode, path


def _sessions(values: Mapping[str, list[str]]) -> tuple[Session, ...]:
    if encoded := values.get("sessions.json"):
        try:
            return sessions(json.loads(base64.b64decode(encoded[0], validate=True)))
        except binascii.Error as error:
            raise ValueError(f"sessions.json arrived damaged ({error})") from error
    if size := values.get("sessions.bytes"):
        raise ValueError(f"sessions.json has {size[0]} bytes, more than is read")
    if "sessions.rows.rc" not in values:
        return ()
    entries: dict[str, Any] = {}
    for row in _said(values, "sessions.rows"):
        key, _, entry = row.partition("\t")
        entries[key] = json.loads(entry)
    return sessions(entries)
