from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from clawfleet.run import fleet


def host(name: str, **data: Any) -> SimpleNamespace:
    return SimpleNamespace(name=name, data=SimpleNamespace(dict=lambda: data))


def test_the_addresses_of_all_macs_in_the_inventorys_order() -> None:
    hosts = [
        host("mini-2.local"),
        host("mini-1", ssh_hostname="10.0.0.7", ssh_user="me"),
        host("@local", ssh_hostname="10.0.0.8"),
        host("odd name"),
        host("x", ssh_hostname="http://me:pw@p"),
    ]
    state: Any = SimpleNamespace(inventory=hosts)
    assert fleet(state) == ["mini-2.local", "10.0.0.7"]
