"""Runs the product's sh scripts with the shells that Macs have: dash stands for any POSIX sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

HOSTILE_NAMES = [
    "two  blanks ",
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "-rf",
    "; touch pwned;",
    "back\\slash\\",
    "*?[a]",
    "%s%n",
    "名🦞é",
    "!bang",
    "a&b|c>pwned",
    "line\nbreak",
    "tab\tstop",
]
"""Names of folders that a careless script would run, split or take for an option."""

SHELLS = [pytest.param(("dash",), id="dash"), pytest.param(("bash", "--posix"), id="bash")]


def run(
    shell: tuple[str, ...],
    script: str,
    home: Path,
    *,
    commands: Mapping[str, str] | None = None,
    check: bool = False,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """A script over stdin, as on a Mac; `commands` (name: sh) stand in front of the machine's."""
    found = shutil.which(shell[0])
    if found is None:
        pytest.skip(f"{shell[0]} is not on this machine")
    folder = home.parent / "stand-ins"
    folder.mkdir(exist_ok=True)
    for name, body in (commands or {}).items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [found, *shell[1:], "-s"],
        input=script,
        env={
            "HOME": str(home),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TMPDIR": str(home.parent),
            **variables,
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # a script that waits for something that never comes
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done
