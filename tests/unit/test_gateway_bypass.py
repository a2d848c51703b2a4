"""The gateway's script under the policy "bypass": variables in what OpenClaw has just installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.factory import OLD
from tests.unit.shells import SHELLS, run
from tests.unit.test_gateway_script import AGENT, COMMANDS, DASH, Shell, calls, home, script

__all__ = ["home"]

PLUTIL = """echo "plutil $*" >> "$HOME/calls"
for f do :; done
case $1 in
-extract) grep -q "$2=" "$HOME/Library/LaunchAgents/ai.openclaw.gateway.plist" || exit 1
  sed -n "s/^$2=//p" "$HOME/Library/LaunchAgents/ai.openclaw.gateway.plist";;
-replace) [ -e "$HOME/broken" ] && exit 1; echo "$2=$4" >> "$f";;
esac"""
"""Keeps the variables of a plist as lines behind it."""
STAT = "echo 644"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("action", ["install", "reinstall"])
def test_what_openclaw_has_just_installed_goes_around_proxies(
    shell: Shell, home: Path, action: str
) -> None:
    commands = COMMANDS | {"plutil": PLUTIL, "stat": STAT}
    script_ = script(home, action, version=OLD, proxies="bypass")
    run(shell, script_, home, commands=commands, check=True)
    value = "127.0.0.1,localhost,::1"
    expected = (
        "<plist>new</plist>\n"
        f"EnvironmentVariables.NO_PROXY={value}\nEnvironmentVariables.no_proxy={value}\n"
    )
    assert (home / AGENT).read_text() == expected
    assert (home / AGENT).stat().st_mode & 0o777 == 0o644
    # What runs was started with them.
    assert (home / "loaded").read_text() == expected
    assert not list((home / AGENT).parent.glob("*clawfleet*"))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_wrappers_file_that_openclaw_has_just_written_too(shell: Shell, home: Path) -> None:
    env = home / ".openclaw" / "service-env" / "ai.openclaw.gateway.env"
    written = "mkdir -p \"$HOME/.openclaw/service-env\"\n  printf '# head\\nexport A=1\\n' "
    written += '> "$HOME/.openclaw/service-env/ai.openclaw.gateway.env"\n  echo "<plist>'
    install = COMMANDS["openclaw"].replace(
        'echo "<plist>new', f"{written}$HOME/.openclaw/service-env/x new"
    )
    commands = COMMANDS | {"openclaw": install, "plutil": PLUTIL, "stat": "echo 600"}
    run(shell, script(home, "install", proxies="bypass"), home, commands=commands, check=True)
    value = "127.0.0.1,localhost,::1"
    assert env.read_text() == (
        f"# head\nexport A=1\nexport NO_PROXY='{value}'\nexport no_proxy='{value}'\n"
    )
    assert env.stat().st_mode & 0o777 == 0o600
    assert calls(home, "plutil") == []
    assert calls(home, "bootstrap"), "started with them"


def test_variables_that_could_not_be_written_are_told(home: Path) -> None:
    (home / "broken").touch()
    commands = COMMANDS | {"plutil": PLUTIL, "stat": STAT}
    script_ = script(home, "install", version=OLD, proxies="bypass")
    done = run(DASH, script_, home, commands=commands)
    assert done.returncode == 1
    assert "NO_PROXY was not written into" in done.stderr
    assert (home / AGENT).read_text() == "<plist>old</plist>"


@pytest.mark.parametrize("proxies", ["unset", "keep"])
def test_without_that_policy_nothing_is_added(home: Path, proxies: str) -> None:
    run(DASH, script(home, "install", proxies=proxies), home, commands=COMMANDS, check=True)
    assert (home / AGENT).read_text() == "<plist>new</plist>\n"
