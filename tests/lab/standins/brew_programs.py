"""The programs that Homebrew installs on a simulated Mac: small shells around other stand-ins."""

from __future__ import annotations

from pathlib import Path

from tests.lab import wrappers
from tests.lab.spec import MacSpec
from tests.lab.standins import node_wrapper


def fill_keg(mac: MacSpec, name: str, version: str, keg: Path) -> None:
    """Put the programs of a formula into its keg."""
    if name == "ollama":
        settings = {"OLLAMA_STANDIN_VERSION": version}
        wrappers.write(mac, "ollama", f"{keg}/bin/ollama", settings)
    elif name.startswith("node"):
        node_wrapper.install(mac, keg, int(version.split(".", maxsplit=1)[0]))
    elif name == "openclaw-cli":
        node = Path(mac.homebrew_prefix, "opt", "node")
        node_wrapper.install_openclaw(mac, keg, node, version)


def fill_app(mac: MacSpec, app: Path, version: str) -> None:
    """Put the two programs of ``Ollama.app`` into the bundle."""
    settings = {"OLLAMA_STANDIN_VERSION": version}
    wrappers.write(mac, "ollama", f"{app}/Contents/Resources/ollama", settings)
    wrappers.write(mac, "ollama_app", f"{app}/Contents/MacOS/Ollama", settings)


def place_brew(mac: MacSpec) -> None:
    """Put ``brew`` itself where the installer puts it, with the folders that Homebrew makes."""
    prefix = Path(mac.homebrew_prefix)
    for name in ("bin", "etc", "Caskroom", "Cellar", "lib", "opt", "sbin", "share", "var/log",
                 "var/homebrew/linked"):  # fmt: skip
        (prefix / name).mkdir(parents=True, exist_ok=True)
    wrappers.write(mac, "brew", f"{prefix}/bin/brew")
