from __future__ import annotations

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import commit, ollama, ollama_app
from clawfleet.plan import quote
from clawfleet.snapshot import Listener, Process, Snapshot
from tests.unit.factory import REPO, equipped, settings
from tests.unit.shells import SHELLS, run

APP = "/Applications/Ollama.app"


def with_app(found: dict[str, str] | None = None, **more: Any) -> Snapshot:
    server = Process(700, 600, 60, f"{APP}/Contents/Resources/ollama serve")
    values: dict[str, Any] = {
        "ollama_formula": None,
        "ollama_job": None,
        "ollama_cask": "ollama-app",
        "ollama_app": APP,
        "ollama_app_version": "0.32.3",
        "ollama_app_pids": (600,),
        "ollama_app_settings": found,
        "ollama_port": Listener(11434, (server,)),
    }
    return replace(equipped(), **(values | more))


def plan(snapshot: Snapshot, **wished: Any) -> tuple[list[str], str]:
    made = ollama.plan(snapshot, settings(**wished))
    assert made.files == ()
    return [step.title for step in made.steps], "\n".join(made.notes)


SET = "set the context length of Ollama.app"


@pytest.mark.parametrize(
    ("found", "wish", "titles", "note"),
    [
        ({"context_length": "4096"}, "leave", [], "its own settings (now 4096)"),
        ({"context_length": "0"}, "leave", [], "not set there: by the Mac's memory"),
        (None, "leave", [], "4096 before version 0.17"),
        ({"context_length": "32768"}, "leave", [], ""),
        ({"context_length": "4096"}, "change", [SET], ""),
        ({"context_length": "0"}, "change", [SET], ""),
        ({"context_length": "32768"}, "change", [], ""),
        (None, "change", [SET], ""),
        # Not as the known versions have it: left alone, whatever the setting says.
        ({}, "change", [], "left alone"),
        ({"context_length": "many"}, "change", [], "left alone"),
        ({}, "leave", [], "left alone"),
        ({"context_length": "32768", "expose": "1"}, "leave", [], "reachable from the network"),
    ],
)
def test_the_apps_own_context_length(
    found: dict[str, str] | None, wish: str, titles: list[str], note: str
) -> None:
    done, said = plan(with_app(found), ollama_app_settings=wish)
    assert done == titles
    assert note in said
    assert bool(said) is bool(note)


def test_a_server_that_does_not_have_it_yet_is_restarted() -> None:
    right = {"context_length": "32768"}
    for variables, titles in (
        ({"OLLAMA_CONTEXT_LENGTH": "4096"}, ["restart Ollama"]),
        ({"OLLAMA_CONTEXT_LENGTH": "32768"}, []),
        (None, []),  # macOS hides it, and no file tells a time
    ):
        snapshot = with_app(right, ollama_variables=variables)
        assert plan(snapshot, ollama_app_settings="change")[0] == titles
        assert plan(snapshot)[0] == []


def test_an_app_that_does_not_run_is_started_once() -> None:
    gone = {"ollama_port": Listener(11434), "ollama_server": None, "ollama_app_pids": ()}
    known = with_app({"context_length": "4096"}, **gone)
    assert plan(known, ollama_app_settings="change")[0] == [SET]
    assert plan(known)[0] == ["start Ollama"]
    first = with_app(None, **gone)
    assert plan(first, ollama_app_settings="change")[0] == ["start Ollama", SET]


def test_one_restart_serves_both() -> None:
    snapshot = with_app({"context_length": "4096"}, ollama_server="0.31.0")
    assert plan(snapshot, ollama_app_settings="change")[0] == [SET]
    assert plan(snapshot)[0] == ["restart Ollama"]


@pytest.mark.parametrize(
    ("found", "told"),
    [({}, True), ({"auto_update_enabled": "1"}, True), ({"auto_update_enabled": "0"}, False)],
)
def test_a_pinned_app_that_updates_itself_is_told(found: dict[str, str], told: bool) -> None:
    said = plan(with_app({"context_length": "32768"} | found), ollama_version="0.32.3")[1]
    assert ("updates itself" in said) is told


def test_variables_that_do_not_reach_the_app_are_told() -> None:
    said = plan(with_app({"context_length": "32768"}), keep_alive="24h")[1]
    assert "OLLAMA_KEEP_ALIVE: Ollama.app reads no file" in said


def test_what_an_earlier_run_wrote() -> None:
    assert ollama_app.written(()) is None
    lines = ("gateway", "app-context 4096 32768", "app-context 32768 65536")
    assert ollama_app.written(lines) == ("4096", "65536")


@pytest.mark.parametrize(
    ("found", "titles", "words"),
    [("65536", [SET], ""), ("8192", [], "it stays 8192"), ("4096", [], "")],
)
def test_a_removal_gives_the_users_value_back(found: str, titles: list[str], words: str) -> None:
    lines = ("app-context 4096 32768", "app-context 32768 65536")
    notes: list[str] = []
    snapshot = with_app({"context_length": found}, installed=lines)
    steps = ollama.app_as_before(snapshot, settings(), notes)
    assert [step.title for step in steps] == titles
    assert all("CONTEXT=4096" in step.script for step in steps)
    assert words in "".join(notes)


# The app's server is pid 700 until the app was ended, and 800 after it was opened.
COMMANDS = {
    "sleep": ":",
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "$HOME/clock"; '
    "echo $n",
    "pkill": 'touch "$HOME/ended"; echo "pkill $*" >> "$HOME/calls"',
    "pgrep": '[ ! -e "$HOME/ended" ]',
    "open": 'rm "$HOME/ended"; touch "$HOME/opened"; echo open >> "$HOME/calls"',
    "lsof": '[ -e "$HOME/ended" ] || { [ -e "$HOME/opened" ] && echo 800 || echo 700; }',
    "ps": f'echo "{APP}/Contents/Resources/ollama serve"',
    "curl": '[ -e "$HOME/ended" ] && exit 7; echo \'{"version":"0.32.3"}\'',
    "sqlite3": f"PYTHONPATH={quote(str(REPO))} exec {quote(sys.executable)} "
    '-S -P -m tests.lab.standins.sqlite_shell "$@"',
    "xattr": ":",
    "readlink": "exit 1",
    "sudo": "exit 1",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("columns", "code", "calls"),
    [
        ("id INTEGER, context_length INTEGER NOT NULL DEFAULT 4096", 0, 2),
        ("id INTEGER, context_length INTEGER NOT NULL DEFAULT 32768", 0, 0),
        ("id INTEGER, num_ctx INTEGER NOT NULL DEFAULT 4096", 1, 0),
        ("id INTEGER, context_length TEXT NOT NULL DEFAULT 'auto'", 1, 0),
    ],
)
def test_the_database_is_changed_and_kept(
    shell: tuple[str, ...], tmp_path: Path, columns: str, code: int, calls: int
) -> None:
    home = tmp_path / "home"
    folder = home / "Library" / "Application Support" / "Ollama"
    folder.mkdir(parents=True)
    database = sqlite3.connect(folder / "db.sqlite", isolation_level=None)
    database.execute(f"CREATE TABLE settings ({columns})")
    database.execute("INSERT INTO settings (id) VALUES (1)")
    database.close()
    before = (folder / "db.sqlite").read_bytes()
    snapshot = with_app({"context_length": "4096"})
    (step,) = ollama.plan(snapshot, settings(ollama_app_settings="change")).steps
    assert step.keeps
    script = commit.head("20261123-153000-1a2b", "other") + step.script
    done = run(shell, script, home, commands=COMMANDS)
    assert done.returncode == code, done.stderr
    made = home / "calls"
    assert len(made.read_text().splitlines() if made.exists() else []) == calls
    kept = home / ".clawfleet/backups/20261123-153000-1a2b/other/Ollama-db.sqlite"
    if calls:
        database = sqlite3.connect(folder / "db.sqlite")
        assert database.execute("SELECT context_length FROM settings").fetchall() == [(32768,)]
        database.close()
        assert kept.read_bytes() == before
        assert (home / ".clawfleet/installed").read_text() == "app-context 4096 32768\n"
    else:
        assert (folder / "db.sqlite").read_bytes() == before
        assert not kept.exists()
    if code:
        assert "was left alone" in done.stderr
