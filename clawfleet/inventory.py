"""Reads hosts.yml and the settings around it, and stops with a plain message before any Mac is
touched when they can't be used."""

from __future__ import annotations

import os
import platform
import runpy
from pathlib import Path
from typing import Any, NoReturn

import click
from pyinfra import config
from pyinfra.context import ctx_state
from pyinfra_cli.util import parse_cli_arg  # type: ignore[import-untyped]

from clawfleet import hosts, lock_file, settings
from clawfleet.key_sources import HIDDEN
from clawfleet.redact import looks_secret
from clawfleet.report import at_the_end

NO_HOSTS = """\
No Macs to work on: this machine is no Mac ({system}), and there is no hosts.yml here.
Two ways on:
  * name your Macs:  cp hosts.example.yml hosts.yml, edit it, run the same command again
  * or clone this project on a Mac and run the command there: it then works on that Mac itself
To watch it without any Mac: ./script/demo"""


def load(folder: Path) -> dict[str, list[Any]]:
    """pyinfra groups (name: list of hosts with data) from `folder`'s hosts.yml, else ``@local``.

    The environment variable CLAWFLEET_HOSTS names another file than hosts.yml.

    Ends the process with exit code 1 and a message on stderr where nothing usable is there: at
    this point no host was contacted.
    """
    # pyinfra asks "continue?" when a host fails unless -y is given, and crashes where nobody can
    # answer (also in a dry run). One Mac's failure is that Mac's failure: go on with the others.
    if config.FAIL_PERCENT == 0 and not _given("fail_percent"):
        config.FAIL_PERCENT = None
    try:
        groups = _groups(folder)
        if ctx_state.isset():  # type: ignore[no-untyped-call]
            at_the_end(ctx_state.get())  # type: ignore[no-untyped-call]
        return groups
    except settings.SettingsError as error:
        stop(str(error))


def stop(message: str) -> NoReturn:
    """Print a message about unusable settings and end with exit code 1."""
    click.echo(f"--> {click.style('Settings', 'red', bold=True)}: {message}", err=True)
    raise SystemExit(1)


def _groups(folder: Path) -> dict[str, list[Any]]:
    named = os.environ.get("CLAWFLEET_HOSTS")
    file = Path(named) if named else folder / "hosts.yml"
    if named and not file.is_file():
        raise settings.SettingsError(f"CLAWFLEET_HOSTS names {named}, which is no file")
    if file.exists():
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise settings.SettingsError(f"{file} can't be read: {error}") from None
        fleet = hosts.parse(text, where=file.name)
        if not fleet.hosts:
            raise settings.SettingsError(
                f"{file.name}: no hosts in it; expected all: hosts: NAME: {{ansible_host: "
                "ADDRESS}. See hosts.example.yml."
            )
    elif platform.system() == "Darwin":
        fleet = hosts.Fleet({"localhost": {"_connection": "local"}}, {"all": ["localhost"]})
    else:
        raise settings.SettingsError(NO_HOSTS.format(system=platform.system()))

    for name, data in fleet.hosts.items():
        _check(folder, fleet, name, data, file.name)

    def entry(name: str) -> Any:
        data = dict(fleet.hosts[name])
        if data.pop("_connection", None) == "local":
            return "@local", data
        return name, data

    # pyinfra makes its own group "all" of every host.
    own = {g: m for g, m in fleet.groups.items() if g not in ("all", "ungrouped")}
    grouped = {name for members in own.values() for name in members}
    rest = [name for name in fleet.hosts if name not in grouped]
    groups: dict[str, list[str]] = {}
    for group, members in [*own.items(), *([("macs", rest)] if rest else [])]:
        # Two names may become one, such as a-b and a_b.
        groups.setdefault(_identifier(group), []).extend(members)
    return {g: [entry(name) for name in dict.fromkeys(m)] for g, m in groups.items()}


def _identifier(group: str) -> str:
    # A group's name becomes a variable of inventory.py; one with "_" in front would be passed over.
    return group.replace("-", "_").lstrip("_") or "macs"


def _check(
    folder: Path, fleet: hosts.Fleet, name: str, data: dict[str, Any], hosts_file: str
) -> None:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    groups = ["all", *(g for g, members in fleet.groups.items() if name in members and g != "all")]
    for group in groups:
        file = folder / "group_data" / f"{_identifier(group)}.py"
        if file.exists():
            values = {k: v for k, v in runpy.run_path(str(file)).items() if not k.startswith("_")}
            settings.check_keys(values, where=f"group_data/{file.name}")
            settings.check_lasting(values, where=f"group_data/{file.name}")
            merged |= values
            origins |= dict.fromkeys(values, f"group_data/{file.name}")
    settings.check_lasting(data, where=f"{hosts_file}, host {name}")
    command_line = dict(_command_line())
    settings.check_keys(command_line, where="--data")
    merged |= {**data, **command_line}
    merged.pop("_connection", None)
    origins |= dict.fromkeys(data, f"{hosts_file}, host {name}")
    origins |= dict.fromkeys(command_line, "--data")
    lock_file.read(settings.load(merged, where=f"settings of {name}", origins=origins))


def _command_line() -> list[tuple[str, Any]]:
    pairs = []
    for argument in _parameter("data") or ():
        key, equals, value = argument.partition("=")
        if not equals:
            shown = HIDDEN if looks_secret(argument) else argument
            raise settings.SettingsError(f"--data {shown}: expected KEY=VALUE")
        pairs.append((key, parse_cli_arg(value)))
    return pairs


def _given(name: str) -> bool:
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context else None
    return source is click.core.ParameterSource.COMMANDLINE


def _parameter(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return context.params.get(name) if context else None
