"""An Ansible-style YAML inventory as pyinfra hosts, so that people bring what they have."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from typing import Any

import yaml

from clawfleet.settings import SettingsError, check_keys

_ANSIBLE = {
    "ansible_host": "ssh_hostname",
    "ansible_ssh_host": "ssh_hostname",
    "ansible_port": "ssh_port",
    "ansible_ssh_port": "ssh_port",
    "ansible_user": "ssh_user",
    "ansible_ssh_user": "ssh_user",
    "ansible_ssh_private_key_file": "ssh_key",
    "ansible_private_key_file": "ssh_key",
}
_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_become_password", "ssh_password")


@dataclass(frozen=True)
class Fleet:
    """Hosts with their data, and the groups they stand in; both in the file's order."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


def parse(text: str, *, where: str = "hosts.yml") -> Fleet:
    """The fleet that a YAML inventory describes.

    Variables: a host's own win over its groups', a child group's over its parent's, as in Ansible.
    `ansible_host`, `ansible_port`, `ansible_user` and `ansible_ssh_private_key_file` become
    pyinfra's connection data; other `ansible_*` variables speak to Ansible only and are passed
    over. SettingsError names the place of anything that can't be used.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{where}{place}: not valid YAML: {error.problem}") from None
    if document is None:
        return Fleet()
    if not isinstance(document, dict):
        raise SettingsError(
            f"{where}: expected groups at the top (all: hosts: ...), found {_kind(document)}"
        )
    fleet = Fleet()
    own: dict[str, dict[str, Any]] = {}
    inherited: dict[str, dict[str, Any]] = {}

    def group(name: str, body: Any, variables: dict[str, Any], path: list[str]) -> list[str]:
        if name in path:
            raise SettingsError(f"{where}: group {name} holds itself ({' > '.join([*path, name])})")
        body = {} if body is None else body
        if not isinstance(body, dict):
            raise SettingsError(f"{where}, group {name}: expected a mapping, found {_kind(body)}")
        if unknown := set(body) - {"hosts", "children", "vars"}:
            raise SettingsError(
                f"{where}, group {name}: {', '.join(map(str, sorted(unknown, key=str)))} is not "
                "valid here. Valid are: hosts, children, vars."
            )
        for part in ("hosts", "children", "vars"):
            if body.get(part) is not None and not isinstance(body[part], dict):
                raise SettingsError(
                    f"{where}, group {name}: {part} must be a mapping (name: ...), "
                    f"found {_kind(body[part])}"
                )
        variables = {**variables, **_data(body.get("vars") or {}, f"{where}, group {name}")}
        members: list[str] = []
        for pattern, data in (body.get("hosts") or {}).items():
            if data is not None and not isinstance(data, dict):
                raise SettingsError(
                    f"{where}, host {pattern}: expected a mapping, found {_kind(data)}"
                )
            for host in _expand(str(pattern)):
                members.append(host)
                own.setdefault(host, {}).update(_data(data or {}, f"{where}, host {host}"))
                inherited.setdefault(host, {}).update(variables)
        for child, child_body in (body.get("children") or {}).items():
            members += group(str(child), child_body, variables, [*path, name])
        fleet.groups[name] = list(dict.fromkeys([*fleet.groups.get(name, []), *members]))
        return members

    for name, body in document.items():
        group(str(name), body, {}, [])
    for host, data in own.items():
        fleet.hosts[host] = {**inherited.get(host, {}), **data}
    return fleet


def _data(variables: dict[str, Any], where: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in variables.items():
        if key in _PASSWORDS:
            raise SettingsError(
                f"{where}: {key} is a password in a file. Use a key "
                "(ansible_ssh_private_key_file: ~/.ssh/id_ed25519) or ssh-agent; "
                "for one run, pyinfra --ssh-password-prompt asks."
            )
        if key in _ANSIBLE:
            data[_ANSIBLE[key]] = value
        elif key == "ansible_connection":
            data["_connection"] = value
        elif not key.startswith("ansible_"):
            data[key] = value
    check_keys(data, where=where)
    return data


def _expand(pattern: str) -> list[str]:
    """``mini-[01:03]`` gives mini-01, mini-02, mini-03, as Ansible's host ranges do."""
    match = re.search(r"\[(\w+):(\w+)\]", pattern)
    if match is None:
        return [pattern]
    start, end = match.groups()
    names: list[str]
    if start.isdigit() and end.isdigit():
        width = len(start) if start.startswith("0") else 1
        names = [str(n).zfill(width) for n in range(int(start), int(end) + 1)]
    else:
        letters = string.ascii_letters
        names = list(letters[letters.index(start) : letters.index(end) + 1])
    return [
        host
        for name in names
        for host in _expand(pattern[: match.start()] + name + pattern[match.end() :])
    ]


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", int: "a number", dict: "a mapping"}.get(
        type(value), type(value).__name__
    )
