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
_PASSWORDS = (
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_become_pass",
    "ansible_become_password",
    "ansible_sudo_pass",
    "ssh_password",
    "ssh_key_password",
)


@dataclass(frozen=True)
class Fleet:
    """Hosts with their data, and the groups they stand in; both in the file's order."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Group:
    variables: dict[str, Any] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


def parse(text: str, *, where: str = "hosts.yml") -> Fleet:
    """The fleet that a YAML inventory describes.

    Variables: a host's own win over its groups', a child group's over its parent's, those of
    `all` are everybody's, and of groups at the same depth the last by name wins: as in Ansible.
    `ansible_host`, `ansible_port`, `ansible_user` and `ansible_ssh_private_key_file` become
    pyinfra's connection data; other `ansible_*` variables speak to Ansible only and are passed
    over. SettingsError names the place of anything that can't be used.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(f"{where}{place}: not valid YAML: {problem}") from None
    if document is None:
        return Fleet()
    if not isinstance(document, dict):
        raise SettingsError(
            f"{where}: expected groups at the top (all: hosts: ...), found {_kind(document)}"
        )
    reader = _Reader(where)
    for name, body in document.items():
        reader.group(str(name), body)
    return reader.fleet()


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where
        self.groups: dict[str, _Group] = {}
        self.own: dict[str, dict[str, Any]] = {}

    def group(self, name: str, body: Any) -> None:
        """Take one place in which a group is described; there may be several."""
        place = f"{self.where}, group {name}"
        group = self.groups.setdefault(name, _Group())
        body = {} if body is None else body
        if not isinstance(body, dict):
            raise SettingsError(f"{place}: expected a mapping, found {_kind(body)}")
        if unknown := set(body) - {"hosts", "children", "vars"}:
            raise SettingsError(
                f"{place}: {', '.join(map(str, sorted(unknown, key=str)))} is not "
                "valid here. Valid are: hosts, children, vars."
            )
        for part in ("hosts", "children", "vars"):
            if body.get(part) is not None and not isinstance(body[part], dict):
                raise SettingsError(
                    f"{place}: {part} must be a mapping (name: ...), found {_kind(body[part])}"
                )
        group.variables |= _data(body.get("vars") or {}, place)
        for pattern, data in (body.get("hosts") or {}).items():
            if data is not None and not isinstance(data, dict):
                raise SettingsError(
                    f"{self.where}, host {pattern}: expected a mapping, found {_kind(data)}"
                )
            for host in _expand(str(pattern), place):
                group.hosts.append(host)
                known = self.own.setdefault(host, {})
                known |= _data(data or {}, f"{self.where}, host {host}")
        for child, child_body in (body.get("children") or {}).items():
            group.children.append(str(child))
            self.group(str(child), child_body)

    def fleet(self) -> Fleet:
        depths = dict.fromkeys(self.groups, 0)
        for name in self.groups:
            self._sink(name, 1, depths, [])
        depths["all"] = 0
        order = sorted(self.groups, key=lambda name: (depths[name], name))
        members = {name: self._members(name) for name in self.groups}
        members = {"all": list(self.own), **members}
        hosts: dict[str, dict[str, Any]] = {}
        for host, own in self.own.items():
            hosts[host] = {}
            for name in order:
                if name == "all" or host in members[name]:
                    hosts[host] |= self.groups[name].variables
            hosts[host] |= own
        return Fleet(hosts, members)

    def _sink(self, name: str, depth: int, depths: dict[str, int], path: list[str]) -> None:
        if name in path:
            raise SettingsError(
                f"{self.where}: group {name} holds itself ({' > '.join([*path, name])})"
            )
        depths[name] = max(depths[name], depth)
        for child in self.groups[name].children:
            self._sink(child, depth + 1, depths, [*path, name])

    def _members(self, name: str) -> list[str]:
        if name == "all":
            return list(self.own)
        group = self.groups[name]
        below = [host for child in group.children for host in self._members(child)]
        return list(dict.fromkeys([*group.hosts, *below]))


def _data(variables: dict[Any, Any], where: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in ((str(key), value) for key, value in variables.items()):
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


def _expand(pattern: str, where: str) -> list[str]:
    """``mini-[01:03]`` gives mini-01, mini-02, mini-03, as Ansible's host ranges do."""
    match = re.search(r"\[(\w+):(\w+)(?::(\d+))?\]", pattern)
    if match is None:
        return [pattern]
    start, end, step = match[1], match[2], int(match[3] or 1)
    letters = string.ascii_letters
    names: list[str] = []
    if start.isdecimal() and end.isdecimal() and step:
        width = len(start) if start.startswith("0") else 1
        names = [str(n).zfill(width) for n in range(int(start), int(end) + 1, step)]
    elif len(start) == len(end) == 1 and start in letters and end in letters and step:
        names = list(letters[letters.index(start) : letters.index(end) + 1 : step])
    if not names:
        raise SettingsError(
            f"{where}: {match[0]} in {pattern} is no range of hosts; valid are such as [1:9], "
            "[01:09], [a:f] and [1:9:2]"
        )
    return [
        host
        for name in names
        for host in _expand(pattern[: match.start()] + name + pattern[match.end() :], where)
    ]


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", int: "a number", dict: "a mapping"}.get(
        type(value), type(value).__name__
    )
