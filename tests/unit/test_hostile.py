"""Names and values that a careless script would run, and people who share the Mac."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import (
    commit,
    domain,
    environment,
    gateway,
    homebrew,
    ollama,
    openclaw,
    settings,
    wish,
)
from clawfleet.gateway import Decision
from clawfleet.plan import FileChange
from clawfleet.settings import SettingsError
from clawfleet.snapshot import File, Listener, Node
from tests.unit import shells
from tests.unit.factory import (
    NEW,
    OLD,
    TEMPLATES,
    defaults,
    equipped,
    file,
    healthy,
)
from tests.unit.factory import settings as wished
from tests.unit.shells import HOSTILE_NAMES, SHELLS

Shell = tuple[str, ...]
DASH = ("dash",)
RUN = "20261123-153000-1a2b"
QUIET = {"launchctl": "exit 113", "lsof": "exit 1", "sync": "exit 0"}


# The reading script refuses a Mac whose home has one of these in its name (test_reading.py).
NAMES = [name for name in HOSTILE_NAMES if "\n" not in name and "\t" not in name]


@pytest.fixture(params=NAMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def there(path: Path, content: str, mode: int = 0o600) -> File:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return file(str(path), content, mode=f"{mode:o}")


def config_of(home: Path) -> Path:
    return home / ".openclaw" / "openclaw.json"


def changes_in(home: Path) -> list[FileChange]:
    """One file that is replaced, and one that is new in a new folder."""
    new = file(str(home / ".openclaw/agents/main/agent/auth-profiles.json"))
    return [FileChange(there(config_of(home), "old"), b"new"), FileChange(new, b"key")]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_home_with_a_hostile_name(shell: Shell, home: Path) -> None:
    made = commit.script(changes_in(home), run=RUN, port=18789, restart_reasons=["because"])
    shells.run(shell, made, home, commands=QUIET, check=True)
    assert config_of(home).read_text() == "new"
    shells.run(shell, commit.restore(RUN), home, commands=QUIET, check=True)
    assert config_of(home).read_text() == "old"
    assert not (home / ".openclaw/agents/main/agent/auth-profiles.json").exists()
    assert [path for path in home.parent.rglob("*pwned*") if path != home] == []
    # Nothing was written beside the home either.
    assert {path.name for path in home.parent.iterdir()} == {home.name, "stand-ins"}


# --- whoever may not, can't -------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("mask", ["000", "022", "777"])
def test_nobody_else_can_read_or_enter_at_any_moment(shell: Shell, plain: Path, mask: str) -> None:
    """Every program that the script starts looks at what is there; the umask around is wide."""
    look = 'ls -lan "$HOME/.openclaw" "$HOME/.clawfleet" >> "$SEEN" 2>/dev/null\n'
    look += 'ls -lanR "$HOME/.openclaw/agents" "$HOME/.clawfleet/backups" >> "$SEEN" 2>/dev/null\n'
    names = ("base64", "chmod", "mv", "cp", "sync", "shasum", "cut", "cat")
    commands = {
        name: f'{look}PATH="${{PATH#*:}}"; exec {name} "$@"' if name != "sync" else look
        for name in names
    }
    changes = changes_in(plain)
    config_of(plain).parent.chmod(0o700)
    seen = plain.parent / "seen"
    made = commit.script(changes, run=RUN, port=18789, restart_reasons=["because"])
    shells.run(
        shell, f"umask {mask}\n{made}", plain, commands=QUIET | commands, check=True, SEEN=str(seen)
    )
    lines = [line.split() for line in seen.read_text().splitlines() if line[:1] in ("-", "d", "l")]
    listed = {words[-1]: words[0] for words in lines if words[-1] != ".."}
    assert {".", "agents", "backups", RUN, "gateway", "list", "openclaw.json"} <= listed.keys()
    assert any(".clawfleet-" in name for name in listed), "nobody looked while it was written"
    open_to_others = {(w[-1], w[0]) for w in lines if w[-1] != ".." and w[0][4:10] != "------"}
    assert open_to_others == set()


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link to a file": lambda path, victim: path.symlink_to(victim),
    "a link to nothing": lambda path, victim: path.symlink_to(victim.with_name("made")),
    "another name of a file": lambda path, victim: path.hardlink_to(victim),
    "an open file": lambda path, _: os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)),
    "a pipe": lambda path, _: os.mkfifo(path),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_at_a_temporary_name_is_not_written_through(
    shell: Shell, plain: Path, kind: str
) -> None:
    changes = changes_in(plain)
    victim = plain / "victim"
    victim.write_text("theirs")
    victim.chmod(0o644)
    temporary = Path(f"{config_of(plain)}.clawfleet-{RUN}")
    for script in (commit.script(changes, run=RUN, port=18789), commit.restore(RUN)):
        PLANTED[kind](temporary, victim)
        shells.run(shell, script, plain, commands=QUIET, check=True)
        assert victim.read_text() == "theirs"
        assert stat.S_IMODE(victim.stat().st_mode) == 0o644
        assert not (plain / "made").exists()
        assert not config_of(plain).is_symlink()
        assert stat.S_IMODE(config_of(plain).stat().st_mode) == 0o600
        assert config_of(plain).stat().st_nlink == 1
        assert not temporary.exists()
    assert config_of(plain).read_text() == "old"


def test_a_folder_planted_at_a_temporary_name_stops_before_anything_moves(plain: Path) -> None:
    changes = changes_in(plain)
    Path(f"{config_of(plain)}.clawfleet-{RUN}").mkdir()
    done = shells.run(DASH, commit.script(changes, run=RUN, port=18789), plain, commands=QUIET)
    assert done.returncode == 1
    assert config_of(plain).read_text() == "old"


# --- values of settings, and of the Mac -------------------------------------------------------

VALUES = [
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "; touch pwned #",
    "&& touch pwned ||",
    "\\'; touch pwned; \\'",
    "${x:-$(touch pwned)}",
    "> pwned",
]
CALLED = (
    "brew curl git launchctl lsof npm ollama open openclaw pkill plutil pnpm ps sleep sudo xattr"
)
COMMANDS = dict.fromkeys(CALLED.split(), 'echo "$@" >> "$HOME/calls"') | {
    # Waiting is over at once.
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); echo $((n+1000)) | tee "$HOME/clock"'
}


def made_with(value: str) -> list[str]:
    """Every script that a setting or something on a Mac gets into, with that value in it."""
    where = f"/Users/mac/{value}"
    given = wished(
        homebrew_mirror={"HOMEBREW_API_DOMAIN": value, "HOMEBREW_BREW_GIT_REMOTE": value},
        homebrew_installer=value,
        ollama_environment={"OLLAMA_MODELS": value},
        other_providers=["zai"],
        fallbacks=["ollama/qwen3-coder", f"zai/{value}"],
        reset_sessions=True,
    )
    git = wished(homebrew_mirror="tuna", homebrew_installer=f"https://x/{value}.git")
    # OpenClaw itself would fill in ${...}, so it is refused in a name.
    named = [{**model, "name": value.replace("${", "{")} for model in defaults()["models"]]
    found: list[str] = []
    for version in (OLD, NEW):
        there = equipped(version)
        mac = replace(
            there,
            home=where,
            brew=f"{where}/brew",
            brew_env=file(f"{where}/brew/etc/homebrew/brew.env"),
            ollama_env=file(f"{where}/.homebrew/services/ollama.env"),
            ollama_link=value,
            openclaw_bin=f"{where}/bin/openclaw",
            openclaw_entry=f"{where}/lib/openclaw.mjs",
            nodes=(Node(f"{where}/bin/node", "24.1.0"),),
            npm=f"{where}/bin/npm",
            pnpm=f"{where}/bin/pnpm",
            config=file(f"{where}/.openclaw/openclaw.json"),
            auth=file(f"{where}/.openclaw/agents/main/agent/auth-profiles.json"),
            dotenv=file(f"{where}/.openclaw/.env", "http_proxy=x\n"),
            plist=file(f"{where}/Library/LaunchAgents/ai.openclaw.gateway.plist"),
            gui_environment={"http_proxy": value},
        )
        found += [step.script for step in homebrew.plan(replace(mac, brew=None), given)]
        found += [step.script for step in homebrew.plan(replace(mac, brew=None), git)]
        found += [step.script for step in openclaw.plan(replace(mac, openclaw=None), given)]
        found += [step.script for step in openclaw.plan(mac, replaced(given, "pnpm"))]
        stopped = replace(mac, ollama_port=Listener(11434), ollama_server=None)
        found += [step.script for step in ollama.plan(stopped, given).steps]
        found += [step.script for step in ollama.plan(replace(mac, ollama_server="0"), given).steps]
        proxies = environment.plan(mac, given)
        found += [step.script for step in proxies.steps]
        found += [step.script for step in domain.back(mac, [f"https_proxy={value}"])]
        changes = [
            *proxies.files,
            *ollama.plan(mac, given).files,
            *homebrew.files(mac, given),
            *wish.plan(mac, given, TEMPLATES, lambda: "t").files,
            *wish.plan(healthy(version), wished(models=named), TEMPLATES, lambda: "t").files,
        ]
        assert len(changes) > 4
        inside = [change for change in changes if change.path.startswith(where)]
        found.append(commit.script(inside, run=RUN, port=18789, restart_reasons=[value]))
        for action in ("install", "restart"):
            decision = Decision(action, (value,))
            found.append(gateway.step(mac, given, 18789, decision, run=RUN).script)
    return found


def replaced(given: settings.Settings, install: str) -> settings.Settings:
    values: dict[str, Any] = {**given.model_dump(), "openclaw_install": install}
    return settings.Settings(**values)


@pytest.mark.parametrize("value", VALUES)
def test_no_value_is_run_as_a_command(plain: Path, value: str) -> None:
    """Run with stand-ins for all that would change something, in a folder of its own."""
    scripts = made_with(value)
    assert len(scripts) > 15
    assert sum("pwned" in script for script in scripts) > len(scripts) / 2
    for number, script in enumerate(scripts):
        # A Mac's own path is no folder here; what can't be entered is no matter.
        local = script.replace("/Users/mac/", f"{plain}/Users/mac/")
        shells.run(DASH, local, plain, commands=COMMANDS)
        made = [p for p in plain.parent.rglob("pwned") if p.is_file()]
        assert made == [], f"script {number}:\n{local}"


@pytest.mark.parametrize("value", [*VALUES, "-rf", "a b", "../../x", "a\nb", ""])
@pytest.mark.parametrize("key", ["id", "agent", "homebrew_prefix", "openclaw_version", "run"])
def test_names_that_stand_in_commands_are_checked_beforehand(key: str, value: str) -> None:
    data = defaults()
    if key == "id":
        data["models"] = [{"id": value}]
        data["primary"], data["fallbacks"] = f"ollama/{value}", []
    else:
        data[key] = value
    with pytest.raises(SettingsError):
        settings.load(data, where="test")
