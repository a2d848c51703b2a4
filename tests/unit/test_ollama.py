from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import ollama
from clawfleet import ollama_server as server
from clawfleet.plan import Trouble
from clawfleet.snapshot import Listener, Model, Process, Snapshot, Store
from tests.unit.factory import BREW, bare, equipped, file, settings, trouble_is_useful
from tests.unit.shells import SHELLS, run

APP = "/Applications/Ollama.app"


def serves(command: str, pid: int = 700) -> Listener:
    return Listener(11434, (Process(pid, 1, 60, command),))


def with_app(version: str = "0.32.3") -> Snapshot:
    return replace(
        equipped(),
        ollama_formula=None,
        ollama_cask="ollama-app",
        ollama_app=APP,
        ollama_app_version="0.32.3",
        ollama_server=version,
        ollama_port=serves(f"{APP}/Contents/Resources/ollama serve"),
    )


STOPPED: dict[str, Any] = {
    "ollama_port": Listener(11434),
    "ollama_server": None,
    "ollama_job": None,
    "models": (),
}
BY_HAND = serves("/usr/local/bin/ollama serve")


@pytest.mark.parametrize(
    ("snapshot", "wish", "titles", "kind"),
    [
        (bare(), "auto", ["install ollama", "start Ollama"], "formula"),
        (bare(), "formula", ["install ollama", "start Ollama"], "formula"),
        (bare(), "cask", ["install ollama-app", "start Ollama"], "cask"),
        (equipped(), "auto", [], "formula"),
        (equipped(), "formula", [], "formula"),
        (replace(equipped(), ollama_formula="0.32.3_1"), "auto", [], "formula"),
        (replace(equipped(), **STOPPED), "auto", ["start Ollama"], "formula"),
        (replace(equipped(), ollama_server="0.31.0"), "auto", ["restart Ollama"], "formula"),
        (replace(equipped(), ollama_server=None), "auto", ["restart Ollama"], "formula"),
        (
            replace(equipped(), ollama_formula=None),
            "auto",
            ["install ollama", "restart Ollama"],
            "formula",
        ),
        (with_app(), "auto", [], "cask"),
        (with_app(), "cask", [], "cask"),
        (replace(with_app(), ollama_cask="ollama"), "cask", [], "cask"),
        (replace(with_app(), ollama_cask=None), "auto", [], "cask"),
        (replace(with_app(), ollama_app_version=None), "auto", [], "cask"),
        (with_app("0.31.0"), "auto", ["restart Ollama"], "cask"),
        (replace(with_app(), **STOPPED), "auto", ["start Ollama"], "cask"),
        # There, and silent: a start would do nothing.
        (replace(with_app(), **STOPPED, ollama_app_pids=(9,)), "auto", ["restart Ollama"], "cask"),
        (
            replace(equipped(), **(STOPPED | {"ollama_job": equipped().ollama_job})),
            "auto",
            ["restart Ollama"],
            "formula",
        ),
        (replace(equipped(), ollama_port=BY_HAND), "auto", [], "formula"),
    ],
)
def test_only_what_is_missing_is_done(
    snapshot: Snapshot, wish: str, titles: list[str], kind: str
) -> None:
    plan = ollama.plan(snapshot, settings(ollama_install=wish))
    assert [step.title for step in plan.steps] == titles
    assert plan.kind == kind
    for step in plan.steps:
        assert step.reason
        assert step.fix


def test_the_app_is_restarted_as_an_app() -> None:
    (step,) = ollama.plan(with_app("0.31.0"), settings()).steps
    assert 'pkill -x -U "$(id -u)" Ollama' in step.script
    assert step.show == "pkill -x Ollama; open -j -a Ollama"
    assert "brew services" not in step.script
    assert "0.31.0" in step.reason
    assert "0.32.3" in step.reason


def test_what_is_served_by_hand_is_used_and_told() -> None:
    plan = ollama.plan(replace(equipped(), ollama_port=BY_HAND), settings())
    assert any("started by hand" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("snapshot", "changes", "words"),
    [
        (
            replace(with_app(), ollama_formula="0.32.3"),
            {},
            ["Ollama twice", "0.32.3", APP, "brew uninstall"],
        ),
        (replace(bare(), ollama_formula="0.32.3", ollama_cask="ollama"), {}, ["cask ollama"]),
        (with_app(), {"ollama_install": "formula"}, [APP, "brew uninstall --cask", '"auto"']),
        (equipped(), {"ollama_install": "cask"}, ["0.32.3", "brew uninstall --formula"]),
        (
            equipped(),
            {"ollama_version": "0.33.0"},
            [
                *("Ollama 0.32.3", "0.33.0, as ollama_version says", "brew pin ollama"),
                *("OLLAMA_VERSION=0.33.0 sh", 'set ollama_version = "0.32.3"'),
            ],
        ),
        (
            with_app(),
            {"ollama_version": "0.33.0"},
            ["OLLAMA_VERSION=0.33.0 sh", "turn off automatic updates", '= "0.32.3"'],
        ),
        (
            replace(with_app(), ollama_app_version=None),
            {"ollama_version": "0.33.0"},
            ["unknown version"],
        ),
        (
            replace(equipped(), ollama_port=BY_HAND, ollama_server="0.31.0"),
            {},
            ["port 11434", "pid 700", "an Ollama 0.31.0", "kill 700"],
        ),
        (
            replace(with_app(), ollama_port=BY_HAND, ollama_app_version=None),
            {},
            ["port 11434", "kill 700"],
        ),
        (
            replace(equipped(), ollama_port=serves("nc -l 11434"), ollama_server=None),
            {},
            ["nc -l 11434", "kill 700", "ollama_port"],
        ),
        (replace(bare(), ollama_server="0.31.0"), {}, ["another user", "an Ollama 0.31.0"]),
        (replace(bare(), ollama_open=True, ollama_root=True), {}, ["sudo brew services stop"]),
        (
            replace(bare(), ollama_port=serves("/Users/mac/x/Ollama.app/Contents/ollama serve")),
            {},
            ["Ollama.app", "kill 700"],
        ),
        (
            replace(bare(), ollama_port=serves(f"{BREW}/Cellar/ollama/0.31/bin/ollama serve")),
            {"ollama_install": "cask"},
            ["Cellar", "kill 700"],
        ),
    ],
)
def test_what_contradicts_the_settings_stops_the_mac(
    snapshot: Snapshot, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Trouble) as caught:
        ollama.plan(snapshot, settings(**changes))
    trouble_is_useful(caught.value, *words)


def test_the_models_are_never_zapped() -> None:
    with pytest.raises(Trouble) as caught:
        ollama.kind(replace(with_app(), ollama_formula="0.32.3"), settings())
    assert "never --zap" in caught.value.fix


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"OLLAMA_CONTEXT_LENGTH": "32768"}),
        ({"context_window": 65536}, {"OLLAMA_CONTEXT_LENGTH": "65536"}),
        ({"ollama_port": 11500}, {"OLLAMA_HOST": "127.0.0.1:11500"}),
        ({"ollama_environment": {"OLLAMA_KEEP_ALIVE": -1}}, {"OLLAMA_KEEP_ALIVE": "-1"}),
        (
            {
                "models": [{"id": "gpt-oss:20b", "context_window": 131072}, {"id": "qwen3-coder"}],
            },
            {"OLLAMA_CONTEXT_LENGTH": "131072"},
        ),
        (
            {"ollama_environment": {"OLLAMA_CONTEXT_LENGTH": "8192"}},
            {"OLLAMA_CONTEXT_LENGTH": "8192"},
        ),
    ],
)
def test_the_servers_environment(changes: dict[str, Any], expected: dict[str, str]) -> None:
    variables = ollama.server_environment(equipped(), settings(**changes))
    assert variables.items() >= expected.items()


def test_a_changed_environment_is_a_reason_to_restart() -> None:
    snapshot = equipped()
    snapshot = replace(
        snapshot, ollama_env=file(snapshot.ollama_env.path, "# mine\nOLLAMA_MODELS=/Volumes/x\n")
    )
    plan = ollama.plan(snapshot, settings())
    (change,) = plan.files
    assert change.after == b"# mine\nOLLAMA_MODELS=/Volumes/x\nOLLAMA_CONTEXT_LENGTH=32768\n"
    assert change.mode == "600"
    assert [step.reason for step in plan.steps] == ["its environment changes"]
    again = replace(snapshot, ollama_env=file(change.path, change.after))
    # As after a run that died in between: the file is right, and the server is from before it.
    (step,) = ollama.plan(again, settings()).steps
    assert step.title == "restart Ollama"
    assert step.reason == "it runs without the OLLAMA_MODELS that is wanted"
    given = server.assignments(change.after.decode())
    again = replace(again, ollama_variables=given)
    assert ollama.plan(again, settings()).steps == ()
    assert ollama.plan(again, settings()).files == ()


def test_another_store_is_told_until_it_is_the_one_that_is_read() -> None:
    wished = settings(ollama_environment={"OLLAMA_MODELS": "/Volumes/big disk"})
    snapshot = replace(equipped(), store=Store("/Users/mac/.ollama/models"))
    (note,) = ollama.plan(snapshot, wished).notes
    assert "OLLAMA_MODELS becomes /Volumes/big disk" in note
    assert "of /Users/mac/.ollama/models" in note
    there = replace(snapshot, store=Store("/Volumes/big disk/"))
    assert ollama.plan(there, wished).notes == ()
    assert ollama.plan(snapshot, settings()).notes == ()


def test_a_file_that_homebrew_would_ignore_is_closed() -> None:
    snapshot = equipped()
    env = replace(snapshot.ollama_env, mode="664")
    plan = ollama.plan(replace(snapshot, ollama_env=env), settings())
    (change,) = plan.files
    assert (change.same, change.mode) == (True, "600")
    assert "others may write it (mode 664)" in change.reasons[1]
    assert [step.title for step in plan.steps] == ["restart Ollama"]


def test_the_apps_environment_is_not_ours() -> None:
    plan = ollama.plan(with_app(), settings())
    assert plan.files == ()
    assert any("32768" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], ["gpt-oss:20b", "qwen3-coder"]),
        (["gpt-oss:20b"], ["qwen3-coder"]),
        (["qwen3-coder:latest", "GPT-OSS:20B"], []),
        (["qwen3-coder:30b", "gpt-oss:120b"], ["gpt-oss:20b", "qwen3-coder"]),
        (["team/qwen3-coder:latest", "gpt-oss:20b"], ["qwen3-coder"]),
        (["not a name", "gpt-oss:20b", "qwen3-coder:latest"], []),
    ],
)
def test_missing_models(there: list[str], missing: list[str]) -> None:
    snapshot = replace(equipped(), models=tuple(Model(name, "", 1) for name in there))
    found = ollama.missing(snapshot, settings())
    assert [wish.id for wish in found] == missing
    assert ollama.size_of(found) == sum(wish.size or 0 for wish in found)


def script_of(tmp_path: Path, kind: str, *, server: str | None = "0.31.0") -> str:
    prefix = tmp_path / "brew"
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    brew = prefix / "bin" / "brew"
    brew.write_text('#!/bin/sh\necho "brew $@" >> "$HOME/calls"\n')
    brew.chmod(0o755)
    snapshot = equipped() if kind == "formula" else with_app()
    snapshot = replace(snapshot, brew=str(prefix), ollama_server=server)
    (step,) = ollama.plan(snapshot, settings()).steps
    return step.script


# A Mac whose old server has the pid 700, which a start exchanges for 800.
COMMANDS = {
    "curl": '[ -e "$HOME/silent" ] && exit 7; printf \'{"version":"%s"}\' "$VERSION"',
    "sleep": ":",
    "pkill": 'echo "pkill $@" >> "$HOME/calls"; touch "$HOME/silent"',
    "pgrep": "exit 1",
    "launchctl": """printf 'x = {\\n\\tpid = 800\\n\\tenvironment = {\\n'
printf '\\t\\tOLLAMA_CONTEXT_LENGTH => %s\\n\\t}\\n}\\n' "${CONTEXT:-32768}" """,
    "lsof": """[ -e "$HOME/silent" ] && exit 1
case $(cat "$HOME/calls" 2>/dev/null) in *brew*|*open*) echo ${PID:-800};; *) echo 700;; esac""",
    "ps": """case $* in
*eww*) echo "${PROGRAM:-/Applications/Ollama.app/Contents/Resources/ollama} serve";;
*ppid*) echo 1;;
*) echo "${PROGRAM:-/Applications/Ollama.app/Contents/Resources/ollama} serve";; esac""",
    "open": 'echo "open $@" >> "$HOME/calls"; rm -f "$HOME/silent"',
    "xattr": "exit 1",
    "readlink": "exit 1",
    "sudo": "exit 1",
    # Time passes by half a minute at each look.
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); n=$((n+30)); echo $n > "$HOME/clock"; '
    "echo $n",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("formula", ["brew services restart ollama"]),
        ("cask", ["pkill -x -U {uid} Ollama", "open -j -a {home}/Applications/Ollama.app"]),
    ],
)
def test_a_restart_waits_for_the_installed_version(
    shell: tuple[str, ...], tmp_path: Path, kind: str, calls: list[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = script_of(tmp_path, kind)
    run(shell, script, home, commands=COMMANDS, check=True, VERSION="0.32.3")
    wanted = [call.format(home=home, uid=os.getuid()) for call in calls]
    assert (home / "calls").read_text().splitlines() == wanted


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", ["0.31.0", "0.32.30", "0.32", ""])
def test_another_version_is_not_taken_for_it(
    shell: tuple[str, ...], tmp_path: Path, version: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = script_of(tmp_path, "formula")
    done = run(shell, script, home, commands=COMMANDS, VERSION=version)
    assert done.returncode == 1
    assert f'answers {{"version":"{version}"}}' in done.stderr
    assert "0.32.3" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("kind", "seen", "words"),
    [
        ("formula", {"PID": "700"}, "from pid 700, which was there before"),
        ("formula", {"PID": "900", "PROGRAM": "/tmp/ollama"}, "from pid 900: /tmp/ollama serve"),
        ("formula", {"CONTEXT": "4096"}, "runs without OLLAMA_CONTEXT_LENGTH"),
        ("formula", {"CONTEXT": "4096"}, "Homebrew reads that file from version 6 on"),
        ("cask", {"PROGRAM": "/tmp/ollama"}, "from pid 800: /tmp/ollama serve"),
    ],
)
def test_only_the_owners_new_server_is_good_enough(
    shell: tuple[str, ...], tmp_path: Path, kind: str, seen: dict[str, str], words: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    commands = dict(COMMANDS)
    for name, value in seen.items():
        for command in ("lsof", "ps", "launchctl"):
            commands[command] = f"{name}={value}\n{commands[command]}"
    done = run(shell, script_of(tmp_path, kind), home, commands=commands, VERSION="0.32.3")
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", ["formula", "cask"])
def test_nothing_is_started_beside_a_server_that_came_meanwhile(
    shell: tuple[str, ...], tmp_path: Path, kind: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script_of(tmp_path, "formula")
    snapshot = replace(equipped() if kind == "formula" else with_app(), **STOPPED)
    (step,) = ollama.plan(replace(snapshot, brew=str(tmp_path / "brew")), settings()).steps
    done = run(shell, step.script, home, commands=COMMANDS, VERSION="0.32.3")
    assert done.returncode == 1
    assert "port 11434 is taken by pid 700" in done.stderr
    assert not (home / "calls").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_start_after_an_install_takes_any_version(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script_of(tmp_path, "formula")
    _, step = ollama.plan(replace(bare(), brew=str(tmp_path / "brew")), settings()).steps
    (home / "silent").touch()
    brew = tmp_path / "brew" / "bin" / "brew"
    brew.write_text(brew.read_text() + 'rm -f "$HOME/silent"\n')
    run(shell, step.script, home, commands=COMMANDS, check=True, VERSION="0.99.9")
    assert (home / "calls").read_text() == "brew services start ollama\n"
