"""How the running small gateway answers a change of openclaw.json.

Texts and rules are those of the real 2026.2.17 and 2026.9.6: their tables of prefixes, and their
logs while keys were changed one by one; for the keys that the small OpenClaw knows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab.standins import openclaw_small_config as configuration

NONE_2 = [
    *("meta", "identity", "wizard", "logging", "models", "agents", "tools", "bindings", "audio"),
    *("agent", "routing", "messages", "session", "talk", "skills", "ui"),
    *("gateway.remote", "gateway.reload"),
]
HOT_2 = ["hooks", "cron", "browser", "agents.defaults.heartbeat"]
NONE_9 = [
    *("meta", "identity", "wizard", "logging", "bindings", "messages", "session", "talk"),
    *("skills", "ui", "gateway.remote", "gateway.reload"),
]
RESTART_9 = ["gateway", "discovery"]
HOT_9 = ["gateway.auth.token", "gateway.http.endpoints", "gateway.tools"]
STABLE, DEBOUNCE, LOOK = 0.2, 0.3, 0.05
"""Seconds that a file has to stay the same, that are waited then, and between two looks."""


def differences(before: Any, now: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths that differ; lists as a whole."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            path = f"{prefix}.{key}" if prefix else str(key)
            yield from differences(before.get(key), now.get(key), path)
    elif before != now:
        yield prefix or "<root>"


def _below(path: str, prefixes: list[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


def kind(path: str, version: str) -> str:
    """``none``, ``hot`` or ``restart``: what a version does about a changed path."""
    if configuration.recent(version):
        if _below(path, NONE_9):
            return "none"
        return "restart" if _below(path, RESTART_9) and not _below(path, HOT_9) else "hot"
    if _below(path, HOT_2):
        return "hot"
    return "none" if _below(path, NONE_2) else "restart"


class Watch:
    """Watches the file from a thread of its own for as long as the process lives."""

    def __init__(
        self, home: Path, version: str, log: Callable[..., None], stop: Callable[[], None]
    ) -> None:
        self.home, self.version, self.log, self.stop = home, version, log, stop
        self.config = configuration.load(home, version)
        self.seen = self.stamp()
        threading.Thread(target=self.run, daemon=True).start()

    def stamp(self) -> tuple[int, ...] | None:
        """What tells two states of the file apart."""
        try:
            found = os.stat(self.config.file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def run(self) -> None:
        """Until the process ends."""
        while True:
            time.sleep(LOOK)
            now = self.stamp()
            if now in (None, self.seen):
                continue
            quiet = time.monotonic() + STABLE + DEBOUNCE
            while time.monotonic() < quiet:
                time.sleep(LOOK)
                if self.stamp() != now:
                    now = self.stamp()
                    quiet = time.monotonic() + STABLE + DEBOUNCE
            self.seen = now
            self.evaluate()

    def evaluate(self) -> None:
        """Take over what may be taken over, or start anew."""
        now = configuration.load(self.home, self.version)
        if not now.valid:
            issues = ", ".join(
                f"{'.'.join(map(str, issue.path))}: {issue.message}" for issue in now.issues
            )
            self.log(f"[reload] config reload skipped (invalid config): {issues}", bad=True)
            return
        paths = list(differences(self.config.value, now.value))
        self.config = now
        if not paths:
            return
        self.log(f"[reload] config change detected; evaluating reload ({', '.join(paths)})")
        mode = now.get("gateway", "reload", "mode")
        if mode == "off":
            self.log("[reload] config reload disabled (gateway.reload.mode=off)")
            return
        kinds = {path: kind(path, self.version) for path in paths}
        restart = [path for path in paths if kinds[path] == "restart"]
        hot = [path for path in paths if kinds[path] == "hot"]
        if restart:
            names = ", ".join(restart)
            self.log(f"[reload] config change requires gateway restart ({names})", bad=True)
            self.restart()
        elif hot:
            self.log(f"[reload] config hot reload applied ({', '.join(hot)})")
        elif not configuration.recent(self.version):
            self.log(f"[reload] config change applied (dynamic reads: {', '.join(paths)})")

    def restart(self) -> None:
        """2026.2.x looks for a variable that launchd does not set, takes itself for unmanaged, and
        leaves a detached copy behind: launchd's own next start of the job finds the port taken.
        2026.9.6 ends, and launchd starts it again."""
        self.stop()
        if not configuration.recent(self.version):
            self.log("[gateway] received SIGUSR1; restarting")
            copy = subprocess.Popen([sys.executable, *sys.orig_argv[1:]], start_new_session=True)
            mode = f"full process restart (spawned pid {copy.pid})"
            self.log(f"[gateway] restart mode: {mode}")
        os._exit(0)
