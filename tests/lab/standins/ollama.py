"""Stand-in for ``ollama``, server and command line.

Its release is in ``OLLAMA_STANDIN_VERSION``, put there by the wrapper that Homebrew's stand-in
writes; which behaviour that means is in ``ollama_versions``. Tests steer a running server through
``<state>/ollama.json`` (speed, see ``ollama_answer.Speed``) and ``<state>/faults.json``:

- ``ollama.chat`` or ``ollama.chat:MODEL:TAG``: 500, 404, hang, reset, empty, cut
- ``ollama.pull`` or ``ollama.pull:MODEL:TAG``: stall, digest, unknown, half, http500

Each request leaves a line in ``<state>/ollama-requests.jsonl``, without any credential.
"""

from __future__ import annotations

import contextlib
import os
import sys

USAGE = """Large language model runner

Usage:
  ollama [flags]
  ollama [command]

Available Commands:
  serve       Start ollama
  show        Show information for a model
  run         Run a model
  stop        Stop a running model
  pull        Pull a model from a registry
  list        List models
  ps          List running models
  cp          Copy a model
  rm          Remove a model
  help        Help about any command

Flags:
  -h, --help      help for ollama
  -v, --version   Show version information

Use "ollama [command] --help" for more information about a command.
"""


def name_process(name: str) -> None:
    """Be called `name` by pgrep, where the system lets a process say so."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)


def main(argv: list[str]) -> int:
    """Exit code of ``ollama ARGV``."""
    name_process("ollama")
    if not argv or argv[0] in ("help", "-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if argv[0] in ("serve", "start"):
        from tests.lab.spec import load
        from tests.lab.standins.ollama_server import serve

        return serve(load())
    from tests.lab.standins.ollama_cli import command

    return command(argv, os.environ.get("OLLAMA_STANDIN_VERSION", "0.32.3"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
