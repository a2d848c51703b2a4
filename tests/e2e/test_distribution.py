"""One download for the whole fleet, with real SSH between the simulated Macs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawfleet import lock, store
from clawfleet.lock import Lock
from clawfleet.names import manifest_path, normalise
from tests.e2e.deploys import REPO, Done, pyinfra
from tests.lab import levels, plan, power
from tests.lab.lab import Lab, Mac
from tests.lab.profiles import apply, seed

pytestmark = pytest.mark.lab

MODELS = ("gpt-oss:20b", "qwen3-coder")
BLOBS = {"gpt-oss:20b": 4_400_000, "qwen3-coder": 5_900_000}
"""Bytes of the weights in the lab's registry."""
LAN = ("--data", "distribution=lan")
OWN = b"# mine\nssh-ed25519 AAAAC3Nz somebody@laptop"
"""What the user has in authorized_keys, below the key of the lab; the last line has no end."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four Macs with a running Ollama, on cables whose rate can be changed."""
    why = levels.obstacle([plan.REPO])
    if why is None and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        why = "/dev/net/tun is closed to this user"
    if why or os.environ.get("CLAWFLEET_LAB") == "ports":
        pytest.skip(f"Macs that reach each other need the level namespaces ({why or 'ports'})")
    with Lab.up(4, level="namespaces", rtt=0, dir=tmp_path_factory.mktemp("lab")) as running:
        for mac in running.macs.values():
            apply(mac, "served", "2026.2.17")
            keys = mac.read(f"{mac.spec.home}/.ssh/authorized_keys").rstrip(b"\n") + b"\n" + OWN
            mac.write(f"{mac.spec.home}/.ssh/authorized_keys", keys, 0o640)
        yield running


class Fleet:
    """The Macs, empty at first, and what a test asks of them."""

    def __init__(self, lab: Lab, reports: Path) -> None:
        self.lab, self.reports = lab, reports
        self.before = {name: access(mac) for name, mac in lab.macs.items()}
        self.net(rate=0)
        for mac in lab.macs.values():
            mac.exec("rm -rf ~/.ollama/models/* ~/.clawfleet", check=True)
            mac.set_faults({})
            mac.exec("mkdir -p ~/.ollama/models/blobs")
        self.control(faults=[], kbps=0, reset=True)

    def __getitem__(self, name: str) -> Mac:
        return self.lab.macs[name]

    def net(self, **quality: float) -> None:
        self.lab.net("all", **quality)

    def control(self, **wish: object) -> None:
        self._internet("__ctl", "-d", json.dumps(wish))

    def stats(self) -> dict[str, Any]:
        loaded: dict[str, Any] = self._internet("__stats")
        return loaded

    def _internet(self, path: str, *more: str) -> Any:
        address = f"{self.lab.internet}/{path}"
        done = self.lab.run(["curl", "-sS", address, *more], capture_output=True, check=True)
        return json.loads(done.stdout)

    def downloaded(self) -> int:
        """Bytes that came from the registry."""
        size: int = self.stats()["prefixes"].get("/v2", {"bytes": 0})["bytes"]
        return size

    def deploy(self, *arguments: str) -> Done:
        return pyinfra(
            self.lab, *arguments, *LAN, task="tasks/models.py", reports=self.reports, timeout=300
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same, while it runs."""
        environment = {
            **os.environ,
            "CLAWFLEET_HOSTS": str(self.lab.inventory()),
            "PYINFRA_PROGRESS": "off",
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, "-m", "pyinfra", "inventory.py", "tasks/models.py", "-y"]
        return subprocess.Popen(
            [*self.lab.network(), *argv, *LAN, *arguments],
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def as_before(self) -> None:
        """Nobody may read anything of another Mac any more."""
        eventually(
            lambda: {name: access(mac) for name, mac in self.lab.macs.items()} == self.before,
            "an access that remains",
        )


def access(mac: Mac) -> bytes:
    """All that gives an access, and what is left of a transfer."""
    script = (
        'cat ~/.ssh/authorized_keys; stat -f "%Sp %Su %z" ~/.ssh/authorized_keys; ls -A ~/.ssh; '
        'ls -d ~/.clawfleet/lan "$TMPDIR"clawfleet-lan* 2>/dev/null; true'
    )
    return mac.exec(script, check=True).stdout


def models(mac: Mac) -> dict[str, str]:
    """What the Mac's Ollama lists: name -> digest."""
    url = f"http://127.0.0.1:{mac.spec.ollama_port}/api/tags"
    done = mac.exec(["curl", "-sS", "--noproxy", "*", url], check=True)
    return {m["name"]: m["digest"] for m in json.loads(done.stdout)["models"]}


def damaged(mac: Mac) -> bytes:
    """Blobs whose bytes are not those of their names; empty where all is well."""
    script = (
        'cd ~/.ollama/models/blobs && for f in *; do [ -e "$f" ] || continue; '
        'h=$(shasum -a 256 < "$f" | cut -c1-64); [ "$f" = "sha256-$h" ] || echo "$f"; done'
    )
    return mac.exec(script, check=True).stdout


def eventually(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def fleet(lab: Lab, reports: Path) -> Iterator[Fleet]:
    made = Fleet(lab, reports)
    yield made
    for mac in lab.macs.values():
        power.disarm(mac)


def whole(fleet: Fleet, *names: str) -> None:
    """These Macs have both models, the same ones, and every byte of them is right."""
    listed = [models(fleet[name]) for name in names]
    assert sorted(listed[0]) == ["gpt-oss:20b", "qwen3-coder:latest"]
    assert all(found == listed[0] for found in listed)
    for name in names:
        assert damaged(fleet[name]) == b""
        left = fleet[name].exec("ls -A ~/.ollama/models ~/.ollama/models/manifests").stdout
        assert b"incoming" not in left


def test_four_macs_and_one_download(fleet: Fleet) -> None:
    dry = fleet.deploy("--dry")
    assert dry.code == 0, dry.log
    assert dry.log.count("from the internet, for the others too") == 2
    assert dry.log.count("over the LAN, once that has it") == 6
    assert fleet.downloaded() == 0
    done = fleet.deploy("-y")
    assert done.code == 0, done.log
    whole(fleet, *fleet.lab.macs)
    sizes = fleet["mac1"].exec("cd ~/.ollama/models/blobs && stat -f %z *", check=True).stdout
    sent = {path: n["bytes"] for path, n in fleet.stats()["paths"].items()}
    assert sum(size for path, size in sent.items() if "/blobs/" in path) == sum(
        map(int, sizes.split())
    )
    assert sum(size for path, size in sent.items() if "/manifests/" in path) < 10_000
    fleet.as_before()
    again = fleet.deploy("-y", "--json")
    assert again.code == 0
    assert again.changed() == []


def test_only_macs_of_the_run_take_part(fleet: Fleet) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    done = fleet.deploy("-y", "--limit", "mac2", "--limit", "mac3", "--serial")
    assert done.code == 0, done.log
    whole(fleet, "mac1", "mac2", "mac3")
    assert sum(BLOBS.values()) < fleet.downloaded() < sum(BLOBS.values()) + 20_000
    assert models(fleet["mac4"]) == {}
    fleet.as_before()


CUTS = [
    # Each Mac of a run at another point; all of them lack both models.
    {
        "mac2": (r"^main:.* echo .blob", "before"),
        "mac3": (r"^main:.* wait .R", "before"),
        "mac4": (r"^judge:.* mv -f", "before"),
    },
    {
        "mac2": (r"^main:.* touch", "before"),
        "mac3": (r"^main:.* mv -f .*sha256-", "after"),
        "mac4": (r"^main:.* mv -f .*new.* ", "before"),
    },
]
"""Before anything has come, while a blob is on its way, when it has come; before the store, between
two of its blobs, before the manifest."""


@pytest.mark.parametrize("points", CUTS, ids=["on the way", "in the store"])
def test_cut_at_every_stage_and_gone_on(fleet: Fleet, points: dict[str, tuple[str, str]]) -> None:
    """The power of the Macs that receive goes; the next run ends what was begun, and nothing but
    manifests comes from the internet."""
    for model in MODELS:
        seed(fleet["mac1"], model)
    for name, (pattern, when) in points.items():
        power.arm(fleet[name], pattern, when="after" if when == "after" else "before")
    done = fleet.deploy("-y", "--json")
    assert done.code == 1, done.log
    assert sorted(done.result["results"]["failed_hosts"]) == ["mac2", "mac3", "mac4"]
    for name in points:
        power.wait(fleet[name])
        power.disarm(fleet[name])
        assert models(fleet[name]) == {}
        assert damaged(fleet[name]) == b""
    again = fleet.deploy("-y")
    assert again.code == 0, again.log
    whole(fleet, *fleet.lab.macs)
    assert fleet.downloaded() < 10_000
    fleet.as_before()


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


def test_the_locked_build_is_given_on_and_another_one_is_not(fleet: Fleet, tmp_path: Path) -> None:
    """The registry has moved on: what models.lock names comes from the Mac that has it, and without
    a lock nobody gets what is no longer published."""
    for model in MODELS:
        seed(fleet["mac1"], model, revision=2)
    run = ("-y", "--limit", "mac1", "--limit", "mac2")
    file = tmp_path / "models.lock"
    folder = f"{fleet['mac1'].spec.home}/.ollama/models/manifests"
    raw = {name: fleet["mac1"].read(f"{folder}/{manifest_path(name)}") for name in MODELS}
    file.write_text(lock.dumps(Lock({normalise(n): store.read(text) for n, text in raw.items()})))
    done = fleet.deploy(*run, "--data", f"models_lock={file}")
    assert done.code == 0, done.log
    assert models(fleet["mac2"]) == models(fleet["mac1"])
    assert damaged(fleet["mac2"]) == b""
    assert fleet.downloaded() == 0
    fleet["mac2"].exec("rm -rf ~/.ollama/models/*; mkdir -p ~/.ollama/models/blobs", check=True)
    done = fleet.deploy(*run, "--data", "models_lock=nothing")
    assert done.code == 0, done.log
    assert done.log.count("mac1 has build") >= 2
    whole(fleet, "mac2")
    assert set(models(fleet["mac2"]).values()).isdisjoint(models(fleet["mac1"]).values())
    assert fleet.downloaded() > sum(BLOBS.values())
    fleet.as_before()


def test_macs_that_do_not_see_each_other(fleet: Fleet) -> None:
    for model in MODELS:
        seed(fleet["mac1"], model)
    done = fleet.deploy(
        *("-y", "--limit", "mac1", "--limit", "mac2", "--data", "distribution_address=192.0.2.99")
    )
    assert done.code == 0, done.log
    assert re.search(r"does not reach mac1 directly \(.*\); through this machine", done.log)
    whole(fleet, "mac2")
    assert fleet.downloaded() < 10_000
    fleet.as_before()


def test_at_the_level_ports_it_goes_through_this_machine(tmp_path: Path, reports: Path) -> None:
    """Whose SSH server knows no options of a key: no Mac may come to another one there."""
    with Lab.up(2, level="ports", dir=tmp_path / "lab") as running:
        for mac in running.macs.values():
            apply(mac, "served", "2026.2.17")
        for model in MODELS:
            seed(running.macs["mac1"], model)
        done = pyinfra(running, "-y", *LAN, task="tasks/models.py", reports=reports, timeout=300)
        assert done.code == 0, done.log
        assert "does not reach mac1 directly" in done.log
        assert models(running.macs["mac2"]) == models(running.macs["mac1"])
        assert damaged(running.macs["mac2"]) == b""
        left = "ls -d ~/.ssh ~/.clawfleet/lan"
        assert running.macs["mac1"].exec(left).stdout == b""
