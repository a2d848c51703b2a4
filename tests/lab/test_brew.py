"""The stand-in brew against transcripts of the real Homebrew 6.0.18."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.standins.brew_bench import Brewed, small_internet

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


def bundle_version(app: Path) -> str:
    return str(plistlib.loads((app / "Contents/Info.plist").read_bytes())["CFBundleVersion"])


def test_cask_by_its_old_token(mac: Brewed) -> None:
    done = mac.brew("install", "--cask", "ollama")
    assert done.returncode == 0
    assert mac.real(done.stdout) == (
        "==> Would install 1 cask:\n"
        "ollama-app\n"
        "==> Installing Cask ollama-app\n"
        "==> Moving App 'Ollama.app' to '/Applications/Ollama.app'\n"
        "==> Linking Binary 'ollama' to '/opt/homebrew/bin/ollama'\n"
        "🍺  ollama-app was successfully installed!\n"
    )
    assert done.stderr == "==> Fetching downloads for: ollama-app\n✔︎ Cask ollama-app (0.32.3)\n"
    assert bundle_version(mac.app) == "0.32.3"
    assert os.readlink(mac.link) == f"{mac.app}/Contents/Resources/ollama"
    assert os.access(mac.app / "Contents/MacOS/Ollama", os.X_OK)
    for name in ("ollama", "ollama-app"):
        again = mac.brew("install", "--cask", name)
        assert (again.returncode, again.stdout) == (0, "")
        assert again.stderr == (
            "Warning: Not upgrading ollama-app, the latest version is already installed\n"
        )
    assert mac.says("list", "--cask", "--versions") == "ollama-app 0.32.3\n"
    assert mac.says("list", "--versions") == "ollama-app 0.32.3\n"
    assert mac.says("list", "--cask", "--versions", "ollama-app") == "ollama-app 0.32.3\n"
    for words in (("--cask", "--versions", "ollama"), ("--versions", "ollama-app")):
        missing = mac.brew("list", *words)
        assert (missing.returncode, missing.stdout, missing.stderr) == (1, "", "")
    listed = mac.says("list", "--cask", "ollama").splitlines()
    assert listed[:2] == [
        "/opt/homebrew/Caskroom/ollama-app/0.32.3/Ollama.app",
        "/opt/homebrew/Caskroom/ollama-app/.metadata/INSTALL_RECEIPT.json",
    ]
    assert listed[2].endswith("/Casks/ollama-app.json")
    saved = Path(mac.mac.homebrew_prefix, "Caskroom/ollama-app/.metadata")
    assert len(list(saved.glob("*/*/Casks/ollama-app.*"))) == 1


def test_cask_uninstall(mac: Brewed) -> None:
    mac.brew("__lab", "install-cask", "ollama-app", "0.20.6")
    assert mac.says("uninstall", "--cask", "ollama") == (
        "==> Uninstalling Cask ollama-app\n"
        "==> Backing up App 'Ollama.app' to"
        " '/opt/homebrew/Caskroom/ollama-app/0.20.6/Ollama.app'\n"
        "==> Removing App '/Applications/Ollama.app'\n"
        "==> Unlinking Binary '/opt/homebrew/bin/ollama'\n"
        "==> Purging files for version 0.20.6 of Cask ollama-app\n"
    )
    assert not mac.app.exists()
    assert not os.path.lexists(mac.link)
    again = mac.brew("uninstall", "--cask", "ollama")
    assert again.stderr == "Error: Cask 'ollama-app' is not installed.\n"
    assert again.returncode == 1
    assert mac.says("list", "--cask", "--versions") == ""


def test_app_that_did_not_come_from_brew(mac: Brewed) -> None:
    (mac.app / "Contents").mkdir(parents=True)
    done = mac.brew("install", "--cask", "ollama", **QUIET)
    assert done.returncode == 1
    assert mac.real(done.stderr).splitlines()[-1] == (
        "Error: ollama-app: It seems there is already an App at '/Applications/Ollama.app'."
    )
    assert done.stdout == (
        "==> Installing Cask ollama-app\n==> Purging files for version 0.32.3 of Cask ollama-app\n"
    )
    assert mac.says("install", "--cask", "--force", "ollama").endswith("successfully installed!\n")
    shutil.rmtree(Path(mac.mac.homebrew_prefix, "Caskroom/ollama-app"))
    adopted = mac.says("install", "--cask", "--adopt", "ollama", **QUIET)
    assert "==> Adopting existing App at '/Applications/Ollama.app'\n" in adopted
    assert mac.says("list", "--cask", "--versions") == "ollama-app 0.32.3\n"


def test_cask_upgrade_and_its_switches(mac: Brewed) -> None:
    mac.brew("__lab", "install-cask", "ollama-app", "0.20.6")
    silent = mac.brew("install", "--cask", "ollama", HOMEBREW_NO_INSTALL_UPGRADE="1")
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")
    assert mac.says("outdated", "--cask") == "ollama-app\n"
    off = {"HOMEBREW_NO_UPGRADE_AUTO_UPDATES_CASKS": "1"}
    assert mac.says("outdated", "--cask", **off) == ""
    assert mac.says("outdated", "--cask", "--greedy", **off) == "ollama-app\n"
    assert mac.says("upgrade", "--cask", "--dry-run") == (
        "==> Would upgrade 1 outdated package\nollama-app 0.20.6 -> 0.32.3\n"
    )
    pin = mac.brew("pin", "--cask", "ollama-app")
    assert pin.stderr == (
        "Warning: ollama-app has `auto_updates true` and may update itself outside Homebrew"
        " despite being pinned.\n"
    )
    assert mac.says("list", "--pinned") == "ollama-app\n"
    pinned = mac.brew("install", "--cask", "ollama")
    assert pinned.returncode == 1
    assert pinned.stderr == (
        "Error: Not upgrading 1 pinned package:\n"
        "Error: Not upgrading 1 pinned package:\nollama-app 0.20.6\n"
    )
    mac.brew("unpin", "--cask", "ollama-app")
    assert mac.says("install", "--cask", "ollama") == (
        "==> Would install 1 cask:\n"
        "ollama-app\n"
        "==> Upgrading ollama-app\n"
        "  0.20.6 -> 0.32.3\n"
        "==> Backing up App 'Ollama.app' to"
        " '/opt/homebrew/Caskroom/ollama-app/0.20.6/Ollama.app'\n"
        "==> Removing App '/Applications/Ollama.app'\n"
        "==> Unlinking Binary '/opt/homebrew/bin/ollama'\n"
        "==> Moving App 'Ollama.app' to '/Applications/Ollama.app'\n"
        "==> Linking Binary 'ollama' to '/opt/homebrew/bin/ollama'\n"
        "==> Purging files for version 0.20.6 of Cask ollama-app\n"
        "🍺  ollama-app was successfully upgraded!\n"
    )


def test_app_that_updated_itself_or_was_deleted(mac: Brewed) -> None:
    mac.brew("__lab", "install-cask", "ollama-app", "0.20.6")
    mac.brew("__lab", "update-app", "0.32.3")
    assert bundle_version(mac.app) == "0.32.3"
    assert mac.says("outdated", "--cask") == ""
    assert mac.says("list", "--cask", "--versions") == "ollama-app 0.20.6\n"
    mac.brew("install", "--cask", "ollama")
    shutil.rmtree(mac.app)
    assert mac.says("list", "--cask", "--versions") == "ollama-app 0.32.3\n"
    assert mac.brew("install", "--cask", "ollama").returncode == 0
    assert not mac.app.exists(), "only reinstall brings it back"
    assert mac.says("reinstall", "--cask", "ollama") == (
        "==> Would reinstall 1 cask:\n"
        "ollama-app\n"
        "==> Uninstalling Cask ollama-app\n"
        "==> Unlinking Binary '/opt/homebrew/bin/ollama'\n"
        "==> Purging files for version 0.32.3 of Cask ollama-app\n"
        "==> Installing Cask ollama-app\n"
        "==> Moving App 'Ollama.app' to '/Applications/Ollama.app'\n"
        "==> Linking Binary 'ollama' to '/opt/homebrew/bin/ollama'\n"
        "🍺  ollama-app was successfully installed!\n"
    )


def test_cask_from_before_the_rename(mac: Brewed) -> None:
    mac.brew("__lab", "install-cask", "ollama", "0.9.0")
    listed = mac.brew("list", "--cask", "--versions")
    assert listed.stdout == "ollama-app 0.9.0\n"
    assert listed.stderr == "Warning: Cask ollama was renamed to ollama-app.\n"
    assert mac.says("list", "--cask") == "ollama\n"
    assert mac.says("list", "--cask", "--versions", "ollama") == "ollama-app 0.9.0\n"
    assert mac.brew("list", "--cask", "--versions", "ollama-app").returncode == 1
    assert mac.says("migrate", "--cask", "ollama") == ("==> Migrating cask ollama to ollama-app\n")
    caskroom = Path(mac.mac.homebrew_prefix, "Caskroom")
    assert os.readlink(caskroom / "ollama") == "ollama-app"
    assert mac.says("list", "--cask") == "ollama\nollama-app\n"
    for name in ("ollama", "ollama-app"):
        assert mac.says("list", "--cask", "--versions", name) == "ollama-app 0.9.0\n"
    mac.brew("uninstall", "--cask", "ollama-app")
    assert list(caskroom.iterdir()) == []
    mac.brew("__lab", "install-cask", "ollama", "0.9.0")
    mac.brew("install", "--cask", "ollama")
    assert mac.says("list", "--cask", "--versions", "ollama-app") == "ollama-app 0.32.3\n"


def test_formula(mac: Brewed) -> None:
    done = mac.brew("install", "--formula", "ollama", **QUIET)
    assert done.returncode == 0
    assert mac.real(done.stdout).startswith(
        "==> Pouring ollama--0.32.3.arm64_sequoia.bottle.tar.gz\n"
        "==> Caveats\n"
        "To start ollama now and restart at login:\n"
        "  brew services start ollama\n"
    )
    assert "🍺  /opt/homebrew/Cellar/ollama/0.32.3: " in mac.real(done.stdout)
    assert os.readlink(mac.link) == "../Cellar/ollama/0.32.3/bin/ollama"
    assert os.readlink(Path(mac.mac.homebrew_prefix, "opt/ollama")) == "../Cellar/ollama/0.32.3"
    version = subprocess.run(
        [mac.link, "--version"], env=mac.environment(), capture_output=True, text=True, check=True
    )
    assert version.stdout.endswith("client version is 0.32.3\n")
    again = mac.brew("install", "ollama")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == (
        "Warning: ollama 0.32.3 is already installed and up-to-date.\n"
        "To reinstall 0.32.3, run:\n  brew reinstall ollama\n"
    )
    assert mac.says("list", "--formula", "--versions") == "ollama 0.32.3\n"
    assert mac.says("uninstall", "ollama").startswith("Uninstalling /opt/homebrew/Cellar/ollama/")
    assert mac.says("list", "--versions") == ""
    assert not os.path.lexists(mac.link)


def test_older_formula(mac: Brewed) -> None:
    mac.brew("__lab", "install-formula", "ollama", "0.31.0")
    assert mac.says("outdated") == "ollama\n"
    kept = mac.brew("install", "ollama", HOMEBREW_NO_INSTALL_UPGRADE="1")
    assert kept.returncode == 0
    assert kept.stderr == (
        "Warning: ollama 0.31.0 is already installed.\n"
        "To upgrade to 0.32.3, run:\n  brew upgrade ollama\n"
    )
    mac.brew("pin", "ollama")
    assert mac.brew("upgrade", "ollama").returncode == 1
    mac.brew("unpin", "ollama")
    upgraded = mac.says("install", "ollama")
    assert upgraded.startswith(
        "ollama 0.31.0 is already installed but outdated (so it will be upgraded).\n"
    )
    assert "==> Upgrading ollama\n  0.31.0 -> 0.32.3\n" in upgraded
    assert mac.says("list", "--versions", "ollama") == "ollama 0.32.3\n"


def test_formula_and_cask_together(mac: Brewed) -> None:
    mac.brew("install", "--formula", "ollama")
    done = mac.brew("install", "--cask", "ollama")
    assert done.returncode == 0
    assert mac.real(done.stderr).splitlines()[-1] == (
        "Warning: It seems there is already a Binary at '/opt/homebrew/bin/ollama' from formula"
        " ollama; skipping link."
    )
    assert "/Cellar/ollama/" in os.path.realpath(mac.link)
    assert mac.says("list", "--versions") == "ollama 0.32.3\nollama-app 0.32.3\n"
    assert mac.says("list") == "ollama\nollama-app\n"
    mac.brew("uninstall", "ollama")
    assert mac.says("list", "--versions") == "ollama-app 0.32.3\n"
    assert mac.says("uninstall", "ollama").startswith("==> Uninstalling Cask ollama-app\n")
    mac.brew("install", "--cask", "ollama")
    linking = mac.brew("install", "ollama")
    assert linking.returncode == 1
    assert "Error: The `brew link` step did not complete successfully\n" in linking.stderr


def test_openclaw_brings_its_node(mac: Brewed) -> None:
    mac.faults('{"npm.openclaw": "small"}')
    out = mac.says("install", "openclaw-cli", **QUIET)
    assert "==> Installing openclaw-cli dependency: node\n" in out
    assert mac.says("list", "--versions") == "node 24.21.0\nopenclaw-cli 2026.9.6\n"
    assert os.access(Path(mac.mac.homebrew_prefix, "bin/openclaw"), os.X_OK)


def test_keg_only_node_is_not_linked(mac: Brewed) -> None:
    assert mac.brew("install", "node@22").returncode == 0
    prefix = Path(mac.mac.homebrew_prefix)
    assert os.access(prefix / "opt/node@22/bin/node", os.X_OK)
    assert os.access(prefix / "opt/node@22/bin/npm", os.X_OK)
    assert not os.path.lexists(prefix / "bin/node")
    assert mac.says("--prefix", "node@22") == "/opt/homebrew/opt/node@22\n"
    assert mac.says("list", "--versions", "node@22") == "node@22 22.23.3\n"
    assert mac.brew("install", "node").returncode == 0
    assert os.readlink(prefix / "bin/node") == "../Cellar/node/24.21.0/bin/node"


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (
            ("install", "--cask", "nosuchcask"),
            "Warning: Cask 'nosuchcask' is unavailable: No Cask with this name exists.\n"
            "Error: No casks found for nosuchcask.\n",
        ),
        (
            ("install", "nosuchformula"),
            'Warning: No available formula with the name "nosuchformula".\n'
            "Error: No formulae or casks found for nosuchformula.\n",
        ),
        (
            ("uninstall", "--cask", "--force", "nosuch"),
            "Error: Cask 'nosuch' is unavailable: No Cask with this name exists.\n",
        ),
        (
            ("install", "--cask", "ollama@0.20.6"),
            "Warning: Cask 'ollama@0.20.6' is unavailable: No Cask with this name exists.\n"
            "Error: No casks found for ollama@0.20.6.\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_unknown_names(mac: Brewed, words: tuple[str, ...], err: str) -> None:
    done = mac.brew(*words)
    assert (done.returncode, done.stderr) == (1, err)


def test_root_and_homeless(mac: Brewed) -> None:
    root = (
        "Error: Running Homebrew as root is extremely dangerous and no longer supported.\n"
        "As Homebrew does not drop privileges on installation you would be giving all\n"
        "build scripts full access to your system.\n"
    )
    refused = [["install", "ollama"], ["list", "--versions"], ["info", "ollama"]]
    for words in refused:
        done = mac.brew(*words, CLAWFLEET_LAB_ROOT="1")
        assert (done.returncode, done.stderr) == (1, root)
    for word in ("--prefix", "--version", "list", "shellenv"):
        assert mac.brew(word, CLAWFLEET_LAB_ROOT="1").returncode == 0
    homeless = mac.brew("--version", HOME="")
    assert homeless.stderr == "Error: $HOME must be set to run brew.\n"
    assert homeless.returncode == 1


def test_shellenv(mac: Brewed) -> None:
    begin = (
        'export HOMEBREW_PREFIX="/opt/homebrew";\n'
        'export HOMEBREW_CELLAR="/opt/homebrew/Cellar";\n'
        'export HOMEBREW_REPOSITORY="/opt/homebrew";\n'
    )
    end = (
        'export PATH="/opt/homebrew/bin:/opt/homebrew/sbin${PATH+:$PATH}";\n'
        '[ -z "${MANPATH-}" ] || export MANPATH=":${MANPATH#:}";\n'
        'export INFOPATH="/opt/homebrew/share/info:${INFOPATH:-}";\n'
    )
    assert mac.says("shellenv") == begin + end
    zsh = 'fpath[1,0]="/opt/homebrew/share/zsh/site-functions";\nexport FPATH;\n'
    assert mac.says("shellenv", "zsh") == begin + zsh + end
    prefix = mac.mac.homebrew_prefix
    assert mac.says("shellenv", PATH=f"{prefix}/bin:{prefix}/sbin:/usr/bin") == ""
    assert mac.says("--version") == "Homebrew 6.0.18\n"


def test_info_as_json(mac: Brewed) -> None:
    mac.brew("__lab", "install-cask", "ollama-app", "0.20.6")
    cask = json.loads(mac.says("info", "--cask", "--json=v2", "ollama"))["casks"][0]
    assert (cask["token"], cask["old_tokens"]) == ("ollama-app", ["ollama"])
    assert (cask["installed"], cask["version"], cask["outdated"]) == ("0.20.6", "0.32.3", True)
    outdated = json.loads(mac.says("outdated", "--cask", "--json=v2"))
    assert outdated["casks"] == [
        {
            "name": "ollama-app", "installed_versions": ["0.20.6"], "current_version": "0.32.3",
            "pinned": False, "pinned_version": None,
        }
    ]  # fmt: skip
    formula = json.loads(mac.says("info", "--json=v2", "node@22"))["formulae"][0]
    assert (formula["keg_only"], formula["installed"]) == (True, [])
