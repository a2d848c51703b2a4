from __future__ import annotations

import base64
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
    temporary,
    there,
)
from tests.unit.factory import file
from tests.unit.shells import SHELLS


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose path has all that a careless script stumbles over."""
    folder = tmp_path / 'ho me\'s $HOME "x" `y`'
    folder.mkdir()
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_a_new_file_and_a_changed_one(shell: Shell, home: Path) -> None:
    config, auth = home / ".openclaw" / "openclaw.json", home / ".openclaw/agents/m/auth.json"
    old = there(config, "old\n", 0o644)
    changes = [change(old, "new 你好\r\n"), change(absent(auth), "{}")]
    run(shell, script(changes), home, check=True)
    assert config.read_bytes() == "new 你好\r\n".encode()
    assert auth.read_text() == "{}"
    assert mode(config) == mode(auth) == "600"
    assert mode(auth.parent) == mode(auth.parent.parent) == "700"
    assert temporary(home) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_wanted_mode(shell: Shell, home: Path) -> None:
    modes = ["600", "644", "400"]
    changes = [change(absent(home / wish), "a", mode=wish) for wish in modes]
    run(shell, script(changes), home, check=True)
    assert [mode(home / wish) for wish in modes] == modes


@pytest.mark.parametrize("shell", SHELLS)
def test_the_backup_holds_what_was_there(shell: Shell, home: Path) -> None:
    config, auth = home / ".openclaw" / "openclaw.json", home / ".openclaw" / "new.json"
    changes = [change(there(config, "old", 0o640), "new"), change(absent(auth), "{}")]
    run(shell, script(changes), home, check=True)
    folder = backups(home) / RUN / "gateway"
    assert {mode(path) for path in (home / ".clawfleet", *folder.parents[:2], folder)} == {"700"}
    assert (folder / "openclaw-openclaw.json").read_text() == "old"
    assert (folder / "openclaw-openclaw.json.after").read_text() == "new"
    assert (folder / "openclaw-new.json.after").read_text() == "{}"
    assert (folder / "list").read_text().splitlines() == [
        f"yes\topenclaw-openclaw.json\t{config}",
        f"no\topenclaw-new.json\t{auth}",
    ]
    assert mode(folder / "list") == "600"


def test_a_second_commit_of_a_run_keeps_the_state_before_the_run(home: Path) -> None:
    config, env = home / ".openclaw" / "openclaw.json", home / ".openclaw" / ".env"
    first = change(there(config, "before"), "between")
    run(DASH, script([first]), home, check=True)
    second = [change(file(str(config), "between"), "after"), change(there(env, "A=1"), "")]
    run(DASH, script(second), home, check=True)
    assert config.read_text() == "after"
    run(DASH, commit.restore(RUN), home, check=True)
    assert config.read_text() == "before"
    assert env.read_text() == "A=1"


@pytest.mark.parametrize("shell", SHELLS)
def test_restoring_gives_the_bytes_and_modes_and_takes_new_files_away(
    shell: Shell, home: Path
) -> None:
    config, new = home / ".openclaw" / "openclaw.json", home / ".openclaw" / "new.json"
    changes = [change(there(config, "old\r\n", 0o640), "new"), change(absent(new), "{}")]
    run(shell, script(changes), home, check=True)
    run(shell, commit.restore(RUN), home, check=True)
    assert config.read_bytes() == b"old\r\n"
    assert mode(config) == "640"
    assert not new.exists()
    assert temporary(home) == []


def test_restoring_says_when_it_fails(home: Path) -> None:
    config, other = home / ".openclaw" / "openclaw.json", home / ".openclaw" / "b.json"
    changes = [change(there(config, "old"), "new"), change(there(other, "old"), "new")]
    run(DASH, script(changes), home, check=True)
    (backups(home) / RUN / "gateway" / "openclaw-openclaw.json").unlink()
    done = run(DASH, commit.restore(RUN), home)
    assert done.returncode == 1
    assert config.read_text() == "new"
    assert other.read_text() == "old"


def test_a_run_without_a_backup_has_nothing_to_restore(home: Path) -> None:
    done = run(DASH, commit.restore("20261123-000000-0000"), home)
    assert done.returncode == commit.NOTHING_TO_RESTORE


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", ["edited", "deleted", "appeared"])
def test_a_file_that_changed_meanwhile_moves_nothing(home: Path, index: int, kind: str) -> None:
    paths = [home / "a", home / "b"]
    if kind == "appeared":
        files = [absent(path) for path in paths]
        paths[index].write_text("theirs")
    else:
        files = [there(path, "old") for path in paths]
        if kind == "edited":
            paths[index].write_text("theirs")
        else:
            paths[index].unlink()
    before = {path: path.read_text() if path.exists() else None for path in paths}
    text = script([change(f, "new") for f in files], restart_reasons=["x"])
    done = run(DASH, text, home)
    assert done.returncode == commit.CHANGED_MEANWHILE
    assert f"{paths[index]} changed since it was read" in done.stderr
    assert {path: path.read_text() if path.exists() else None for path in paths} == before
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert temporary(home) == []


@pytest.mark.parametrize("index", [0, 1])
def test_a_writer_in_the_window_before_the_move_loses_nothing(home: Path, index: int) -> None:
    paths = [home / "a" / "openclaw.json", home / "b"]
    files = [there(path, "old") for path in paths]
    # The validator runs after the first look and before the last.
    racing = f"printf theirs > '{'a/openclaw.json' if index == 0 else 'b'}'"
    text = script(
        [change(f, "new") for f in files],
        run=RUN,
        validate=f'( cd "$HOME" && {racing} )',
        restart_reasons=["x"],
    )
    done = run(DASH, text, home)
    assert done.returncode == commit.CHANGED_MEANWHILE
    assert paths[index].read_text() == "theirs"
    assert paths[1 - index].read_text() == "old"
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert temporary(home) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_config_that_openclaw_refuses_moves_nothing(shell: Shell, home: Path) -> None:
    config, auth = home / ".openclaw" / "openclaw.json", home / ".openclaw" / "auth.json"
    changes = [change(absent(auth), "{}"), change(there(config, "old"), "new")]
    refuses = '( echo "saw $(cat "$CANDIDATE")" >&2; exit 1 )'
    done = run(shell, script(changes, validate=refuses), home)
    assert done.returncode == commit.REFUSED_BY_OPENCLAW
    assert "saw new" in done.stderr
    assert config.read_text() == "old"
    assert not auth.exists()
    assert temporary(home) == []


def test_only_openclaws_config_is_given_to_its_validator(home: Path) -> None:
    changes = [change(absent(home / "x" / "auth.json"), "{}")]
    run(DASH, script(changes, validate="false"), home, check=True)
    config = [change(absent(home / "x" / "openclaw.json"), "{}")]
    seen = 'test "$(dirname "$CANDIDATE")" = "$HOME/x"'
    run(DASH, script(config, validate=seen), home, check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_move_that_fails_takes_the_earlier_ones_back(shell: Shell, home: Path) -> None:
    first, new, second = home / "a", home / "n", home / "b"
    changes = [
        change(there(first, "old", 0o640), "new"),
        change(absent(new), "new"),
        change(there(second, "old"), "new"),
    ]
    move = f'for last; do :; done; case $last in *"/b") exit 1;; esac; exec {which("mv")} "$@"'
    done = run(shell, script(changes), home, commands={"mv": move})
    assert done.returncode == 1
    assert first.read_text() == second.read_text() == "old"
    assert mode(first) == "640"
    assert not new.exists()
    assert temporary(home) == []


def which(name: str) -> str:
    return next(
        f"{folder}/{name}"
        for folder in os.environ["PATH"].split(":")
        if os.access(f"{folder}/{name}", os.X_OK)
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_reasons_for_a_restart_stay_until_it_is_done(shell: Shell, home: Path) -> None:
    reasons = ["openclaw.json was changed", "a 'b' $(touch pwned) `c` \\ \"d\"\nEND\nrm"]
    config = home / "x" / "openclaw.json"
    text = script([change(absent(config), "1")], restart_reasons=reasons)
    run(shell, text, home, check=True)
    again = script([change(file(str(config), "1"), "2")], restart_reasons=["last"])
    run(shell, again, home, check=True)
    lines = (home / ".clawfleet" / "restart-needed").read_text().splitlines()
    assert lines == [reasons[0], reasons[1].replace("\n", " "), "last"]
    assert mode(home / ".clawfleet" / "restart-needed") == "600"
    assert not list(home.rglob("pwned"))


def test_the_newest_ten_backups_stay(home: Path) -> None:
    for day in range(1, 13):
        (backups(home) / f"202601{day:02}-000000-aaaa").mkdir(parents=True)
    run(DASH, script([change(absent(home / "x"), "1")]), home, check=True)
    kept = sorted(os.listdir(backups(home)))
    assert kept == [f"202601{day:02}-000000-aaaa" for day in range(4, 13)] + [RUN]


def test_this_runs_backup_stays_though_the_clock_was_wrong(home: Path) -> None:
    for day in range(1, 13):
        (backups(home) / f"203001{day:02}-000000-aaaa").mkdir(parents=True)
    run(DASH, script([change(absent(home / "x"), "1")]), home, check=True)
    assert (backups(home) / RUN / "gateway").exists()


HOSTILE = [
    "a b",
    "a'b",
    'a"b',
    "a$HOME",
    "a$(touch pwned)",
    "a`touch pwned`",
    "a\\b",
    "a;b",
    "a&b",
    "-a",
    "a*",
    "a#b",
    "äöü 你好",
]


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_paths_are_only_paths(shell: Shell, home: Path) -> None:
    old = [home / name / name for name in HOSTILE[::2]]
    new = [home / name for name in HOSTILE[1::2]]
    changes = [change(there(path, "old"), "new") for path in old]
    changes += [change(absent(path), "new") for path in new]
    run(shell, script(changes), home, check=True)
    assert {path.read_text() for path in old + new} == {"new"}
    run(shell, commit.restore(RUN), home, check=True)
    assert {path.read_text() for path in old} == {"old"}
    assert not any(path.exists() for path in new)
    assert not list(home.rglob("pwned"))


CONTENTS = ["", "\n", "END\n", "$(touch pwned)\n`x`\n\\", "x" * 300_000, "\x00\x01"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_content_arrives(shell: Shell, home: Path) -> None:
    changes = [change(absent(home / str(i)), content) for i, content in enumerate(CONTENTS)]
    run(shell, script(changes), home, check=True)
    for number, content in enumerate(CONTENTS):
        assert (home / str(number)).read_text() == content
    assert not list(home.rglob("pwned"))


def test_contents_stand_in_the_script_only_encoded() -> None:
    text = script([change(absent(Path("/x/y")), "5ecret")])
    assert "5ecret" not in text
    assert base64.b64encode(b"5ecret").decode() in text


def test_the_gateway_is_stopped_before_its_files_change(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    seen = {"launchctl": 'echo "$1 $(cat "$HOME/.openclaw/openclaw.json")" >> "$HOME/seen"; exit 3'}
    run(DASH, script([change(there(config, "old"), "new")]), home, commands=seen, check=True)
    assert "bootout old" in (home / "seen").read_text().splitlines()
    assert config.read_text() == "new"


def test_the_gateway_goes_on_where_nothing_is_moved(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    old = there(config, "old")
    assert run(DASH, script([change(old, "new")], validate="false"), home).returncode == 65
    config.write_text("theirs")
    assert run(DASH, script([change(old, "new")]), home).returncode == 75
    assert not (home / "launchctl").exists()


def test_a_gateway_that_cannot_be_stopped_moves_nothing(home: Path) -> None:
    config = home / ".openclaw" / "openclaw.json"
    commands = {"lsof": "echo 999999999", "ps": "echo nc -l 18789"}
    changes = [change(there(config, "old"), "new")]
    done = run(DASH, script(changes, restart_reasons=["x"]), home, commands=commands)
    assert done.returncode == 1
    assert "port 18789 is held by pid 999999999: nc -l 18789" in done.stderr
    assert config.read_text() == "old"
    assert not (home / ".clawfleet" / "restart-needed").exists()
    assert temporary(home) == []


def test_files_that_the_gateway_does_not_read_are_kept_apart(home: Path) -> None:
    env, config = home / "services" / "ollama.env", home / ".openclaw" / "openclaw.json"
    run(DASH, script([change(there(env, "A=1"), "A=2")], port=None), home, check=True)
    assert not (home / "launchctl").exists()
    run(DASH, script([change(there(config, "old"), "new")]), home, check=True)
    assert (backups(home) / RUN / "other" / "services-ollama.env").read_text() == "A=1"
    run(DASH, commit.restore(RUN), home, check=True)
    assert (env.read_text(), config.read_text()) == ("A=2", "old")
