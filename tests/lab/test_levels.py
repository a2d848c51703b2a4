"""Simulated Macs as a whole: SSH, SFTP, forwarding, links, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import levels, link, plan
from tests.lab.lab import Lab, LabError, Mac

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed"),
]
LEVELS = ["namespaces", "ports"]
GREET = """\
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.sendall(b"hello " + connection.recv(100))
"""


def need(level: str) -> None:
    """Skip with the reason where that level is impossible."""
    if level == "namespaces" and (why := levels.obstacle(plan.shown())):
        pytest.skip(f"no namespaces here: {why}")


def eventually(condition: Callable[[], bool]) -> bool:
    """Poll for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(mark: str) -> bool:
    """Whether some process of this machine has the mark in its command line."""
    done = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, check=True)
    return mark.encode() in done.stdout


@pytest.fixture(scope="module", params=LEVELS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    need(request.param)
    folder = tmp_path_factory.mktemp("l") / "lab"
    # Without access to it links are plain ones, which can still be cut.
    rtt = 0 if request.param == "ports" or os.access(link.DEVICE, os.R_OK | os.W_OK) else None
    with Lab.up(2, level=request.param, dir=folder, rtt=rtt, internet=False) as running:
        yield running
    assert not folder.exists()


@pytest.fixture
def mac(lab: Lab) -> Mac:
    return lab.macs["mac1"]


def ssh(mac: Mac, *options: str) -> list[str]:
    """The words before the remote command, for a client that trusts the lab's keys only."""
    folder = mac.lab.folder
    known = [f"-oUserKnownHostsFile={folder}/known_hosts", "-oStrictHostKeyChecking=yes"]
    plain = ["-F", "none", "-oBatchMode=yes", "-oLogLevel=ERROR", f"-oPort={mac.port}"]
    identity = ["-i", f"{folder}/id", "-oIdentitiesOnly=yes"]
    return ["ssh", *plain, *known, *identity, *options, f"mac@{mac.address}"]


def over_ssh(mac: Mac, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command by SSH from the lab's network."""
    return mac.lab.run([*ssh(mac), command], capture_output=True, input=given)


def test_every_mac_has_its_name(lab: Lab) -> None:
    for name, mac in lab.macs.items():
        assert mac.exec("uname -n", check=True).stdout.decode() == f"{name}\n"
        assert over_ssh(mac, "uname -sm").stdout == b"Darwin arm64\n"


def test_environment_is_the_macs_own(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    answer = over_ssh(mac, "/usr/bin/env").stdout.decode()
    values = dict(line.split("=", 1) for line in answer.splitlines())
    assert values["HOME"] == mac.spec.home
    assert values["USER"] == values["LOGNAME"] == "mac"
    assert values["TMPDIR"].endswith("/T/")
    assert values["PATH"].endswith("/usr/bin:/bin:/usr/sbin:/sbin")
    shells = {"SHLVL", "PWD", "OLDPWD", "_", "MAIL"}
    ours = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "LANG"}
    assert values.keys() - shells - ours == {"SSH_CONNECTION", "SSH_CLIENT"}
    inside = mac.exec(["/usr/bin/env"], check=True).stdout.decode()
    assert {line.split("=")[0] for line in inside.splitlines()} <= ours | shells


def test_status_streams_and_input(mac: Mac) -> None:
    done = over_ssh(mac, "cat; echo problem >&2; exit 7", b"in\x00put")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\x00put", b"problem\n")
    done = mac.exec("cat; echo problem >&2; exit 7", stdin=b"in\x00put")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\x00put", b"problem\n")


def test_much_output_arrives_whole(mac: Mac) -> None:
    done = over_ssh(mac, "head -c 3000000 /dev/zero")
    assert len(done.stdout) == 3000000


def test_user_and_root(mac: Mac) -> None:
    uid = str(mac.spec.uid)
    assert over_ssh(mac, "id -u").stdout.decode().strip() == uid
    assert mac.exec("id -u").stdout.decode().strip() == uid
    assert mac.exec("sudo -n id -u").stdout == b"0\n"
    assert over_ssh(mac, "sudo -n true").returncode == 0


def test_sftp(mac: Mac, tmp_path: Path) -> None:
    content = os.urandom(200_000)
    (tmp_path / "up").write_bytes(content)
    batch = f"put {tmp_path}/up sent\nget sent {tmp_path}/down\nchmod 600 sent\nrename sent done\n"
    words = ssh(mac)[1:]
    at = words.index("-i")
    mac.lab.run(
        ["sftp", "-b", "-", *words[:at], *words[at:]],
        input=batch.encode(),
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "down").read_bytes() == content
    assert mac.read(f"{mac.spec.home}/done") == content
    assert mac.exec(["stat", "-f", "%Lp", "done"]).stdout == b"600\n"


def greeter(mac: Mac, code: str = GREET) -> tuple[subprocess.Popen[bytes], str]:
    """A program that listens on the Mac's loopback, and its port."""
    argv = mac.command([mac.spec.python, "-c", code])
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, process.stdout.readline().decode().strip()


def test_forwarding_to_the_macs_loopback(mac: Mac) -> None:
    process, port = greeter(mac)
    with process:
        client = ssh(mac, "-W", f"127.0.0.1:{port}")
        done = mac.lab.run(client, input=b"world", capture_output=True)
        process.kill()
    assert done.stdout == b"hello world"


def test_a_forwarded_connection_ends_whoever_ends_first(mac: Mac) -> None:
    process, port = greeter(mac, GREET.replace(" + connection.recv(100)", ""))
    argv = [*mac.lab.network(), *ssh(mac, "-W", f"127.0.0.1:{port}")]
    with (
        process,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client,
    ):
        assert process.wait(60) == 0  # the Mac's side has said all, this one nothing yet
        out, _ = client.communicate(timeout=60)
    assert out == b"hello "


def test_files_from_outside(mac: Mac) -> None:
    path = f"{mac.spec.home}/deep/er/file"
    mac.write(path, b"\x00content", 0o640)
    assert mac.read(path) == b"\x00content"
    assert mac.exec(["stat", "-f", "%Lp %u", path]).stdout.decode() == f"640 {mac.spec.uid}\n"
    with pytest.raises(FileNotFoundError, match=r"mac1: .*missing"):
        mac.read(f"{mac.spec.home}/missing")
    mac.set_faults({"brew.install": "Error: no"})
    faults = json.loads(mac.read(f"{mac.spec.state}/faults.json"))
    assert faults == {"brew.install": "Error: no"}


def test_values_can_change_while_it_runs(mac: Mac) -> None:
    mac.change(disk_free=5 << 30)
    free = mac.exec("df -Pk ~ | tail -1").stdout.split()[3]
    mac.change(disk_free=None)
    assert int(free) == 5 << 20


def test_sessions_are_counted(lab: Lab) -> None:
    before, other = lab.sessions()["mac2"], lab.sessions()["mac1"]
    for _ in range(3):
        over_ssh(lab.macs["mac2"], "head -c 100000 /dev/zero")
    after = lab.sessions()["mac2"]
    assert after["sessions"] - before["sessions"] == 3
    assert after["bytes_out"] - before["bytes_out"] > 300_000
    assert after["bytes_in"] > before["bytes_in"]
    assert lab.sessions()["mac1"]["sessions"] == other["sessions"]


def test_hang_up_ends_the_command(mac: Mac) -> None:
    mark = f"86{uuid.uuid4().int % 10**9}"
    argv = [*mac.lab.network(), *ssh(mac, "-tt"), f"sleep {mark}"]
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with client:
        found = f"pgrep -f 'sleep {mark}$'"
        assert eventually(lambda: mac.exec(found).returncode == 0)
        client.kill()
    assert eventually(lambda: mac.exec(found).returncode == 1)


def test_terminal(mac: Mac) -> None:
    done = mac.lab.run(
        [*ssh(mac, "-tt"), "test -t 0 && test -t 1 && tty; exit 5"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode == 5
    assert re.fullmatch(rb"/dev/\S+\r\n", done.stdout)


def test_cut_link(lab: Lab, mac: Mac) -> None:
    patient = ssh(mac, "-oConnectTimeout=1", "-oConnectionAttempts=1")
    lab.net("mac1", cut=1)
    done = lab.run([*patient, "true"], stdin=subprocess.DEVNULL, capture_output=True)
    lab.net("mac1", cut=0)
    assert done.returncode == 255
    assert over_ssh(lab.macs["mac2"], "true").returncode == 0
    assert over_ssh(mac, "true").returncode == 0


def test_link_refuses_what_it_cannot(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"expected one of: mac1, mac2, all$"):
        lab.net("mac9", cut=1)
    with pytest.raises(LabError, match="expected rtt, rate, loss or cut"):
        lab.net("all", delay=1)
    if lab.level == "ports":
        with pytest.raises(LabError, match="loss needs the level namespaces"):
            lab.net("all", loss=1)


def test_inventory(lab: Lab) -> None:
    inventory = yaml.safe_load(lab.inventory().read_text())["all"]
    assert list(inventory["hosts"]) == ["mac1", "mac2"]
    values = inventory["hosts"]["mac2"]
    assert values["ansible_host"] == lab.macs["mac2"].address
    assert values["ansible_port"] == lab.macs["mac2"].port
    assert values["ansible_user"] == "mac"
    assert Path(values["ansible_ssh_private_key_file"]).stat().st_mode & 0o777 == 0o600
    assert inventory["vars"]["ssh_strict_host_key_checking"] == "yes"
    own = {"homebrew_prefix", "ollama_port", "gateway_port"} & values.keys()
    assert bool(own) == (lab.level == "ports")


def test_a_second_lab_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"a lab of 2 Macs is up in .*: python -m tests.lab down"):
        Lab.up(1, level=lab.level, dir=lab.folder)


def test_command_line(lab: Lab) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "tests.lab", *words]
        values = os.environ | {"CLAWFLEET_LAB_DIR": str(lab.folder)}
        return subprocess.run(
            argv, cwd=plan.REPO, env=values, capture_output=True, text=True, check=False
        )

    status = json.loads(call("status").stdout)
    assert (status["level"], status["alive"], len(status["macs"])) == (lab.level, True, 2)
    assert call("inventory").stdout.strip() == f"{lab.folder}/hosts.yml"
    assert call("in", "mac2", "uname", "-n").stdout == "mac2\n"
    assert call("in", "mac2", "exit 9").returncode == 9
    wrong = call("in", "mac3", "true")
    assert wrong.returncode == 1
    assert wrong.stderr == "lab: no mac3 in this lab, expected one of: mac1, mac2\n"
    assert call("run", *ssh(lab.macs["mac1"]), "exit 4").returncode == 4
    assert call("net", "mac1", "cut=0").returncode == 0
    assert call("net", "mac1", "cut").returncode == 1


def test_only_the_macs_own_loopback_at_level_ports(lab: Lab, mac: Mac) -> None:
    if lab.level != "ports":
        pytest.skip("Macs with a network of their own forward like any OpenSSH")
    done = lab.run(ssh(mac, "-W", "192.0.2.7:22"), stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 255


def test_macs_with_namespaces_are_real_ones_to_scripts(lab: Lab, mac: Mac) -> None:
    if lab.level != "namespaces":
        pytest.skip("at the level ports this machine's own commands stay visible")
    for absent in ("sha256sum", "timeout", "systemctl", "node"):
        assert mac.exec(f"command -v {absent}").returncode == 127 or (
            mac.exec(f"command -v {absent}").stdout == b""
        )
    assert mac.exec("readlink /tmp /var /etc").stdout == b"private/tmp\nprivate/var\nprivate/etc\n"
    assert mac.exec("touch /usr/bin/x").returncode != 0
    assert mac.exec("sudo -n touch /usr/bin/x").returncode == 0
    assert not Path("/usr/bin/x").exists()
    assert mac.exec("curl -m 5 -s http://198.51.100.1/").returncode != 0


@pytest.mark.parametrize("level", LEVELS)
def test_down_leaves_nothing(level: str, tmp_path: Path) -> None:
    need(level)
    mark = f"97{uuid.uuid4().int % 10**9}"
    lab = Lab.up(1, level=level, dir=tmp_path / "lab", internet=False)
    command = f"nohup sleep {mark} >/dev/null 2>&1 &"
    assert lab.macs["mac1"].exec(command).returncode == 0
    assert over_ssh(lab.macs["mac1"], command).returncode == 0
    assert alive(f"sleep {mark}")
    lab.down()
    assert not alive(f"sleep {mark}")
    assert not alive(str(tmp_path))
    assert not (tmp_path / "lab").exists()
    lab.down()


@pytest.mark.parametrize("level", LEVELS)
def test_a_lab_ends_with_the_process_that_started_it(level: str, tmp_path: Path) -> None:
    need(level)
    script = "import os, sys; from tests.lab.lab import Lab; "
    script += "Lab.up(1, level=sys.argv[1], dir=sys.argv[2], internet=False); os._exit(0)"
    argv = [sys.executable, "-c", script, level, str(tmp_path / "lab")]
    subprocess.run(argv, cwd=plan.REPO, check=True, capture_output=True)
    assert eventually(lambda: not Lab.attach(tmp_path / "lab").alive())
    # A folder that a dead lab left is no obstacle.
    with Lab.up(1, level=level, dir=tmp_path / "lab", internet=False) as lab:
        assert lab.alive()


def test_overrides_and_plain_links(tmp_path: Path) -> None:
    need("namespaces")
    overrides: dict[str, dict[str, Any]] = {"all": {"macos": "14.5"}, "mac2": {"memory": 8 << 30}}
    with Lab.up(
        2, level="namespaces", dir=tmp_path / "lab", internet=False, overrides=overrides
    ) as lab:
        memory = [mac.exec("sysctl -n hw.memsize").stdout for mac in lab.macs.values()]
        assert [int(text) for text in memory] == [32 << 30, 8 << 30]
        assert lab.macs["mac1"].exec("sw_vers -productVersion").stdout == b"14.5\n"
        with pytest.raises(LabError, match="up N --rtt 0"):
            lab.net("mac1", rtt=10)
        lab.net("mac1", cut=1)
        lab.net("mac1", cut=0)
        assert over_ssh(lab.macs["mac1"], "true").returncode == 0


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(LabError, match="holds other files"):
        Lab.up(1, level="ports", dir=tmp_path)
    assert (tmp_path / "precious").exists()


def test_level_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWFLEET_LAB", "ports")
    assert levels.choose("auto", []) == ("ports", "asked for by CLAWFLEET_LAB")
    monkeypatch.setenv("CLAWFLEET_LAB", "nonsense")
    with pytest.raises(ValueError, match="expected ports or namespaces"):
        levels.choose("auto", [])
    monkeypatch.delenv("CLAWFLEET_LAB")
    monkeypatch.setattr(levels, "obstacle", lambda _: "no sshd")
    assert levels.choose("auto", []) == ("ports", "no namespaces: no sshd")
    with pytest.raises(RuntimeError, match=r"no sshd.*--level ports"):
        levels.choose("namespaces", [])


def test_open_starts_an_app_in_the_gui_session(mac: Mac) -> None:
    app = f"{mac.spec.applications}/Probe.app/Contents"
    script = b'#!/bin/sh\necho "$CLAWFLEET_LAB_DOMAIN $*" > "$HOME/probe"\nexec sleep 600\n'
    mac.write(f"{app}/MacOS/Probe", script, 0o755)
    assert mac.exec("open -j -a Probe --args hidden").returncode == 0
    assert eventually(lambda: mac.exec(f"grep -s gui/{mac.spec.uid} ~/probe").returncode == 0)
    assert mac.read(f"{mac.spec.home}/probe").decode() == f"gui/{mac.spec.uid} hidden\n"
    assert mac.exec("open -a Probe").returncode == 0
