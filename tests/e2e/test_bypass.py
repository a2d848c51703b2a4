"""The policies on Macs with the small OpenClaw: "bypass" installed anew, read back, and undone;
what "keep" says of proxies that it leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deploys import Done, home, own_files, pyinfra, tree
from tests.lab.evil import variables
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import apply

pytestmark = pytest.mark.lab

OWN = {
    "mac1": {"proxies": "bypass", "openclaw_version": "2026.2.17"},
    "mac2": {"proxies": "bypass", "openclaw_version": "2026.9.6"},
}
QUICK = ("--data", "gateway_settle=1")
OFF = (*QUICK, "--data", "verify=off")
PROXY = "http://127.0.0.1:9"
START = {
    "mac1": "Library/LaunchAgents/ai.openclaw.gateway.plist",
    "mac2": ".openclaw/service-env/ai.openclaw.gateway.env",
}


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two Macs with everything but a gateway, and a proxy in launchd's domain."""
    with Lab.up(2, dir=tmp_path_factory.mktemp("lab")) as lab:
        for name, mac in lab.macs.items():
            use_small(mac)
            apply(mac, "half", OWN[name]["openclaw_version"])
            set_in_domain(mac, {"HTTP_PROXY": PROXY, "no_proxy": "corp.example"})
            mac.write(f"{mac.spec.home}/.zprofile", f"export http_proxy={PROXY}\n".encode())
        yield lab


def files(mac: Mac) -> dict[str, str]:
    """Files that a deploy could write, but for models, which a removal leaves."""
    found = own_files(tree(mac))
    return {path: what for path, what in found.items() if not path.startswith("./.ollama/")}


def set_in_domain(mac: Mac, values: dict[str, str]) -> None:
    words = [word for pair in values.items() for word in pair]
    env = {"CLAWFLEET_LAB_DOMAIN": f"gui/{mac.spec.uid}"}
    mac.exec(["launchctl", "setenv", *words], env=env, check=True)


def domain(mac: Mac) -> dict[str, str]:
    printed = mac.exec(f"launchctl print gui/{mac.spec.uid}", check=True).stdout.decode()
    found = re.findall(r"^\t\t(\w+) => (.*)$", printed, re.M)
    return {name: value for name, value in found if "proxy" in name.lower()}


def run(lab: Lab, *arguments: str, reports: Path, task: str = "deploy.py") -> Done:
    done = pyinfra(lab, "-y", "--json", *arguments, task=task, own=OWN, reports=reports)
    assert done.code == 0, done.log
    return done


def told(done: Done) -> str:
    """The log as one line: the table breaks its cells."""
    return " ".join(re.sub(r"[│\n]", " ", done.log).split())


def test_a_new_gateway_an_old_one_and_the_way_back(lab: Lab, reports: Path) -> None:
    before = {name: files(mac) for name, mac in lab.macs.items()}
    first = run(lab, *QUICK, reports=reports)
    # No plist was there before OpenClaw wrote one, and yet it runs with them.
    for name, mac in lab.macs.items():
        value = r"corp\.example,127\.0\.0\.1,localhost,::1(,[\w.]+)*"
        start = home(mac, START[name])
        assert len(re.findall(value, start)) == 2, start
        shown = mac.exec("ps eww -o command= -p $(lsof -nP -tiTCP:18789 -sTCP:LISTEN)").stdout
        if mac.spec.gateway_port == 18789:
            assert re.search(rf"\bno_proxy={value}", shown.decode()), name
        assert set(domain(mac)) == {"HTTP_PROXY", "NO_PROXY", "no_proxy"}
    assert told(first).count("1 proxy in the running process (HTTP_PROXY); bypass:") == 2
    assert run(lab, *OFF, reports=reports).changed() == []

    # What OpenClaw itself writes anew is written again, and nothing else.
    for name, mac in lab.macs.items():
        text = home(mac, START[name])
        bare = re.sub(
            r"(<key>NO_PROXY</key>\s*<string>.*?</string>|export NO_PROXY=.*\n)", "", text
        )
        assert bare != text
        mode = 0o644 if name == "mac1" else 0o600
        mac.write(f"{mac.spec.home}/{START[name]}", bare.encode(), mode)
    again = run(lab, *OFF, reports=reports)
    assert [one.rpartition(" | ")[2] for one in again.changed()] == [
        "sends nothing for Ollama through a proxy",
        "runs and is well",
    ]

    # macOS shows the environment of programs that it protects to nobody.
    for mac in lab.macs.values():
        mac.set_faults({"npm.openclaw": "small", "ps.environment": "hidden"})
    proof = run(lab, reports=reports, task="tasks/verify.py")
    assert told(proof).count("says launchctl; macOS hides the process's own") == 2
    for mac in lab.macs.values():
        mac.set_faults({"npm.openclaw": "small"})

    profiles = run(lab, *OFF, "--data", "proxies_in_profiles=true", reports=reports)
    assert len(profiles.changed()) == 1, profiles.changed()
    for mac in lab.macs.values():
        assert home(mac, ".zprofile").startswith(f"export http_proxy={PROXY}\ncase ")
        said = mac.exec('. ~/.zprofile; echo "$http_proxy $no_proxy"').stdout.decode()
        assert said.startswith(f"{PROXY} 127.0.0.1,localhost,::1")

    run(lab, *OFF, reports=reports, task="tasks/remove.py")
    for name, mac in lab.macs.items():
        assert files(mac) == before[name], name
        assert domain(mac) == {"HTTP_PROXY": PROXY, "no_proxy": "corp.example"}, name


def test_a_rollback_gives_the_domain_back_and_a_wrong_process_is_restarted(
    lab: Lab, reports: Path
) -> None:
    mac = lab.macs["mac1"]
    limit = ("--limit", "mac1")
    run(lab, *OFF, *limit, "--data", "proxies=keep", reports=reports)
    before = own_files(tree(mac))
    run(lab, *OFF, *limit, reports=reports)
    assert "NO_PROXY" in domain(mac)
    done = run(lab, *OFF, *limit, reports=reports, task="tasks/rollback.py")
    assert "unset NO_PROXY" in done.log
    assert own_files(tree(mac)) == before
    assert domain(mac) == {"HTTP_PROXY": PROXY, "no_proxy": "corp.example"}

    # A process that was started with something else, though all files are right by now.
    run(lab, *OFF, *limit, reports=reports)
    set_in_domain(mac, variables(PROXY))
    plist = f"{mac.spec.home}/{START['mac1']}"
    right = mac.read(plist)
    wrong = re.sub(r"<key>(NO_PROXY|no_proxy)</key>\s*<string>.*?</string>", "", right.decode())
    gui = f"gui/{mac.spec.uid}"
    mac.write(plist, wrong.encode())
    label = "ai.openclaw.gateway"
    gone = f"until ! launchctl print {gui}/{label}; do sleep 0.1; done >/dev/null 2>&1"
    again = f"launchctl bootout {gui}/{label}; {gone}; launchctl bootstrap {gui} '{plist}'"
    mac.exec(again, check=True)
    mac.write(plist, right)
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/"
    curl = f"curl -q -s --noproxy '*' --retry 60 --retry-delay 1 --retry-connrefused {url}"
    mac.exec(curl, check=True)
    done = run(lab, *OFF, *limit, reports=reports)
    assert "NO_PROXY of the running process does not name 127.0.0.1" in done.log
    assert "runs and is well" in str(done.changed())
    assert run(lab, *OFF, *limit, reports=reports).changed() == []


def test_keep_says_beforehand_what_it_costs_and_a_late_start_names_the_proxies(
    lab: Lab, reports: Path
) -> None:
    mac = lab.macs["mac1"]
    mac.set_faults({"npm.openclaw": "small", "openclaw.gateway": "deaf"})
    keep = {"mac1": {**OWN["mac1"], "proxies": "keep"}}
    short = ("--data", "gateway_start_timeout=5", "--limit", "mac1")
    dry = pyinfra(lab, "--dry", *short, own=keep, reports=reports)
    assert dry.code == 0, dry.log
    warning = "a start that takes longer than gateway_start_timeout (5 s) is undone"
    assert warning in told(dry)
    done = pyinfra(lab, "-y", *short, own=keep, reports=reports)
    assert done.code != 0
    assert warning in told(done)
    late = "not well after 5 s; last seen: pid "
    likely = "the likely reason: HTTP_PROXY in launchd's domain gui/"
    assert late in told(done)
    assert likely in told(done)
    assert 'set proxies = "unset", or have those proxies answer' in told(done)
    assert PROXY not in done.log
