"""Proxies in every place of a simulated Mac at once, all leading to one that counts its hits.

with EvilProxy(mac, cloud=["198.51.100.7"]) as evil:
    poison(mac, evil.url)
    ...
    assert evil.hits() == Counter({"198.51.100.7:80": 1})
"""

from __future__ import annotations

import json
import plistlib
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.lab.lab import LabError, Mac
from tests.lab.spec import ENV

NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
CORP = "corp.example"
"""What the user has in NO_PROXY himself."""
LABEL = "ai.openclaw.gateway"
_ONCE_MORE = "i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.2"


class EvilProxy:
    """``standins/evil_proxy.py`` on the Mac's own loopback, while the ``with`` block runs."""

    def __init__(self, mac: Mac, cloud: Sequence[str] = ()) -> None:
        self.mac, self.cloud = mac, tuple(cloud)
        self.port = 7890 if mac.spec.level == "namespaces" else _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = f"{mac.spec.state}/evil-proxy.jsonl"

    def __enter__(self) -> Self:
        self.clear()
        module = "tests.lab.standins.evil_proxy"
        words = [self.mac.spec.python, "-S", "-P", "-m", module, str(self.port), self.log]
        env = {"PYTHONPATH": self.mac.spec.repo, ENV: f"{self.mac.spec.state}/mac.json"}
        self._process = subprocess.Popen(
            self.mac.command([*words, *self.cloud], env=env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        if self._process.stdout.readline() != b"ready\n":
            raise LabError(f"{self.mac.name}: its proxy did not come up, expected it on {self.url}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)

    def hits(self, since: float = 0) -> Counter[str]:
        """Requests so far, by target (``host:port`` as the client said it); with `since` (as
        `clear` returned it) none of processes that ran before that."""
        lines = self.mac.read(self.log).decode().splitlines()
        hits = [json.loads(line) for line in lines]
        return Counter(hit["target"] for hit in hits if (hit["born"] or since) >= since)

    def clear(self) -> float:
        """Forget all hits. The moment, in seconds since boot."""
        self.mac.write(self.log, b"", 0o600)
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def ollama(hits: Counter[str], mac: Mac) -> int:
    """How many of the hits were meant for the Mac's own Ollama."""
    port = f":{mac.spec.ollama_port}"
    return sum(n for target, n in hits.items() if target.endswith(port))


def variables(url: str) -> dict[str, str]:
    """All eight: the proxies, and a NO_PROXY that names nothing of ours."""
    return {**dict.fromkeys(NAMES, url), "no_proxy": CORP, "NO_PROXY": CORP}


def poison(mac: Mac, url: str, config: str) -> None:
    """The eight variables in each place from which a proxy may come, as users' Macs have them; the
    gateway, whose LaunchAgent is there, starts with them and with that openclaw.json afterwards."""
    spec, found = mac.spec, variables(url)
    home, gui = spec.home, f"gui/{spec.uid}"
    # 2026.2.17 would answer the new config with a copy of itself, in its old environment.
    _checked(mac, ["launchctl", "bootout", f"{gui}/{LABEL}"])
    there = (
        f"launchctl print {gui}/{LABEL} || curl -q -s --noproxy '*' 127.0.0.1:{spec.gateway_port}"
    )
    _checked(mac, ["/bin/sh", "-c", f"i=0; while {there}; do {_ONCE_MORE}; done >/dev/null 2>&1"])
    mac.write(f"{home}/.openclaw/openclaw.json", config.encode(), 0o600)
    words = [word for pair in found.items() for word in pair]
    domain = {"CLAWFLEET_LAB_DOMAIN": gui}
    _checked(mac, ["launchctl", "setenv", *words], env=domain)
    lines = "".join(f"{name}={value}\n" for name, value in found.items())
    exports = "".join(f"export {name}='{value}'\n" for name, value in found.items())
    mac.write(f"{home}/.openclaw/.env", lines.encode(), 0o600)
    for name in (".zshenv", ".zprofile", ".zshrc", ".profile"):
        mac.write(f"{home}/{name}", exports.encode())
    brew = [line for line in lines.splitlines() if line.partition("=")[0].islower()]
    mac.write(f"{spec.homebrew_prefix}/etc/homebrew/brew.env", "\n".join([*brew, ""]).encode())
    mac.write(f"{home}/Library/LaunchAgents/com.example.proxy.plist", _setenv_agent(words))
    mac.write(f"{spec.state}/proxy.json", _system(url))
    plist = f"{home}/Library/LaunchAgents/{LABEL}.plist"
    file = f"{home}/.openclaw/service-env/{LABEL}.env"
    content = plistlib.loads(mac.read(plist))
    if "EnvironmentVariables" in content:
        content["EnvironmentVariables"] |= found
        mac.write(plist, plistlib.dumps(content, sort_keys=False), 0o644)
    else:
        own = [x for x in mac.read(file).decode().splitlines() if "_PROXY=" not in x.upper()]
        mac.write(file, ("\n".join([*own, ""]) + exports).encode(), 0o600)
    _checked(mac, ["launchctl", "bootstrap", gui, plist])


def _checked(mac: Mac, argv: list[str], env: dict[str, str] | None = None) -> None:
    done = mac.exec(argv, env=env)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise LabError(f"{mac.name}: {argv[0]} {argv[1]}: {said}; expected exit code 0")


def _setenv_agent(words: list[str]) -> bytes:
    """A LaunchAgent as people write it, to have a variable in the GUI domain after each login."""
    job = {"Label": "com.example.proxy", "RunAtLoad": True}
    return plistlib.dumps({**job, "ProgramArguments": ["/bin/launchctl", "setenv", *words]})


def _system(url: str) -> bytes:
    """Wi-Fi's proxies switched on, as ``scutil --proxy`` shows them."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    found: dict[str, object] = {"ExceptionsList": ["*.local"]}
    for kind in ("HTTP", "HTTPS", "SOCKS"):
        found |= {f"{kind}Enable": 1, f"{kind}Proxy": host, f"{kind}Port": int(port)}
    return json.dumps(found).encode()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port
