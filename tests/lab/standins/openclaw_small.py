"""A small stand-in for OpenClaw, for fast tests and for machines that npm can't serve.

``python -m tests.lab.standins.openclaw_small VERSION ARGUMENTS...``, started by the Mac's ``node``
wrapper when it meets a script with :data:`tests.lab.standins.node_wrapper.MARK`. It knows the
commands that a provisioning tool uses; texts, streams and exit codes are those of the real
2026.2.12, 2026.2.17 and 2026.9.6. What it does not know it refuses, as the real one does.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.standins import openclaw_small_config as configuration
from tests.lab.standins import openclaw_small_service as services
from tests.lab.standins.here import complain, mac

REDACTED = "__OPENCLAW_REDACTED__"
BUILD = {"2026.9.6": " (eb377ac)"}
_SECRET = ("token", "apiKey", "password", "botToken", "key")


class Cli:
    """One call of ``openclaw``."""

    def __init__(self, version: str, argv: Sequence[str]) -> None:
        self.version, self.new = version, configuration.recent(version)
        self.spec = mac()
        self.home = Path(os.environ.get("HOME", self.spec.home))
        self.flags = {word for word in argv if word.startswith("-")}
        self.words = [word for word in argv if not word.startswith("-")]
        self.argv = list(argv)

    @property
    def config(self) -> configuration.Config:
        """The user's configuration, read anew."""
        return configuration.load(self.home, self.version)

    def run(self) -> int:
        """Do what was asked; the exit code."""
        if self.flags & {"--version", "-V", "-v"} and not self.words:
            build = BUILD.get(self.version, "")
            print(f"OpenClaw {self.version}{build}" if self.new else self.version)
            return 0
        verb = self.words[0] if self.words else ""
        match verb:
            case "config":
                return self.on_config()
            case "gateway":
                return self.on_gateway()
            case "health":
                return self.usable() or self.health()
            case "agent":
                return self.usable() or self.agent()
            case "doctor":
                return self.doctor()
        if self.new:
            complain(
                f'OpenClaw does not know the command "{verb}".\nTry: openclaw --help\n'
                "Plugin command? openclaw plugins list\nDocs: https://docs.openclaw.ai/cli"
            )
        else:
            complain(f"error: unknown command '{verb}'")
        return 1

    def usable(self) -> int:
        """0, or 1 after the text with which every command refuses a bad configuration."""
        config = self.config
        if config.valid:
            return 0
        lines = [f"- {line}" for line in configuration.lines_of(config, self.version)]
        if self.new:
            complain("OpenClaw config is invalid: ~/.openclaw/openclaw.json")
            complain("\n".join(lines))
            complain("Run `openclaw doctor --fix` to repair, then retry.")
            return 1
        if config.unparseable is not None:
            complain(f"Failed to read config at {config.file} SyntaxError: {config.unparseable}")
            return 1
        # The real ones write a backslash and an n here.
        once = f"Invalid config at {config.file}:\\n" + "\\n".join(lines)
        complain(once)
        if self.version == "2026.2.12":
            complain(once)
            return 1
        complain("Config invalid\nFile: ~/.openclaw/openclaw.json\nProblem:")
        complain("\n".join(f"  {line}" for line in lines))
        complain("\nRun: openclaw doctor --fix")
        return 1

    def on_config(self) -> int:
        verb = self.words[1] if len(self.words) > 1 else ""
        if verb == "get" and len(self.words) > 2:
            return self.usable() or self.config_get(self.words[2])
        if not self.new:
            if "--json" in self.flags:
                complain("error: unknown option '--json'")
            else:
                complain(
                    "error: too many arguments for 'config'. Expected 0 arguments but got "
                    f"{len(self.words) - 1}."
                )
            return 1
        if verb == "file":
            print(self.config.file)
            return 0
        if verb == "validate":
            return self.validate()
        if verb == "schema":
            print(json.dumps(self.schema(), indent=2))
            return 0
        complain(f'OpenClaw config has no command "{verb}".\nTry: openclaw config --help')
        return 1

    def config_get(self, path: str) -> int:
        value = self.config.get(*path.split("."))
        if value is None:
            if not self.new:
                complain(f"Config path not found: {path}")
            elif path.split(".", maxsplit=1)[0] in configuration.root_keys(self.version):
                complain(f"Config path is valid but unset: {path}. The runtime default applies "
                         "until you set an authored value with openclaw config set "
                         f"{path} <value>.")  # fmt: skip
            else:
                complain(
                    f"Unknown config path: {path}. Run openclaw config schema to inspect valid "
                    "paths."
                )
            return 1
        if self.new:
            value = _redact(value, path.rpartition(".")[2])
        plain = isinstance(value, str) and "--json" not in self.flags
        print(value if plain else json.dumps(value, indent=2))
        return 0

    def validate(self) -> int:
        config = self.config
        as_json = "--json" in self.flags
        if config.valid:
            found = {"valid": True, "path": str(config.file), "warnings": []}
            short = "Config valid: ~/.openclaw/openclaw.json"
            print(json.dumps(found, separators=(",", ":")) if as_json else short)
            return 0
        text = "OpenClaw config is invalid: ~/.openclaw/openclaw.json"
        if as_json:
            issues = [
                {"path": configuration.spelled(issue.path, self.version), "message": issue.message}
                for issue in config.issues
            ]
            if config.unparseable is not None:
                message = f"JSON5 parse failed: SyntaxError: {config.unparseable}"
                issues.append({"path": "<root>", "message": message})
            error = {"type": "cli_error", "message": text}
            found = {"ok": False, "error": error, "valid": False, "path": str(config.file)}
            print(json.dumps({**found, "issues": issues}, indent=2))
            return 1
        complain(text)
        for line in configuration.lines_of(config, self.version):
            complain(f"  × {line}")
        complain(
            "\nRun `openclaw doctor --fix` to repair, or fix the keys above manually.\n"
            "Inspect with openclaw config validate."
        )
        return 1

    def schema(self) -> dict[str, Any]:
        keys: dict[str, Any] = {key: {} for key in configuration.root_keys(self.version)}
        return {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": keys,
            "additionalProperties": False,
        }

    def on_gateway(self) -> int:
        verb = self.words[1] if len(self.words) > 1 else "run"
        force = "--force" in self.flags
        if verb in ("run", "--port") or verb.isdigit():
            return self.gateway_run()
        service = services.find(self.spec, self.version, self.config)
        match verb:
            case "install":
                return self.usable() or service.install(force)
            case "stop":
                return service.stop(force)
            case "start":
                return self.usable() or service.start()
            case "restart":
                return self.usable() or service.restart()
            case "uninstall":
                return service.uninstall()
            case "status":
                return self.status(service)
            case "call":
                return self.call()
        if self.new:
            complain(f'OpenClaw gateway has no command "{verb}".\nTry: openclaw gateway --help\n'
                     "Docs: https://docs.openclaw.ai/cli")  # fmt: skip
        else:
            complain("error: too many arguments for 'gateway'. Expected 0 arguments but got 1.")
        return 1

    def gateway_run(self) -> int:
        from tests.lab.standins import openclaw_small_gateway as gateways

        if not self.new and self.config.issues:
            return self.usable()
        given = "--allow-unconfigured" in self.flags
        code = gateways.blocked(self.config, self.version, self.home, given)
        if code:
            return code
        port = self.option("--port") or self.config.get("gateway", "port") or 18789
        return gateways.serve(self.home, self.version, int(port))

    def option(self, name: str) -> str | None:
        for index, word in enumerate(self.argv):
            if word == name and index + 1 < len(self.argv):
                return self.argv[index + 1]
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
        return None

    def ask_gateway(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the running gateway answers; None when nothing listens on its port."""
        port = int(self.config.get("gateway", "port") or 18789)
        token = self.config.get("gateway", "auth", "token")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            content = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, content, headers)
            response = connection.getresponse()
            found: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return found

    def down(self) -> str:
        port = self.config.get("gateway", "port") or 18789
        return (
            "gateway closed (1006 abnormal closure (no close frame)): no close reason\n"
            f"Gateway target: ws://127.0.0.1:{port}\nSource: local loopback\n"
            f"Config: {self.config.file}\nBind: loopback"
        )

    def health(self) -> int:
        found = self.ask_gateway("/__lab/health")
        if found and found.get("ok"):
            now = int(time.time() * 1000)
            answer = {"ok": True, "ts": now, "durationMs": 0, "channels": {}, "channelOrder": [],
                      "channelLabels": {}, "heartbeatSeconds": 1800,
                      "defaultAgentId": "main"}  # fmt: skip
            print(json.dumps(answer, indent=2) if "--json" in self.flags else "Agents: main")
            return 0
        if not self.new:
            why = "unauthorized: device token mismatch" if found else self.down()
            complain(f"[openclaw] Failed to start CLI: Error: {why}")
            complain("    at Object.onClose (file:///openclaw/dist/call.js:265:10)")
            return 1
        text = "Gateway not reachable after waiting 19 s."
        if "--json" in self.flags:
            error = {"type": "gateway_transport_error", "kind": "timeout", "message": text,
                     "timeoutMs": 60000}  # fmt: skip
            port = self.config.get("gateway", "port") or 18789
            gateway = {"url": f"ws://127.0.0.1:{port}", "urlSource": "local loopback"}
            print(json.dumps({"ok": False, "error": error, "gateway": gateway}, indent=2))
        else:
            complain(f"{text}\nRun openclaw gateway status --deep to diagnose.")
        return 1

    def agent(self) -> int:
        message, session = (
            self.option("--message") or self.option("-m"),
            self.option("--session-id"),
        )
        if not message:
            complain("error: required option '-m, --message <text>' not specified")
            return 1
        # 2026.2.17: --agent names that agent's main session, whatever --session-id says.
        main = self.option("--agent") and not configuration.recent(self.version)
        own = session and not main
        key = f"agent:main:explicit:{session}" if own else "agent:main:main"
        found = self.ask_gateway("/__lab/agent", {"message": message, "session": key})
        if found is None:
            from tests.lab.standins import openclaw_small_gateway as gateways

            complain(f"Gateway agent failed; falling back to embedded: Error: {self.down()}")
            found = gateways.turn(self.home, self.version, message, key, embedded=True)
        if "error" in found and "status" not in found:
            complain(f"[openclaw] Failed to start CLI: Error: {found['error']['message']}")
            return 1
        if "--json" in self.flags:
            print(json.dumps(found, indent=2))
        else:
            print(found.get("result", found)["payloads"][0]["text"])
        return 1 if found.get("status") == "error" else 0

    def call(self) -> int:
        if self.words[2:3] != ["sessions.reset"]:
            complain(f"Gateway call failed: Error: unknown method: {' '.join(self.words[2:])}")
            return 1
        asked = json.loads(self.option("--params") or "{}")
        found = self.ask_gateway("/__lab/reset", {"session": asked.get("key", "agent:main:main")})
        if found is None:
            complain(f"Gateway call failed: Error: {self.down()}")
            return 1
        print(json.dumps({"ok": True, "key": asked.get("key")}, indent=2))
        return 0

    def status(self, service: services.Service) -> int:
        loaded, pid = service.loaded(), service.pid()
        alive = (self.ask_gateway("/__lab/health") or {}).get("ok") is True
        if "--json" in self.flags:
            runtime: dict[str, Any] = {"status": "running" if pid else "stopped"}
            if pid:
                runtime |= {"state": "running", "pid": pid}
            command = {"programArguments": service.arguments(), "sourcePath": str(service.plist)}
            found = {
                "service": {
                    "label": "LaunchAgent", "loaded": loaded, "loadedText": "loaded",
                    "notLoadedText": "not loaded", "runtime": runtime,
                    **({"command": command} if service.plist.exists() else {}),
                },
                "gateway": {"bindMode": "loopback", "bindHost": "127.0.0.1", "port": service.port},
                "port": {"port": service.port, "status": "busy" if alive else "free"},
                "rpc": {"ok": alive, "url": f"ws://127.0.0.1:{service.port}"},
            }  # fmt: skip
            print(json.dumps(found, indent=2))
            return 0
        print(f"Service: LaunchAgent ({'loaded' if loaded else 'not loaded'})")
        print(f"\nGateway: bind=loopback (127.0.0.1), port={service.port} (service args)")
        print(f"\nRuntime: {'running (pid ' + str(pid) + ')' if pid else 'stopped'}")
        print(f"RPC probe: {'ok' if alive else 'failed'}")
        return 0

    def doctor(self) -> int:
        file = self.home / ".openclaw" / "agents" / "main" / "agent" / "auth-profiles.json"
        print("┌  OpenClaw doctor")
        if self.new and "--fix" in self.flags and file.exists():
            stamp = f"{int(time.time() * 1000)}-{uuid.uuid4()}"
            file.rename(file.with_name(f"{file.name}.migrated-{stamp}"))
            print("│  Imported auth profiles into SQLite.")
        print("└  Doctor complete.")
        return 0


def _redact(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _redact(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact(item, name) for item in value]
    return REDACTED if isinstance(value, str) and name in _SECRET else value


def main(argv: list[str]) -> int:
    """``argv``: the version to be, then the command line."""
    return Cli(argv[0], argv[1:]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
