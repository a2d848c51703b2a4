"""What has to happen so that OpenClaw is there, and how it is called on a Mac."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clawfleet import homebrew
from clawfleet.capabilities import MEASURED, Capabilities, Version, capabilities
from clawfleet.plan import Step, Trouble, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import Node, Snapshot

PNPM_HOME = "$HOME/Library/pnpm"


def version(snapshot: Snapshot, settings: Settings) -> Version:
    """The version that this deploy configures: the installed one, or the one it will install."""
    if snapshot.openclaw and not _wrong(snapshot, settings):
        return Version.parse(snapshot.openclaw)
    if settings.openclaw_version:
        return Version.parse(settings.openclaw_version)
    return MEASURED[1]


def can(snapshot: Snapshot, settings: Settings) -> Capabilities:
    return capabilities(version(snapshot, settings))


def node_for(snapshot: Snapshot, caps: Capabilities) -> Node | None:
    """The first Node on the Mac that this OpenClaw runs on."""
    return next((node for node in snapshot.nodes if in_range(node.version, caps.node)), None)


def in_range(version: str, wanted: str) -> bool:
    """Whether a Node version satisfies an npm range of ``>=A <B || >=C`` terms."""
    have = _triple(version)
    for alternative in wanted.split("||"):
        terms = re.findall(r"(>=|<=|<|>|\^|~)?\s*v?(\d+(?:\.\d+){0,2})", alternative)
        if terms and all(_satisfies(have, op or ">=", _triple(bound)) for op, bound in terms):
            return True
    return False


def path(snapshot: Snapshot, node: Node | None) -> str:
    """sh line that puts OpenClaw and its Node on the PATH (an SSH session's has neither)."""
    folders = [p.rsplit("/", 1)[0] for p in (snapshot.openclaw_bin, node and node.path) if p]
    # Node first: the folder of openclaw may hold another, older node.
    folders = list(dict.fromkeys(reversed(folders)))
    words = "".join(quote(folder) + ":" for folder in folders)
    return f'PATH={words}"$PATH"; export PATH\n'


def clean(snapshot: Snapshot, settings: Settings) -> str:
    """sh that runs everything after it without proxies in its environment, OpenClaw on the PATH."""
    names = "http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY"
    return f"unset {names}\n" + path(snapshot, node_for(snapshot, can(snapshot, settings)))


def plan(snapshot: Snapshot, settings: Settings) -> list[Step]:
    """Node and OpenClaw, as far as they are missing or not the wanted version."""
    wrong = _wrong(snapshot, settings)
    target = version(snapshot, settings)
    caps = capabilities(target)
    if snapshot.openclaw and Version.parse(snapshot.openclaw) < MEASURED[0] and not wrong:
        raise Trouble(
            f"OpenClaw {snapshot.openclaw}",
            expected=f"{MEASURED[0]} or later",
            fix=f'set openclaw_version = "{MEASURED[1]}", or on the Mac: npm install -g openclaw',
        )
    steps: list[Step] = []
    node = node_for(snapshot, caps)
    how = settings.openclaw_install
    needed = snapshot.openclaw is None or wrong
    by_hand = f"npm install -g openclaw@{settings.openclaw_version or 'latest'}"
    if how == "none" and needed:
        raise Trouble(
            f"OpenClaw {snapshot.openclaw}" if snapshot.openclaw else "no OpenClaw",
            expected=f"OpenClaw {settings.openclaw_version or f'{MEASURED[0]} or later'}",
            fix=f'on the Mac: {by_hand} (with Node {caps.node}), or set openclaw_install = "npm"',
        )
    if node is None and not (how == "brew" and needed):
        if how == "none":
            raise Trouble(
                f"no Node {caps.node}",
                expected=f"Node {caps.node} for OpenClaw {target}",
                fix=f"on the Mac: brew install {caps.node_formula}",
            )
        found = ", ".join(dict.fromkeys(n.version for n in snapshot.nodes)) or "no Node"
        reason = f"OpenClaw {target} needs Node {caps.node}; found {found}"
        steps.append(
            homebrew.install(snapshot, settings, caps.node_formula, kind="formula", reason=reason)
        )
    if needed:
        steps.append(_install(snapshot, settings, caps, by_hand))
    return steps


def validation(snapshot: Snapshot, settings: Settings, variables: Sequence[str] = ()) -> str | None:
    """sh that lets the installed OpenClaw check the file in $CANDIDATE; None where none is.

    `variables` are those that the file refers to and that are only set once it is in place.
    """
    if not snapshot.openclaw_bin:
        return None
    words = " ".join(quote(word) for word in can(snapshot, settings).validate_command)
    stubs = "".join(f"{name}=only-for-the-check; export {name}\n" for name in variables)
    return (
        f"( {clean(snapshot, settings)}{stubs}OPENCLAW_CONFIG_PATH=$CANDIDATE; "
        "export OPENCLAW_CONFIG_PATH\n"
        f'out=$(openclaw {words} </dev/null 2>&1) || {{ echo "OpenClaw refuses the new config:" '
        f'"$out" >&2; exit 1; }} )'
    )


def _install(snapshot: Snapshot, settings: Settings, caps: Capabilities, by_hand: str) -> Step:
    reason = (
        f"OpenClaw {snapshot.openclaw}, wanted {settings.openclaw_version}"
        if snapshot.openclaw
        else "no OpenClaw on this Mac"
    )
    how = settings.openclaw_install
    if how == "brew":
        if settings.openclaw_version:
            raise Trouble(
                f'openclaw_install = "brew" with openclaw_version = "{settings.openclaw_version}"',
                expected="npm or pnpm for a certain version: Homebrew installs only its newest",
                fix='set openclaw_install = "npm"',
            )
        return homebrew.install(snapshot, settings, "openclaw-cli", kind="formula", reason=reason)
    what = f"openclaw@{settings.openclaw_version or 'latest'}"
    node = node_for(snapshot, caps)
    where = homebrew.prefix(snapshot, settings)
    folder = node.path.rsplit("/", 1)[0] if node else f"{where}/opt/{caps.node_formula}/bin"
    head = homebrew.environment(snapshot, settings) + f'PATH={quote(folder)}:"$PATH"; export PATH\n'
    if how == "pnpm":
        command = f"pnpm add -g {what}"
        head += (
            f'PNPM_HOME="{PNPM_HOME}"; export PNPM_HOME; PATH="$PNPM_HOME:$PATH"\n'
            "command -v pnpm >/dev/null || brew install --formula pnpm </dev/null || exit 1\n"
        )
    else:
        command = f"npm install -g {what} --no-fund --no-audit --loglevel=error"
    return Step(
        f"install OpenClaw with {how}",
        reason,
        f"{head}{command} </dev/null || exit 1\nhash -r\n"
        "command -v openclaw >/dev/null"
        ' || { echo "openclaw is not on $PATH afterwards" >&2; exit 1; }\n',
        f"on the Mac: {by_hand}",
        timeout=3600,
        show=command,
        installs=f"openclaw {how}",
    )


def _wrong(snapshot: Snapshot, settings: Settings) -> bool:
    return bool(
        snapshot.openclaw
        and settings.openclaw_version
        and Version.parse(snapshot.openclaw) != Version.parse(settings.openclaw_version)
    )


def _triple(version: str) -> tuple[int, int, int]:
    major, minor, patch, *_ = [*(int(n) for n in re.findall(r"\d+", version)[:3]), 0, 0, 0]
    return major, minor, patch


def _satisfies(have: tuple[int, int, int], op: str, bound: tuple[int, int, int]) -> bool:
    if op == ">=":
        return have >= bound
    if op == ">":
        return have > bound
    if op == "<":
        return have < bound
    if op == "<=":
        return have <= bound
    if op == "^":
        return have >= bound and have[0] == bound[0]
    return have >= bound and have[:2] == bound[:2]
