"""Stand-in for the main process of Ollama.app: it keeps a child ``Resources/ollama serve`` alive.

Its settings are in ``~/Library/Application Support/Ollama/db.sqlite``, which
`ollama_app_database` makes; ``<state>/ollama-app.json`` ({"context_length": N}) moves the slider
at its next start. Without the link ``/usr/local/bin/ollama`` into the app the real one asks for an
administrator's password before it starts its server; so does this one at the level "namespaces"
(at the level "ports" there is no such folder that a playbook could reach).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.spec import MacSpec, load
from tests.lab.standins import ollama_app_database as database
from tests.lab.standins.ollama import name_process
from tests.lab.standins.ollama_versions import traits
from tests.lab.standins.running import Process, processes

RESTART_DELAY = 1.0
KILL_AFTER = 5.0


class App:
    """One run of the app."""

    def __init__(self, mac: MacSpec, program: Path) -> None:
        self.mac = mac
        self.server = program.parent.parent / "Resources" / "ollama"
        self.logs = Path(mac.home) / ".ollama" / "logs"
        self.pid_file = Path(mac.state) / "ollama-app.pid"
        self.database = sqlite3.connect(":memory:")
        self.child: subprocess.Popen[bytes] | None = None
        self.fought = False

    def log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000%z")
        with (self.logs / "app.log").open("a") as file:
            file.write(f"time={stamp} level=INFO source=app.go msg={json.dumps(text)}\n")

    def environment(self) -> dict[str, str]:
        """What the child gets: the app's own environment, which its settings override."""
        values = dict(os.environ)
        settings = database.settings(self.database)
        if settings["context_length"]:
            values["OLLAMA_CONTEXT_LENGTH"] = str(settings["context_length"])
        if settings["expose"]:
            values["OLLAMA_HOST"] = "0.0.0.0"
        values.pop("CLAWFLEET_LAB_ARGV0", None)
        return values

    def replace_other(self) -> None:
        """End a copy that already runs, as starting the app a second time does."""
        try:
            pid = int(self.pid_file.read_text())
            if self.runs(pid):
                os.kill(pid, signal.SIGTERM)
                end = time.monotonic() + KILL_AFTER
                while time.monotonic() < end and self.runs(pid):
                    time.sleep(0.05)
        except (OSError, ValueError):
            pass
        self.pid_file.write_text(f"{os.getpid()}\n")

    def runs(self, pid: int) -> bool:
        """Whether that process is this app."""
        return any(process.real_pid == pid for process in processes_named(self.mac, "Ollama"))

    def rotate(self) -> None:
        """A new server.log and app.log for each start."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for name in ("server", "app"):
            path = self.logs / f"{name}.log"
            if path.exists():
                path.rename(self.logs / f"{name}-1.log")

    def open_database(self) -> None:
        """Open the settings, or make them, as every start does; a test may move the slider."""
        self.database = database.open_(database.path(self.mac.home), traits())
        with contextlib.suppress(FileNotFoundError):
            moved = Path(self.mac.state) / "ollama-app.json"
            context = int(json.loads(moved.read_text()).get("context_length") or 0)
            moved.unlink()
            if context:
                database.set_context(self.database, context)

    def wait_for_link(self) -> None:
        """Stand behind the password dialog until the command line link is right."""
        link = Path("/usr/local/bin/ollama")
        if self.mac.level != "namespaces":
            return
        said = False
        while not (link.is_symlink() and link.readlink() == self.server):
            if not said:
                self.log("asking for an administrator's password to install the command line")
                said = True
            time.sleep(0.2)

    def fight(self) -> None:
        """Once: end every other ``ollama`` of this Mac after the port was found taken."""
        self.fought = True
        for process in processes_named(self.mac, "ollama"):
            if traits().app_kills_any_ollama or "serve" in process.argv:
                self.log(f"killing ollama process {process.pid}")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.real_pid, signal.SIGTERM)

    def run(self) -> int:
        """Keep the server running until a signal ends the app."""
        self.rotate()
        self.log(f"starting Ollama, version {traits().version}")
        self.replace_other()
        self.open_database()
        self.wait_for_link()
        while True:
            with (self.logs / "server.log").open("ab") as log:
                self.child = subprocess.Popen(
                    [str(self.server), "serve"],
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            code = self.child.wait()
            self.log(f"server exited with {code}")
            if code == 1 and not self.fought:
                self.fight()
            time.sleep(RESTART_DELAY)

    def stop(self, _number: int, _frame: object) -> None:
        """SIGTERM or SIGINT: end the child first, with force after 5 s."""
        if self.child is not None and self.child.returncode is None:
            try:
                os.kill(self.child.pid, signal.SIGINT)
                end = time.monotonic() + KILL_AFTER
                while os.waitpid(self.child.pid, os.WNOHANG) == (0, 0):
                    if time.monotonic() > end:
                        os.kill(self.child.pid, signal.SIGKILL)
                    time.sleep(0.02)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.pid_file.unlink(missing_ok=True)
        self.database.close()
        os._exit(0)


def processes_named(mac: MacSpec, name: str) -> list[Process]:
    """This Mac's processes of that exact name; none on a machine without /proc."""
    if not os.path.isdir("/proc"):
        return []
    return [process for process in processes(mac) if process.name == name]


def main(_argv: list[str]) -> int:
    """Run the app whose file is in ``CLAWFLEET_LAB_ARGV0``; its arguments change nothing here."""
    name_process("Ollama")
    app = App(load(), Path(os.environ["CLAWFLEET_LAB_ARGV0"]))
    signal.signal(signal.SIGTERM, app.stop)
    signal.signal(signal.SIGINT, app.stop)
    return app.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
