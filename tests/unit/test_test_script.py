"""script/test: what its exit code says. The tests that it runs are played by a shell script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "script"
PYTEST = """#!/bin/sh
for word in "$@"; do
  if [ "$word" = "$BAD" ]; then
    echo "FAILED $BAD::test_it - AssertionError"
    echo "== 1 failed, 2 passed in 1.00s =="
    exit 1
  fi
done
echo "== 3 passed in 1.00s =="
"""


def script_test(folder: Path, bad: str = "", check: str = "exit 0") -> tuple[int, str]:
    """Exit code and output of a copy of it whose pytest fails for the path `bad`."""
    (folder / "script").mkdir()
    for name in ("test", "lib.sh"):
        shutil.copy(SCRIPTS / name, folder / "script" / name)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    for path, text in (
        (folder / "script/setup", "#!/bin/sh\n"),
        (folder / "script/check", f"#!/bin/sh\n{check}\n"),
        (python, PYTEST),
    ):
        path.write_text(text)
        path.chmod(0o755)
    done = subprocess.run(
        [folder / "script/test"],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "BAD": bad},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not list(folder.glob("tmp.*")), "its logs stay"
    return done.returncode, done.stdout


def test_all_is_well(tmp_path: Path) -> None:
    code, said = script_test(tmp_path)
    assert said.count("3 passed") == 8, "each part, when it ends and at the end"
    assert said.endswith("== What failed\nno test\n")
    assert code == 0


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ("tests/unit", "unit"),
        ("tests/e2e/test_deploy.py", "stories"),
        ("tests/e2e/test_proxies.py", "gateway"),
        ("tests/lab", "lab"),
    ],
)
def test_one_part_fails(tmp_path: Path, bad: str, part: str) -> None:
    code, said = script_test(tmp_path, bad)
    assert f"\n{part}:FAILED {bad}::test_it - AssertionError\n" in said
    assert said.endswith(f"test: failed: {part}\n")
    assert code == 1


def test_the_check_fails(tmp_path: Path) -> None:
    code, said = script_test(tmp_path, check="exit 1")
    assert said.endswith("test: failed: check\n")
    assert code == 1
