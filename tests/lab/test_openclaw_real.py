"""The real OpenClaw on simulated Macs: its launchd path, a turn by Ollama, dead proxies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import levels, openclaw, plan, profiles
from tests.lab.lab import Lab, Mac

pytestmark = [pytest.mark.lab, pytest.mark.openclaw]
OLD, NEW = "2026.2.17", "2026.9.6"
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
DEAD = dict.fromkeys(PROXIES, profiles.DEAD_PROXY)
TOKEN = "tok-lab-0123456789abcdef"
PATIENCE = 180


@pytest.fixture(scope="module", params=["namespaces", "ports"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Mac 1 is half with the old OpenClaw, mac 2 with the new one."""
    if request.param == "namespaces" and (why := levels.obstacle(plan.shown())):
        pytest.skip(f"no namespaces here: {why}")
    try:
        openclaw.install([OLD, NEW])
    except openclaw.CacheError as error:
        pytest.skip(f"the real OpenClaw can't be installed: {error}")
    with Lab.up(2, level=request.param, dir=tmp_path_factory.mktemp("lab") / "l") as running:
        profiles.apply(running.macs["mac1"], "half", OLD)
        profiles.apply(running.macs["mac2"], "half", NEW)
        yield running


class Shell:
    """``openclaw`` on a Mac, called from a session with dead proxies."""

    def __init__(self, mac: Mac, version: str) -> None:
        self.mac, self.version = mac, version
        prefix = mac.spec.homebrew_prefix
        self.path = f"{prefix}/opt/node@{openclaw.NODE_FOR[version]}/bin:{prefix}/bin"
        self.job = f"gui/{mac.spec.uid}/{profiles.LABEL}"

    def run(self, command: str, code: int = 0) -> str:
        done = self.mac.exec(f"PATH={self.path}:$PATH; {command}", env=DEAD, timeout=PATIENCE)
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == code, f"{command}: {said}"
        return said

    def configure(self) -> None:
        """Providers and models as that version wants them; Ollama takes the whole prompt."""
        port = self.mac.spec.ollama_port
        base = f"http://127.0.0.1:{port}"
        model: dict[str, Any] = {"id": "gpt-oss:20b", "name": "GPT-OSS"}
        if self.version == NEW:
            ollama = {"baseUrl": base, "api": "ollama"}
            model["params"] = {"num_ctx": 32768}
        else:
            ollama = {"baseUrl": f"{base}/v1", "api": "openai-completions"}
        provider = {**ollama, "apiKey": "ollama-local", "models": [model]}
        auth = {"mode": "token", "token": TOKEN}
        config = {
            "gateway": {"mode": "local", "bind": "loopback", "auth": auth,
                        "port": self.mac.spec.gateway_port},
            "models": {"providers": {"ollama": provider}},
            "agents": {"defaults": {"model": {"primary": "ollama/gpt-oss:20b"}}},
        }  # fmt: skip
        folder = f"{self.mac.spec.home}/.openclaw"
        self.run(f"mkdir -p -m 700 {folder}")
        self.mac.write(f"{folder}/openclaw.json", json.dumps(config).encode(), 0o600)

    def up(self) -> None:
        """Wait until the gateway answers HTTP."""
        url = f"http://127.0.0.1:{self.mac.spec.gateway_port}/"
        end = time.monotonic() + PATIENCE
        while self.mac.exec(["curl", "--noproxy", "*", "-s", "-o", "/dev/null", url]).returncode:
            assert time.monotonic() < end, self.run(f"launchctl print {self.job}")
            time.sleep(0.2)

    def gone(self) -> None:
        """Wait until launchd has let go of the job: 2026.2.x returns from `stop` before that."""
        end = time.monotonic() + PATIENCE
        while self.mac.exec(["launchctl", "print", self.job]).returncode != 113:
            assert time.monotonic() < end
            time.sleep(0.1)

    def pid(self) -> str:
        lines = self.run(f"launchctl print {self.job}").splitlines()
        return next(line.split()[-1] for line in lines if line.startswith("\tpid = "))


@pytest.mark.parametrize(("name", "version"), [("mac1", OLD), ("mac2", NEW)])
def test_life_of_a_real_gateway(lab: Lab, name: str, version: str) -> None:
    mac = lab.macs[name]
    shell = Shell(mac, version)
    assert version in shell.run("openclaw --version")
    shell.configure()
    assert "Installed LaunchAgent: " in shell.run("openclaw gateway install")
    plist = mac.read(f"{mac.spec.home}/Library/LaunchAgents/{profiles.LABEL}.plist").decode()
    # The wrapper, not the cached Node: what launchd starts believes in macOS, too.
    assert f"{mac.spec.homebrew_prefix}/" in plist
    assert f"{mac.spec.cache}/node/" not in plist
    assert "proxy" not in plist.lower()
    shell.up()
    assert json.loads(shell.run("openclaw health --json"))["ok"] is True
    said = shell.run("openclaw agent --agent main --message hi --json")
    found = json.loads(said[said.index("{") :])["result"]
    assert found["payloads"][0]["text"] == f"Hello from gpt-oss:20b on {name}."
    assert found["meta"]["agentMeta"]["provider"] == "ollama"
    before = shell.pid()
    restarted = shell.run("openclaw gateway restart")
    assert "Restarted LaunchAgent: " in restarted or "repaired and restarted" in restarted
    shell.up()
    assert shell.pid() != before
    assert json.loads(shell.run("openclaw health --json"))["ok"] is True
    if version == NEW:
        assert "re-run with --force" in shell.run("openclaw gateway stop", code=1)
    assert "Stopped LaunchAgent: " in shell.run("openclaw gateway stop --force")
    shell.gone()
    started = shell.run("openclaw gateway start")
    if version == OLD:
        assert started.startswith("Gateway service not loaded.\nStart with: openclaw gateway inst")
    else:
        assert "re-bootstrapped launchd service" in started
        assert json.loads(shell.run("openclaw health --json"))["ok"] is True


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_shim(lab: Lab, version: str) -> None:
    mac = lab.macs["mac1" if version == OLD else "mac2"]
    asked = """
      const os = require('os');
      const { Worker, isMainThread } = require('worker_threads');
      const seen = { platform: process.platform, type: os.type(), release: os.release(),
        host: os.hostname(), user: os.userInfo().username, home: os.userInfo().homedir,
        uid: process.getuid(), exec: process.execPath, options: process.env.NODE_OPTIONS ?? null,
        child: require('child_process').execFileSync(process.execPath,
          ['-p', 'process.platform'], { encoding: 'utf8' }).trim(),
        product: require('child_process').execFileSync('/usr/bin/sw_vers',
          ['-productVersion'], { encoding: 'utf8' }).trim() };
      new Worker("require('worker_threads').parentPort.postMessage(process.platform)",
        { eval: true }).on('message', (platform) => {
          console.log(JSON.stringify({ ...seen, worker: platform }));
        });
    """
    mac.write(f"{mac.spec.home}/asked.cjs", asked.encode())
    seen = json.loads(Shell(mac, version).run("node asked.cjs"))
    assert seen.pop("exec").startswith(f"{mac.spec.homebrew_prefix}/Cellar/node@")
    assert seen == {
        "platform": "darwin", "type": "Darwin", "release": mac.spec.darwin, "host": mac.name,
        "user": mac.spec.user, "home": mac.spec.home, "uid": mac.spec.uid, "options": None,
        "child": "darwin", "product": mac.spec.macos, "worker": "darwin",
    }  # fmt: skip
