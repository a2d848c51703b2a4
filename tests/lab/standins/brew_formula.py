"""Formulae: kegs in the Cellar, their links, and what install, upgrade and uninstall say."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.standins import brew_catalogue
from tests.lab.standins.brew_home import Brew, BrewError

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

KEG_ONLY = {"node@22", "node@24"}
NEEDS = {"openclaw-cli": ("node",)}
SERVICES = {"ollama"}
CAVEATS = {
    "ollama": """\
To start ollama now and restart at login:
  brew services start ollama
Or, if you don't want/need a background service you can just run:
  OLLAMA_FLASH_ATTENTION="1" OLLAMA_KV_CACHE_TYPE="q8_0" {opt}/bin/ollama serve""",
}


def installed(brew: Brew) -> dict[str, list[str]]:
    """Name to versions, the oldest first, of all that has a keg."""
    if not brew.cellar.is_dir():
        return {}
    names = sorted(path.name for path in brew.cellar.iterdir() if path.is_dir())
    kegs = {name: sorted(os.listdir(brew.cellar / name), key=_order) for name in names}
    return {name: versions for name, versions in kegs.items() if versions}


def linked_version(brew: Brew, name: str) -> str | None:
    """The version that ``opt/NAME`` points to."""
    link = brew.prefix / "opt" / name
    return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def pinned(brew: Brew, name: str) -> bool:
    """Whether ``brew pin`` holds the formula."""
    return (brew.prefix / "var/homebrew/pinned" / name).is_symlink()


def pin(brew: Brew, name: str, on: bool) -> None:
    """``brew pin`` and ``unpin`` for a formula."""
    link = brew.prefix / "var/homebrew/pinned" / name
    version = linked_version(brew, name)
    if version is None:
        raise BrewError(f"{name} not installed")
    link.unlink(missing_ok=True)
    if on:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(brew.cellar / name / version)


def install_formula(mac: MacSpec, name: str, version: str) -> list[str]:
    """Put a formula there as a finished install would; the links that could not be made.

    Asks no network and prints nothing: also for tests that want a Mac in some earlier state.
    """
    from tests.lab.standins import brew_programs

    brew = Brew(mac, quiet=True)
    keg = brew.cellar / name / version
    keg.mkdir(parents=True, exist_ok=True)
    brew_programs.fill_keg(mac, name, version, keg)
    receipt = {
        "homebrew_version": "6.0.18",
        "installed_on_request": True,
        "poured_from_bottle": True,
    }
    (keg / "INSTALL_RECEIPT.json").write_text(json.dumps(receipt))
    return _link(brew, name, version)


def install(brew: Brew, name: str, force: bool = False) -> None:
    """``brew install --formula NAME``."""
    latest = known(brew, name)
    current = linked_version(brew, name)
    if current is not None and not force:
        if current == latest or brew.on("NO_INSTALL_UPGRADE") or pinned(brew, name):
            _leave(brew, name, current, latest)
            return
        brew.say(f"{name} {current} is already installed but outdated (so it will be upgraded).")
    brew.announce("formula", [name])
    _pour(brew, name, latest, current)


def upgrade(brew: Brew, name: str) -> None:
    """``brew upgrade NAME``; an error text and exit code 1 where it is pinned."""
    latest = known(brew, name)
    current = linked_version(brew, name)
    if current is None:
        raise BrewError(f"{name} not installed")
    if pinned(brew, name):
        brew.fail(f"Not upgrading 1 pinned package:\n{name} {current}")
    elif current == latest:
        brew.warn(f"{name} {latest} already installed")
    else:
        brew.ohai("Upgrading 1 outdated package:", f"{name} {current} -> {latest}")
        _pour(brew, name, latest, current)


def reinstall(brew: Brew, name: str) -> None:
    """``brew reinstall NAME``: the version stays that of the catalogue."""
    latest = known(brew, name)
    brew.announce("formula", [name], "reinstall")
    _pour(brew, name, latest, linked_version(brew, name))


def uninstall(brew: Brew, name: str) -> None:
    """``brew uninstall NAME``; its newest keg only, as there is no other one in the lab."""
    versions = installed(brew).get(name)
    if not versions:
        raise BrewError(f"No such keg: {brew.cellar / name}")
    for version in versions:
        keg = brew.cellar / name / version
        brew.say(f"Uninstalling {keg}... ({_size(keg)})")
    _unlink(brew, name)
    shutil.rmtree(brew.cellar / name)
    (brew.prefix / "var/homebrew/pinned" / name).unlink(missing_ok=True)


def known(brew: Brew, name: str) -> str:
    """The catalogue's version of a formula; BrewError where nobody knows it."""
    check(name)
    return brew.catalogue()["formulae"][name]


def check(name: str) -> None:
    """BrewError where nobody knows a formula of that name."""
    if name not in brew_catalogue.FORMULAE:
        raise BrewError(f'No available formula with the name "{name}".')


def _leave(brew: Brew, name: str, current: str, latest: str) -> None:
    if current == latest:
        brew.warn(
            f"{name} {latest} is already installed and up-to-date.\n"
            f"To reinstall {latest}, run:\n  brew reinstall {name}"
        )
        return
    unpin = f"brew unpin {name} && " if pinned(brew, name) else ""
    text = f"{name} {current} is already installed"
    text += f".\nTo upgrade to {latest}, run:\n  {unpin}brew upgrade {name}"
    (brew.fail if name in KEG_ONLY else brew.warn)(text)


def _pour(brew: Brew, name: str, version: str, before: str | None) -> None:
    brew.progress(f"==> Fetching downloads for: {name}")
    bottle = brew.bottle(name, version)
    for need in NEEDS.get(name, ()):
        if linked_version(brew, need) is None:
            brew.ohai(f"Installing {name} dependency: {need}")
            _pour(brew, need, known(brew, need), None)
    if before and before != version:
        brew.ohai(f"Upgrading {name}", f"  {before} -> {version}")
    tag = f"{'arm64_' if brew.mac.arch == 'arm64' else ''}{_codename(brew.mac.macos)}"
    brew.ohai(f"Pouring {name}--{version}.{tag}.bottle.tar.gz")
    import tarfile

    with tarfile.open(bottle) as archive:
        archive.extractall(brew.cellar, filter="data")
    if before:
        _unlink(brew, name)
    conflicts = install_formula(brew.mac, name, version)
    keg = brew.cellar / name / version
    if conflicts:
        _link_failed(brew, name, conflicts[0])
    if name in CAVEATS:
        brew.ohai("Caveats", CAVEATS[name].format(opt=brew.prefix / "opt" / name))
        brew.ohai("Summary")
    brew.done(f"{keg}: {_size(keg)}")
    if before and before != version and not brew.on("NO_INSTALL_CLEANUP"):
        old = brew.cellar / name / before
        brew.ohai(f"Running `brew cleanup {name}`...", f"Removing: {old}... ({_size(old)})")
        shutil.rmtree(old)


def _link_failed(brew: Brew, name: str, target: str) -> None:
    brew.fail(
        "The `brew link` step did not complete successfully\n"
        f"The formula built, but is not symlinked into {brew.prefix}\n"
        f"Could not symlink {os.path.relpath(target, brew.prefix)}\nTarget {target}\n"
        f"already exists. You may want to remove it:\n  rm '{target}'\n\n"
        "To force the link and overwrite all conflicting files:\n"
        f"  brew link --overwrite {name}"
    )


def _link(brew: Brew, name: str, version: str) -> list[str]:
    conflicts = []
    for folder in ("opt", "var/homebrew/linked"):
        if name in KEG_ONLY and folder != "opt":
            continue
        _point(brew.prefix / folder / name, brew.cellar / name / version)
    if name not in KEG_ONLY:
        for program in sorted((brew.cellar / name / version / "bin").iterdir()):
            link = brew.prefix / "bin" / program.name
            if os.path.lexists(link) and not _ours(brew, link, name):
                conflicts.append(str(link))
            else:
                _point(link, program)
    return conflicts


def _point(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def _ours(brew: Brew, link: Path, name: str) -> bool:
    target = os.path.normpath(link.parent / os.readlink(link)) if link.is_symlink() else ""
    return target.startswith(f"{brew.cellar / name}/")


def _unlink(brew: Brew, name: str) -> None:
    for link in (brew.prefix / "bin").iterdir():
        if _ours(brew, link, name):
            link.unlink()
    for folder in ("opt", "var/homebrew/linked"):
        (brew.prefix / folder / name).unlink(missing_ok=True)


def _size(keg: Path) -> str:
    files = [path for path in keg.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return f"{len(files)} files, {size / 1000:.1f}KB"


def _codename(macos: str) -> str:
    names = {"13": "ventura", "14": "sonoma", "15": "sequoia", "26": "tahoe"}
    return names.get(macos.split(".", maxsplit=1)[0], "tahoe")


def _order(version: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]
