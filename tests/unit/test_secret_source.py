"""Where keys are read from on the control machine: once, bounded, and with nothing shown."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawfleet import secret_source
from clawfleet.credentials import Secret, checked
from clawfleet.key_sources import KeySource
from clawfleet.plan import Trouble
from tests.unit.factory import REPO, trouble_is_useful

KEY = "5ecret-key-0f1e2d3c"


@pytest.fixture(autouse=True)
def _a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_source, "_READ", {})


def resolve(**source: Any) -> str:
    return secret_source.resolve({"zai": KeySource(**source)}, salt="x")["zai"].reveal()


def refused(**source: Any) -> Trouble:
    with pytest.raises(Trouble) as caught:
        resolve(**source)
    trouble_is_useful(caught.value)
    text = "\n".join(caught.value.lines()) + "".join(traceback.format_exception(caught.value))
    assert "5ecret" not in text
    assert "for zai's key" in caught.value.found
    return caught.value


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    assert resolve(env="MY_KEY") == KEY
    monkeypatch.delenv("MY_KEY")
    assert resolve(env="MY_KEY") == KEY, "read once"
    assert "MY_OTHER, for zai's key, is not set" in refused(env="MY_OTHER").found


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "zai.key"
    path.touch(0o600)
    path.write_text(f"{KEY}\n")
    return path


def test_file(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(file=str(key_file)) == KEY
    monkeypatch.setenv("HOME", str(key_file.parent))
    assert resolve(file="~/zai.key") == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620, 0o602])
def test_a_file_that_others_may_touch(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    trouble = refused(file=str(key_file))
    assert f"has mode {mode:o}" in trouble.found
    assert trouble.fix == f"chmod 600 {key_file}"


def test_a_file_of_somebody_else(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.getuid()
    # Root's own may be anybody's source, so the owner is made up.
    real = os.fstat

    def fstat(number: int) -> os.stat_result:
        found = list(real(number))
        found[4] = uid + 4711
        return os.stat_result(found)

    monkeypatch.setattr(secret_source.os, "fstat", fstat)
    assert f"belongs to user {uid + 4711}" in refused(file=str(key_file)).found


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "No such file" in refused(file=str(tmp_path / "none")).found
    assert "is not a regular file" in refused(file=str(tmp_path)).found
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a regular file" in refused(file=str(tmp_path / "pipe")).found


def test_a_file_inside_the_project() -> None:
    trouble = refused(file=str(REPO / "secrets" / "zai.key"))
    assert "lies inside this project" in trouble.found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is empty"),
        ("\n", "it is empty"),
        (f"{KEY}\n\n", "more than one line"),
        (f"{KEY}\n{KEY}\n", "more than one line"),
        (f"{KEY}\rx", "more than one line"),
        (f" {KEY}", "a blank"),
        ("5ecret was not found", "a blank"),
        (f"{KEY}'", "a quote"),
        (f"{KEY}\\", "a backslash"),
        (f"{KEY}é", "beyond ASCII"),
        (f"{KEY}\x00", "beyond ASCII"),
        ("5" * 4097, "longer than 4096"),
        ("5" * 70000, "longer than 4096"),
    ],
    ids=range(13),
)
def test_what_is_no_key(key_file: Path, content: str, why: str) -> None:
    key_file.write_bytes(content.encode())
    assert why in refused(file=str(key_file)).found


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_line_end_goes(key_file: Path, end: str) -> None:
    key_file.write_bytes(f"{KEY}{end}".encode())
    assert resolve(file=str(key_file)) == KEY


def test_command_without_a_shell() -> None:
    code = "import sys; print(sys.argv[1])"
    assert resolve(command=(*python(code), f"{KEY}$(x)")) == f"{KEY}$(x)"


def test_a_command_that_fails_shows_its_reason_and_no_secret(tmp_path: Path) -> None:
    code = (
        f"import sys; print('{KEY}'); "
        f"print('session token=5ecret-2 of {KEY}: locked', file=sys.stderr); sys.exit(3)"
    )
    (script := tmp_path / "op").write_text(code)
    trouble = refused(command=(sys.executable, str(script)))
    assert "failed with exit code 3" in trouble.found
    assert "locked" in trouble.found
    assert "‹secret" in trouble.found


def test_a_command_that_is_not_there() -> None:
    assert "can't be run: No such file" in refused(command=("/nowhere/op", "read")).found


def test_a_command_that_hangs_with_a_child_that_holds_its_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleep = shutil.which("sleep")
    assert sleep
    monkeypatch.setattr(secret_source, "COMMAND_TIMEOUT", 0.2)
    trouble = refused(command=("sh", "-c", f"{sleep} 20 & {sleep} 20"))
    assert "did not end within 0.2 s" in trouble.found


def test_a_command_is_run_once_for_all_macs(tmp_path: Path) -> None:
    count = tmp_path / "count"
    code = f"import time; open({str(count)!r}, 'a').write('x'); time.sleep(0.2); print('{KEY}')"
    (script := tmp_path / "op").write_text(code)
    source = (sys.executable, str(script))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve(command=source))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [KEY] * 8
    assert count.read_text() == "x"


def test_trouble_is_found_once_and_told_to_each_mac(tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = tmp_path / "op"
    script.write_text(f"open({str(count)!r}, 'a').write('x'); raise SystemExit(1)")
    first, second = (refused(command=(sys.executable, str(script))) for _ in range(2))
    assert first.lines() == second.lines()
    assert first is not second
    assert count.read_text() == "x"


def _shown(secret: Secret) -> Iterator[str]:
    yield repr(secret)
    yield str(secret)
    yield f"{secret} {[secret]}"
    try:
        assert secret == "x"
    except AssertionError as error:
        yield str(error)


def test_a_secret_does_not_show_itself() -> None:
    secret = checked(KEY)
    assert not any("5ecret" in text for text in _shown(secret))
    assert secret == checked(KEY)
    assert secret != checked("another")
    assert secret != KEY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
