"""The end of a run: a table for the person, JSON for everything else."""

from __future__ import annotations

import atexit
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyinfra.api import State
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clawfleet import proof
from clawfleet.run import macs, run_id


def at_the_end(state: State) -> None:
    """Print the table and write the JSON once, when this process ends.

    At the end of the process because a run in which every Mac fails ends without any callback.
    """
    if not getattr(state, "_clawfleet_report", False):
        state._clawfleet_report = True  # type: ignore[attr-defined]
        atexit.register(_finish, state)


def _finish(state: State) -> None:
    order = [host.name for host in state.inventory]
    known = {
        name: mac
        for name, mac in sorted(macs(state).items(), key=lambda item: order.index(item[0]))
        if mac.results
    }
    if not known:
        return
    results: dict[str, dict[str, Any]] = {name: mac.results for name, mac in known.items()}
    for line in table(results, width=_width()):
        print(line, file=sys.stderr)
    if not any(mac.executing for mac in known.values()) and not _executed(state):
        return
    folder = Path(next(iter(known.values())).settings.reports)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    document = proof.document(run=run_id(state), when=when, macs=results, versions={})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id(state)}.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"--> Report: {path}", file=sys.stderr)


def _executed(state: State) -> bool:
    from pyinfra.api.state import StateStage

    return state.current_stage >= StateStage.Execute


def table(results: dict[str, dict[str, Any]], *, width: int) -> list[str]:
    """Lines of the health and latency table; with colours where stderr is a terminal."""
    console = Console(
        width=width,
        file=io.StringIO(),
        record=True,
        force_terminal=sys.stderr.isatty(),
    )
    shown = Table(title="What every Mac shows", title_justify="left", show_edge=False)
    for column in ("Mac", "", "Layer"):
        shown.add_column(column, no_wrap=True)
    shown.add_column("What was found")
    before = None
    for mac, state, layer, detail in proof.rows(results):
        if before is not None and mac != before:
            shown.add_section()
        mark = Text(state, "green" if state == "ok" else "red")
        # As Text: rich would read [brackets] and :words: in a string as markup.
        shown.add_row(Text(mac if mac != before else ""), mark, Text(layer), Text(detail))
        before = mac
    console.print(shown)
    return console.export_text(styles=sys.stderr.isatty()).splitlines()


def _width() -> int:
    try:
        return max(80, os.get_terminal_size(sys.stderr.fileno()).columns)
    except OSError:
        return 100
