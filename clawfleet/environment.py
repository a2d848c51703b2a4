"""Proxy variables out of everything that the gateway starts from.

OpenClaw's gateway sends requests for 127.0.0.1 through http_proxy and https_proxy in most
versions (measured with 2026.2.12, 2026.2.17 and 2026.9.6), where they fail. A variable reaches it
from four places: the LaunchAgent's plist, OpenClaw's service-env file, ~/.openclaw/.env, and the
environment of the GUI domain that `launchctl setenv` fills.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from clawfleet.plan import FileChange, Step, Trouble, guard, quote
from clawfleet.scripts import load
from clawfleet.settings import Settings
from clawfleet.snapshot import PROXY_VARIABLES, File, Snapshot

_ASSIGNMENT = re.compile(rf"^\s*(?:export\s+)?({'|'.join(PROXY_VARIABLES)})\s*=")
_PLIST_KEY = re.compile(
    rf"[ \t]*<key>\s*({'|'.join(PROXY_VARIABLES)})\s*</key>\s*"
    r"(?:<string>[^<]*</string>|<string\s*/>)[ \t]*\r?\n?"
)


@dataclass(frozen=True)
class Leak:
    place: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    files: tuple[FileChange, ...]
    steps: tuple[Step, ...]
    leaks: tuple[Leak, ...]
    """Every place where a proxy variable was found, also those that are only reported."""
    notes: tuple[str, ...]


def without_lines(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` without assignments of proxy variables, and the names that were taken out."""
    kept, names = [], []
    for line in re.split(r"(?<=\n)", text):
        match = _ASSIGNMENT.match(line)
        if match:
            names.append(match.group(1))
        else:
            kept.append(line)
    return "".join(kept), tuple(names)


def without_keys(plist: str) -> tuple[str, tuple[str, ...]]:
    """An XML plist without proxy variables in any dictionary, every other byte as it was."""
    names = tuple(m.group(1) for m in _PLIST_KEY.finditer(plist))
    return _PLIST_KEY.sub("", plist), names


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """What has to change so that the next start of the gateway sees no proxy variable."""
    files: list[FileChange] = []
    leaks: list[Leak] = []
    for file, clean in (
        (snapshot.plist, without_keys),
        (snapshot.service_env, without_lines),
        (snapshot.dotenv, without_lines),
    ):
        if file.trouble:
            guard(file, snapshot)
        if not file.content:
            continue
        after, names = clean(_decoded(file))
        if names:
            leaks.append(Leak(file.path, names))
            reason = f"takes out {', '.join(names)}: requests to Ollama would go to the proxy"
            encoded = after.encode("utf-8", "surrogateescape")
            files.append(FileChange(guard(file, snapshot), encoded, file.mode or "600", (reason,)))
    domain = tuple(name for name in PROXY_VARIABLES if name in snapshot.gui_environment)
    steps: list[Step] = []
    if domain:
        leaks.append(Leak(f"launchd's domain gui/{snapshot.uid}", domain))
        steps.append(_unset(snapshot, domain))
    running = snapshot.gateway_port.proxies
    if running:
        leaks.append(Leak("the running gateway", running))
    notes = [
        f"{file} sets a proxy: it reaches only a gateway that is started from a terminal"
        for file in snapshot.shell_proxies
    ]
    notes += [
        f"{file} sets a proxy with launchctl setenv at each login; take it out to keep the "
        "gateway free of it after a reboot"
        for file in snapshot.agent_proxies
    ]
    if settings.proxies == "keep":
        notes = [f"{leak.place} holds {', '.join(leak.names)}" for leak in leaks] + notes
        return Plan((), (), tuple(leaks), tuple(notes))
    return Plan(tuple(files), tuple(steps), tuple(leaks), tuple(notes))


def _decoded(file: File) -> str:
    content = file.content or b""
    if content.startswith(b"bplist"):
        raise Trouble(
            f"{file.path} is a binary plist",
            expected="XML, as OpenClaw writes it",
            fix=f"on the Mac: plutil -convert xml1 {file.path}",
        )
    return content.decode("utf-8", "surrogateescape")


def _unset(snapshot: Snapshot, names: tuple[str, ...]) -> Step:
    words = "".join(f"<string>{name}</string>" for name in names)
    given = f"NAMES={quote('|'.join(names))}\nWORDS={quote(words)}\n"
    script = given + load("domain.sh") + load("unset.sh")
    return Step(
        f"unset {', '.join(names)} in gui/{snapshot.uid}",
        "launchd hands them down to the gateway",
        script,
        f"in Terminal on the Mac itself: launchctl unsetenv {' '.join(names)}",
        timeout=60,
        show=f"launchctl unsetenv {' '.join(names)}  # inside gui/{snapshot.uid}",
    )


def set_again(snapshot: Snapshot, lines: Sequence[str]) -> list[Step]:
    """Variables (``NAME=value``) back into the GUI domain, but for those that hold a password:
    a command line can be read by everybody on the Mac."""
    pairs = [line.partition("=")[::2] for line in lines if "@" not in line]
    due = [(n, v) for n, v in pairs if snapshot.gui_environment.get(n) != v]
    if not due:
        return []
    names = ", ".join(name for name, _ in due)
    words = "".join(
        f"<string>{name}</string><string>{escape(value)}</string>" for name, value in due
    )
    return [
        Step(
            f"set {names} in gui/{snapshot.uid} again",
            "a run of clawfleet took them out",
            f"{load('domain.sh')}in_domain setenv {quote(words)} || exit 1\n",
            f"in Terminal on the Mac itself: launchctl setenv NAME VALUE, for {names}",
            timeout=60,
            show=f"launchctl setenv {names}  # inside gui/{snapshot.uid}",
        )
    ]
