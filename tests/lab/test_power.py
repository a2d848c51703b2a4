"""A power cut at a chosen command: SSH, script and gateway end at once, launchd goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import levels, plan, power
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import apply

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed"),
    pytest.mark.skipif(sys.platform == "darwin", reason="power cuts read /proc"),
]
SCRIPT = """{
set -u; set -C; umask 077
put() { echo "$1" > "$HOME/$1"; }
trap 'echo bye' EXIT
put one
echo "$PATH $SHELL" | cat
sleep 300 >/dev/null 2>&1 & echo $! > "$HOME/sleeper"
cat > "$HOME/two" <<END
secret
END
put three
}
"""
POINTS = [
    "main:2 set -u",
    "main:2 set -C",
    "main:2 umask 077",
    "main:4 trap 'echo bye' EXIT",
    "main:5 put one",
    "put:3 put one",
    'put:3 echo "$1" > "$HOME/$1"',
    'main:6 echo "$PATH $SHELL"',
    "main:6 cat",
    "main:7 sleep 300 > /dev/null 2>&1",
    'main:7 echo $! > "$HOME/sleeper"',
    'main:8 cat > "$HOME/two" ',
    "main:11 put three",
    "put:3 put three",
    'put:3 echo "$1" > "$HOME/$1"',
    "main:0 at exit",
]


@pytest.fixture(scope="module", params=["namespaces", "ports"])
def mac(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mac]:
    if request.param == "namespaces" and (why := levels.obstacle(plan.shown())):
        pytest.skip(f"no namespaces here: {why}")
    with Lab.up(1, level=request.param, dir=tmp_path_factory.mktemp("lab")) as lab:
        mac = lab.macs["mac1"]
        use_small(mac)
        apply(mac, "rich", "2026.2.17")
        yield mac


@pytest.fixture(autouse=True)
def home(mac: Mac) -> Iterator[None]:
    yield
    mac.exec("kill -9 $(cat sleeper); rm -f one two three sleeper")
    power.disarm(mac)


def ssh(mac: Mac, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    folder = mac.lab.folder
    known = [f"-oUserKnownHostsFile={folder}/known_hosts", "-oBatchMode=yes", "-oLogLevel=ERROR"]
    identity = ["-F", "none", "-i", f"{folder}/id", "-oIdentitiesOnly=yes", f"-oPort={mac.port}"]
    argv = ["ssh", *known, *identity, f"{mac.spec.user}@{mac.address}", "sh -c 'sh -s'"]
    return mac.lab.run(argv, input=script, capture_output=True, text=True, timeout=60)


def gateway(mac: Mac) -> str:
    """Pid of the gateway, as soon as launchd has one running."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        printed = mac.exec("launchctl print gui/$(id -u)/ai.openclaw.gateway").stdout.decode()
        for line in printed.splitlines():
            if line.startswith("\tpid = "):
                return line.split()[-1]
        time.sleep(0.02)
    raise AssertionError("no gateway")


def files(mac: Mac) -> list[str]:
    return mac.exec("ls one two three 2>/dev/null").stdout.decode().split()


def test_every_command_is_a_point_and_nothing_is_visible(mac: Mac) -> None:
    plain = ssh(mac)
    mac.exec("rm -f one two three sleeper")
    power.record(mac)
    recorded = ssh(mac)
    assert (recorded.returncode, recorded.stdout, recorded.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )
    # The elements of a pipeline run at the same time.
    assert sorted(power.steps(mac)) == sorted(POINTS)
    assert power.steps(mac)[-1] == POINTS[-1]
    assert "secret" not in "".join(power.steps(mac))


@pytest.mark.parametrize(
    ("pattern", "nth", "when", "left"),
    [
        ("set -u", 1, "before", []),
        (r"echo .*HOME/\$1", 1, "before", []),
        (r"echo .*HOME/\$1", 1, "after", ["one"]),
        ("cat > .*two", 1, "after", ["one", "two"]),
        (r"^put:.* echo", 2, "before", ["one", "two"]),
        ("at exit", 1, "before", ["one", "three", "two"]),
    ],
)
def test_nothing_happens_after_the_cut(
    mac: Mac, pattern: str, nth: int, when: power.When, left: list[str]
) -> None:
    before = gateway(mac)
    power.arm(mac, pattern, nth=nth, when=when)
    done = ssh(mac)
    assert done.returncode == 255
    assert "bye" not in done.stdout
    power.wait(mac)
    assert files(mac) == left
    if "two" in left:
        assert mac.exec("ps -o command= -p $(cat sleeper) | grep sleep").returncode != 0
    assert gateway(mac) != before
    # The power is back.
    assert ssh(mac, "echo well\n").stdout == "well\n"


def test_a_reboot_starts_what_was_stopped(mac: Mac) -> None:
    stop = "launchctl bootout gui/$(id -u)/ai.openclaw.gateway\necho stopped\n"
    gateway(mac)
    power.arm(mac, "echo stopped", reboot=True)
    assert ssh(mac, stop).returncode == 255
    power.wait(mac)
    assert gateway(mac)


@pytest.mark.parametrize(("when", "seen"), [("before", "none"), ("after", "one")])
def test_somebody_else_does_something_in_between(mac: Mac, when: power.When, seen: str) -> None:
    look = '[ -e "$HOME/one" ] && echo one >> "$HOME/two" || echo none >> "$HOME/two"'
    power.interject(mac, r"echo .*HOME/\$1", look, when=when)
    short = SCRIPT.replace('"$HOME/two"', "/dev/null")
    done = ssh(mac, short)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "bye")
    power.wait(mac, 0)
    assert mac.exec("cat two").stdout.decode() == f"{seen}\n"


def test_unarmed_nothing_is_there(mac: Mac) -> None:
    before = ssh(mac, "echo $PATH $SHELL; command -v sh; ls -a").stdout
    power.arm(mac, "never")
    power.disarm(mac)
    assert ssh(mac, "echo $PATH $SHELL; command -v sh; ls -a").stdout == before
    assert "power" not in mac.exec(["ls", mac.spec.state]).stdout.decode()
    with pytest.raises(TimeoutError, match="no power cut within 0 s"):
        power.wait(mac, 0)
