from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import homebrew
from clawfleet.plan import Trouble
from clawfleet.settings import MIRROR_VARIABLES
from tests.unit.factory import BREW, bare, equipped, file, settings, trouble_is_useful
from tests.unit.shells import SHELLS, run


def test_nothing_to_do_where_it_is() -> None:
    assert homebrew.plan(equipped(), settings()) == []
    assert homebrew.files(equipped(), settings()) == []


def test_it_is_installed_without_questions() -> None:
    (step,) = homebrew.plan(bare(), settings())
    assert "NONINTERACTIVE=1" in step.script
    assert homebrew.INSTALLER in step.script
    assert "no bin/brew in /opt/homebrew" in step.reason


def test_without_sudo_it_cannot_be_installed() -> None:
    with pytest.raises(Trouble) as caught:
        homebrew.plan(replace(bare(), sudo_free=False), settings())
    trouble_is_useful(caught.value, "sudo -n true", homebrew.INSTALLER)


@pytest.mark.parametrize(
    ("changes", "in_script", "in_fix"),
    [
        ({"homebrew_mirror": "ustc"}, "misc/brew-install.sh", "curl -fsSL https://mirrors.ustc"),
        ({"homebrew_mirror": "tuna"}, "git clone -q --depth=1", "git clone --depth=1 https://"),
        (
            {"homebrew_mirror": {"HOMEBREW_API_DOMAIN": "https://x/api"}},
            homebrew.INSTALLER,
            homebrew.INSTALLER,
        ),
        (
            {"homebrew_mirror": "tuna", "homebrew_installer": "https://x/i.sh"},
            "https://x/i.sh",
            "curl -fsSL https://x/i.sh",
        ),
    ],
)
def test_the_installer_comes_from_the_mirror(
    changes: dict[str, Any], in_script: str, in_fix: str
) -> None:
    wished = settings(**changes)
    (step,) = homebrew.plan(bare(), wished)
    assert in_script in step.script
    for name, value in homebrew.mirror(wished).items():
        assert f"{name}={value}" in step.script
    with pytest.raises(Trouble) as caught:
        homebrew.plan(replace(bare(), sudo_free=False), wished)
    trouble_is_useful(caught.value, in_fix)


@pytest.mark.parametrize("name", sorted(homebrew.MIRRORS))
def test_a_preset_sets_all_that_matters(name: str) -> None:
    preset = homebrew.mirror(settings(homebrew_mirror=name))
    assert set(preset) <= set(MIRROR_VARIABLES)
    for part in ("API_DOMAIN", "BOTTLE_DOMAIN", "BREW_GIT_REMOTE", "CORE_GIT_REMOTE"):
        assert preset[f"HOMEBREW_{part}"].startswith("https://")


@pytest.mark.parametrize(
    ("arch", "brew", "wish", "expected"),
    [
        ("arm64", None, None, "/opt/homebrew"),
        ("x86_64", None, None, "/usr/local"),
        ("arm64", "/usr/local", None, "/usr/local"),
        ("arm64", None, "/Users/mac/brew", "/Users/mac/brew"),
    ],
)
def test_the_prefix(arch: str, brew: str | None, wish: str | None, expected: str) -> None:
    snapshot = replace(bare(), arch=arch, brew=brew)
    assert homebrew.prefix(snapshot, settings(homebrew_prefix=wish)) == expected


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("", {"A": "1"}, "A=1\n"),
        ("A=1\n", {"A": "1"}, "A=1\n"),
        ("A=0\n", {"A": "1"}, "A=1\n"),
        ("# A=0\nB=2\n", {"A": "1"}, "# A=0\nB=2\nA=1\n"),
        ("B=2", {"A": "1"}, "B=2\nA=1\n"),
        ("A=0\nB=2\nA=3\n", {"A": "1"}, "A=1\nB=2\n"),
        ("A=0\nB=2\n", {"A": None}, "B=2\n"),
        ("AB=0\n", {"A": "1"}, "AB=0\nA=1\n"),
        ("B=a=b\n", {"A": "x=y z"}, "B=a=b\nA=x=y z\n"),
        ("B=2\r\nA=0\r\n", {"A": "1"}, "B=2\r\nA=1\n"),
        ("B=2", {}, "B=2"),
        ("A=1", {"A": "1"}, "A=1"),
        ("A = 0\n", {"A": "1"}, "A=1\n"),
    ],
)
def test_lines_are_set_and_others_kept(
    before: str, wanted: dict[str, str | None], after: str
) -> None:
    assert homebrew.set_lines(before, wanted) == after
    assert homebrew.set_lines(after, wanted) == after


def test_the_mirror_is_written_down_for_later_calls() -> None:
    wished = settings(homebrew_mirror="ustc")
    (change,) = homebrew.files(equipped(), wished)
    assert change.path == f"{BREW}/etc/homebrew/brew.env"
    assert change.mode == "644"
    lines = change.after.decode().splitlines()
    assert "HOMEBREW_API_DOMAIN=https://mirrors.ustc.edu.cn/homebrew-bottles/api" in lines
    assert not any("'" in line or "export" in line for line in lines)
    again = replace(equipped(), brew_env=file(change.path, change.after, mode="644"))
    assert homebrew.files(again, wished) == []
    assert homebrew.files(bare(), wished) == []


def test_a_users_own_lines_in_it_stay() -> None:
    own = "# mine\nHOMEBREW_NO_ANALYTICS=1\nHOMEBREW_API_DOMAIN=https://old\n"
    path = f"{BREW}/etc/homebrew/brew.env"
    snapshot = replace(equipped(), brew_env=file(path, own, mode="640"))
    (change,) = homebrew.files(snapshot, settings(homebrew_mirror="tuna"))
    assert change.mode == "640"
    text = change.after.decode()
    assert text.startswith("# mine\nHOMEBREW_NO_ANALYTICS=1\nHOMEBREW_API_DOMAIN=https://mirrors.")


INSTALLER = """mkdir -p "$PREFIX_FOR_TEST/bin"
printf '#!/bin/sh\\n' > "$PREFIX_FOR_TEST/bin/brew"; chmod 755 "$PREFIX_FOR_TEST/bin/brew"
env > "$HOME/environment"
"""
CURL = 'for a; do case $p in -o) printf %s "$INSTALLER" > "$a";; esac; p=$a; done'


@pytest.mark.parametrize("shell", SHELLS)
def test_the_installers_script_runs(shell: tuple[str, ...], tmp_path: Path) -> None:
    home, prefix = tmp_path / "home", tmp_path / "brew"
    home.mkdir()
    wished = settings(homebrew_mirror="ustc", homebrew_prefix=str(prefix))
    (step,) = homebrew.plan(bare(), wished)
    run(
        shell,
        step.script,
        home,
        commands={"curl": CURL},
        check=True,
        INSTALLER=INSTALLER,
        PREFIX_FOR_TEST=str(prefix),
    )
    seen = (home / "environment").read_text().splitlines()
    assert "NONINTERACTIVE=1" in seen
    assert "HOMEBREW_BOTTLE_DOMAIN=https://mirrors.ustc.edu.cn/homebrew-bottles" in seen
    assert [p for p in os.listdir(tmp_path) if p.startswith("clawfleet.")] == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("curl", "installer", "said"),
    [
        ("exit 22", "", "the installer can't be fetched from https://x/$(touch pwned)'\"`.sh"),
        (CURL, "exit 3", ""),
        (CURL, "exit 0", "the installer left no"),
    ],
)
def test_an_installer_that_fails_is_told(
    shell: tuple[str, ...], tmp_path: Path, curl: str, installer: str, said: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    hostile = "https://x/$(touch pwned)'\"`.sh"
    wished = settings(homebrew_prefix=str(tmp_path / "brew"), homebrew_installer=hostile)
    (step,) = homebrew.plan(bare(), wished)
    done = run(shell, step.script, home, commands={"curl": curl}, INSTALLER=installer)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (home / "pwned").exists()
    assert [p for p in os.listdir(tmp_path) if p.startswith("clawfleet.")] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_an_install_brings_metadata_up_to_date_first(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    prefix = tmp_path / "brew"
    (prefix / "bin").mkdir(parents=True)
    brew = prefix / "bin" / "brew"
    brew.write_text('#!/bin/sh\necho "$@" >> "$HOME/calls"; case $1 in install) exit 7;; esac\n')
    brew.chmod(0o755)
    snapshot = replace(bare(), brew=str(prefix))
    step = homebrew.install(snapshot, settings(), "ollama", kind="formula", reason="none there")
    done = run(shell, step.script, home)
    assert done.returncode == 7
    assert (home / "calls").read_text() == "update-if-needed\ninstall --formula ollama\n"
    assert step.fix == f"on the Mac: {prefix}/bin/brew install --formula ollama"
