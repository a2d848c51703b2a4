"""A simulated Mac in a folder with Homebrew, and the lab's internet for it: for tests of brew."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.lab.internet.server import build
from tests.lab.standins.launchd_bench import Bench


@contextlib.contextmanager
def small_internet(folder: Path) -> Iterator[str]:
    """Serve the lab's internet from a thread; its base address."""
    server = build("127.0.0.1", 0, folder, 0.01)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Brewed(Bench):
    """A Mac with Homebrew and without launchd."""

    def brew(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run("brew", *words, **env)

    def says(self, *words: str, **env: str) -> str:
        """Standard output, with the prefix as on a real Mac; the command must succeed."""
        done = self.brew(*words, **env)
        assert done.returncode == 0, done.stderr
        return self.real(done.stdout)

    def real(self, text: str) -> str:
        """The text with this Mac's folders as they are called on a real one."""
        for folder, name in (
            (self.mac.applications, "/Applications"),
            (self.mac.homebrew_prefix, "/opt/homebrew"),
            (self.mac.home, "/Users/mac"),
        ):
            text = text.replace(folder, name)
        return text

    @property
    def app(self) -> Path:
        return Path(self.mac.applications, "Ollama.app")

    @property
    def link(self) -> Path:
        return Path(self.mac.homebrew_prefix, "bin", "ollama")

    def fetched(self) -> list[str]:
        """The addresses that brew has asked for, without the API."""
        file = Path(self.mac.state, "brew-fetches.jsonl")
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["url"] for line in lines if "/api/" not in line]
