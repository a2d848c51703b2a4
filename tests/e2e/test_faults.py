"""What goes wrong on one Mac stays on that Mac, is explained, and leaves nothing half-done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.deploys import home, pyinfra, report
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import apply

pytestmark = pytest.mark.lab

PIN = ("--data", "openclaw_version=2026.2.17", "--data", "gateway_start_timeout=30")
QUICK = (*PIN, "--data", "verify=off", "--data", "gateway_settle=1")


def fault(mac: Mac, **switches: str) -> None:
    """Set switches of a simulated Mac, on top of the small OpenClaw."""
    named = {name.replace("_", ".", 1): value for name, value in switches.items()}
    mac.set_faults({"npm.openclaw": "small", **named})


def web(mac: Mac) -> str:
    """A command that prints the HTTP status of the Mac's gateway."""
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/"
    return f"curl -s --noproxy '*' -o /dev/null -w '%{{http_code}}' {url}"


def stopped(reports: Path, mac: str) -> dict[str, str]:
    """Why a Mac was stopped, from the report."""
    trouble: dict[str, str] = report(reports)["macs"][mac]["trouble"]
    assert trouble["found"]
    assert trouble["expected"]
    assert trouble["fix"]
    return trouble


def test_one_broken_mac_of_three(small_lab: Lab, reports: Path) -> None:
    broken = small_lab.macs["mac2"]
    broken.write(f"{broken.spec.home}/.openclaw/openclaw.json", b"{\n  gateway: {,}\n}\n", 0o600)
    done = pyinfra(small_lab, "-y", "--json", *QUICK, reports=reports)
    assert done.code == 1
    assert done.result["results"]["failed_hosts"] == ["mac2"]
    found = stopped(reports, "mac2")
    assert "openclaw.json line 2, column 13" in found["found"]
    assert home(broken, ".openclaw/openclaw.json") == "{\n  gateway: {,}\n}\n"
    assert broken.exec("ls /opt/homebrew/bin/brew").returncode != 0
    for name in ("mac1", "mac3"):
        assert small_lab.macs[name].exec(web(small_lab.macs[name])).stdout == b"200"
    again = pyinfra(small_lab, "-y", "--json", *QUICK, reports=reports)
    assert again.code == 1
    assert again.changed() == []


def test_unreachable_and_wrong_key(small_lab: Lab, reports: Path, tmp_path: Path) -> None:
    text = small_lab.inventory().read_text()
    hosts = tmp_path / "hosts.yml"
    port = f"ansible_port: {small_lab.macs['mac1'].port}"
    if small_lab.level == "namespaces":
        text = text.replace(f'"{small_lab.macs["mac1"].address}"', '"192.0.2.77"')
    else:
        text = text.replace(port, "ansible_port: 1")
    other = tmp_path / "other"
    small_lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    lines = text.splitlines()
    second = lines.index("    mac2:")
    for number in range(second, len(lines)):
        if "private_key_file" in lines[number]:
            lines[number] = f'      ansible_ssh_private_key_file: "{other}"'
            break
    hosts.write_text("\n".join(lines) + "\n")
    small_lab.inventory = lambda: hosts  # type: ignore[method-assign]
    done = pyinfra(small_lab, "--dry", *QUICK, reports=reports)
    assert done.code == 1
    assert "[mac1]" in done.log
    assert "[mac2]" in done.log
    assert "[mac3] Will install Homebrew" in done.log
    assert "Traceback" not in done.log


def test_no_homebrew_and_no_sudo(small_lab: Lab, reports: Path) -> None:
    mac = small_lab.macs["mac1"]
    mac.change(sudo="password")
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    assert "no Homebrew, and sudo asks for a password" in stopped(reports, "mac1")["found"]
    assert mac.exec("ls -A ~").stdout.decode().split() == [
        name for name in mac.exec("ls -A ~").stdout.decode().split() if name != ".clawfleet"
    ]


def test_brew_refuses(small_lab: Lab, reports: Path) -> None:
    fault(small_lab.macs["mac1"], brew_install="Error: No bottle available for ollama!")
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert "install ollama failed: Error: No bottle available" in found["found"]
    assert "brew install --formula ollama" in found["fix"]


def test_disk_too_small(small_lab: Lab, reports: Path) -> None:
    mac = small_lab.macs["mac1"]
    mac.change(disk_free=10_000_000_000)
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert found["found"].startswith("10.0 GB free")
    assert "32.4 GB for gpt-oss:20b, qwen3-coder" in found["expected"]
    assert mac.exec(f"ls {mac.spec.homebrew_prefix}/bin/brew").returncode != 0


@pytest.mark.parametrize(
    ("switch", "said"),
    [("unknown", "file does not exist"), ("digest", "digest mismatch")],
)
def test_pull_fails(small_lab: Lab, reports: Path, switch: str, said: str) -> None:
    fault(small_lab.macs["mac1"], ollama_pull=switch)
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert "pulling gpt-oss:20b failed" in found["found"]
    assert said in found["found"]


def test_gateway_that_does_not_come_up(small_lab: Lab, reports: Path) -> None:
    mac = small_lab.macs["mac1"]
    apply(mac, "rich", "2026.2.17")
    before = home(mac, ".openclaw/openclaw.json")
    fault(mac, openclaw_gateway="exit:qwen3-coder")
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    assert "restart the gateway failed" in stopped(reports, "mac1")["found"]
    assert home(mac, ".openclaw/openclaw.json") == before
    assert "the files from before this run are back" in done.log
    assert "and the gateway runs with them" in done.log
    assert mac.exec(web(mac)).stdout == b"200"


def test_config_that_openclaw_refuses(small_lab: Lab, reports: Path) -> None:
    """A candidate that the installed OpenClaw refuses never replaces the file."""
    mac = small_lab.macs["mac1"]
    apply(mac, "half", "2026.2.17")
    text = "{ gateway: { mode: 'local' }, nobodyKnowsThis: true }\n"
    mac.write(f"{mac.spec.home}/.openclaw/openclaw.json", text.encode(), 0o600)
    use_small(mac)
    done = pyinfra(small_lab, "-y", "--json", "--limit", "mac1", *QUICK, reports=reports)
    assert done.code == 1
    assert "OpenClaw refuses the new config" in done.log
    assert home(mac, ".openclaw/openclaw.json") == text
