"""What facts/mac.sh says of the way between Macs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.test_reading import SH, mac, read, write

__all__ = ["mac"]


@pytest.mark.parametrize("shell", SH)
@pytest.mark.parametrize(
    ("connection", "reached"),
    [
        ("192.0.2.254 50000 192.0.2.1 22", ("192.0.2.1", 22)),
        ("2001:db8::2 50000 2001:db8::1 2222", ("2001:db8::1", 2222)),
        # By a name such as mini.local: the address of that network card is asked for.
        ("fe80::2%en0 50000 fe80::1%en0 22", ("192.168.1.20", 22)),
        ("fe80::2%en7 50000 fe80::1%en7 22", None),
        ("", None),
        ("1 2 $(id) 22", None),
        ("1 2 192.0.2.1 ssh", None),
    ],
)
def test_where_other_macs_reach_it(
    mac: Path, shell: str, connection: str, reached: tuple[str, int] | None
) -> None:
    ipconfig = mac.parent / "bin" / "ipconfig"
    ipconfig.write_text('#!/bin/sh\n[ "$*" = "getifaddr en0" ] && echo 192.168.1.20\n')
    ipconfig.chmod(0o755)
    assert read(mac, shell, connection=connection).reached == reached


@pytest.mark.parametrize("shell", SH)
def test_an_access_of_a_run_that_lives_and_of_one_that_died(mac: Path, shell: str) -> None:
    assert read(mac, shell).lan_access == "none"
    later, before = int(time.time()) + 1000, int(time.time()) - 1
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for keeper, until, said in (
        (f"{os.getpid()}\n", f"{later}\n", "open"),
        (f"{os.getpid()}\n", f"{before}\n", "left"),
        (f"{ended.pid}\n", f"{later}\n", "left"),
        ("", "", "left"),
    ):
        write(mac, ".clawfleet/lan/keeper", keeper)
        write(mac, ".clawfleet/lan/until", until)
        assert read(mac, shell).lan_access == said
    (mac / ".clawfleet/lan/keeper").unlink()
    (mac / ".clawfleet/lan/until").unlink()
    assert read(mac, shell).lan_access == "left"
