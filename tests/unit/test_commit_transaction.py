"""What a cut-off run leaves, and what a failed one puts back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawfleet import commit
from tests.unit.commits import (
    DASH,
    RUN,
    Shell,
    absent,
    backups,
    change,
    mode,
    run,
    script,
    there,
)
from tests.unit.shells import SHELLS


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose path has all that a careless script stumbles over."""
    folder = tmp_path / 'ho me\'s $HOME "x" `y`'
    folder.mkdir()
    return folder


def unfinished(home: Path) -> str | None:
    path = home / ".clawfleet" / "unfinished"
    return path.read_text() if path.exists() else None


def test_the_next_run_can_see_that_one_was_cut_off(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    old = there(config, "old")
    assert run(DASH, script([change(old, "new")], validate="false"), home).returncode == 65
    assert unfinished(home) is None
    # Before the gateway is stopped, so that whoever finds it stopped knows why.
    seen = {"launchctl": 'cat "$HOME/.clawfleet/unfinished" >> "$HOME/seen"; exit 3'}
    run(DASH, script([change(old, "new")]), home, commands=seen, check=True)
    assert (home / "seen").read_text().startswith(RUN)
    assert unfinished(home) == f"{RUN}\n"


def test_files_that_the_gateway_does_not_read_open_no_transaction(home: Path) -> None:
    run(DASH, script([change(absent(home / "x"), "1")], port=None), home, check=True)
    assert unfinished(home) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_can_be_taken_away_and_comes_back(shell: Shell, home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    gone = change(there(config, "old", 0o640), "", gone=True)
    run(shell, script([gone]), home, check=True)
    assert not config.exists()
    run(shell, commit.restore(RUN), home, check=True)
    assert (config.read_text(), mode(config)) == ("old", "640")


def test_a_writer_in_the_last_window_is_not_undone_by_a_restore(home: Path) -> None:
    """The compare fails after the copies were made: those are not what has to come back."""
    config = home / ".openclaw" / "openclaw.json"
    old = there(config, "old")
    writes = {"launchctl": 'printf theirs > "$HOME/.openclaw/openclaw.json"; exit 3'}
    done = run(DASH, script([change(old, "new")]), home, commands=writes)
    assert done.returncode == commit.CHANGED_MEANWHILE
    assert run(DASH, commit.restore(RUN), home).returncode == commit.NOTHING_TO_RESTORE
    assert config.read_text() == "theirs"


def test_what_somebody_wrote_after_us_is_kept_when_the_old_file_returns(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    run(DASH, script([change(there(config, "old"), "new")]), home, check=True)
    config.write_text("new, and theirs")
    done = run(DASH, commit.restore(RUN), home, check=True)
    assert config.read_text() == "old"
    since = backups(home) / RUN / "gateway" / "openclaw-openclaw.json.since"
    assert since.read_text() == "new, and theirs"
    assert str(since) in done.stderr


def test_other_files_of_the_gateway_are_copied_too(home: Path) -> None:
    config, env = home / ".openclaw" / "openclaw.json", home / ".openclaw" / ".env"
    there(env, "A=1")
    text = script([change(there(config, "old"), "new")], also=[str(env), str(home / "none")])
    run(DASH, text, home, check=True)
    assert (backups(home) / RUN / "gateway" / "openclaw-env").read_text() == "A=1"
    env.write_text("A=2")
    run(DASH, commit.restore(RUN), home, check=True)
    assert env.read_text() == "A=2"


def test_a_link_at_the_temporary_name_is_not_followed(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    old = there(config, "old")
    target = there(home / "target", "theirs")
    (home / ".openclaw" / f"openclaw.json.clawfleet-{RUN}").symlink_to(target.path)
    run(DASH, script([change(old, "new")]), home, check=True)
    assert (home / "target").read_text() == "theirs"
    assert config.read_text() == "new"
    assert not config.is_symlink()


def test_a_folder_that_somebody_keeps_beside_the_backups_stays(home: Path) -> None:
    for day in range(1, 13):
        (backups(home) / f"202601{day:02}-000000-aaaa").mkdir(parents=True)
    for name in ("0 good", "*", "20260101-000000-aaaa.mine"):
        (backups(home) / name).mkdir()
    cut = "20260102-000000-aaaa"
    (home / ".clawfleet" / "unfinished").write_text(f"{cut}\n")
    text = script([change(absent(home / "x"), "1")], port=None)
    run(DASH, text, home, check=True)
    kept = set(os.listdir(backups(home)))
    assert {"0 good", "*", "20260101-000000-aaaa.mine", cut, RUN} <= kept
    assert not {"20260101-000000-aaaa", "20260103-000000-aaaa"} & kept


def test_each_agents_file_has_a_backup_of_its_own(home: Path) -> None:
    paths = [
        home / f".openclaw/agents/{agent}/agent/auth-profiles.json" for agent in ("main", "work")
    ]
    files = [change(there(path, str(path)), "new") for path in paths]
    run(DASH, script(files), home, check=True)
    run(DASH, commit.restore(RUN), home, check=True)
    assert [path.read_text() for path in paths] == [str(path) for path in paths]
