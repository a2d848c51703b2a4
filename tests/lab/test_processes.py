"""``ps``, ``pgrep``, ``pkill`` and ``lsof`` with real processes and real sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import account, wrappers
from tests.lab.folder_mac import FolderMac
from tests.lab.standins.ps import elapsed
from tests.lab.standins.running import shown

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the real commands"),
]

LISTEN = """\
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
kept = [listener]
while True:
    kept.append(listener.accept()[0])
"""
CONNECT = """\
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
connection.recv(1)
"""


class Started:
    """Processes on a simulated Mac that end with the test."""

    def __init__(self, mac: FolderMac) -> None:
        self.mac = mac
        self.running: list[subprocess.Popen[str]] = []

    def __call__(self, *argv: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Start a command; its pid and the first line it printed."""
        process = subprocess.Popen(
            argv,
            env=account.environment(self.mac.spec) | (env or {}),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        return process.pid, process.stdout.readline().strip()

    def stop(self) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def mac(tmp_path: Path) -> FolderMac:
    return FolderMac(tmp_path / "m")


@pytest.fixture
def start(mac: FolderMac) -> Iterator[Started]:
    started = Started(mac)
    yield started
    started.stop()


def test_lsof_tells_listeners_from_clients(mac: FolderMac, start: Started) -> None:
    server, port = start(mac.spec.python, "-c", LISTEN)
    assert mac.out("lsof", "-nP", f"-tiTCP:{port}", "-sTCP:LISTEN") == f"{server}\n"
    client, _ = start(mac.spec.python, "-c", CONNECT, port)
    # The trap: without the state, whoever is connected is listed too.
    everyone = {str(server), str(client)}
    assert set(mac.out("lsof", "-ti", f":{port}").split()) == everyone
    assert set(mac.out("lsof", "-t", "-i", f"TCP:{port}").split()) == everyone
    assert mac.out("lsof", "-nP", f"-tiTCP:{port}", "-sTCP:LISTEN") == f"{server}\n"
    assert mac.out("lsof", "-nPti", f"tcp:{port}", "-s", "TCP:LISTEN") == f"{server}\n"


def test_lsof_table(mac: FolderMac, start: Started) -> None:
    server, port = start(mac.spec.python, "-c", LISTEN)
    head, line = mac.out("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN").splitlines()
    assert head.split() == [
        "COMMAND",
        "PID",
        "USER",
        "FD",
        "TYPE",
        "DEVICE",
        "SIZE/OFF",
        "NODE",
        "NAME",
    ]
    pattern = rf"python3\S* +{server} +mac +\du  IPv4 +0x[0-9a-f]{{16}} +0t0  TCP"
    assert re.fullmatch(rf"{pattern} 127\.0\.0\.1:{port} \(LISTEN\)", line)
    assert line.index("IPv4") == head.index("TYPE")
    assert line.index("TCP") == head.index("NODE") + 1


def test_lsof_finds_nobody(mac: FolderMac) -> None:
    assert mac.run("lsof", "-nP", "-tiTCP:1", "-sTCP:LISTEN") == (1, "", "")


def test_lsof_sees_only_this_mac(mac: FolderMac) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert mac.run("lsof", "-nP", f"-tiTCP:{port}", "-sTCP:LISTEN")[0] == 1


def test_ps_columns(mac: FolderMac, start: Started) -> None:
    pid, _ = start("/bin/sh", "-c", "echo; sleep 600; :")
    line = mac.out("ps", "-o", "ppid=", "-o", "etime=", "-o", "command=", "-p", str(pid))
    assert re.fullmatch(r" +1 +00:\d\d /bin/sh -c echo; sleep 600; :\n", line)
    head, line = mac.out("ps", "-o", "pid,ppid,command", "-p", str(pid)).splitlines()
    assert head == "  PID  PPID COMMAND"
    assert line == f"{pid:>5} {1:>5} /bin/sh -c echo; sleep 600; :"
    listed = mac.out("ps", "-axo", "pid=", "-o", "ppid=", "-o", "command=").splitlines()
    assert f"{pid:>5} {1:>5} /bin/sh -c echo; sleep 600; :" in listed
    child = [line.split() for line in listed if line.endswith(" sleep 600")]
    assert [words[1] for words in child] == [str(pid)]


def test_ps_headings_reach_to_the_end_of_an_argument(mac: FolderMac, start: Started) -> None:
    pid, _ = start("/bin/sh", "-c", "echo; sleep 600; :")
    head, line = mac.out("ps", "-o", "pid=,ppid=", "-p", str(pid)).splitlines()
    assert (head, line.strip()) == (",ppid=", str(pid))


def test_ps_user_format(mac: FolderMac) -> None:
    head = mac.out("ps", "aux").splitlines()[0]
    assert head.split() == [
        "USER",
        "PID",
        "%CPU",
        "%MEM",
        "VSZ",
        "RSS",
        "TT",
        "STAT",
        "STARTED",
        "TIME",
        "COMMAND",
    ]


def test_ps_environment(mac: FolderMac, start: Started) -> None:
    values = {"http_proxy": "http://127.0.0.1:7890", "CLAWFLEET_LAB_X": "1"}
    pid, _ = start("/bin/sh", "-c", "echo; sleep 600; :", env=values)
    line = mac.out("ps", "eww", "-p", str(pid)).splitlines()[1]
    assert " http_proxy=http://127.0.0.1:7890" in line
    assert "CLAWFLEET_LAB" not in line
    assert "http_proxy" not in mac.out("ps", "ww", "-p", str(pid))


def test_ps_failures(mac: FolderMac) -> None:
    assert mac.run("ps", "-o", "pid=", "-p", "999999999") == (1, "", "")
    code, output, error = mac.run("ps", "--no-headers", "-o", "pid")
    assert (code, output) == (1, "")
    assert error.startswith("ps: illegal option -- -\nusage: ps ")
    assert mac.run("ps", "-o", "nope")[0] == 1


def test_ps_shows_a_stand_in_under_its_own_path(mac: FolderMac, start: Started) -> None:
    path = f"{mac.spec.homebrew_prefix}/opt/ollama/bin/ollama"
    wrappers.write(mac.spec, "sudo", path)
    pid, _ = start(path, "-n", "sh", "-c", "echo; sleep 600; :")
    # sudo's stand-in has become its command; what ran before is told by the pure function.
    line = mac.out("ps", "-o", "command=", "-p", str(pid))
    assert re.fullmatch(r"\S*/sh -c echo; sleep 600; :\n", line)
    argv = ["/x/python3.11", "-S", "-P", "-m", "tests.lab.standins.ollama", "serve"]
    assert shown(argv, {"CLAWFLEET_LAB_ARGV0": path}) == [path, "serve"]
    launchd = [*argv[:4], "tests.lab.standins.launchd"]
    assert shown(launchd, {}) == ["/sbin/launchd"]
    node = ["/cache/node/22/bin/node", "openclaw.mjs"]
    assert shown(node, {"CLAWFLEET_LAB_ARGV0": "/opt/n/bin/node"})[0] == "/opt/n/bin/node"
    # What a stand-in starts inherits the variable, and is not the stand-in.
    assert shown(["/usr/bin/tar", "-x"], {"CLAWFLEET_LAB_ARGV0": path})[0] == "/usr/bin/tar"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (75, "01:15"), (3600, "01:00:00"), (98765, "01-03:26:05")],
)
def test_elapsed(seconds: int, text: str) -> None:
    assert elapsed(seconds) == text


def test_pgrep_and_pkill(mac: FolderMac, start: Started) -> None:
    pid, _ = start("/bin/sh", "-c", "echo; sleep 600; : needle-in-argv")
    assert mac.out("pgrep", "-f", "needle-in-argv") == f"{pid}\n"
    listed = mac.out("pgrep", "-fl", "needle-in-argv")
    assert listed == f"{pid} /bin/sh -c echo; sleep 600; : needle-in-argv\n"
    assert mac.run("pgrep", "needle-in-argv") == (1, "", "")
    assert str(pid) in mac.out("pgrep", "-x", "sh").split()
    assert mac.run("pgrep", "-x", "s") == (1, "", "")
    mac.out("pkill", "-KILL", "-f", "needle-in-argv")
    assert start.running[0].wait(timeout=60) == -signal.SIGKILL
    assert mac.run("pkill", "-f", "needle-in-argv") == (1, "", "")


def test_pkill_leaves_other_macs_alone(mac: FolderMac, start: Started, tmp_path: Path) -> None:
    pid, _ = start("/bin/sh", "-c", "echo; sleep 600; : shared-name")
    other = FolderMac(tmp_path / "other")
    assert other.run("pkill", "-f", "shared-name") == (1, "", "")
    assert mac.out("pgrep", "-f", "shared-name") == f"{pid}\n"
