"""An Ansible-style YAML inventory as pyinfra hosts, so that people bring what they have."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from clawfleet.settings import SettingsError, check_keys, refuse_literals

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


DEEPEST = 50
"""Levels of nesting, of YAML and of groups."""
MOST = 10_000
"""Hosts of one fleet, and places in which a group is described. More is a slip such as
``[1:100000]``, or aliases of aliases, and would end in no memory rather than in a message."""

if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    # Ten times as fast, where PyYAML was built with libyaml.
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """Names the place of a value that does not fit its type, such as the date 2026-02-30."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = str(node.tag).rpartition(":")[2]
            problem = f"this is no valid {kind}; quotes make it text"
            raise yaml.constructor.ConstructorError(
                problem=problem, problem_mark=node.start_mark
            ) from None


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
        _check_depth(text, where)
        document = yaml.load(text, _Loader)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(f"{where}{_place(mark)}: not valid YAML: {problem}") from None
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


def _check_depth(text: str, where: str) -> None:
    # libyaml builds values without a bound: enough brackets would end this process.
    depth = 0
    for event in yaml.parse(text, _Base):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            place = _place(event.start_mark)
            raise SettingsError(f"{where}{place}: nested deeper than {DEEPEST} levels")


def _place(mark: Any) -> str:
    return f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where
        self.groups: dict[str, _Group] = {}
        self.own: dict[str, dict[str, Any]] = {}
        self.places = 0

    def group(self, name: str, body: Any, depth: int = 0) -> None:
        """Take one place in which a group is described; there may be several."""
        place = f"{self.where}, group {name}"
        self.places += 1
        # An alias can make a group hold itself, or a file of one line hold thousands.
        if depth > DEEPEST or self.places > MOST:
            raise SettingsError(
                f"{place}: more than {DEEPEST} levels of groups, or {MOST} descriptions of groups"
            )
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
                if len(self.own) >= MOST and host not in self.own:
                    raise SettingsError(f"{place}: more than {MOST} hosts")
                group.hosts.append(host)
                known = self.own.setdefault(host, {})
                known |= _data(data or {}, f"{self.where}, host {host}")
        for child, child_body in (body.get("children") or {}).items():
            group.children.append(str(child))
            self.group(str(child), child_body, depth + 1)

    def fleet(self) -> Fleet:
        depths = dict.fromkeys(self.groups, 0)
        for name in self.groups:
            self._sink(name, 1, depths, [])
        depths["all"] = 0
        order = sorted(self.groups, key=lambda name: (depths[name], name))
        members = {"all": list(self.own)}
        for name in self.groups:
            self._collect(name, members)
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
        if depth > DEEPEST:
            raise SettingsError(f"{self.where}: group {name}: nested deeper than {DEEPEST} groups")
        if depths[name] >= depth:
            return
        depths[name] = depth
        for child in self.groups[name].children:
            self._sink(child, depth + 1, depths, [*path, name])

    def _collect(self, name: str, members: dict[str, list[str]]) -> list[str]:
        """The hosts of a group and of its children, also put into `members`."""
        if name not in members:
            group = self.groups[name]
            below = [host for child in group.children for host in self._collect(child, members)]
            members[name] = list(dict.fromkeys([*group.hosts, *below]))
        return members[name]


def _data(variables: dict[Any, Any], where: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    # Of all variables, also of those that only Ansible reads; SSH's have an answer of their own.
    others = {key: value for key, value in variables.items() if str(key) not in _PASSWORDS}
    refuse_literals(others, where=where)
    for key, value in ((str(key), value) for key, value in variables.items()):
        if key in _PASSWORDS:
            raise SettingsError(
                f"{where}: {key} is a password in a file. Use a key "
                "(ansible_ssh_private_key_file: ~/.ssh/id_ed25519) or ssh-agent; "
                "for one run, pyinfra --ssh-password-prompt asks."
            )
        if key in _ANSIBLE:
            data[_ANSIBLE[key]] = value
        elif key == "ssh_strict_host_key_checking":
            data[key] = _host_key_checking(value, where)
        elif key == "ansible_connection":
            data["_connection"] = value
        elif not key.startswith("ansible_"):
            data[key] = value
    check_keys(data, where=where)
    return data


def _host_key_checking(value: Any, where: str) -> str:
    # YAML 1.1 reads a bare `yes` as true and a bare `no` as false.
    word = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
    if word not in ("accept-new", "yes", "ask", "no"):
        found = repr(value) if isinstance(value, str) else _kind(value)
        raise SettingsError(
            f"{where}: ssh_strict_host_key_checking is {found}. "
            "Valid are: accept-new, yes, ask, no."
        )
    return str(word)


_RANGE = re.compile(r"(\[\w+:\w+(?::\d+)?\])")


def _expand(pattern: str, where: str) -> Iterator[str]:
    """``mini-[01:03]`` gives mini-01, mini-02, mini-03, as Ansible's host ranges do."""
    parts = _RANGE.split(pattern)
    # Every second part is a range.
    choices = [
        _names(part, pattern, where) if number % 2 else [part] for number, part in enumerate(parts)
    ]
    return map("".join, itertools.product(*choices))


def _names(expression: str, pattern: str, where: str) -> list[str]:
    start, end, *steps = expression[1:-1].split(":")
    letters = string.ascii_letters
    names: list[str] = []
    if max(map(len, (start, end, *steps))) < 10 and (step := int(steps[0]) if steps else 1):
        if start.isdecimal() and end.isdecimal():
            width = len(start) if start.startswith("0") else 1
            numbers = range(int(start), int(end) + 1, step)
            if len(numbers) > MOST:
                raise SettingsError(f"{where}: {expression} in {pattern}: more than {MOST} hosts")
            names = [str(n).zfill(width) for n in numbers]
        elif len(start) == len(end) == 1 and start in letters and end in letters:
            names = list(letters[letters.index(start) : letters.index(end) + 1 : step])
    if not names:
        raise SettingsError(
            f"{where}: {expression} in {pattern} is no range of hosts; valid are such as [1:9], "
            "[01:09], [a:f] and [1:9:2]"
        )
    return names


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", int: "a number", dict: "a mapping"}.get(
        type(value), type(value).__name__
    )
