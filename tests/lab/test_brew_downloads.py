"""What the stand-in brew and its installer fetch, from where, and what they refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.standins import brew_catalogue
from tests.lab.standins.brew_bench import Brewed, small_internet
from tests.lab.standins.launchd_bench import Bench

QUIET = {"HOMEBREW_NO_ASK": "1", "HOMEBREW_NO_INSTALL_CLEANUP": "1"}


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with small_internet(tmp_path_factory.mktemp("internet")) as address:
        yield address


@pytest.fixture
def mac(tmp_path: Path, internet: str) -> Brewed:
    bench = Brewed(tmp_path, internet=internet)
    assert bench.run("brew_setup", "--quiet").returncode == 0
    return bench


def test_mirrors_and_proxies(mac: Brewed, internet: str) -> None:
    """A mirror is asked first, the default takes over; HTTP_PROXY is dropped, https_proxy not."""
    mirror = f"{internet}/mirrors/ustc/homebrew/bottles"
    assert mac.brew("install", "ollama", HOMEBREW_BOTTLE_DOMAIN=mirror).returncode == 0
    assert mac.fetched() == [f"{mirror}/ollama--0.32.3.tar.gz"]
    foreign = "https://mirrors.example.org/homebrew-bottles"
    assert mac.brew("install", "node@22", HOMEBREW_BOTTLE_DOMAIN=foreign).returncode == 0
    assert mac.fetched()[1:] == [
        f"{foreign}/node@22--22.23.3.tar.gz",
        f"{internet}/homebrew/bottles/node@22--22.23.3.tar.gz",
    ]
    dead = "http://127.0.0.1:1"
    assert mac.brew("install", "node", HTTP_PROXY=dead, http_proxy=dead).returncode == 0
    refused = mac.brew("install", "--cask", "ollama", https_proxy=dead, NO_PROXY="*")
    assert refused.returncode == 1
    assert "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms:" in refused.stderr
    assert mac.says("list", "--cask") == ""
    around = mac.brew("install", "--cask", "ollama", https_proxy=dead, no_proxy="127.0.0.1")
    assert around.returncode == 0


def test_brew_env_files(mac: Brewed) -> None:
    file = Path(mac.mac.homebrew_prefix, "etc/homebrew/brew.env")
    file.parent.mkdir(parents=True)
    file.write_text("HOMEBREW_NO_ASK=1\nexport HOMEBREW_NO_EMOJI=1\nPATH=/nowhere\n")
    out = mac.says("install", "--cask", "ollama")
    assert "Would install" not in out
    assert out.endswith("🍺  ollama-app was successfully installed!\n"), "`export` makes it void"


def test_downloads_are_cached_and_checked(mac: Brewed) -> None:
    mac.brew("install", "--cask", "ollama", **QUIET)
    mac.brew("reinstall", "--cask", "ollama", **QUIET)
    assert len(mac.fetched()) == 1
    assert (
        brew_catalogue.cask("ollama-app", "0.32.3")
        == next(Path(mac.mac.home).glob("Library/Caches/Homebrew/Cask/*")).read_bytes()
    )
    bottle = Path(mac.mac.home, "Library/Caches/Homebrew/downloads/ollama--0.32.3.tar.gz")
    bottle.parent.mkdir(parents=True)
    bottle.write_bytes(b"half")
    broken = mac.brew("install", "ollama")
    assert broken.returncode == 1
    assert "SHA-256 mismatch\nExpected: " in broken.stderr
    assert mac.says("list", "--formula") == ""


def test_brew_refuses(mac: Brewed) -> None:
    mac.faults('{"brew.install": "Error: No developer tools installed."}')
    done = mac.brew("install", "ollama")
    assert (done.returncode, done.stderr) == (1, "Error: No developer tools installed.\n")
    assert mac.says("list") == ""


def install_script(bench: Bench, **env: str) -> subprocess.CompletedProcess[str]:
    """Run install.sh as the documentation says, on a Mac with the commands it needs."""
    commands = {
        "sudo": 'shift; [ "${SUDO_RC:-0}" = 0 ] && exec "$@"',
        "id": "echo ${FAKE_UID:-501}",
    }
    helper = f'exec {bench.mac.python} -S -m tests.lab.standins.brew_setup "$@"'
    for name, body in {**commands, "lab-homebrew-install": helper}.items():
        path = Path(bench.mac.bin, name)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "-c", brew_catalogue.installer()],
        env=bench.environment(NONINTERACTIVE="1", **env), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_installer(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    brew = Path(bench.mac.homebrew_prefix, "bin", "brew")
    root = install_script(bench, FAKE_UID="0")
    assert (root.returncode, root.stderr) == (1, "Don't run this as root!\n")
    denied = install_script(bench, SUDO_RC="1")
    assert denied.returncode == 1
    assert denied.stderr == (
        "Need sudo access on macOS (e.g. the user mac needs to be an Administrator)!\n"
    )
    assert not brew.exists()
    done = install_script(bench, HOMEBREW_BOTTLE_DOMAIN="https://mirrors.example.org/bottles")
    assert done.returncode == 0, done.stderr
    assert "==> Installation successful!\n" in done.stdout
    seen = json.loads(Path(bench.mac.state, "installer-env.json").read_text())
    assert seen == {"HOMEBREW_BOTTLE_DOMAIN": "https://mirrors.example.org/bottles"}
    version = subprocess.run(
        [brew, "--version"], env={"HOME": bench.mac.home, "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert version.stdout == "Homebrew 6.0.18\n"
