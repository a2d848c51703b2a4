"""``python -m tests.bench.changes FILE``: what a run of ``pyinfra ... --json`` changed.

Exit code 0 and a line that says so when nothing was changed on any host, else 1 and one line per
change or failure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def changes(document: dict[str, Any]) -> list[str]:
    """``mac1: Ollama answers`` for each change, ``mac1 failed: ...`` for each failure.

    ``document`` is pyinfra's JSON of a run that was executed; ValueError for that of a dry run.
    """
    results = document["results"]
    if results is None:
        raise ValueError("a dry run (results: null), expected the JSON of a run with -y")
    lines = []
    for operation in results["operations"]:
        name = operation["name"]
        lines += [f"{host}: {name}" for host in sorted(operation["success"])]
        lines += [f"{host} failed: {name}" for host in sorted(operation["error"])]
    if not hosts(document) and not results["failed_hosts"]:
        raise ValueError("no host took part")
    known = {line.split()[0] for line in lines}
    failed = [host for host in sorted(results["failed_hosts"]) if host not in known]
    return lines + [f"{host} failed" for host in failed]


def hosts(document: dict[str, Any]) -> list[str]:
    """The hosts that took part in any operation, by name."""
    found: set[str] = set()
    for operation in document["results"]["operations"]:
        found |= {*operation["success"], *operation["error"], *operation["no_change"]}
    return sorted(found)


def main(argv: list[str]) -> int:
    """The command line; 2 when the file is not what pyinfra prints."""
    try:
        document = json.loads(Path(argv[0]).read_text())
        lines = changes(document)
    except (IndexError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{' '.join(argv)}: {error}; expected what pyinfra --json prints", file=sys.stderr)
        return 2
    if lines:
        print("\n".join(lines))
        return 1
    print(f"no change on {', '.join(hosts(document))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
