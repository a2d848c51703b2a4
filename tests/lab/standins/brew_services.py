"""``brew services``: the LaunchAgent of a formula, and the launchd domain brew picks for it."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

from tests.lab.standins import brew_formula, launchctl
from tests.lab.standins.brew_home import Brew, BrewError

PATIENCE = 30.0
POLL = 0.05


class Service:
    """The service of one formula as launchd sees it now."""

    def __init__(self, brew: Brew, name: str) -> None:
        self.brew = brew
        self.name = name
        self.label = f"homebrew.mxcl.{name}"
        root = launchctl.caller(brew.mac) == 0
        home = brew.mac.root if root else brew.mac.home
        folder = "LaunchDaemons" if root else "LaunchAgents"
        self.file = Path(home or "/", "Library", folder, f"{self.label}.plist")

    def ask(self, *words: str) -> tuple[int, str, str]:
        """``launchctl WORDS``."""
        return launchctl.ask(self.brew.mac, list(words))

    @property
    def target(self) -> str:
        """The service's name with its domain, for launchctl."""
        return f"{domain(self.brew)}/{self.label}"

    def shown(self) -> str:
        """``launchctl print``, empty where the service is not loaded."""
        code, out, _ = self.ask("print", self.target)
        return out if code == 0 else ""

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        found = re.search(r"^\tpid = (\d+)$", self.shown(), re.MULTILINE)
        return int(found[1]) if found else None

    @property
    def exit_code(self) -> int | None:
        """Of the last process, None where it was a signal or none ended."""
        found = re.search(r"^\tlast exit code = (\d+)", self.shown(), re.MULTILINE)
        return int(found[1]) if found else None

    @property
    def status(self) -> str:
        """As ``brew services list`` names it."""
        if self.pid is not None:
            return "started"
        if not self.shown():
            return "none"
        return {None: "other", 0: "stopped"}.get(self.exit_code, "error")


def domain(brew: Brew) -> str:
    """What brew talks to: root has system, SSH with a terminal ``user/UID``, else ``gui/UID``."""
    if launchctl.caller(brew.mac) == 0:
        return "system"
    at_console = launchctl.ask(brew.mac, ["__lab", "logged-in"])[0] == 0
    if os.environ.get("SSH_TTY") and not at_console:
        return f"user/{brew.mac.uid}"
    return f"gui/{brew.mac.uid}"


def run(brew: Brew, words: list[str]) -> None:
    """``brew services WORDS``."""
    command, *rest = words or ["list"]
    names = [word for word in rest if not word.startswith("-")]
    if command == "list":
        _list(brew, "--json" in rest)
        return
    if "--all" in rest:
        names = [name for name in brew_formula.SERVICES if brew_formula.linked_version(brew, name)]
    if not names:
        raise BrewError("Formula(e) missing, please provide a formula name or use `--all`.")
    if domain(brew).startswith("user/"):
        brew.warn(
            "running over SSH without /dev/console ownership, using user/* instead of gui/* as"
            " domain target!"
        )
    for name in names:
        if name not in brew_formula.SERVICES:
            brew_formula.check(name)
            raise BrewError(
                f"Formula `{name}` has not implemented #plist, #service or provided a locatable"
                " service file."
            )
        service = Service(brew, name)
        match command:
            case "start":
                _start(service)
            case "stop":
                _stop(service, "--keep" in rest)
            case "restart":
                if service.shown():
                    _stop(service, keep=False)
                _start(service)
            case "info":
                _info(service, "--json" in rest)
            case _:
                raise BrewError(f"Unknown subcommand: `{command}`")


def _start(service: Service) -> None:
    brew = service.brew
    if service.pid is not None:
        brew.say(
            f"Service `{service.name}` already started, use"
            f" `brew services restart {service.name}` to restart."
        )
        return
    if brew_formula.linked_version(brew, service.name) is None:
        raise BrewError(f"Formula `{service.name}` is not installed.")
    import plistlib

    service.file.parent.mkdir(parents=True, exist_ok=True)
    service.file.write_bytes(plistlib.dumps(plist(brew, service.name)))
    service.file.chmod(0o644)
    for words in (("enable", service.target), ("bootstrap", domain(brew), str(service.file))):
        code, _, err = service.ask(*words)
        if code != 0:
            brew.progress(err.rstrip("\n"))
            line = " ".join(words)
            raise BrewError(f"Failure while executing; `/bin/launchctl {line}` exited with {code}.")
    brew.ohai(f"Successfully started `{service.name}` (label: {service.label})")


def _stop(service: Service, keep: bool) -> None:
    brew = service.brew
    if not service.shown():
        if not keep:
            service.file.unlink(missing_ok=True)
        brew.warn(f"Service `{service.name}` is not started.")
        return
    brew.say(f"Stopping `{service.name}`... (might take a while)")
    service.ask("bootout", service.target)
    deadline = time.monotonic() + PATIENCE
    while service.shown() and time.monotonic() < deadline:
        time.sleep(POLL)
    if not keep:
        service.file.unlink(missing_ok=True)
    if service.shown():
        brew.warn(f"Unable to stop `{service.name}` (label: {service.label})")
    else:
        brew.ohai(f"Successfully stopped `{service.name}` (label: {service.label})")


def plist(brew: Brew, name: str) -> dict[str, Any]:
    """The LaunchAgent that Homebrew writes for the formula ``ollama``."""
    log = str(brew.prefix / "var/log" / f"{name}.log")
    environment = {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}
    return {
        "EnvironmentVariables": environment | user_environment(brew, name),
        "KeepAlive": True,
        "Label": f"homebrew.mxcl.{name}",
        "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO", "System"],
        "ProgramArguments": [str(brew.prefix / "opt" / name / "bin" / name), "serve"],
        "RunAtLoad": True,
        "StandardErrorPath": log,
        "StandardOutPath": log,
        "WorkingDirectory": str(brew.prefix / "var"),
    }


def user_environment(brew: Brew, name: str) -> dict[str, str]:
    """``~/.homebrew/services/NAME.env``; left alone where others than its owner may write it."""
    file = Path(brew.mac.home, ".homebrew", "services", f"{name}.env")
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        brew.warn(f"Ignoring {file} because it is writable by group or others.")
        return {}
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {key.strip(): value for key, equals, value in pairs if equals}


def _list(brew: Brew, as_json: bool) -> None:
    names = [name for name in sorted(brew_formula.installed(brew)) if name in brew_formula.SERVICES]
    services = [Service(brew, name) for name in names]
    if as_json:
        _print_json(brew, [_brief(service) for service in services])
        return
    if not services:
        brew.warn("No services available to control with `brew services`")
        return
    rows = [("Name", "Status", "User", "File")]
    for service in services:
        known = service.file.exists()
        file = str(service.file).replace(brew.mac.home, "~") if known else ""
        rows.append((service.name, service.status, brew.mac.user if known else "", file))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        brew.say(" ".join([*cells, row[3]]).rstrip())


def _brief(service: Service) -> dict[str, Any]:
    known = service.file.exists()
    return {
        "name": service.name,
        "status": service.status,
        "user": service.brew.mac.user if known else None,
        "file": str(service.file),
        "exit_code": service.exit_code,
    }


def _info(service: Service, as_json: bool) -> None:
    brew = service.brew
    pid = service.pid
    if as_json:
        log = str(brew.prefix / "var/log" / f"{service.name}.log")
        more = {
            "service_name": service.label, "running": pid is not None,
            "loaded": bool(service.shown()), "schedulable": False, "pid": pid,
            "registered": service.file.exists(), "log_path": log, "error_log_path": log,
        }  # fmt: skip
        _print_json(brew, [{**_brief(service), **more}])
        return
    marks = {True: "true", False: "false"}
    brew.say(
        f"{service.name} ({service.label})",
        f"Running: {marks[pid is not None]}",
        f"Loaded: {marks[bool(service.shown())]}",
        "Schedulable: false",
    )
    if pid is not None:
        brew.say(f"User: {brew.mac.user}", f"PID: {pid}")


def _print_json(brew: Brew, value: list[dict[str, Any]]) -> None:
    brew.say(json.dumps(value, indent=2))
