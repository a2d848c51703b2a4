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
from weakref import WeakKeyDictionary

import pyinfra
from pyinfra.api import Host, State
from pyinfra.api.state import BaseStateCallback
from rich.console import Console
from rich.table import Table
from rich.text import Text

import clawfleet
from clawfleet import proof
from clawfleet.run import macs, run_id
from clawfleet.unreached import why


def at_the_end(state: State) -> None:
    """Print the table and write the JSON once, when this process ends.

    At the end of the process because a run in which every Mac fails ends without any callback.
    """
    if not getattr(state, "_clawfleet_report", False):
        state._clawfleet_report = True  # type: ignore[attr-defined]
        if hasattr(state, "callback_handlers"):
            state.add_callback_handler(_Unreached())  # type: ignore[no-untyped-call]
        else:
            # The inventory is read before the state is made ready, and deploys only after the
            # connections that are of interest here.
            _listen_once_ready(state)
        atexit.register(_finish, state)


_UNREACHED: WeakKeyDictionary[State, dict[str, BaseException]] = WeakKeyDictionary()


class _Unreached(BaseStateCallback):
    """Keeps why a Mac could not be reached: pyinfra prints it and forgets it."""

    @staticmethod
    def host_connect_error(state: State, host: Host, error: BaseException) -> None:
        _UNREACHED.setdefault(state, {})[host.name] = error


def _listen_once_ready(state: State) -> None:
    make_ready = state.init

    def init(*arguments: Any, **named: Any) -> None:
        make_ready(*arguments, **named)
        state.add_callback_handler(_Unreached())  # type: ignore[no-untyped-call]

    state.init = init  # type: ignore[method-assign]


def _finish(state: State) -> None:
    interrupted = _start_what_was_stopped(state)
    results = _results(state)
    if results:
        for line in table(results, width=_width()):
            print(line, file=sys.stderr)
        if _executed(state) or any("findings" in result for result in results.values()):
            _write(state, results)
    if interrupted:
        # pyinfra ends with 0 after Ctrl-C.
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(130)


def _start_what_was_stopped(state: State) -> bool:
    """After Ctrl-C between the files and the gateway: start the gateways that were stopped.

    What another run left open stays so: a task that has nothing to do with the gateway neither
    finishes nor undoes it.
    """
    from clawfleet.operations.mac import recover

    opened = [mac for mac in macs(state).values() if mac.open]
    stopped = [mac for mac in opened if mac.stopped or mac.transaction == mac.run]
    for mac in opened:
        if mac not in stopped:
            mac.say(f"run {mac.transaction} is still to be finished: {_FINISH}", "yellow")
    for mac in stopped:
        mac.say("interrupted while its gateway was stopped", "red")
        try:
            mac.host.connect(raise_exceptions=True)
            recover(mac)
        except Exception as error:
            mac.say(f"its gateway is stopped ({error}); run again to start it", "red")
    return bool(stopped)


def _results(state: State) -> dict[str, dict[str, Any]]:
    """What is known of every Mac, in the inventory's order; also of those never reached."""
    known = macs(state)
    results: dict[str, dict[str, Any]] = {}
    # Without an inventory pyinfra has ended before it began, with a word of its own.
    for host in getattr(state, "inventory", None) or ():
        if host.name in known and known[host.name].results:
            results[host.name] = known[host.name].results
        elif host.name not in known and host in state.failed_hosts:
            trouble = why(host, _UNREACHED.get(state, {}).get(host.name))
            results[host.name] = {
                "trouble": {
                    "found": trouble.found,
                    "expected": trouble.expected,
                    "fix": trouble.fix,
                }
            }
    return results


def _write(state: State, results: dict[str, dict[str, Any]]) -> None:
    known = macs(state)
    folder = Path(next(iter(known.values())).settings.reports if known else "reports")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    versions = {"clawfleet": clawfleet.__version__, "pyinfra": pyinfra.__version__}
    document = proof.document(run=run_id(state), when=when, macs=results, versions=versions)
    path = folder / f"{run_id(state)}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(
            f"--> No report: {path}: {error.strerror}; set `reports` to a folder", file=sys.stderr
        )
        return
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
        mark = Text(state, _COLOURS.get(state, "red"))
        # As Text: rich would read [brackets] and :words: in a string as markup.
        shown.add_row(Text(mac if mac != before else ""), mark, Text(layer), Text(detail))
        before = mac
    console.print(shown)
    return console.export_text(styles=sys.stderr.isatty()).splitlines()


_FINISH = "pyinfra inventory.py tasks/gateway.py, or deploy.py"
_COLOURS = {"ok": "green", "risk": "yellow", "note": "cyan"}


def _width() -> int:
    try:
        return max(80, os.get_terminal_size(sys.stderr.fileno()).columns)
    except OSError:
        return 100
