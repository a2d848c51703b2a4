"""The states that simulated Macs are put into, with the small OpenClaw at both levels."""

from __future__ import annotations

import json
import plistlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import levels, openclaw, plan, profiles
from tests.lab.lab import Lab, Mac
from tests.lab.spec import MacSpec
from tests.lab.standins import json5, openclaw_small_config

pytestmark = pytest.mark.lab
OLD, NEW = "2026.2.17", "2026.9.6"


@pytest.fixture(scope="module", params=["namespaces", "ports"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Mac 1 bare, mac 2 half, mac 3 rich with the old OpenClaw, mac 4 rich with the new one."""
    if request.param == "namespaces" and (why := levels.obstacle(plan.shown())):
        pytest.skip(f"no namespaces here: {why}")
    with Lab.up(4, level=request.param, dir=tmp_path_factory.mktemp("lab") / "l") as running:
        for mac in running.macs.values():
            openclaw.use_small(mac)
        profiles.apply(running.macs["mac1"], "bare", OLD)
        profiles.apply(running.macs["mac2"], "half", OLD)
        profiles.apply(running.macs["mac3"], "rich", OLD)
        profiles.apply(running.macs["mac4"], "rich", NEW)
        yield running


def says(mac: Mac, command: str) -> str:
    done = mac.exec(command)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def api(mac: Mac, path: str) -> Any:
    port = mac.spec.ollama_port
    return json.loads(says(mac, f"curl --noproxy '*' -s http://127.0.0.1:{port}{path}"))


def exists(mac: Mac, path: str) -> bool:
    return mac.exec(["test", "-e", path]).returncode == 0


def models(mac: Mac) -> list[str]:
    return sorted(entry["name"] for entry in api(mac, "/api/tags")["models"])


def with_brew(mac: Mac) -> str:
    node = "node@22" if exists(mac, f"{mac.spec.homebrew_prefix}/opt/node@22") else "node@24"
    prefix = mac.spec.homebrew_prefix
    return f"PATH={prefix}/opt/{node}/bin:{prefix}/bin:$PATH; "


def test_bare(lab: Lab) -> None:
    mac = lab.macs["mac1"]
    for path in (f"{mac.spec.homebrew_prefix}/bin/brew", f"{mac.spec.home}/.openclaw",
                 f"{mac.spec.home}/.ollama"):  # fmt: skip
        assert not exists(mac, path)


def test_half(lab: Lab) -> None:
    mac = lab.macs["mac2"]
    # The client warns that the server is another version: the trap of this profile.
    assert api(mac, "/api/version") == {"version": profiles.OLD_OLLAMA}
    brew = says(mac, with_brew(mac) + "brew list --versions ollama")
    assert brew == f"ollama {profiles.NEW_OLLAMA}"
    assert models(mac) == ["gpt-oss:20b"]
    assert says(mac, with_brew(mac) + "openclaw --version") == OLD
    assert not exists(mac, f"{mac.spec.home}/.openclaw")
    job = f"gui/{mac.spec.uid}/{profiles.LABEL}"
    assert mac.exec(["launchctl", "print", job]).returncode == 113


@pytest.mark.parametrize(("name", "version"), [("mac3", OLD), ("mac4", NEW)])
def test_rich(lab: Lab, name: str, version: str) -> None:
    mac = lab.macs[name]
    assert api(mac, "/api/version") == {"version": profiles.NEW_OLLAMA}
    assert models(mac) == ["gpt-oss:20b", "qwen3-coder:latest"]
    assert version in says(mac, with_brew(mac) + "openclaw --version")
    assert json.loads(says(mac, with_brew(mac) + "openclaw health --json"))["ok"] is True
    folder = f"{mac.spec.home}/.openclaw"
    text = mac.read(f"{folder}/openclaw.json").decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    config = json5.loads(text)
    assert config["gateway"]["auth"]["token"] == profiles.TOKEN
    assert config["gateway"]["port"] == mac.spec.gateway_port
    assert config["channels"]["telegram"]["dmPolicy"] == "pairing"
    credentials = f"{folder}/agents/main/agent/auth-profiles.json"
    assert exists(mac, credentials) == (version == OLD)


@pytest.mark.parametrize("name", ["mac3", "mac4"])
def test_rich_is_poisoned_everywhere(lab: Lab, name: str) -> None:
    mac = lab.macs[name]
    dead = profiles.DEAD_PROXY
    gui = {"CLAWFLEET_LAB_DOMAIN": f"gui/{mac.spec.uid}"}
    assert mac.exec("launchctl getenv http_proxy", env=gui).stdout.decode().strip() == dead
    assert f"HTTPS_PROXY={dead}" in mac.read(f"{mac.spec.home}/.openclaw/.env").decode()
    if name == "mac3":
        plist = mac.read(f"{mac.spec.home}/Library/LaunchAgents/{profiles.LABEL}.plist")
        assert plistlib.loads(plist)["EnvironmentVariables"]["HTTP_PROXY"] == dead
    else:
        env = mac.read(f"{mac.spec.home}/.openclaw/service-env/{profiles.LABEL}.env").decode()
        assert f"export HTTP_PROXY='{dead}'" in env
    printed = says(mac, f"launchctl print gui/{mac.spec.uid}/{profiles.LABEL}")
    pid = next(line.split()[-1] for line in printed.splitlines() if line.startswith("\tpid = "))
    running = Path(f"/proc/{pid}/environ") if lab.level == "ports" else None
    environ = running.read_text() if running else says(mac, f"cat /proc/{pid}/environ")
    for variable in ("http_proxy", "ALL_PROXY", "HTTP_PROXY"):
        assert f"{variable}={dead}" in environ.split("\0")


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_rich_configuration_is_valid(version: str, tmp_path: Path) -> None:
    spec = MacSpec(**{**_any_spec(tmp_path), "gateway_port": 18800})
    folder = tmp_path / ".openclaw"
    folder.mkdir()
    (folder / "openclaw.json").write_text(profiles.rich_config(version, spec))
    found = openclaw_small_config.load(tmp_path, version)
    assert found.issues == []
    assert found.get("gateway", "port") == 18800
    major = openclaw.NODE_FOR[version]
    if not openclaw.is_cached(version):
        return
    done = subprocess.run(
        [openclaw.node_path(major), openclaw.package_path(version) / "openclaw.mjs",
         "config", "get", "gateway.port"],
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "18800"), done.stderr


def _any_spec(folder: Path) -> dict[str, Any]:
    paths = ("root", "home", "state", "homebrew_prefix", "applications", "repo", "cache", "bin")
    return {
        "name": "mac1", "level": "ports", "user": "mac", "uid": 501, "gid": 20,
        "python": shutil.which("python3") or "", "internet": "",
        **{name: str(folder) for name in paths},
    }  # fmt: skip


def test_wrong_wishes(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    mac = lab.macs["mac1"]
    with pytest.raises(profiles.ProfileError, match="expected one of bare, rich, half"):
        profiles.apply(mac, "poor", OLD)
    with pytest.raises(profiles.ProfileError, match=f"expected one of {OLD}, {NEW}"):
        profiles.apply(mac, "bare", "2026.2.15")
    assert profiles.main(["mac9=bare", "--dir", str(lab.folder)]) == 1
    assert "mac9: no such Mac in the lab, expected one of mac1" in capsys.readouterr().err
