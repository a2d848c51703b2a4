"""Proxies and the gateway: taken out of everything that it starts from, or led around Ollama.

OpenClaw's gateway sends requests for 127.0.0.1 through http_proxy and https_proxy in most
versions (measured with 2026.2.12, 2026.2.17 and 2026.9.6), where they fail. A variable reaches it
from four places: the LaunchAgent's plist, OpenClaw's service-env file, ~/.openclaw/.env, and the
environment of the GUI domain that `launchctl setenv` fills.

"unset" takes the variables out of all four. "bypass" leaves them, and lets NO_PROXY and no_proxy
name loopback wherever one of them stands; always in what launchd starts the gateway with, as that
hides the domain's, and in .env, as OpenClaw writes the former anew at an install.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from clawfleet import domain, dotenv, homebrew, leaks, no_proxy, variables
from clawfleet.leaks import PROXIES, Leak
from clawfleet.plan import FileChange, Step, Trouble, guard
from clawfleet.settings import Settings
from clawfleet.snapshot import PROXY_VARIABLES, File, Snapshot

MARK = "# clawfleet"
PROCESS = "the running gateway"
"""The place that is none to start from: what runs now."""


@dataclass(frozen=True)
class Plan:
    files: tuple[FileChange, ...]
    """Files that the gateway starts from."""
    steps: tuple[Step, ...]
    leaks: tuple[Leak, ...]
    """Every place where a proxy variable was found that the gateway starts from."""
    notes: tuple[str, ...]
    """The places that are only reported."""
    other: tuple[FileChange, ...] = ()
    """Files that the gateway does not read."""


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """What has to change so that the gateway's next start is as the policy says.

    Trouble for a file that can't be read or changed.
    """
    found = leaking(snapshot)
    if settings.proxies == "bypass":
        only = [Leak(x.place, tuple(n for n in x.names if n in PROXIES)) for x in found]
        found = [leak for leak in only if leak.names]
    notes = [leak.told for leak in leaks.reported(snapshot)]
    if settings.proxies == "keep":
        notes = [f"{leak.place} holds {', '.join(leak.names)}" for leak in found] + notes
        return Plan((), (), tuple(found), tuple(notes))
    bypass = settings.proxies == "bypass"
    files, steps = _bypass(snapshot, settings) if bypass else _unset(snapshot)
    other = [*_brew(snapshot, settings), *_profiles(snapshot, settings)]
    return Plan(tuple(files), tuple(steps), tuple(found), tuple(notes), tuple(other))


def profiles(snapshot: Snapshot, settings: Settings) -> list[str]:
    """Start files of shells that are to be changed, by path."""
    if not settings.proxies_in_profiles or settings.proxies == "keep":
        return []
    return [path.replace("~", snapshot.home, 1) for path in snapshot.shell_proxies]


def start_file(snapshot: Snapshot) -> File:
    """The file with the variables that launchd starts the gateway with: the plist, or the
    service-env file that its wrapper reads (OpenClaw 2026.4.29 and later)."""
    wrapped = "/service-env/" in snapshot.plist.loose_text and snapshot.service_env.exists
    return snapshot.service_env if wrapped else snapshot.plist


def around(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """NO_PROXY and no_proxy that launchd has to start the gateway with under "bypass".

    What the gateway got from the domain or from .env so far stays in it, as theirs is now hidden.
    """
    file = start_file(snapshot)
    read = variables.in_plist if file is snapshot.plist else dotenv.values
    own = read(file.loose_text)
    sources = (snapshot.gui_environment, dotenv.values(snapshot.dotenv.loose_text))
    inherited = [no_proxy.effective(source) for source in sources]
    return no_proxy.merged(file.path, own, no_proxy.hosts(settings), inherited)


def leaking(snapshot: Snapshot) -> list[Leak]:
    """Every place from which one of the eight variables reaches the gateway, and the one that
    runs now where it has some."""
    places = {
        snapshot.plist.path: variables.without_keys(snapshot.plist.loose_text)[1],
        snapshot.service_env.path: variables.without_lines(snapshot.service_env.loose_text)[1],
        snapshot.dotenv.path: variables.without_assignments(snapshot.dotenv.loose_text)[1],
        leaks.domain(snapshot): tuple(n for n in PROXY_VARIABLES if n in snapshot.gui_environment),
        PROCESS: snapshot.gateway_port.proxies,
    }
    return [Leak(place, names) for place, names in places.items() if names]


def _unset(snapshot: Snapshot) -> tuple[list[FileChange], list[Step]]:
    files = []
    for file, clean in (
        *(() if snapshot.daemons else ((snapshot.plist, variables.without_keys),)),
        (snapshot.service_env, variables.without_lines),
        (snapshot.dotenv, variables.without_assignments),
    ):
        after, names = clean(_text(file, snapshot))
        if names:
            reason = f"takes out {', '.join(names)}: requests to Ollama would go to the proxy"
            files.append(_change(file, after, snapshot, reason))
    names = tuple(name for name in PROXY_VARIABLES if name in snapshot.gui_environment)
    return files, [domain.unset(snapshot, names)] if names else []


def _bypass(snapshot: Snapshot, settings: Settings) -> tuple[list[FileChange], list[Step]]:
    hosts = no_proxy.hosts(settings)
    start = start_file(snapshot)
    files = []
    for file in (snapshot.plist, snapshot.service_env, snapshot.dotenv):
        text = _text(file, snapshot)
        read = variables.in_plist if file is snapshot.plist else dotenv.values
        own = read(text)
        if file is start:
            if not file.exists or snapshot.daemons:
                continue  # the gateway's own step writes them where it installs it
            values = around(snapshot, settings)
        elif file is snapshot.dotenv or any(own.get(name) for name in PROXIES):
            values = no_proxy.merged(file.path, own, hosts)
        else:
            continue
        if all(own.get(name) == value for name, value in values.items()):
            continue
        if file is snapshot.plist:
            after = _in_plist(file, text, values)
        else:
            after = variables.with_lines(text, values, export=file is snapshot.service_env)
        reason = f"NO_PROXY and no_proxy name {', '.join(hosts)}: what goes there needs no proxy"
        files.append(_change(file, after, snapshot, reason))
    own = dict(snapshot.gui_environment)
    if not any(own.get(name) for name in PROXIES):
        return files, []
    values = no_proxy.merged(leaks.domain(snapshot), own, hosts)
    due = {name: value for name, value in values.items() if own.get(name) != value}
    return files, [domain.put(snapshot, due)] if due else []


def _brew(snapshot: Snapshot, settings: Settings) -> list[FileChange]:
    """brew.env of Homebrew's prefix: brew takes no_proxy from it, in small letters only."""
    own = dotenv.values(snapshot.brew_env.loose_text)
    if settings.proxies != "bypass" or not any(own.get(name) for name in PROXIES):
        return []
    found = {"no_proxy": own.get("no_proxy", "")}
    values = no_proxy.merged(snapshot.brew_env.path, found, no_proxy.hosts(settings))
    if values["no_proxy"] == found["no_proxy"]:
        return []
    text = homebrew.set_lines(snapshot.brew_env.loose_text, {"no_proxy": values["no_proxy"]})
    return [_change(snapshot.brew_env, text, snapshot, "what is on loopback needs no proxy")]


def _profiles(snapshot: Snapshot, settings: Settings) -> list[FileChange]:
    """One line at the end of each start file that sets a proxy: a line in the middle of it may be
    a part of an `if` or a function."""
    paths = profiles(snapshot, settings)
    changes = []
    for file in snapshot.also:
        if file.path not in paths or not file.exists:
            continue
        text = file.loose_text
        line = _profile_line(settings)
        known = re.search(rf"^[^\n]*{MARK}$", text, re.MULTILINE)
        if known:
            after = text[: known.start()] + line + text[known.end() :]
        else:
            after = f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
        if after != text:
            reason = "proxies_in_profiles: so that a gateway started from a terminal is free of it"
            changes.append(_change(file, after, snapshot, reason))
    return changes


def _profile_line(settings: Settings) -> str:
    if settings.proxies == "unset":
        return f"unset {' '.join(PROXIES)} {MARK}"
    hosts = no_proxy.hosts(settings)
    parts = []
    for name in no_proxy.NAMES:
        # Start files are read again by each shell inside a shell.
        value = f"${{{name}:+${name},}}{','.join(hosts)}"
        parts.append(f'case ",${{{name}:-}}," in *",{",".join(hosts)},"*);; *) ')
        parts.append(f'export {name}="{value}";; esac; ')
    return f"{''.join(parts).rstrip('; ')} {MARK}"


def _text(file: File, snapshot: Snapshot) -> str:
    if file.trouble:
        guard(file, snapshot)
    if (file.content or b"").startswith(b"bplist"):
        raise Trouble(
            f"{file.path} is a binary plist",
            expected="XML, as OpenClaw writes it",
            fix=f"on the Mac: plutil -convert xml1 {file.path}",
        )
    return file.loose_text


def _in_plist(file: File, text: str, values: Mapping[str, str]) -> str:
    after = variables.with_keys(text, values)
    if after is None:
        raise Trouble(
            f"{file.path} has no EnvironmentVariables, or none that can be told apart",
            expected="a LaunchAgent as OpenClaw writes it",
            fix="on the Mac: openclaw gateway install --force",
        )
    return after


def _change(file: File, after: str, snapshot: Snapshot, reason: str) -> FileChange:
    encoded = after.encode("utf-8", "surrogateescape")
    return FileChange(guard(file, snapshot), encoded, file.mode or "600", (reason,))
