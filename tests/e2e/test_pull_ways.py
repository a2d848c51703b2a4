"""What a pull shows in a terminal, and the way that it takes through a proxy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.deploys import REPO, pyinfra
from tests.e2e.registry import GPT, control, fetched, models, size, wish
from tests.lab.lab import Lab
from tests.lab.openclaw import use_small
from tests.unit.screen import Screen

pytestmark = pytest.mark.lab

WIDTH = 100


# In a process of its own: pyinfra has gevent patch the tests' process, where reading a
# pseudo-terminal to its end hangs.
SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def in_a_terminal(lab: Lab, *arguments: str, reports: Path) -> str:
    """All that a run of tasks/models.py writes to a terminal of WIDTH columns."""
    sized = ["sh", "-c", f'stty cols {WIDTH} rows 40; exec "$@"', "sh"]
    argv = [sys.executable, "-m", "pyinfra", "inventory.py", "tasks/models.py", *arguments]
    done = lab.run(
        [sys.executable, "-c", SPAWN, *sized, *argv, *wish(GPT), "--data", f"reports={reports}"],
        cwd=REPO,
        env={**os.environ, "CLAWFLEET_HOSTS": str(lab.inventory()), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    written: str = done.stdout.decode(errors="replace")
    assert done.returncode == 0, written
    return written


def test_one_line_per_mac_is_replaced_in_place(lab: Lab, reports: Path) -> None:
    control(lab, kbps=1500)
    written = in_a_terminal(lab, "-y", reports=reports)
    screen, seen = Screen(WIDTH), set()
    most = 0
    for part in re.split(r"(?<=\n)", written):
        screen.feed(part)
        lines = [line for line in screen.text() if re.search(r"\d % of 4\.\d MB, ", line)]
        most = max(most, len(lines))
        seen.update(lines)
    # Both Macs at once, each in one line, with many values one after the other.
    assert most == 2
    assert len(seen) > 6
    assert all(re.fullmatch(rf"    \[mac\d\] {GPT}: .* MB/s(, \d+ s left)?", line) for line in seen)
    # Nothing of it is left in the end, and what was logged stands there whole.
    text = "\n".join(screen.text())
    assert " % of " not in text
    for mac in ("mac1", "mac2"):
        assert re.search(rf"^    \[{mac}\] {GPT}: 4\.\d MB are there after \d+ s$", text, re.M)
    assert "Operations" in text or "Grand total" in text


@pytest.fixture
def proxy(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """Address of a second internet of the lab, which answers what a proxy is asked for."""
    host = urlsplit(lab.internet).hostname
    argv = [sys.executable, "-m", "tests.lab.internet", "--host", str(host), "--dir", str(tmp_path)]
    with subprocess.Popen(
        [*lab.network(), *argv],
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


def test_pulls_go_through_the_proxy_and_the_gateway_does_not_see_it(
    lab: Lab, reports: Path, proxy: str
) -> None:
    mac = lab.macs["mac1"]
    use_small(mac)
    control(lab, reset=True)
    wished = (
        *wish(GPT),
        *("--data", "openclaw_version=2026.2.17", "--data", "gateway_settle=1"),
        *("--limit", "mac1"),
    )
    done = pyinfra(lab, "-y", *wished, "--data", f"pull_proxy={proxy}", reports=reports)
    assert done.code == 0, done.log
    assert GPT in models(mac)
    stats = json.loads(
        lab.run(
            ["curl", "-sS", "--noproxy", "*", f"{proxy}/__stats"], check=True, capture_output=True
        ).stdout
    )
    through = sum(x["bytes"] for path, x in stats["paths"].items() if "/blobs/" in path)
    assert through == size(lab)
    assert fetched(lab) == 0
    environment = mac.read(f"{mac.spec.home}/.homebrew/services/ollama.env").decode()
    assert f"HTTPS_PROXY={proxy}\n" in environment
    listed = ["launchctl", "print", f"gui/{mac.spec.uid}/ai.openclaw.gateway"]
    job = mac.exec(listed, check=True).stdout.decode()
    pid = re.search(r"^\tpid = (\d+)$", job, re.M)
    assert pid
    running = mac.exec(["ps", "eww", "-o", "command=", "-p", pid[1]], check=True).stdout.decode()
    assert "HOME=" in running
    assert proxy not in job + running
    assert "_proxy" not in (job + running).lower()
    again = pyinfra(lab, "-y", "--json", *wished, "--data", f"pull_proxy={proxy}", reports=reports)
    assert again.changed() == []
    # Taken out of the settings, it is taken out there.
    done = pyinfra(lab, "-y", *wished, task="tasks/ollama.py", reports=reports)
    assert done.code == 0, done.log
    environment = mac.read(f"{mac.spec.home}/.homebrew/services/ollama.env").decode()
    assert "PROXY" not in environment
