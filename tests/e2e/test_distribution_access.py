"""What one Mac may read of another one, for how long, and what it does not take from it."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.e2e.fleet import (
    BLOBS,
    MODELS,
    Fleet,
    access,
    eventually,
    fleet,
    lab,
    whole,
)
from tests.lab.profiles import seed

__all__ = ["fleet", "lab"]
pytestmark = pytest.mark.lab


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_dies_leaves_no_access(fleet: Fleet, number: signal.Signals) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    fleet.net(rate=4000)
    with fleet.start("--limit", "mac1", "--limit", "mac2") as process:
        assert process.stderr
        for line in process.stderr:
            if "over the LAN" in line and "Will" not in line:
                break
        incoming = f"{fleet['mac2'].spec.home}/.ollama/models/clawfleet-incoming"
        eventually(lambda: b".part" in fleet["mac2"].exec(["ls", incoming]).stdout, "no byte")
        assert b"clawfleet-lan-" in access(fleet["mac1"])
        os.killpg(process.pid, number)
        process.stderr.read()
        process.wait(60)
    fleet.as_before()
    kept = fleet["mac2"].exec(f"stat -f %z {incoming}/*.part").stdout
    assert int(kept) > 0
    fleet.net(rate=0)
    done = fleet.deploy("-y", "--limit", "mac1", "--limit", "mac2")
    assert done.code == 0, done.log
    whole(fleet, "mac2")
    assert fleet.downloaded() < 10_000


def test_what_a_power_cut_left_goes_with_the_next_run(fleet: Fleet) -> None:
    line = (
        'restrict,from="192.0.2.2",expiry-time="20200101000000",command="/bin/false" '
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDVo7eewnGzqgeDWoYqXZJ8I2STJGWf+VEGIUyPi6dSt "
        "clawfleet-lan-20200101-000000-1a2b\n"
    )
    keys = f"{fleet['mac1'].spec.home}/.ssh/authorized_keys"
    fleet["mac1"].write(keys, line.encode() + fleet["mac1"].read(keys), 0o640)
    fleet["mac1"].exec("mkdir -p ~/.clawfleet/lan/reading", check=True)
    dry = fleet.deploy("--dry", "--limit", "mac1")
    assert "Will take back another Mac's access to the models" in dry.log
    assert line.encode() in access(fleet["mac1"])
    done = fleet.deploy("-y", "--limit", "mac1", "--data", "distribution=none")
    assert done.code == 0, done.log
    fleet.as_before()


def test_what_the_access_allows(fleet: Fleet) -> None:
    """With the very key, while it is valid: one Mac, some blobs, and nothing else."""
    for model in MODELS:
        seed(fleet["mac1"], model)
    fleet.net(rate=4000)
    secret = f"{fleet['mac1'].spec.home}/.ssh/authorized_keys"
    other = fleet["mac1"].exec("cd ~/.ollama/models/blobs && ls -S | head -1").stdout.decode()
    with fleet.start("--limit", "mac1", "--limit", "mac2") as process:
        assert process.stderr
        for line in process.stderr:
            if "gpt-oss:20b" in line and "over the LAN" in line and "Will" not in line:
                break
        found = "ls -d $TMPDIR/clawfleet-lan.*/key"
        eventually(lambda: fleet["mac2"].exec(found).returncode == 0, "no key")
        key = fleet["mac2"].exec("cat $TMPDIR/clawfleet-lan.*/key", check=True).stdout
        for name in ("mac2", "mac3"):
            fleet[name].write(f"{fleet[name].spec.home}/stolen", key, 0o600)

        def ask(name: str, *request: str) -> subprocess.CompletedProcess[bytes]:
            options = "-F /dev/null -n -T -i stolen -o StrictHostKeyChecking=no "
            options += "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes "
            options += "-o ExitOnForwardFailure=yes"
            address = f"mac@{fleet['mac1'].address}"
            return fleet[name].exec(["ssh", *options.split(), *request[1:], address, request[0]])

        assert b"Permission denied" in ask("mac3", "id").stderr
        for request in (
            "id",
            f"cat {secret}",
            f"{other.strip()} 0",
            "../../../.ssh/id 0",
            "sha256-",
        ):
            assert ask("mac2", request).stdout.startswith(b"refused: "), request
        forwarded = ask("mac2", "id", "-L", "8022:127.0.0.1:22", "-R", "9999:127.0.0.1:22")
        assert b"remote port forwarding failed" in forwarded.stderr
        fleet.net(rate=0)
        log = process.stderr.read()
        assert process.wait(120) == 0, log
    fleet.as_before()
    assert b"Permission denied" in ask("mac2", "id").stderr
    for name in ("mac2", "mac3"):
        fleet[name].exec(["rm", f"{fleet[name].spec.home}/stolen"], check=True)


def test_a_source_with_wrong_bytes(fleet: Fleet) -> None:
    """Right by name and size, wrong in one byte: refused, said, and pulled from the internet."""
    for model in MODELS:
        seed(fleet["mac1"], model)
    spoil = (
        "cd ~/.ollama/models/blobs && f=$(ls -S | head -1) && chmod 644 $f && "
        "printf X | dd of=$f bs=1 seek=100000 conv=notrunc 2>/dev/null"
    )
    fleet["mac1"].exec(spoil, check=True)
    done = fleet.deploy("-y", "--limit", "mac1", "--limit", "mac2", "--limit", "mac3")
    assert done.code == 0, done.log
    assert "mac1 sent other bytes than the model's, and is not used again" in done.log
    whole(fleet, "mac2", "mac3")
    downloaded = fleet.downloaded()
    assert BLOBS["qwen3-coder"] < downloaded < sum(BLOBS.values()) + 20_000
    fleet.as_before()


def test_a_link_in_a_store_is_not_followed(fleet: Fleet) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    link = (
        "cd ~/.ollama/models/blobs && f=$(ls -S | head -1) && mv $f ~/elsewhere && "
        "ln -s ~/elsewhere $f"
    )
    fleet["mac1"].exec(link, check=True)
    done = fleet.deploy("-y", "--limit", "mac1", "--limit", "mac2")
    assert done.code == 0, done.log
    assert "refused: no such file" in done.log
    whole(fleet, "mac2")
    assert BLOBS["qwen3-coder"] < fleet.downloaded() < BLOBS["qwen3-coder"] + 20_000
    fleet.as_before()
    fleet["mac1"].exec("rm ~/elsewhere", check=True)
