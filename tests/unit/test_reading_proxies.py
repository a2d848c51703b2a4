"""What facts/mac.sh reads of proxies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_reading import SH, mac, read

__all__ = ["mac"]


@pytest.mark.parametrize("shell", SH)
def test_the_running_gateways_no_proxy_is_read_with_its_value(mac: Path, shell: str) -> None:
    shown = "HOME=/Users/mac no_proxy=corp.example,::1 HTTP_PROXY=http://me:pw@p NO_PROXY=a,b"
    (mac.parent / "bin" / "ps").write_text(
        f"#!/bin/sh\ncase $* in *eww*) echo 'node gateway {shown}';;\n"
        "*) echo '  900 1 01:00 node gateway';; esac\n"
    )
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.gateway_shown
    assert snapshot.gateway_no_proxy == {"no_proxy": "corp.example,::1", "NO_PROXY": "a,b"}
    assert snapshot.gateway_port.proxies == ("no_proxy", "HTTP_PROXY", "NO_PROXY")
    assert "pw" not in repr(snapshot)


SCUTIL = """cat <<'END'
<dictionary> {
  ExceptionsList : <array> {
    0 : 192.168.0.0/16
    1 : HTTPEnable : 1
  }
  ExcludeSimpleHostnames : 0
  HTTPEnable : 1
  HTTPPort : 7899
  HTTPProxy : 127.0.0.1
  HTTPSEnable : 0
  HTTPSPort : 7899
  HTTPSProxy : 127.0.0.1
  ProxyAutoConfigEnable : 1
  ProxyAutoConfigURLString : http://me:pw@pac
  SOCKSEnable : 1
  SOCKSPort : 7900
  SOCKSProxy : proxy.example
}
END
"""


@pytest.mark.parametrize("shell", SH)
def test_macos_own_proxies_are_read_as_far_as_they_are_switched_on(mac: Path, shell: str) -> None:
    command = mac.parent / "bin" / "scutil"
    command.write_text(f"#!/bin/sh\n{SCUTIL}")
    command.chmod(0o755)
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.system_proxies == (
        "HTTP 127.0.0.1:7899",
        "SOCKS proxy.example:7900",
        "a configuration file (PAC)",
    )
    command.write_text("#!/bin/sh\nprintf '<dictionary> {\\n  FTPPassive : 1\\n}\\n'\n")
    assert read(mac, shell, prefix=str(mac / "nothing")).system_proxies == ()
