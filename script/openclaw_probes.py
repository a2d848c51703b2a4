"""The questions that ``survey-openclaw`` asks one installed OpenClaw."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import plistlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

MODEL = {"id": "m1", "name": "m1", "contextWindow": 65536, "maxTokens": 4096}
V1 = {"baseUrl": "http://127.0.0.1:9/v1", "api": "openai-completions", "models": [MODEL]}
PROFILES = {
    "version": 1,
    "profiles": {
        "ollama:default": {"type": "api_key", "provider": "ollama", "key": "from-profile"}
    },
}
TURN = ("agent", "--local", "--agent", "main", "--message", "hi", "--json")
SECRET = {"source": "env", "provider": "default", "id": "OLLAMA_API_KEY"}

# Each probe is a provider of its own, so that one run of the validator tells about all of them.
PROVIDERS: dict[str, dict[str, Any]] = {
    "unknown key": {**V1, "fooBar": 1},
    'api: "openai-completions"': V1,
    'api: "ollama"': {**V1, "baseUrl": "http://127.0.0.1:9", "api": "ollama"},
    "timeoutSeconds": {**V1, "timeoutSeconds": 300},
    "injectNumCtxForOpenAICompat": {**V1, "injectNumCtxForOpenAICompat": True},
    "models[].params.num_ctx": {**V1, "models": [{**MODEL, "params": {"num_ctx": 24576}}]},
    "models[].contextTokens": {**V1, "models": [{**MODEL, "contextTokens": 32768}]},
    "apiKey: text": {**V1, "apiKey": "ollama-local"},
    "apiKey: secret reference": {**V1, "apiKey": SECRET},
}
# Probe -> (patch of the whole config, what the validator's complaint mentions).
ELSEWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "no models": (
        {"models": {"providers": {"ollama": {"models": None}}}},
        r"providers\.ollama\b",
    ),
    "auth.profiles": (
        {"auth": {"profiles": {"ollama:default": {"provider": "ollama", "mode": "api_key"}}}},
        r"\bauth\b",
    ),
    'models.mode: "merge"': ({"models": {"mode": "merge"}}, r"models\.mode"),
    "agents.defaults.models": (
        {"agents": {"defaults": {"models": {"ollama/m1": {"alias": "M"}}}}},
        r"agents\.defaults\.models",
    ),
    "plugins.entries of a missing plugin": (
        {"plugins": {"entries": {"notInstalled": {"enabled": True}}}},
        r"notInstalled",
    ),
    "agents.defaults.modelPolicy": (
        {"agents": {"defaults": {"modelPolicy": {"allow": ["ollama/m1"]}}}},
        r"modelPolicy",
    ),
    "agents.defaults.timeoutSeconds": (
        {"agents": {"defaults": {"timeoutSeconds": 300}}},
        r"agents\.defaults.*timeoutSeconds",
    ),
}

# Enough of macOS for `gateway install`: the platform's name, and a launchctl that knows no job.
SHIM = r"""
const os = require('os'), M = require('module');
const real = process.platform, load = M._extensions['.js'], user = os.userInfo;
// Native addons still have to find their builds for this machine.
const NATIVE = new RegExp('node_modules.(koffi|@lydell|node-pty|sqlite-vec|sharp|detect-libc|@img' +
  '|@napi-rs|@node-llama-cpp|@snazzah|@matrix-org|@mariozechner.clipboard)');
let native = 0;
Object.defineProperty(process, 'platform', { get: () => (native ? real : 'darwin') });
M._extensions['.js'] = (module, file) => {
  if (!NATIVE.test(file)) return load(module, file);
  native++;
  try { return load(module, file); } finally { native--; }
};
os.platform = () => process.platform;
os.userInfo = (...a) => ({ ...user(...a), homedir: process.env.HOME });
M.syncBuiltinESMExports();
"""
LAUNCHCTL = '#!/bin/sh\n[ "$1" = print ] || exit 0\necho "Could not find service" >&2; exit 113\n'


class Ollama(BaseHTTPRequestHandler):
    """Answers every chat with one word and keeps the requests in ``seen``."""

    seen: ClassVar[list[dict[str, Any]]] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _send(self, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._send("application/json", '{"models": [], "data": [], "version": "0.16.1"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/api/show":
            show = {"model_info": {"a.context_length": 65536}, "capabilities": ["tools"]}
            return self._send("application/json", json.dumps(show))
        options = body.get("options") or {}
        auth = self.headers.get("Authorization")
        self.seen.append({"path": self.path, "auth": auth, "num_ctx": options.get("num_ctx")})
        if self.path.startswith("/api/"):
            text = {"model": "m1", "message": {"role": "assistant", "content": "PONG"}}
            end = {**text, "message": {"role": "assistant", "content": ""}, "done_reason": "stop"}
            lines = [{**text, "done": False}, {**end, "done": True, "eval_count": 1}]
            return self._send("application/x-ndjson", "".join(json.dumps(x) + "\n" for x in lines))
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m1"}
        say = {"index": 0, "delta": {"role": "assistant", "content": "PONG"}, "finish_reason": None}
        chunks = [say, {"index": 0, "delta": {}, "finish_reason": "stop"}]
        events = [json.dumps({**base, "choices": [c]}) for c in chunks] + ["[DONE]"]
        return self._send("text/event-stream", "".join(f"data: {e}\n\n" for e in events))


@dataclass
class OpenClaw:
    """One installed version, and how to run it."""

    version: str
    folder: Path
    node: Path

    def command(self, home: Path, *args: str, **env: str) -> tuple[list[str], dict[str, str]]:
        program = self.folder / "node_modules/openclaw/openclaw.mjs"
        clean = {"HOME": str(home), "USER": "mac", "LOGNAME": "mac", "SHELL": "/bin/zsh"}
        clean |= {
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "npm_config_fetch_retries": "0",
        }
        clean |= {"PATH": f"{self.node.parent}:/usr/bin:/bin", **env}
        return ["nice", "-n", "10", str(self.node), str(program), *args], clean

    def run(self, home: Path, *args: str, **env: str) -> tuple[int, str]:
        """Exit code (-1: nothing after 150 s) and both streams."""
        command, clean = self.command(home, *args, **env)
        with subprocess.Popen(
            command,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=home,
        ) as process:
            try:
                out = process.communicate(timeout=150)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return -1, process.communicate()[0].decode(errors="replace")
        return process.returncode, out.decode(errors="replace")


def config(provider: dict[str, Any] | None = None, port: int = 18931) -> dict[str, Any]:
    auth = {"mode": "token", "token": "survey-0123456789abcdef"}
    gateway = {"mode": "local", "bind": "loopback", "port": port, "auth": auth}
    if provider is None:
        return {"gateway": gateway}
    return {
        "gateway": gateway,
        "models": {"mode": "merge", "providers": {"ollama": provider}},
        "agents": {"defaults": {"model": {"primary": "ollama/m1"}}},
    }


def new_home(base: Path, content: object, profiles: bool = False) -> Path:
    home = Path(tempfile.mkdtemp(dir=base))
    (home / ".openclaw").mkdir(mode=0o700)
    write(home / ".openclaw/openclaw.json", content)
    if profiles:
        agent = home / ".openclaw/agents/main/agent"
        agent.mkdir(parents=True)
        write(agent / "auth-profiles.json", PROFILES)
    return home


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, indent=1))
    path.chmod(0o600)
    return path


def merged(into: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    out = dict(into)
    for key, value in patch.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else value
    return {key: value for key, value in out.items() if value is not None}


def tree(home: Path) -> dict[str, str]:
    files = (p for p in home.rglob("*") if p.is_file())
    return {str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def alone(openclaw: OpenClaw, home: Path, patch: dict[str, Any]) -> bool:
    path = write(home / "candidate.json", merged(config(V1), patch))
    env = {"OPENCLAW_CONFIG_PATH": str(path)}
    return openclaw.run(home, "config", "get", "gateway.mode", **env)[0] == 0


def accepted(openclaw: OpenClaw, base: Path) -> dict[str, bool]:
    """Probe -> accepted. The file is judged beside a broken openclaw.json, by OPENCLAW_CONFIG_PATH,
    so that an accepted one also proves that the variable is honoured."""
    home = new_home(base, {"notAKey": True})
    names = {f"probe{n}": name for n, name in enumerate(PROVIDERS)}
    refused: set[str] = set()
    while True:
        content = config(V1)
        for key, name in names.items():
            if name not in refused:
                content["models"]["providers"][key] = PROVIDERS[name]
        for name, (patch, _) in ELSEWHERE.items():
            if name not in refused:
                content = merged(content, patch)
        path = write(home / "candidate.json", content)
        arguments = ("config", "get", "gateway.mode")
        code, out = openclaw.run(home, *arguments, OPENCLAW_CONFIG_PATH=str(path))
        if code == 0:
            return {name: name not in refused for name in (*PROVIDERS, *ELSEWHERE)}
        found = {n for k, n in names.items() if re.search(rf"providers\.{k}\b", out)}
        found |= {n for n, (_, sign) in ELSEWHERE.items() if re.search(sign, out)}
        if not found - refused:  # Some complaints name only the object around.
            found = {n for n in ELSEWHERE if not alone(openclaw, home, ELSEWHERE[n][0])}
        if not found - refused:
            raise RuntimeError(f"{openclaw.version} refuses the config for another reason: {out}")
        refused |= found


def commands(openclaw: OpenClaw, base: Path) -> dict[str, bool]:
    home = new_home(base, config(V1))
    helps = {"config": "", "config set": "", "gateway stop": ""}
    for name in helps:
        helps[name] = openclaw.run(home, *name.split(), "--help")[1]
    found = {f"config {w}": f"\n  {w} " in helps["config"] for w in ("validate", "schema", "patch")}
    found["config set --strict-json"] = "--strict-json" in helps["config set"]
    found["gateway stop --force, in its help"] = "--force" in helps["gateway stop"]
    return found


def validation(openclaw: OpenClaw, base: Path, validate: bool, profiles: bool) -> dict[str, Any]:
    """Which files of the home folder are written while a candidate beside openclaw.json is judged:
    with OPENCLAW_CONFIG_PATH only, and with the other folders led elsewhere as well."""
    arguments = ("config", "validate") if validate else ("config", "get", "gateway.mode")
    result: dict[str, Any] = {"command": list(arguments), "writes": {}}
    for name in ("OPENCLAW_CONFIG_PATH", "OPENCLAW_AGENT_DIR", "OPENCLAW_STATE_DIR"):
        home = new_home(base, config(V1), profiles)
        path = write(home / ".openclaw/openclaw.json.candidate", config(V1))
        env = {"OPENCLAW_CONFIG_PATH": str(path)}
        if name != "OPENCLAW_CONFIG_PATH":
            env[name] = tempfile.mkdtemp(dir=base)
        before = tree(home)
        code, out = openclaw.run(home, *arguments, **env)
        if code != 0:
            raise RuntimeError(f"{openclaw.version} refuses the plain config: {out}")
        result["writes"][name] = sorted(k for k, v in tree(home).items() if before.get(k) != v)
    write(path, config({**V1, "fooBar": 1}))
    result["refuses"] = openclaw.run(home, *arguments, **env)[0] != 0
    return result


def without_paths(text: str) -> str:
    """The end of an output, without the names of this machine's folders."""
    return re.sub(r"(file://)?/\S*/node_modules/", "", " ".join(text.split()))[-300:]


def turns(openclaw: OpenClaw, base: Path, accepts: dict[str, bool], port: int) -> dict[str, Any]:
    """One agent turn per way of writing the provider: what arrived at Ollama."""
    server = f"http://127.0.0.1:{port}"
    v1 = {"baseUrl": f"{server}/v1", "api": "openai-completions"}
    native = {"baseUrl": server, "api": "ollama"}
    marker = {"apiKey": "ollama-local", "models": [MODEL]}
    ways = {"v1, apiKey": {**v1, **marker}}
    if accepts['api: "ollama"']:
        ways["native, apiKey"] = {**native, **marker}
    best = native if accepts['api: "ollama"'] else v1
    ways["auth profile"] = {**best, "models": [MODEL]}
    if accepts["models[].params.num_ctx"]:
        model = {**MODEL, "params": {"num_ctx": 24576}}
        ways["params.num_ctx"] = {**best, **marker, "models": [model]}
    if accepts["models[].contextTokens"]:
        model = {**MODEL, "contextTokens": 32768}
        ways["contextTokens"] = {**best, **marker, "models": [model]}
    result: dict[str, Any] = {}
    for name, provider in ways.items():
        home = new_home(base, config(provider), name == "auth profile")
        Ollama.seen.clear()
        code, out = openclaw.run(home, *TURN)
        one = result[name] = dict(Ollama.seen[-1]) if Ollama.seen else {}
        one |= {"code": code, "answered": "PONG" in out}
        if "PONG" not in out:
            one["said"] = without_paths(out)
        state = home / ".openclaw"
        one["profiles"] = sorted(
            p.name.split(".migrated")[0] for p in state.rglob("auth-profiles*")
        )
        files = state / "agents/main/sessions/sessions.json"
        one["sessions"] = "file" if files.exists() and len(files.read_text()) > 4 else "sqlite"
    return result


def launch_agent(openclaw: OpenClaw, base: Path) -> dict[str, Any]:
    """What ``gateway install`` writes when it believes to be on a Mac."""
    home = new_home(base, config(V1))
    shim, fakes = home / "shim.cjs", home / "bin"
    shim.write_text(SHIM)
    fakes.mkdir()
    for name, text in (("launchctl", LAUNCHCTL), ("plutil", "#!/bin/sh\n")):
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    env = {"PATH": f"{fakes}:{openclaw.node.parent}:/usr/bin:/bin"}
    env["NODE_OPTIONS"] = f"--require {shim}"
    said = openclaw.run(home, "gateway", "install", **env)[1]
    plists = list(home.glob("Library/LaunchAgents/*.plist"))
    if not plists:
        return {"said": without_paths(said)}
    plist = plistlib.loads(plists[0].read_bytes())
    stop = openclaw.run(home, "gateway", "stop", **env)[1]
    forced = openclaw.run(home, "gateway", "stop", "--force", **env)[1]
    return {
        "label": plist["Label"],
        "environment": "plist" if plist.get("EnvironmentVariables") else "file",
        "token in plist": "OPENCLAW_GATEWAY_TOKEN" in plist.get("EnvironmentVariables", {}),
        "program": [re.sub(r"^/.*/", "", word) for word in plist["ProgramArguments"]],
        "stop wants --force": "--force" in stop,
        "stop --force accepted": "unknown option" not in forced,
    }


def health(openclaw: OpenClaw, base: Path, profiles: bool) -> dict[str, Any]:
    """The gateway's health paths -> "json", "html" or the status; its exit code if it ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = new_home(base, config({**V1, "apiKey": "ollama-local"}, port), profiles)
    command, env = openclaw.command(home, "gateway", "run")
    log = (home / "gateway.log").open("wb")
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    result: dict[str, Any] = {}
    end = time.monotonic() + 120
    try:
        while time.monotonic() < end and process.poll() is None and not result:
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as got:
                    text = got.read(400).decode(errors="replace").lstrip()
                    result["/healthz"] = "json" if text.startswith("{") else "html"
            except urllib.error.HTTPError as error:
                result["/healthz"] = f"{error.code}"
            except OSError:
                continue
        if profiles:  # The port opens before the credentials are looked at.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        if process.poll() is not None:
            said = (home / "gateway.log").read_text(errors="replace").splitlines()
            reason = [line for line in said if "migration" in line] or said
            result = {"exit code": process.returncode, "said": reason[-1][-300:] if reason else ""}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
    return result
