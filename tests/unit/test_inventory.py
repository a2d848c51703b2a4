"""The command line before any Mac is touched, in a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from clawfleet import inventory
from tests.unit.factory import REPO

ONE = "all: {hosts: {mini-1: {ansible_host: 127.0.0.1, ansible_port: 1}}}"
PARTS = ("clawfleet", "tasks", "templates", "group_data")
FILES = ("inventory.py", "deploy.py", "config.py", "hosts.example.yml")


@pytest.fixture(autouse=True)
def _no_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAWFLEET_HOSTS", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        shutil.copytree(REPO / part, tmp_path / part, ignore=ignore)
    for name in FILES:
        shutil.copy(REPO / name, tmp_path / name)
    return tmp_path


def pyinfra(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CLAWFLEET")}
    return subprocess.run(
        [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", *words],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac the Mac itself is the host")
def test_without_hosts_the_message_names_both_ways_on(project: Path) -> None:
    run = pyinfra(project, "--dry")
    assert run.returncode == 1
    for word in ("hosts.example.yml", "hosts.yml", "on a Mac", "./script/demo"):
        assert word in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_bad_settings_end_the_run_before_a_mac_is_touched(project: Path) -> None:
    (project / "hosts.yml").write_text(ONE)
    run = pyinfra(project, "--dry", "--data", "verfy=off")
    assert run.returncode == 1
    assert "--data: verfy is not a setting. Did you mean verify?" in run.stderr
    assert "Connect" not in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def load(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        inventory.load(folder)
    assert caught.value.code == 1
    return capsys.readouterr().err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "group_data").mkdir()
    shutil.copy(REPO / "group_data" / "all.py", tmp_path / "group_data" / "all.py")
    return tmp_path


def groups(folder: Path, text: str) -> dict[str, list[str]]:
    (folder / "hosts.yml").write_text(text)
    loaded: dict[str, list[Any]] = inventory.load(folder)
    return {group: [name for name, _ in members] for group, members in loaded.items()}


def test_groups_become_pyinfras(folder: Path) -> None:
    text = "all: {hosts: {a: }, children: {top-floor: {hosts: {b: {agent: x}}}}}"
    assert groups(folder, text) == {"top_floor": ["b"], "macs": ["a"]}
    assert inventory.load(folder)["top_floor"] == [("b", {"agent": "x"})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all: {hosts: {a: }, children: {macs: {hosts: {b: }}}}", {"macs": ["b", "a"]}),
        ("a-b: {hosts: {a: }}\na_b: {hosts: {a: , b: }}", {"a_b": ["a", "b"]}),
        ("_x: {hosts: {a: }}", {"x": ["a"]}),
        ("ungrouped: {hosts: {a: }}", {"macs": ["a"]}),
        ("all: {hosts: {a: }, children: {empty: }}", {"empty": [], "macs": ["a"]}),
    ],
)
def test_no_host_is_lost_where_names_of_groups_fall_together(
    folder: Path, text: str, expected: dict[str, list[str]]
) -> None:
    assert groups(folder, text) == expected


def test_a_local_connection(folder: Path) -> None:
    (folder / "hosts.yml").write_text("all: {hosts: {me: {ansible_connection: local}}}")
    assert inventory.load(folder) == {"macs": [("@local", {})]}


def test_a_mac_works_on_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert inventory.load(folder) == {"macs": [("@local", {})]}


def test_another_file_can_be_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder / "other.yml"
    monkeypatch.setenv("CLAWFLEET_HOSTS", str(other))
    assert f"CLAWFLEET_HOSTS names {other}, which is no file" in load(folder, capsys)
    other.write_text("all: {hosts: {a: }}")
    assert list(inventory.load(folder)) == ["macs"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (b"", "hosts.yml: no hosts in it"),
        (b"all: {hosts: {}}", "hosts.example.yml"),
        (b"all: {hosts: {\xff: }}", "hosts.yml can't be read"),
        (b"all: {hosts: {a: {gateway_port: x}}}", "hosts.yml, host a: gateway_port"),
    ],
)
def test_unusable_hosts(
    folder: Path, capsys: pytest.CaptureFixture[str], hosts: bytes, expected: str
) -> None:
    (folder / "hosts.yml").write_bytes(hosts)
    assert expected in load(folder, capsys)


def test_a_folder_in_the_place_of_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "hosts.yml").mkdir()
    assert "hosts.yml can't be read" in load(folder, capsys)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("all.py", 'agent = "a b"\n', "group_data/all.py: agent: 'a b'"),
        ("all.py", "verfy = 1\n", "group_data/all.py: verfy is not a setting"),
        ("office.py", 'fallbacks = ["zai/x"]\n', "group_data/office.py: fallbacks: nobody"),
        ("office.py", "models = []\n", "group_data/office.py: models: at least one"),
    ],
)
def test_the_message_names_the_file_of_the_group(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, expected: str
) -> None:
    with (folder / "group_data" / name).open("a") as file:
        file.write(content)
    (folder / "hosts.yml").write_text("office: {hosts: {a: }}")
    assert expected in load(folder, capsys)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("verfy=off", "--data: verfy is not a setting. Did you mean verify?"),
        ("verify=of", "--data: verify: Input should be 'off', 'quick' or 'full' (found 'of')."),
        ("primary=ollama/x", "--data: primary: nobody provides 'ollama/x'"),
        ("verify", "--data verify: expected KEY=VALUE"),
        ("sk-abcdefabcdef0123", "--data ‹hidden›: expected KEY=VALUE"),
        ('provider_keys={"zai": "x"}', "--data: provider_keys: zai: expected where the key comes"),
    ],
)
def test_the_command_lines_settings(
    folder: Path, capsys: pytest.CaptureFixture[str], argument: str, expected: str
) -> None:
    (folder / "hosts.yml").write_text(ONE)
    context = click.Context(click.Command("pyinfra"))
    context.params = {"data": (argument,)}
    with context:
        assert expected in load(folder, capsys)


@pytest.mark.parametrize("argument", ["verify=off", "fallbacks=[]", "reset_sessions=true"])
def test_good_settings_of_the_command_line_pass(folder: Path, argument: str) -> None:
    (folder / "hosts.yml").write_text(ONE)
    context = click.Context(click.Command("pyinfra"))
    context.params = {"data": (argument,)}
    with context:
        assert list(inventory.load(folder)) == ["macs"]


@pytest.mark.parametrize("wish", ["reset_sessions", "fix"])
@pytest.mark.parametrize("word", ["true", "'Yes'", "1"])
def test_what_is_meant_for_one_run_is_refused_in_a_file(
    folder: Path, wish: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "hosts.yml").write_text(f"all:\n  hosts:\n    mini-1:\n      {wish}: {word}\n")
    said = load(folder, capsys)
    assert f"hosts.yml, host mini-1: {wish}: true would do it again at every run" in said
    assert f"--data {wish}=true" in said
    (folder / "hosts.yml").write_text("shelf: {hosts: {mini-1: {}}}")
    (folder / "group_data").mkdir(exist_ok=True)
    (folder / "group_data" / "shelf.py").write_text(f"{wish} = True\n")
    assert f"group_data/shelf.py: {wish}: true would" in load(folder, capsys)


def test_sessions_that_can_not_fit_may_be_forgotten_at_every_run(folder: Path) -> None:
    text = "all:\n  hosts:\n    mini-1:\n      reset_sessions: when-needed\n"
    (folder / "hosts.yml").write_text(text)
    assert list(inventory.load(folder)) == ["macs"]
