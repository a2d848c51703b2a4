from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet import dotenv
from tests.lab import openclaw
from tests.unit.shells import SHELLS, run

KEY = '5ecret#key$HOME`id`"x=y'
LINE = f"ZAI_API_KEY='{KEY}' # clawfleet"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{LINE}\n"),
        ("A=1\n", f"A=1\n{LINE}\n"),
        ("A=1", f"A=1\n{LINE}\n"),
        ("A=1\r\n", f"A=1\r\n{LINE}\r\n"),
        ("ZAI_API_KEY=old\nB=2\n", f"{LINE}\nB=2\n"),
        ("A=1\n  export ZAI_API_KEY='old'\nB=2", f"A=1\n  export {LINE}\nB=2"),
        ("ZAI_API_KEY=old # mine\r\nB=2\r\n", f"{LINE} # mine\r\nB=2\r\n"),
        ("ZAI_API_KEY='old' # clawfleet\n", f"{LINE}\n"),
        ("ZAI_API_KEY='old' # clawfleet # mine\n", f"{LINE} # mine\n"),
        ("ZAI_API_KEY: old\n", f"{LINE}\n"),
        ("ZAI_API_KEY=1\nZAI_API_KEY=2\n", f"ZAI_API_KEY=1\n{LINE}\n"),
        ("ZAI_API_KEY=\nB=2\n", f"{LINE}\nB=2\n"),
        ("# ZAI_API_KEY=old\n", f"# ZAI_API_KEY=old\n{LINE}\n"),
        ("MY_ZAI_API_KEY=old\n", f"MY_ZAI_API_KEY=old\n{LINE}\n"),
        ('P="x\nZAI_API_KEY=inside\n"\n', f'P="x\nZAI_API_KEY=inside\n"\n{LINE}\n'),
        ("\ufeffZAI_API_KEY=old\n", f"\ufeff{LINE}\n"),
    ],
)
def test_a_value_is_put(before: str, after: str) -> None:
    assert dotenv.put(before, "ZAI_API_KEY", KEY) == after
    assert dotenv.put(after, "ZAI_API_KEY", KEY) == after
    assert dotenv.values(after)["ZAI_API_KEY"] == KEY
    assert dotenv.ours(after) == {"ZAI_API_KEY"}


def test_the_users_own_line_with_the_value_stays() -> None:
    text = 'export ZAI_API_KEY="5ecret-key"\n'
    assert dotenv.put(text, "ZAI_API_KEY", "5ecret-key") == text
    assert dotenv.ours(text) == set()


@pytest.mark.parametrize(
    "before",
    ["", "A=1\n", "ZAI_API_KEY=old # mine\nB=2\n", "\ufeffexport ZAI_API_KEY='old'\r\n", "\tA=1\n"],
)
def test_what_was_put_is_withdrawn(before: str) -> None:
    put = dotenv.put(before, "ZAI_API_KEY", KEY)
    assert put != before
    assert dotenv.withdraw(put, "ZAI_API_KEY", before) == before


def test_only_our_lines_are_withdrawn() -> None:
    text = "ZAI_API_KEY=theirs\nOPENAI_API_KEY='x' # clawfleet\n"
    assert dotenv.withdraw(text, "ZAI_API_KEY", "") == text
    assert dotenv.withdraw(text, "OPENAI_API_KEY", "") == "ZAI_API_KEY=theirs\n"


def test_a_variable_is_taken_out() -> None:
    text = "export A='1'\nexport ZAI_API_KEY='old'\nexport B='2'\n"
    assert dotenv.without(text, "ZAI_API_KEY") == "export A='1'\nexport B='2'\n"


keys = st.text(st.sampled_from([chr(n) for n in range(33, 127) if chr(n) not in "'\\"]), min_size=1)
others = st.lists(
    st.sampled_from(["A=1", "export B='x y'", '# c "', "", "ZAI_API_KEY=old", "C=`z`", "D= # e"])
)


@given(keys, others, st.sampled_from(["\n", "\r\n"]))
def test_every_other_line_stays(key: str, lines: list[str], end: str) -> None:
    before = "".join(line + end for line in lines)
    after = dotenv.put(before, "ZAI_API_KEY", key)
    assert dotenv.values(after)["ZAI_API_KEY"] == key
    kept, left = after.split(end), before.split(end)
    changed = [i for i, (a, b) in enumerate(zip(kept, left, strict=False)) if a != b]
    assert len(changed) <= 1
    assert dotenv.put(after, "ZAI_API_KEY", key) == after


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("before", ["", "ZAI_API_KEY=old # mine\n", "A='b c'\n"])
def test_a_shell_reads_the_same(shell: tuple[str, ...], before: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").write_text(dotenv.put(before, "ZAI_API_KEY", KEY))
    script = 'set -a; . "$HOME/.env"; printf %s "$ZAI_API_KEY"'
    assert run(shell, script, home, check=True).stdout == KEY


def test_openclaws_own_reader_reads_the_same() -> None:
    version = next((v for v in openclaw.NODE_FOR if openclaw.is_cached(v)), None)
    if version is None:
        pytest.skip("no OpenClaw is cached; run: python -m tests.lab.openclaw install 2026.2.17")
    modules = openclaw.cache_dir() / "openclaw" / version / "node_modules"
    texts = [
        dotenv.put("A=1 # x\r\nB='y'\r\n", "ZAI_API_KEY", KEY),
        dotenv.put('ZAI_API_KEY=old # mine\nP="x\nZAI_API_KEY=inside\n"\n', "ZAI_API_KEY", KEY),
        dotenv.put("\ufeffZAI_API_KEY: old\nexport C=`z`#\n", "ZAI_API_KEY", KEY),
        "A = b # c\nB:  d\nE='f' g\nH=\nexport I=\"j'k\" #l\nM='n\\'o'\n",
    ]
    script = (
        f"const d = require({json.dumps(str(modules / 'dotenv'))});"
        f"console.log(JSON.stringify({json.dumps(texts)}.map((t) => d.parse(t))))"
    )
    node = openclaw.node_path(openclaw.NODE_FOR[version])
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    assert [dotenv.values(text) for text in texts] == json.loads(done.stdout)
