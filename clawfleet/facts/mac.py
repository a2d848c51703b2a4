"""Reads one Mac in one SSH session.

Not a pyinfra ``FactBase``: `pyinfra -vvv` prints a fact's output, and this one holds the user's
config with its secrets. The script goes over stdin, so it stands in no argument list either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pyinfra.api import Host, StringCommand

from clawfleet import backups
from clawfleet.backups import Backups
from clawfleet.names import manifest_path
from clawfleet.plan import Trouble, quote
from clawfleet.probe import ProbeError, parse
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

Answer = TypeVar("Answer")

_SCRIPT = Path(__file__).with_name("mac.sh").read_text(encoding="utf-8")
_BACKUPS = Path(__file__).with_name("backups.sh").read_text(encoding="utf-8")
TIMEOUT = 90
"""Seconds for the whole reading; each part that could hang has a shorter bound of its own."""


def read(host: Host, settings: Settings, gateway_port: int, also: Sequence[str] = ()) -> Snapshot:
    """The Mac as it is now, with the files `also`. Trouble when the answer is not complete."""
    variables = {
        "OLLAMA_PORT": str(settings.ollama_port),
        "GATEWAY_PORT": str(gateway_port),
        "PREFIX": settings.homebrew_prefix or "",
        "AGENT": settings.agent,
        "ALSO": "\n".join(also),
        "SHOW": "\n".join(wish.id for wish in settings.models),
        "MODELS": "\n".join(manifest_path(model.id) for model in settings.models),
    }

    def parsed(output: str) -> Snapshot:
        return parse(output, ollama_port=settings.ollama_port, gateway_port=gateway_port)

    return ask(host, variables, _SCRIPT, parsed)


def read_backups(host: Host, run: str | None) -> Backups:
    """The backups of the newest run, or of all runs back to `run`. Trouble as for `read`."""
    return ask(host, {"WANT": run or ""}, _BACKUPS, backups.parse)


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
