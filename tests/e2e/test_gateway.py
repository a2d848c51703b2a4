"""The gateway's operation repairs every bad state, or says what stands in its way.

Three Macs at a time, each in a state of its own. What a real OpenClaw does in them is in
test_gateway_real.py; here the small one stands for it, so that launchd can be as bad as it gets.
"""

from __future__ import annotations

import json
import plistlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import gateways
from tests.e2e.deploys import Done, pyinfra, report
from tests.e2e.gateways import (
    JOB,
    answers,
    boot_out,
    by_hand,
    keep_alive_script,
    listeners,
    listening_program,
    rewrite,
    shown,
    until,
    well,
)
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import LABEL, apply

pytestmark = pytest.mark.lab

BASE = (
    *("--data", "openclaw_version=2026.2.17", "--data", "gateway_settle=1"),
    *("--data", "verify=off", "--data", "gateway_start_timeout=60"),
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three provisioned Macs."""
    with Lab.up(3, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            use_small(mac)
            apply(mac, "half", "2026.2.17")
        done = pyinfra(lab, "-y", *BASE, reports=tmp_path_factory.mktemp("reports"))
        assert done.code == 0, done.log
        yield lab


@pytest.fixture(autouse=True)
def _stays_well(lab: Lab, reports: Path) -> Iterator[None]:
    """After each test the gateways are well, and another run changes nothing."""
    yield
    again = gateways.task(lab, reports, *BASE)
    assert (again.code, again.changed()) == (0, []), again.log
    assert all(well(mac) for mac in lab.macs.values())


def repair(lab: Lab, reports: Path) -> None:
    """What a test has left bad is repaired by one run, once nothing is in its way."""
    for mac in lab.macs.values():
        mac.set_faults({"npm.openclaw": "small"})
    done = gateways.task(lab, reports, *BASE)
    assert done.code == 0, done.log


def found(reports: Path, mac: str) -> str:
    """The state in which a Mac's gateway was, as the report says."""
    state: str = report(reports)["macs"][mac]["gateway"]["state"]
    return state


def fault(mac: Mac, **switches: str) -> None:
    named = {name.replace("_", ".", 1): value for name, value in switches.items()}
    mac.set_faults({"npm.openclaw": "small", **named})


def stopped(reports: Path, mac: str) -> dict[str, str]:
    trouble: dict[str, str] = report(reports)["macs"][mac]["trouble"]
    return trouble


def pids(lab: Lab) -> dict[str, str | None]:
    return {name: shown(mac).get("pid") for name, mac in lab.macs.items()}


def run(lab: Lab, reports: Path, *arguments: str) -> Done:
    return gateways.task(lab, reports, *BASE, *arguments)


def test_never_loaded_deregistered_disabled(lab: Lab, reports: Path) -> None:
    one, two, three = lab.macs.values()
    for mac in lab.macs.values():
        boot_out(mac)
    one.exec(f"rm -f {one.spec.state}/launchd-overrides.json", user=False, check=True)
    three.exec(f"launchctl disable {JOB}", check=True)
    dry = pyinfra(lab, "--dry", *BASE, task="tasks/gateway.py", reports=reports)
    assert "[mac1] Will restart the gateway: it is installed but not loaded, and never" in dry.log
    assert "[mac3] Will restart the gateway: launchd has it disabled" in dry.log
    assert not any(answers(mac) for mac in (one, two, three))
    done = run(lab, reports)
    assert done.code == 0, done.log
    states = [found(reports, name) for name in lab.macs]
    assert states == ["never loaded", "deregistered", "disabled"]
    overrides = three.exec("launchctl print-disabled gui/$(id -u)").stdout.decode()
    assert f'"{LABEL}" => enabled' in overrides


def test_hung_two_gateways_and_one_by_hand(lab: Lab, reports: Path) -> None:
    one, two, three = lab.macs.values()
    one.exec(f"launchctl kill STOP {JOB}", check=True)
    until(lambda: not answers(one), "it hangs")
    copy = gateways.leave_a_copy(two, **{"npm.openclaw": "small"})
    boot_out(three)
    by_hand(three)
    started = listeners(three)
    done = run(lab, reports)
    assert done.code == 0, done.log
    assert [found(reports, name) for name in lab.macs] == ["hung", "two gateways", "by hand"]
    assert f"ends pid {copy}" in done.log
    assert f"ends pid {started[0]}" in done.log
    assert listeners(two) != [copy]
    assert report(reports)["macs"]["mac1"]["gateway"]["downtime_seconds"] > 0
    # Nothing of it had answered there before.
    assert report(reports)["macs"]["mac3"]["gateway"]["downtime_seconds"] is None
    assert " restart" in done.log
    assert "nobody answered for" in done.log


def test_what_stands_in_its_way_is_told(lab: Lab, reports: Path) -> None:
    if lab.level != "namespaces":
        pytest.skip("a job in the system domain needs a Mac with a root of its own (namespaces)")
    one, two, three = lab.macs.values()
    boot_out(one)
    foreign = listening_program(one)
    job = {"Label": LABEL, "ProgramArguments": ["/bin/sleep", "600"], "RunAtLoad": True}
    path = f"/Library/LaunchDaemons/{LABEL}.plist"
    where = two.spec.path(path)
    two.write(where, plistlib.dumps(job), user=False)
    two.exec(f"launchctl bootstrap system {where}", user=False, check=True)
    before = shown(two)["pid"]
    three.exec("launchctl __lab logout", check=True)
    try:
        done = run(lab, reports)
        assert done.code == 1
        taken = stopped(reports, "mac1")
        assert taken["found"].startswith(f"port {one.spec.gateway_port} is taken by pid {foreign}")
        assert f"kill {foreign}" in taken["fix"]
        assert "a system daemon is called" in stopped(reports, "mac2")["found"]
        assert "launchctl bootout system/" in stopped(reports, "mac2")["fix"]
        nobody = stopped(reports, "mac3")
        assert "nobody is logged in at the screen" in nobody["found"]
        assert "automatic login: off; FileVault is O" in nobody["found"]
        # Nothing was touched.
        assert listeners(one) == [foreign]
        assert shown(two)["pid"] == before
        assert two.exec(f"launchctl print system/{LABEL}").returncode == 0
    finally:
        one.exec(f"kill {foreign}")
        two.exec(f"launchctl bootout system/{LABEL}; rm -f {where}", user=False, check=True)
        until(lambda: two.exec(f"launchctl print system/{LABEL}").returncode != 0, "it is gone")
        three.exec("launchctl __lab login", check=True)
        until(lambda: well(three), "the login has started it")
    repair(lab, reports)


SEQUENCES = [
    {"mac1": {"launchctl_bootstrap": "5,5,0"}, "mac2": {"launchctl_bootstrap": "37,0"},
     "mac3": {"launchctl_bootstrap": "125,0"}},
    {"mac1": {"launchctl_bootout": "5,0"}, "mac2": {"launchctl_kickstart": "113,0"},
     "mac3": {"launchctl_bootstrap": "5,37,112,5,0", "launchctl_kickstart": "150,113,0"}},
]  # fmt: skip


@pytest.mark.parametrize("faults", SEQUENCES)
def test_refusals_of_a_moment(lab: Lab, reports: Path, faults: dict[str, dict[str, str]]) -> None:
    before = pids(lab)
    for name, mac in lab.macs.items():
        mac.exec("echo '# edited' >> ~/.openclaw/.env", check=True)
        fault(mac, **faults[name], launchd_teardown="5" if name == "mac1" else "0.3")
    done = run(lab, reports)
    assert done.code == 0, done.log
    assert all(found(reports, name) == "outdated process" for name in lab.macs)
    assert ".env was changed after it was started" in done.log
    after = pids(lab)
    assert all(after[name] not in (None, before[name]) for name in after)


def test_refusals_that_last(lab: Lab, reports: Path) -> None:
    for mac, code in zip(lab.macs.values(), ("125", "112", "150"), strict=True):
        mac.exec("echo '# edited again' >> ~/.openclaw/.env", check=True)
        fault(mac, launchctl_bootstrap=",".join([code] * 6))
    done = run(lab, reports)
    assert done.code == 1
    for name, code in zip(lab.macs, ("125", "112", "150"), strict=True):
        trouble = stopped(reports, name)
        assert f"launchctl bootstrap answered {code}" in trouble["found"]
        helps = f"launchctl error {code}" if code == "150" else "log in at the Mac's screen"
        assert helps in trouble["fix"], trouble
    repair(lab, reports)


def test_one_that_dies_for_ever_is_given_up_early(lab: Lab, reports: Path) -> None:
    one, two, three = lab.macs.values()
    saved = {}
    said = "echo 'told by the script that dies' >> ~/.openclaw/logs/gateway.err.log"
    scripts = {
        one: f"{said}; sleep 3; exit 1",
        two: f"{said}; exit 78",
        # Slow, and no crash loop.
        three: 'sleep 8; exec "$0" "$@"',
    }
    for mac, script in scripts.items():
        saved[mac] = gateways.read(mac, gateways.AGENT)
        keep_alive_script(mac, script)
        boot_out(mac)
    try:
        done = run(lab, reports, "--data", "gateway_start_timeout=600")
        assert done.code == 1
        for mac, code in ((one, "1"), (two, "78: EX_CONFIG")):
            trouble = stopped(reports, mac.name)
            assert f"a crash loop: it ended 3 times (last exit {code})" in trouble["found"]
            assert "openclaw doctor" in trouble["fix"]
            output = "\n".join(report(reports)["macs"][mac.name]["output"])
            assert "told by the script that dies" in output
        assert found(reports, "mac3") == "deregistered"
        assert well(three)
        # Found like that, the next run says what it is.
        until(lambda: int(shown(two).get("runs", "0")) > 3, "launchd has tried some times")
        seen = pyinfra(lab, "--dry", *BASE, task="tasks/gateway.py", reports=reports)
        assert "[mac2] Will restart the gateway: it is loaded but not running" in seen.log
        assert "times by now" in seen.log
    finally:
        for mac, plist in saved.items():
            mac.write(f"{mac.spec.home}/{gateways.AGENT}", plist, 0o644)
    repair(lab, reports)


def test_what_launchd_has_not_read(lab: Lab, reports: Path) -> None:
    """A plist that was edited, and `kickstart -k`, which does not read it again."""
    one, two, three = lab.macs.values()
    before = pids(lab)
    path = f"{one.spec.home}/{gateways.AGENT}"
    text = one.read(path).replace(
        b"<key>EnvironmentVariables</key>\n\t<dict>\n",
        b"<key>EnvironmentVariables</key>\n\t<dict>\n"
        b"\t\t<key>OPENCLAW_NOTE</key>\n\t\t<string>x</string>\n",
    )
    text = text if b"OPENCLAW_NOTE" in text else text.replace(
        b"<key>EnvironmentVariables</key>\n    <dict>",
        b"<key>EnvironmentVariables</key>\n    <dict><key>OPENCLAW_NOTE</key><string>x</string>",
    )  # fmt: skip
    assert b"OPENCLAW_NOTE" in text, text
    one.write(path, text, 0o644)
    one.exec(f"launchctl kickstart -k {JOB}", check=True)
    until(lambda: well(one), "it runs again")
    # Only touched; and what OpenClaw writes for itself.
    two.exec("touch ~/.openclaw/openclaw.json ~/.openclaw/.env ~/Library/LaunchAgents/*")
    two.exec("rm -f ~/.openclaw/.env")
    rewrite(three, lambda config: config.update(meta={"lastTouchedVersion": "2026.2.17"}))
    done = run(lab, reports)
    assert done.code == 0, done.log
    assert found(reports, "mac1") == "outdated process"
    assert "launchd has loaded OPENCLAW_NOTE otherwise than its plist says" in done.log
    assert pids(lab)["mac3"] == before["mac3"]


def test_a_client_of_the_port_lives_on(lab: Lab, reports: Path) -> None:
    """Another program's connection to another port, and one to the gateway, both from a client."""
    mac = lab.macs["mac1"]
    code = (
        "import socket,time,sys; "
        f"s=socket.create_connection(('127.0.0.1',{mac.spec.gateway_port})); "
        f"o=socket.create_connection(('127.0.0.1',{mac.spec.ollama_port})); time.sleep(300)"
    )
    out = mac.exec(f'"{mac.spec.python}" -S -c "{code}" >/dev/null 2>&1 & echo $!', check=True)
    client = out.stdout.decode().strip()
    mac.exec("echo '# once more' >> ~/.openclaw/.env", check=True)
    done = run(lab, reports)
    assert done.code == 0, done.log
    assert mac.exec(f"kill -0 {client}").returncode == 0
    ollama = mac.exec(f"lsof -nP -a -p {client} -iTCP:{mac.spec.ollama_port}").stdout.decode()
    assert "ESTABLISHED" in ollama
    mac.exec(f"kill {client}")


def _says(mac: Mac, text: str) -> bool:
    return text in gateways.read(mac, ".openclaw/logs/gateway.log").decode()


def test_models_change_without_a_restart(lab: Lab, reports: Path) -> None:
    before = pids(lab)
    wish = ("--data", "primary=ollama/qwen3-coder", "--data", "fallbacks=[]")
    dry = pyinfra(lab, "--dry", *BASE, *wish, task="deploy.py", reports=reports)
    assert "[mac1] The running gateway applies agents.defaults.model.primary" in dry.log
    assert "Will restart the gateway" not in dry.log
    done = pyinfra(lab, "-y", "--json", *BASE, *wish, reports=reports)
    assert done.code == 0, done.log
    assert pids(lab) == before
    assert "the running gateway has applied agents.defaults.model.primary" in done.log
    for name, mac in lab.macs.items():
        assert report(reports)["macs"][name]["reload"]["applied"], name
        config = json.loads(gateways.read(mac, ".openclaw/openclaw.json"))
        assert config["agents"]["defaults"]["model"]["primary"] == "ollama/qwen3-coder"
        assert "unfinished" not in mac.exec("ls ~/.clawfleet").stdout.decode()
    again = pyinfra(lab, "-y", "--json", *BASE, *wish, reports=reports)
    assert (again.code, again.changed()) == (0, [])
    # A gateway that is told not to apply anything is restarted.
    for mac in lab.macs.values():
        rewrite(mac, lambda config: config["gateway"].update(reload={"mode": "off"}))
        until(partial(_says, mac, "reload disabled"), "it says that it does not")
    back = pyinfra(lab, "-y", "--json", *BASE, reports=reports)
    assert back.code == 0, back.log
    assert all(pid not in (None, before[name]) for name, pid in pids(lab).items())
