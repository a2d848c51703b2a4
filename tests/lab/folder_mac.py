"""A simulated Mac that is only a folder with stand-ins, without SSH: for fast tests of commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.lab import account, plan, wrappers
from tests.lab.spec import MacSpec


class FolderMac:
    """Stand-ins below ``folder``; ``values`` are those of MacSpec."""

    def __init__(self, folder: Path, **values: Any) -> None:
        paths = {
            "root": str(folder),
            "home": f"{folder}/Users/mac",
            "state": f"{folder}/state",
            "homebrew_prefix": f"{folder}/opt/homebrew",
            "applications": f"{folder}/Users/mac/Applications",
            "bin": f"{folder}/usr/local/lab-bin",
            "cache": f"{folder}/cache",
        }
        fixed = {"name": "mac1", "level": "ports", "user": "mac", "internet": "http://127.0.0.1:1"}
        place = {"python": plan.interpreter()[0], "repo": str(plan.REPO)}
        who = {"uid": os.getuid(), "gid": os.getgid()}
        self.spec = MacSpec(**{**fixed, **who, **place, **paths, **values})
        for path in (self.spec.home, self.spec.state, account.temporary(self.spec)):
            os.makedirs(path)
        self.spec.save(Path(self.spec.state) / "mac.json")
        wrappers.place_all(self.spec, self.spec.bin, ports=True)

    def run(
        self, *argv: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command on this Mac."""
        done = subprocess.run(
            [f"{self.spec.bin}/{argv[0]}", *argv[1:]],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.spec.home,
            env=account.environment(self.spec) | (env or {}),
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def out(self, *argv: str, stdin: bytes = b"") -> str:
        """Standard output of a command that has to succeed in silence."""
        code, output, error = self.run(*argv, stdin=stdin)
        assert (code, error) == (0, ""), (argv, code, error)
        return output
