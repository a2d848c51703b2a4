"""Reads one Mac in one SSH session.

Not a pyinfra ``FactBase``: `pyinfra -vvv` prints a fact's output, and this one holds the user's
config with its secrets. The script goes over stdin, so it stands in no argument list either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pyinfra.api import Host, StringCommand

from clawfleet import backups, openclaw, symptoms
from clawfleet.backups import Backups
from clawfleet.names import manifest_path
from clawfleet.plan import Trouble, quote
from clawfleet.printed import ProbeError
from clawfleet.probe import parse
from clawfleet.sessions import Session
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot
from clawfleet.symptoms import Symptoms, Verdict

Answer = TypeVar("Answer")

_SCRIPT = Path(__file__).with_name("mac.sh").read_text(encoding="utf-8")
_READING, _SESSIONS, _SYMPTOMS = (
    Path(__file__).with_name(name).read_text(encoding="utf-8")
    for name in ("reading.sh", "sessions.sh", "diagnose.sh")
)
_BACKUPS = Path(__file__).with_name("backups.sh").read_text(encoding="utf-8")
_AGENT_ASIDE = """A=$(mktemp -d "${TMPDIR:-/tmp}/clawfleet.XXXXXX") || exit 1
trap 'rm -rf "$A"' EXIT
OPENCLAW_AGENT_DIR=$A; export OPENCLAW_AGENT_DIR
"""
"""Each command of OpenClaw 2026.2.17 writes the agent's models.json and auth.json, also one that
only looks. Somewhere else that changes nothing on the Mac."""
_NO_CACHE = "NODE_DISABLE_COMPILE_CACHE=1; export NODE_DISABLE_COMPILE_CACHE\n"
_END = "kv clawfleet.end 1\n"
TIMEOUT = 90
"""Seconds for the whole reading; each part that could hang has a shorter bound of its own."""


def read(host: Host, settings: Settings, gateway_port: int, also: Sequence[str] = ()) -> Snapshot:
    """The Mac as it is now, with the files `also`. Trouble when the answer is not complete."""
    variables = {
        "OLLAMA_PORT": str(settings.ollama_port),
        "GATEWAY_PORT": str(gateway_port),
        "PREFIX": settings.homebrew_prefix or "",
        "SERVICES": settings.services,
        "AGENT": settings.agent,
        "ALSO": "\n".join(also),
        "SHOW": "\n".join(wish.id for wish in settings.models),
        "MODELS": "\n".join(manifest_path(model.id) for model in settings.models),
    }

    def parsed(output: str) -> Snapshot:
        return parse(
            output,
            ollama_port=settings.ollama_port,
            gateway_port=gateway_port,
            daemons=settings.services == "daemons",
        )

    return ask(host, variables, _SCRIPT, parsed)


def read_backups(host: Host, run: str | None) -> Backups:
    """The backups of the newest run, or of all runs back to `run`. Trouble as for `read`."""
    return ask(host, {"WANT": run or ""}, _BACKUPS, backups.parse)


def read_symptoms(
    host: Host, snapshot: Snapshot, settings: Settings, texts: Sequence[str]
) -> Symptoms:
    """What a diagnosis looks at beside the snapshot; `texts` are looked for in logs.

    Trouble as for `read`.
    """
    variables = {
        "OLLAMA_PORT": str(settings.ollama_port),
        "BREW": snapshot.brew or "",
        "CLIENT": f"{snapshot.brew}/bin/ollama"
        if snapshot.brew and snapshot.ollama_server and snapshot.ollama_link
        else "",
        **_store(snapshot, settings),
        "KNOWN": "\n".join(texts),
    }
    script = f"{_READING}{_SYMPTOMS}{_SESSIONS}{_END}"
    return ask(host, variables, script, symptoms.parse)


def read_verdict(host: Host, snapshot: Snapshot, settings: Settings) -> Verdict:
    """What the installed OpenClaw says of its config. Trouble as for `read`.

    On its own, as OpenClaw may wait for a network that is not there.
    """
    check = openclaw.validation(snapshot, settings) if snapshot.config.exists else None
    if check is None:
        return Verdict(None)
    aside = _AGENT_ASIDE if openclaw.can(snapshot, settings).session_store == "file" else ""
    script = f"{_READING}{aside}{_NO_CACHE}valid() {{\n{check}\n}}\nwhat config valid\n{_END}"
    return ask(host, {"CANDIDATE": snapshot.config.path}, script, symptoms.parse_verdict)


def read_sessions(host: Host, snapshot: Snapshot, settings: Settings) -> tuple[Session, ...]:
    """The agent's conversations. Trouble when they can't be read."""
    script = f"{_READING}{_SESSIONS}{_END}"
    return ask(host, _store(snapshot, settings), script, symptoms.parse_sessions)


def _store(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    there = snapshot.openclaw is not None
    store = openclaw.can(snapshot, settings).session_store if there else ""
    return {"AGENT": settings.agent, "STORE": store}


def ask(
    host: Host, variables: Mapping[str, str], script: str, parsed: Callable[[str], Answer]
) -> Answer:
    """What a reading script says, by the function that understands it."""
    prelude = "".join(f"{name}={quote(value)}\n" for name, value in variables.items())
    ok, output = host.run_shell_command(
        StringCommand("sh -s"),
        print_output=False,
        print_input=False,
        _stdin=prelude + script,
        _timeout=TIMEOUT,
    )
    try:
        return parsed(output.stdout)
    except ProbeError as error:
        last = output.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Trouble(
            f"reading the Mac failed: {error} ({last[0]}, {'exit 0' if ok else 'exit not 0'})",
            expected="the complete answer of one sh script",
            fix="try `ssh THAT-MAC true`; a shell start-up file that prints or reads input is a "
            "common cause",
        ) from error
