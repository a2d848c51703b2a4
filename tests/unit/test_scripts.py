"""Every script that goes to a Mac: it parses, and uses nothing that a Mac has not."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import commit, environment, gateway, homebrew, ollama, openclaw
from clawfleet.gateway import Decision
from clawfleet.plan import FileChange, Step
from clawfleet.snapshot import Listener
from tests.unit.factory import (
    HOME,
    NEW,
    OLD,
    REPO,
    TOKEN,
    bare,
    equipped,
    file,
    healthy,
    settings,
)
from tests.unit.shells import SHELLS, run

FILES = sorted((REPO / "clawfleet").rglob("*.sh"))
HOSTILE = "a'b\"c $(touch pwned) `x` \\"


def validator(version: str, **wished: Any) -> str:
    return openclaw.validation(healthy(version), settings(**wished)) or ""


def steps() -> list[tuple[str, str]]:
    app = replace(
        equipped(),
        ollama_formula=None,
        ollama_app="/Applications/Ollama.app",
        ollama_app_version="0.31.0",
        ollama_port=Listener(11434),
        ollama_server=None,
    )
    found: list[Step] = [
        *homebrew.plan(bare(), settings()),
        *homebrew.plan(bare(), settings(homebrew_mirror="tuna")),
        *ollama.plan(bare(), settings()).steps,
        *ollama.plan(app, settings()).steps,
        *ollama.plan(replace(equipped(), ollama_server="0"), settings()).steps,
        *openclaw.plan(bare(), settings()),
        *openclaw.plan(bare(), settings(openclaw_install="pnpm")),
        *environment.plan(replace(healthy(), gui_environment={"no_proxy": "x"}), settings()).steps,
    ]
    for version in (OLD, NEW):
        for action in ("install", "reinstall", "restart", "remove"):
            decision = Decision(action, ("because",))
            wished = settings(reset_sessions=True)
            found.append(gateway.step(healthy(version), wished, 18789, decision, run="r"))
    named = [(step.title, step.script) for step in found]
    change = FileChange(file(f"{HOME}/{HOSTILE}/openclaw.json"), b"x", reasons=())
    named += [
        (
            "commit",
            commit.script([change], run="r", validate=validator(OLD), restart_reasons=["x"]),
        ),
        ("restore", commit.restore("r")),
        ("start again", gateway.start_again(18789, "r")),
    ]
    return named + [(path.name, path.read_text(encoding="utf-8")) for path in FILES]


def parses(shell: tuple[str, ...], script: str) -> str:
    found = shutil.which(shell[0])
    if found is None:
        pytest.skip(f"{shell[0]} is not on this machine")
    words = [found, *shell[1:], "-n", "-s"]
    done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_script_parses(shell: tuple[str, ...]) -> None:
    assert len(FILES) > 6
    for name, script in steps():
        assert parses(shell, script) == "", name


NOT_ON_A_MAC = {
    r"\[\[": "[[ is no sh",
    r"<<<": "<<< is no sh",
    r"(^|[;&({]\s*)function ": "function is no sh",
    r"(^|[;&|({]\s*)local ": "local is not POSIX",
    r"\becho -[en]": "echo -e and -n differ",
    r"\bgrep (-\w*P|--)": "no grep -P, no long options",
    r"\bsed (-\w+ )*-i": "sed -i differs",
    r"\bdate (-d|--|.*%N)": "no date -d",
    r"\bstat -c": "stat -f on a Mac",
    r"\breadlink -[em]": "only readlink -f",
    r"(^|[;&|({]\s*)(sha256sum|timeout|setsid|flock|pidof|nproc|tac|realpath|jq|python3?) ": (
        "not on a Mac"
    ),
    r"\bxargs -r": "xargs -r is new",
    r"\bbase64 -w": "base64 -w is GNU's",
    r"\bps .*--": "BSD ps",
    r"\bhead -n -": "no negative head",
    r"\bmktemp( -d)?(\)|$)": "mktemp wants a template",
    r"\bcp -a|\bmv -T|\bln -T": "GNU's",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_used_that_a_mac_has_not(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code = re.sub(r"(^|\s)#.*", "", line)
        for pattern, why in NOT_ON_A_MAC.items():
            assert not re.search(pattern, code), f"{path.name}:{number}: {why}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_script_says_what_it_does_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 400


def test_no_secret_stands_in_a_script_in_clear() -> None:
    for name, script in steps():
        assert TOKEN not in script, name


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("version", "words"), [(OLD, "config get"), (NEW, "config validate")])
def test_openclaws_own_check(
    shell: tuple[str, ...], tmp_path: Path, version: str, words: str
) -> None:
    home = tmp_path / HOSTILE.replace("/", "_")
    home.mkdir()
    target = home / ".openclaw" / "openclaw.json"
    checks = f"""case "$*" in "{words}"*) ;; *) echo "called with $*"; exit 2;; esac
[ -z "${{http_proxy:-}}" ] || exit 3
grep -q good "$OPENCLAW_CONFIG_PATH" || {{ echo "Unrecognized key: fooBar"; exit 1; }}"""
    commands = {"openclaw": checks}
    for content, code in ((b"bad", commit.REFUSED_BY_OPENCLAW), (b"good", 0)):
        change = FileChange(file(str(target)), content)
        script = commit.script([change], run="r", validate=validator(version))
        done = run(shell, script, home, commands=commands, http_proxy="x")
        assert done.returncode == code, done.stderr
        assert ("Unrecognized key: fooBar" in done.stderr) is (code != 0)
        assert target.exists() is (code == 0)
    assert not (home / "pwned").exists()
