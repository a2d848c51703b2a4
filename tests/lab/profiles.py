"""States in which people's Macs are when the playbook first meets them.

    python -m tests.lab.profiles mac1=bare mac2=rich mac3=half --openclaw 2026.2.17

``bare``  nothing: no Homebrew, no OpenClaw, a fresh home.
``rich``  all of it, with the user's own configuration (JSON5, comments, a provider in the cloud), a
          running gateway, and proxies left over in every place that the gateway starts from.
``half``  Homebrew; Ollama upgraded while the old server still runs; one of the models; Node and
          OpenClaw, but no configuration and no gateway.
``served``  Homebrew and a running Ollama without any model; nothing else.

Everything is done with the Mac's own commands, as its user would.
"""

from __future__ import annotations

import argparse
import json
import plistlib
import sys
import time
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess
from typing import Protocol

from tests.lab.openclaw import NODE_FOR
from tests.lab.spec import MacSpec

OLD_OLLAMA, NEW_OLLAMA = "0.16.1", "0.32.3"
MODELS = ("gpt-oss:20b", "qwen3-coder")
TOKEN = "rich-7f3a9c51e0d24b68"
"""The gateway token in the rich user's own configuration."""
DEAD_PROXY = "http://127.0.0.1:9"
LABEL = "ai.openclaw.gateway"
PATIENCE = 180
"""Seconds to wait for a server; a real gateway on a busy machine needs up to 40."""


class ProfileError(Exception):
    """A Mac did not get into the state; the text has the Mac, what was found, and the command."""


class Mac(Protocol):
    """What is needed of :class:`tests.lab.lab.Mac`."""

    spec: MacSpec

    @property
    def name(self) -> str: ...

    def exec(
        self, argv: list[str] | str, *, env: dict[str, str] | None = None
    ) -> CompletedProcess[bytes]: ...

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None: ...

    def read(self, path: str) -> bytes: ...


def rich_config(version: str, spec: MacSpec) -> str:
    """The rich user's ``openclaw.json``: JSON5 with comments, valid for that OpenClaw version."""
    recent = version >= "2026.9"
    heartbeat = "" if recent else "\n      heartbeat: { every: '0m' }, // quiet, please"
    return f"""\
// My OpenClaw. Edited by hand, so mind the comments!
{{
  auth: {{
    profiles: {{
      'zai:default': {{ provider: 'zai', mode: 'api_key' }},
    }},
  }},
  models: {{
    mode: 'merge',
    providers: {{
      // the cloud, for the hard questions
      zai: {{
        baseUrl: 'https://api.z.ai/api/paas/v4',
        api: 'openai-completions',
        apiKey: 'zai-lab-not-a-real-key',
        models: [
          {{
            id: 'glm-4.5-air', name: 'GLM 4.5 Air', reasoning: true, input: ['text'],
            contextWindow: 131072, maxTokens: 8192,
          }},
        ],
      }},
    }},
  }},
  agents: {{
    defaults: {{
      model: {{ primary: 'zai/glm-4.5-air' }},
      models: {{ 'zai/glm-4.5-air': {{ alias: 'Air' }} }},
      maxConcurrent: 2,{heartbeat}
    }},
  }},
  channels: {{
    telegram: {{ enabled: false, botToken: '123456:lab-not-a-real-token', dmPolicy: 'pairing' }},
  }},
  plugins: {{ entries: {{ telegram: {{ enabled: false }} }} }},
  gateway: {{
    mode: 'local', bind: 'loopback', port: {spec.gateway_port},
    auth: {{ mode: 'token', token: '{TOKEN}' }}, /* keep: the phone knows it */
  }},
}}
"""


class _Setup:
    def __init__(self, mac: Mac, version: str) -> None:
        if version not in NODE_FOR:
            raise ProfileError(
                f"{mac.name}: OpenClaw {version} was asked for, expected one of "
                f"{', '.join(NODE_FOR)}. Run: python -m tests.lab.profiles --help"
            )
        self.mac, self.spec, self.version = mac, mac.spec, version
        self.prefix = mac.spec.homebrew_prefix
        self.node = f"node@{NODE_FOR[version]}"

    def run(self, command: str, **env: str) -> str:
        """Run in the Mac's sh with Homebrew and its Node on PATH; ProfileError if it fails."""
        path = f"{self.prefix}/opt/{self.node}/bin:{self.prefix}/bin"
        done = self.mac.exec(f'PATH="{path}:$PATH"; export PATH; {command}', env=env)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()[-600:]
            raise ProfileError(
                f"{self.mac.name}: exit code {done.returncode}, expected 0, from: {command}\n{said}"
                f"\nTry: python -m tests.lab in {self.mac.name} {command}"
            )
        return done.stdout.decode(errors="replace")

    def answers(self, port: int, path: str = "/") -> bytes | None:
        """Body of an HTTP answer from the Mac's loopback; None while nothing listens."""
        url = f"http://127.0.0.1:{port}{path}"
        done = self.mac.exec(["curl", "--noproxy", "*", "-s", "--max-time", "3", url])
        return done.stdout if done.returncode == 0 else None

    def wait(self, what: str, ready: Callable[[], bool], look: str) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise ProfileError(
                    f"{self.mac.name}: {what} did not answer within {PATIENCE} s, expected it to "
                    f"listen. Look at: python -m tests.lab in {self.mac.name} {look}"
                )
            time.sleep(0.1)

    def homebrew(self) -> None:
        script = f"{self.spec.internet}/homebrew/install.sh"
        self.run(f'NONINTERACTIVE=1 /bin/bash -c "$(curl -fsSL {script})"')

    def ollama(self, version: str) -> None:
        """The formula at that version, its service running."""
        self.run(f"brew __lab install-formula ollama {version}")
        if self.spec.ollama_port != 11434:
            # The ordinary way to move the service to another port, which Macs that share one
            # network need.
            line = f"OLLAMA_HOST=127.0.0.1:{self.spec.ollama_port}\n"
            self.mac.write(f"{self.spec.home}/.homebrew/services/ollama.env", line.encode(), 0o600)
        self.run("brew services start ollama")
        port = self.spec.ollama_port
        self.wait(
            f"Ollama on port {port}",
            lambda: version.encode() in (self.answers(port, "/api/version") or b""),
            f"cat {self.prefix}/var/log/ollama.log",
        )

    def model(self, name: str, revision: int = 1) -> None:
        """Put a model into the store as if it had been pulled some time ago."""
        code = "from tests.lab.standins.ollama_store import seed; "
        code += f"seed({self.store!r}, {name!r}, revision={revision})"
        self.run(f'PYTHONPATH={self.spec.repo} "{self.spec.python}" -S -P -c "{code}"')

    @property
    def store(self) -> str:
        return f"{self.spec.home}/.ollama/models"

    def openclaw(self) -> None:
        self.run(f"brew install {self.node}")
        self.run(f"npm install -g openclaw@{self.version}")

    def own_config(self) -> None:
        """The user's own files, as rich_config and ~/.openclaw/.env."""
        folder = f"{self.spec.home}/.openclaw"
        self.run(f"mkdir -p -m 700 {folder}")
        config = rich_config(self.version, self.spec)
        self.mac.write(f"{folder}/openclaw.json", config.encode(), 0o600)
        env = f"# left over from the office\nHTTPS_PROXY={DEAD_PROXY}\nhttp_proxy={DEAD_PROXY}\n"
        self.mac.write(f"{folder}/.env", env.encode(), 0o600)
        if self.version < "2026.9":
            key = {"type": "api_key", "provider": "zai", "key": "zai-lab-not-a-real-key"}
            profiles = {"version": 1, "profiles": {"zai:default": key}}
            self.mac.write(
                f"{folder}/agents/main/agent/auth-profiles.json",
                f"{json.dumps(profiles, indent=2)}\n".encode(),
                0o600,
            )
            self.run(f"chmod 700 {folder}/agents {folder}/agents/main {folder}/agents/main/agent")

    def poisoned_gateway(self) -> None:
        """Install the gateway, with dead proxies in the GUI domain and in the service's own env."""
        gui = f"gui/{self.spec.uid}"
        for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
            self.run(f"launchctl setenv {name} {DEAD_PROXY}", CLAWFLEET_LAB_DOMAIN=gui)
        self.run("openclaw gateway install")
        plist = f"{self.spec.home}/Library/LaunchAgents/{LABEL}.plist"
        # Reloaded from another file's content the job must first be gone.
        self.run(f"launchctl bootout {gui}/{LABEL}")
        self._poison(plist)
        self.wait(
            f"launchd's {LABEL}",
            lambda: self.mac.exec(["launchctl", "print", f"{gui}/{LABEL}"]).returncode != 0,
            f"launchctl print {gui}/{LABEL}",
        )
        self.run(f"launchctl bootstrap {gui} {plist}")
        port = self.spec.gateway_port
        self.wait(
            f"the gateway on port {port}",
            lambda: self.answers(port) is not None,
            f"launchctl print {gui}/{LABEL}",
        )

    def _poison(self, plist: str) -> None:
        proxies = {"HTTP_PROXY": DEAD_PROXY, "HTTPS_PROXY": DEAD_PROXY}
        if self.version >= "2026.9":
            file = f"{self.spec.home}/.openclaw/service-env/{LABEL}.env"
            lines = "".join(f"export {name}='{value}'\n" for name, value in proxies.items())
            self.mac.write(file, self.mac.read(file) + lines.encode(), 0o600)
        else:
            content = plistlib.loads(self.mac.read(plist))
            content["EnvironmentVariables"] |= proxies
            self.mac.write(plist, plistlib.dumps(content, sort_keys=False), 0o644)


def _bare(_: _Setup) -> None:
    return


def _rich(setup: _Setup) -> None:
    setup.homebrew()
    for name in MODELS:
        setup.model(name)
    setup.ollama(NEW_OLLAMA)
    setup.openclaw()
    setup.own_config()
    setup.poisoned_gateway()


def _half(setup: _Setup) -> None:
    setup.homebrew()
    setup.model(MODELS[0])
    setup.ollama(OLD_OLLAMA)
    setup.run("brew upgrade ollama")
    setup.openclaw()


def _served(setup: _Setup) -> None:
    setup.homebrew()
    setup.ollama(NEW_OLLAMA)


PROFILES: Mapping[str, Callable[[_Setup], None]] = {
    "bare": _bare,
    "rich": _rich,
    "half": _half,
    "served": _served,
}


def apply(mac: Mac, profile: str, openclaw_version: str) -> None:
    """Bring a fresh simulated Mac into that state; returns when its servers answer.

    ProfileError names the Mac, what failed and the command to look at it with.
    """
    if profile not in PROFILES:
        raise ProfileError(
            f"{mac.name}: profile {profile!r} was asked for, expected one of "
            f"{', '.join(PROFILES)}. Run: python -m tests.lab.profiles {mac.name}=bare"
        )
    PROFILES[profile](_Setup(mac, openclaw_version))


def seed(mac: Mac, model: str, revision: int = 1) -> None:
    """Put a model into a Mac's store as if it had been pulled some time ago; ProfileError.

    The lab's registry publishes revision 1.
    """
    _Setup(mac, next(iter(NODE_FOR))).model(model, revision)


def main(argv: list[str]) -> int:
    """The command line; 0, or 1 with the reason on standard error."""
    from tests.lab.lab import Lab
    from tests.lab.plan import LabError

    parser = argparse.ArgumentParser(prog="python -m tests.lab.profiles")
    parser.add_argument("macs", nargs="+", metavar="MAC=PROFILE")
    parser.add_argument("--openclaw", default="2026.2.17", metavar="VERSION")
    parser.add_argument("--dir", help="the lab's folder (default: CLAWFLEET_LAB_DIR or .lab)")
    args = parser.parse_args(argv)
    try:
        lab = Lab.attach(args.dir)
        for pair in args.macs:
            name, _, profile = pair.partition("=")
            if name not in lab.macs:
                raise ProfileError(
                    f"{name}: no such Mac in the lab, expected one of {', '.join(lab.macs)}. "
                    "Run: python -m tests.lab status"
                )
            began = time.monotonic()
            apply(lab.macs[name], profile, args.openclaw)
            print(f"{name} is {profile} after {time.monotonic() - began:.1f} s")
    except (LabError, ProfileError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
