from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from paramiko import AuthenticationException, BadHostKeyException, ECDSAKey, PKey, SSHException
from pyinfra.api import Host
from pyinfra.api.exceptions import ConnectError

from clawfleet.plan import Trouble
from clawfleet.unreached import why
from tests.unit.factory import trouble_is_useful


def host(**data: Any) -> Host:
    known = {"ssh_hostname": "192.0.2.7", "ssh_user": "alice", **data}
    return cast(Host, SimpleNamespace(name="mini-1", data=known))


def said(cause: Exception | None, given: Host | None = None) -> Trouble:
    """What is made of an error that pyinfra raises while it handles the cause."""
    error: BaseException | None = None
    if cause:
        try:
            try:
                raise cause
            except Exception:
                raise ConnectError(f"SSH error ({cause})")  # noqa: B904
        except ConnectError as caught:
            error = caught
    return why(given or host(), error)


@pytest.fixture(scope="module")
def keys() -> list[PKey]:
    return [ECDSAKey.generate(), ECDSAKey.generate()]


@pytest.mark.parametrize(
    ("data", "command"),
    [
        ({}, "ssh-keygen -R 192.0.2.7"),
        ({"ssh_port": 2222}, "ssh-keygen -R '[192.0.2.7]:2222'"),
        ({"ssh_known_hosts_file": "~/k h"}, "ssh-keygen -R 192.0.2.7 -f '~/k h'"),
    ],
)
def test_a_changed_host_key(keys: list[PKey], data: dict[str, Any], command: str) -> None:
    trouble = said(BadHostKeyException("192.0.2.7", *keys), host(**data))
    shown = [f"{key.get_name()} {key.fingerprint}" for key in keys]
    trouble_is_useful(trouble, "mini-1 shows another host key", "another machine", command, *shown)
    assert trouble.found.index(shown[0]) < trouble.found.index(shown[1])
    assert trouble.fix.endswith(command)


def test_an_unknown_host_key() -> None:
    cause = SSHException("StrictPolicy: No host key for 192.0.2.7 found in known_hosts")
    trouble = said(cause, host(ssh_strict_host_key_checking="yes", ssh_port=2222))
    trouble_is_useful(trouble, "not in ~/.ssh/known_hosts", "'yes'", "ssh -p 2222 alice@192.0.2.7")


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (SSHException("Invalid value StrictHostKeyChecking=True"), ["accept-new, yes, ask or no"]),
        (AuthenticationException("no"), ["accepts no key of yours", "ssh-copy-id alice@192.0.2.7"]),
        (socket.gaierror(8, "unknown"), ["nobody knows the name 192.0.2.7", "ansible_host"]),
        (TimeoutError("timed out"), ["no SSH connection to 192.0.2.7 port 22: timed out"]),
        (None, ["no SSH connection to 192.0.2.7 port 22", "ssh alice@192.0.2.7 true shows why"]),
    ],
)
def test_other_reasons(cause: Exception | None, words: list[str]) -> None:
    trouble_is_useful(said(cause, host(ssh_strict_host_key_checking=True)), *words)


def test_a_hostile_name_is_one_word_of_the_command() -> None:
    given = host(ssh_hostname="$(touch pwned)", ssh_user="")
    assert said(None, given).fix == "ssh '$(touch pwned)' true shows why"
