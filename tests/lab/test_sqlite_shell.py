"""The stand-in for macOS' sqlite3 beside a real one, on the app's database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.plan import REPO
from tests.lab.standins import ollama_app_database as database
from tests.lab.standins.ollama_versions import traits

STAND_IN = [sys.executable, "-S", "-P", "-m", "tests.lab.standins.sqlite_shell"]
QUIET = ["-batch", "-init", "/dev/null"]
ROW = "SELECT * FROM settings WHERE id = 1;"
CALLS = [
    ["-readonly", *QUIET, "-line", "DB", ROW],
    [*QUIET, "-cmd", ".timeout 5000", "DB", "SELECT context_length FROM settings WHERE id = 1;"],
    [*QUIET, "DB", "UPDATE settings SET context_length = 8192 WHERE id = 1;"],
    [*QUIET, "DB", "SELECT 1, NULL, 'x';"],
    ["-readonly", *QUIET, "DB", "UPDATE settings SET expose = 1;"],
    [*QUIET, "DB", "SELECT nothing FROM settings;"],
    [*QUIET, "DB", "SELECT 1 FROM nothing;"],
    ["-readonly", *QUIET, "NONE", "SELECT 1;"],
]


def call(program: list[str], words: list[str], folder: Path) -> tuple[bool, str]:
    """Whether it succeeded, and its standard output; the words of errors differ by release."""
    names = {"DB": str(folder / "db.sqlite"), "NONE": str(folder / "none.sqlite")}
    done = subprocess.run(
        [*program, *(names.get(word, word) for word in words)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.stderr.strip()) or done.returncode == 0
    return done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", CALLS, ids=lambda words: f"{words[0]} {words[-1][:30]}")
@pytest.mark.parametrize("version", ["0.16.1", "0.32.3"])
def test_like_the_real_one(tmp_path: Path, version: str, words: list[str]) -> None:
    real = shutil.which("sqlite3")
    if real is None:
        pytest.skip("no sqlite3 on this machine to compare with")
    seen = []
    for name, program in (("real", [real]), ("stand-in", STAND_IN)):
        (tmp_path / name).mkdir()
        # Open meanwhile, as while the app runs.
        open_ = database.open_(tmp_path / name / "db.sqlite", traits(version))
        seen.append(call(program, words, tmp_path / name))
        open_.close()
    assert seen[0] == seen[1]


def test_a_database_that_its_app_has_closed_can_be_read_only(tmp_path: Path) -> None:
    database.open_(tmp_path / "db.sqlite", traits("0.16.1")).close()
    ok, out = call(STAND_IN, CALLS[0], tmp_path)
    assert ok
    assert "\ncontext_length = 4096\n" in out


@pytest.mark.parametrize("program", ["real", "stand-in"])
def test_reading_leaves_nothing_beside_a_closed_database(tmp_path: Path, program: str) -> None:
    real = shutil.which("sqlite3")
    if program == "real" and real is None:
        pytest.skip("no sqlite3 on this machine")
    words = [real] if program == "real" and real else STAND_IN
    database.open_(tmp_path / "db.sqlite", traits("0.32.3")).close()
    immutable = f"file:{tmp_path}/db.sqlite?immutable=1"
    ok, out = call(words, ["-readonly", *QUIET, "-line", immutable, ROW], tmp_path)
    assert ok
    assert "context_length = 0\n" in out
    assert [path.name for path in tmp_path.iterdir()] == ["db.sqlite"]


def test_an_upgrade_forgets_the_old_default_and_keeps_a_choice(tmp_path: Path) -> None:
    for name, chosen, after in (("a", None, 0), ("b", 8192, 8192)):
        old = database.open_(tmp_path / name, traits("0.16.1"))
        assert database.settings(old)["context_length"] == 4096
        if chosen:
            database.set_context(old, chosen)
        old.close()
        new = database.open_(tmp_path / name, traits("0.32.3"))
        assert database.settings(new)["context_length"] == after
        new.close()
