from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import openclaw
from clawfleet.plan import Trouble
from clawfleet.snapshot import Node, Snapshot
from tests.unit.factory import BREW, HOME, NEW, OLD, equipped, settings, trouble_is_useful
from tests.unit.shells import SHELLS, run

NODE_22 = Node(f"{BREW}/opt/node@22/bin/node", "22.23.3")
NODE_24 = Node(f"{BREW}/opt/node@24/bin/node", "24.18.0")
NODE_20 = Node("/usr/local/bin/node", "20.20.2")


def mac(version: str | None, *nodes: Node) -> Snapshot:
    found = equipped(version or NEW)
    if version is None:
        found = replace(found, openclaw=None, openclaw_bin=None, openclaw_entry=None, sqlite=False)
    return replace(found, nodes=nodes)


@pytest.mark.parametrize(
    ("version", "wanted", "inside"),
    [
        ("22.12.0", ">=22.12.0", True),
        ("22.11.9", ">=22.12.0", False),
        ("v24.16.0", ">=24.16.0 <25 || >=26.1.0", True),
        ("24.15.9", ">=24.16.0 <25 || >=26.1.0", False),
        ("25.0.0", ">=24.16.0 <25 || >=26.1.0", False),
        ("26.0.9", ">=24.16.0 <25 || >=26.1.0", False),
        ("26.1.0", ">=24.16.0 <25 || >=26.1.0", True),
        ("24.3.1", "^24.2.0", True),
        ("25.3.1", "^24.2.0", False),
        ("24.2.9", "~24.2.1", True),
        ("24.3.0", "~24.2.1", False),
        ("24", ">=24", True),
        ("", ">=22.12.0", False),
        ("garbage", ">=22.12.0", False),
    ],
)
def test_ranges_of_node(version: str, wanted: str, inside: bool) -> None:
    assert openclaw.in_range(version, wanted) is inside


@pytest.mark.parametrize(
    ("snapshot", "changes", "titles"),
    [
        (mac(NEW, NODE_24), {}, []),
        (mac(OLD, NODE_22), {}, []),
        (mac(OLD, NODE_24), {}, []),
        (mac(OLD, NODE_20), {}, ["install node@22"]),
        (mac(NEW, NODE_22), {}, ["install node@24"]),
        (mac(NEW, NODE_22, NODE_24), {}, []),
        (mac(None), {}, ["install node@24", "install OpenClaw with npm"]),
        (mac(None, NODE_24), {}, ["install OpenClaw with npm"]),
        (mac(None, NODE_24), {"openclaw_install": "pnpm"}, ["install OpenClaw with pnpm"]),
        (mac(None), {"openclaw_install": "brew"}, ["install openclaw-cli"]),
        (mac(None, NODE_24), {"openclaw_version": OLD}, ["install OpenClaw with npm"]),
        (mac(None), {"openclaw_version": OLD}, ["install node@22", "install OpenClaw with npm"]),
        (
            mac(OLD, NODE_22),
            {"openclaw_version": NEW},
            ["install node@24", "install OpenClaw with npm"],
        ),
        (mac(NEW, NODE_24), {"openclaw_version": OLD}, ["install OpenClaw with npm"]),
        (mac(NEW, NODE_24), {"openclaw_version": NEW}, []),
        (mac(NEW, NODE_24), {"openclaw_install": "none"}, []),
        (mac("2026.1.2", NODE_24), {"openclaw_version": NEW}, ["install OpenClaw with npm"]),
        (mac("2026.12.1", NODE_24), {}, []),
    ],
)
def test_only_what_is_missing_is_installed(
    snapshot: Snapshot, changes: dict[str, Any], titles: list[str]
) -> None:
    steps = openclaw.plan(snapshot, settings(**changes))
    assert [step.title for step in steps] == titles
    for step in steps:
        assert step.reason
        assert "None" not in step.reason + step.script + step.fix + step.show


@pytest.mark.parametrize(
    ("snapshot", "changes", "words"),
    [
        (mac("2026.1.2", NODE_24), {}, ["OpenClaw 2026.1.2", "2026.2.12 or later", "npm install"]),
        (
            mac(None, NODE_24),
            {"openclaw_install": "none"},
            ["no OpenClaw", "2026.2.12 or later", "npm install -g openclaw@latest"],
        ),
        (
            mac(OLD, NODE_24),
            {"openclaw_install": "none", "openclaw_version": NEW},
            [f"OpenClaw {OLD}", f"OpenClaw {NEW}", f"npm install -g openclaw@{NEW}"],
        ),
        (
            mac(NEW, NODE_22),
            {"openclaw_install": "none"},
            ["no Node >=24.16.0", "brew install node@24"],
        ),
        (
            mac(None, NODE_24),
            {"openclaw_install": "brew", "openclaw_version": NEW},
            ["only its newest", 'openclaw_install = "npm"'],
        ),
    ],
)
def test_what_cannot_be_is_told(
    snapshot: Snapshot, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Trouble) as caught:
        openclaw.plan(snapshot, settings(**changes))
    trouble_is_useful(caught.value, *words)


@pytest.mark.parametrize(
    ("snapshot", "changes", "expected"),
    [
        (mac(OLD, NODE_22), {}, OLD),
        (mac(None), {}, NEW),
        (mac(None), {"openclaw_version": OLD}, OLD),
        (mac(OLD), {"openclaw_version": NEW}, NEW),
        (mac(NEW), {"openclaw_version": NEW}, NEW),
    ],
)
def test_the_version_that_is_configured(
    snapshot: Snapshot, changes: dict[str, Any], expected: str
) -> None:
    assert str(openclaw.version(snapshot, settings(**changes))) == expected


def test_the_first_node_that_fits_is_taken() -> None:
    snapshot = mac(NEW, NODE_22, NODE_24)
    caps = openclaw.can(snapshot, settings())
    assert openclaw.node_for(snapshot, caps) == NODE_24


@pytest.mark.parametrize("shell", SHELLS)
def test_openclaw_runs_with_its_node_first_and_without_proxies(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    node = tmp_path / "no de's" / "node"
    snapshot = replace(
        mac(NEW), openclaw_bin=f"{HOME}/bin/openclaw", nodes=(Node(str(node), "24.18.0"),)
    )
    script = openclaw.clean(snapshot, settings()) + 'echo "$PATH"; env | grep -i _proxy\n'
    done = run(shell, script, home, http_proxy="x", NO_PROXY="y", HTTPS_PROXY="z")
    path = done.stdout.splitlines()
    assert len(path) == 1
    assert path[0].split(":")[:2] == [str(node.parent), f"{HOME}/bin"]


def test_a_mac_without_openclaw_keeps_its_path() -> None:
    assert openclaw.path(mac(None), None) == 'PATH="$PATH"; export PATH\n'


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("how", ["npm", "pnpm"])
def test_the_installing_script(shell: tuple[str, ...], how: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    snapshot = replace(
        mac(None), brew=str(tmp_path / "brew"), nodes=(Node(str(tmp_path / "n/node"), "24.18.0"),)
    )
    wished = settings(openclaw_install=how, openclaw_version=NEW)
    (step,) = openclaw.plan(snapshot, wished)
    says = f'echo "{how} $@" > "$HOME/calls"'
    done = run(shell, step.script, home, commands={how: f"{says}; exit 9", "brew": "exit 1"})
    assert done.returncode == 1
    assert f"openclaw@{NEW}" in (home / "calls").read_text()
    done = run(shell, step.script, home, commands={how: says})
    assert done.returncode == 1
    assert "openclaw is not on" in done.stderr
    run(shell, step.script, home, commands={how: says, "openclaw": ":"}, check=True)
