"""docs/troubleshooting.md, from the table of known troubles."""

from __future__ import annotations

from clawfleet.diagnosis import TOPICS
from clawfleet.diagnosis.known import Known

_HEAD = """\
# Known troubles and their cures

<!-- Made of clawfleet/diagnosis: python -m clawfleet.diagnosis > docs/troubleshooting.md -->

```sh
pyinfra inventory.py tasks/diagnose.py                        # what has each Mac? reads only
pyinfra inventory.py tasks/diagnose.py --dry --data fix=true  # and what would be done about it
pyinfra inventory.py tasks/diagnose.py --data fix=true        # mends what is safe to mend
```

Each Mac is looked at for every row below. What is found is told with what was seen and the
command that mends it; the table at the end has all Macs, `reports/` the same as JSON. The exit code
is 1 when something is *broken* on some Mac, or one could not be reached. *risk*: it works, and will
not always; *note*: good to know.

`fix=true` does what clawfleet's own tasks do, in their order (file modes, Ollama, config,
environment, gateway), with backups as in a deploy. It ends no process but OpenClaw's gateway and
Ollama's own service, downloads and removes nothing, and leaves whatever needs a person. Of logs,
only lines since the gateway was started count, or of the last day where none runs.
"""


def document() -> str:
    """The whole page, in Markdown."""
    return _HEAD + "".join(_topic(name, rows) for name, rows in TOPICS.items())


def _topic(name: str, rows: tuple[Known, ...]) -> str:
    lines = [
        f"\n## {name}\n",
        "| trouble | what you see | why | what mends it |",
        "|---|---|---|---|",
        *map(_row, rows),
    ]
    return "\n".join(lines) + "\n"


def _row(known: Known) -> str:
    seen = "<br>".join(
        word[1:-1] if word.startswith("(") and word.endswith(")") else f"`{word}`"
        for word in known.words
    )
    cells = [
        f"**{known.title}**<br>{known.chinese}<br>`{known.id}`, {known.severity}",
        seen,
        f"{known.means}. Expected: {known.expected}",
        known.cure,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
