"""Casks: the Caskroom, ``Ollama.app``, and the rename of the token ``ollama`` to ``ollama-app``."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.standins import brew_catalogue
from tests.lab.standins.brew_home import Brew, BrewError

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

RENAMED = {"ollama": "ollama-app"}
APP = "Ollama.app"
BINARY = "ollama"


def resolve(name: str) -> str | None:
    """The token of today for a name; None where no cask has it."""
    token = RENAMED.get(name, name)
    return token if token in brew_catalogue.CASKS else None


def folder(brew: Brew, token: str) -> Path | None:
    """Where an installed cask is recorded: under its token, or the one it was installed by."""
    for name in (token, *(old for old, new in RENAMED.items() if new == token)):
        path = brew.caskroom / name
        if path.is_dir() and not path.is_symlink() and (path / ".metadata").is_dir():
            return path
    return None


def version(brew: Brew, token: str) -> str | None:
    """What the Caskroom says is installed, which need not be what the app is by now."""
    path = folder(brew, token)
    if path is None:
        return None
    found = sorted(name for name in os.listdir(path) if name != ".metadata")
    return found[-1] if found else None


def bundle_version(brew: Brew) -> str | None:
    """The version in the app's own Info.plist."""
    import plistlib

    plist = _app(brew) / "Contents" / "Info.plist"
    try:
        with open(plist, "rb") as file:
            return str(plistlib.load(file)["CFBundleShortVersionString"])
    except FileNotFoundError:
        return None


def pinned(brew: Brew, token: str) -> bool:
    """Whether ``brew pin --cask`` holds it."""
    return (brew.prefix / "var/homebrew/pinned_casks" / token).exists()


def pin(brew: Brew, token: str, on: bool) -> None:
    """``brew pin --cask`` and ``unpin --cask``."""
    if version(brew, token) is None:
        raise BrewError(f"Cask '{token}' is not installed.")
    mark = brew.prefix / "var/homebrew/pinned_casks" / token
    if not on:
        mark.unlink(missing_ok=True)
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    brew.warn(
        f"{token} has `auto_updates true` and may update itself outside Homebrew despite being"
        " pinned."
    )


def is_outdated(brew: Brew, token: str, greedy: bool = False) -> bool:
    """As of Homebrew 6: the bundle's version decides, with ``--greedy`` that of the Caskroom."""
    current = version(brew, token)
    latest = brew.catalogue()["casks"][token]
    if current is None:
        return False
    if greedy:
        return current != latest
    if brew.on("NO_UPGRADE_AUTO_UPDATES_CASKS"):
        return False
    return _number(bundle_version(brew) or current) < _number(latest)


def install_cask(mac: MacSpec, token: str, wanted: str) -> None:
    """Put a cask there as a finished install would, also under an old token; see install_formula.

    Asks no network and prints nothing.
    """
    brew = Brew(mac, quiet=True)
    _unpack(brew, brew_catalogue.cask(RENAMED.get(token, token), wanted), wanted)
    _record(brew, token, wanted)
    _link_binary(brew, token, force=True)


def update_app(mac: MacSpec, wanted: str) -> None:
    """The app has updated itself: only its bundle changes, brew does not hear of it."""
    brew = Brew(mac)
    shutil.rmtree(_app(brew), ignore_errors=True)
    _unpack(brew, brew_catalogue.cask("ollama-app", wanted), wanted)


def install(brew: Brew, token: str, *, force: bool = False, adopt: bool = False) -> None:
    """``brew install --cask``: installs, upgrades, or says why not."""
    latest = brew.catalogue()["casks"][token]
    current = version(brew, token)
    if current is None:
        _install(brew, token, latest, force, adopt)
    elif current == latest:
        brew.warn(f"Not upgrading {token}, the latest version is already installed")
    elif not brew.on("NO_INSTALL_UPGRADE"):
        if pinned(brew, token):
            brew.progress("Error: Not upgrading 1 pinned package:")
            raise BrewError(f"Not upgrading 1 pinned package:\n{token} {current}")
        brew.announce("cask", [token])
        _upgrade(brew, token, current, latest)


def upgrade(brew: Brew, token: str, named: bool, greedy: bool, dry_run: bool) -> None:
    """``brew upgrade --cask``, of a cask that was named or of whatever is outdated."""
    current, latest = version(brew, token), brew.catalogue()["casks"][token]
    if current is None:
        raise BrewError(f"Cask '{token}' is not installed.")
    if named and current == latest:
        brew.warn(f"Not upgrading {token}, the latest version is already installed")
    elif pinned(brew, token):
        brew.ohai("1 Pinned cask", f"{token} {current}")
        raise BrewError("Not upgrading 1 pinned package:")
    elif named or is_outdated(brew, token, greedy):
        verb = "Would upgrade" if dry_run else "Upgrading"
        brew.ohai(f"{verb} 1 outdated package", f"{token} {current} -> {latest}")
        if not dry_run:
            _upgrade(brew, token, current, latest)


def reinstall(brew: Brew, token: str) -> None:
    """``brew reinstall --cask``: the one thing that brings back an app deleted by hand."""
    latest = brew.catalogue()["casks"][token]
    current = version(brew, token)
    brew.announce("cask", [token], "reinstall")
    artefact = _download(brew, token, latest)
    if current is not None:
        brew.ohai(f"Uninstalling Cask {token}")
        _remove(brew, token, current)
    _place(brew, token, latest, artefact, force=False)
    brew.done(f"{token} was successfully installed!")


def uninstall(brew: Brew, token: str, force: bool = False) -> None:
    """``brew uninstall --cask``."""
    current = version(brew, token)
    if current is None:
        if force:
            return
        raise BrewError(f"Cask '{token}' is not installed.")
    brew.ohai(f"Uninstalling Cask {token}")
    _remove(brew, token, current)


def migrate(brew: Brew, name: str) -> None:
    """``brew migrate --cask``: move the Caskroom entry and leave a link under the old token."""
    token = RENAMED.get(name)
    old = brew.caskroom / name
    if token is None or not old.is_dir() or old.is_symlink():
        return
    brew.ohai(f"Migrating cask {name} to {token}")
    old.rename(brew.caskroom / token)
    for file in (brew.caskroom / token / ".metadata").glob(f"*/*/Casks/{name}.*"):
        file.rename(file.with_name(f"{token}{file.suffix}"))
    old.symlink_to(token)


def files(brew: Brew, token: str) -> list[str]:
    """What ``brew list --cask TOKEN`` prints."""
    path = folder(brew, token)
    if path is None:
        raise BrewError(f"Cask '{token}' is not installed.")
    metadata = path / ".metadata"
    saved = next(metadata.glob("*/*/Casks/*"))
    receipt, config = metadata / "INSTALL_RECEIPT.json", metadata / "config.json"
    current = version(brew, token)
    return [str(item) for item in (path / str(current) / APP, receipt, saved, config)]


def _app(brew: Brew) -> Path:
    return appdir(brew) / APP


def appdir(brew: Brew) -> Path:
    """Where apps go: ``--appdir`` of HOMEBREW_CASK_OPTS, or the Mac's own folder."""
    for word in brew.env.get("HOMEBREW_CASK_OPTS", "").split():
        if word.startswith("--appdir="):
            return Path(word.removeprefix("--appdir="))
    return Path(brew.mac.applications)


def _install(brew: Brew, token: str, latest: str, force: bool, adopt: bool) -> None:
    brew.announce("cask", [token])
    artefact = _download(brew, token, latest)
    app = _app(brew)
    if app.exists() and not (force or adopt):
        brew.ohai(f"Installing Cask {token}")
        brew.fail(f"{token}: It seems there is already an App at '{app}'.")
        brew.ohai(f"Purging files for version {latest} of Cask {token}")
        return
    if adopt and app.exists():
        brew.ohai(f"Installing Cask {token}")
        brew.ohai(f"Adopting existing App at '{app}'")
        if _link_binary(brew, token, force=False):
            _record(brew, token, latest)
        else:
            brew.ohai(f"Removing App '{app}'")
            shutil.rmtree(app)
            brew.ohai(f"Purging files for version {latest} of Cask {token}")
    else:
        _place(brew, token, latest, artefact, force)
    if not brew.failed:
        brew.done(f"{token} was successfully installed!")


def _place(brew: Brew, token: str, latest: str, artefact: Path, force: bool) -> None:
    brew.ohai(f"Installing Cask {token}")
    app = _app(brew)
    if force and app.exists():
        brew.warn(f"It seems there is already an App at '{app}'; overwriting.")
        brew.ohai(f"Removing App '{app}'")
        shutil.rmtree(app)
    _move_app(brew, artefact, latest)
    if not _link_binary(brew, token, force):
        shutil.rmtree(app)
        brew.ohai(f"Purging files for version {latest} of Cask {token}")
        return
    _record(brew, token, latest)


def _upgrade(brew: Brew, token: str, current: str, latest: str) -> None:
    artefact = _download(brew, token, latest)
    brew.ohai(f"Upgrading {token}", f"  {current} -> {latest}")
    app = _app(brew)
    if app.exists():
        brew.ohai(f"Backing up App '{APP}' to '{brew.caskroom / token / current / APP}'")
        brew.ohai(f"Removing App '{app}'")
        shutil.rmtree(app)
    _unlink_binary(brew)
    _move_app(brew, artefact, latest)
    _link_binary(brew, token, force=False)
    old = folder(brew, token)
    if old is not None and old.name != token:
        old.rename(brew.caskroom / token)
        old.symlink_to(token)
    shutil.rmtree(brew.caskroom / token)
    _record(brew, token, latest)
    brew.ohai(f"Purging files for version {current} of Cask {token}")
    brew.done(f"{token} was successfully upgraded!")
    stale = brew.cache / "Cask" / f"{token}--{current}.zip"
    if stale.exists() and not brew.on("NO_INSTALL_CLEANUP"):
        brew.ohai("Cleanup")
        brew.ohai(token, f"Removing: {stale}... ({stale.stat().st_size / 1000:.1f}KB)")
        stale.unlink()


def _remove(brew: Brew, token: str, current: str) -> None:
    app = _app(brew)
    if app.exists():
        brew.ohai(f"Backing up App '{APP}' to '{brew.caskroom / token / current / APP}'")
        brew.ohai(f"Removing App '{app}'")
        shutil.rmtree(app)
    _unlink_binary(brew)
    path = folder(brew, token)
    if path is not None:
        shutil.rmtree(path)
    for old in RENAMED:
        if (brew.caskroom / old).is_symlink():
            (brew.caskroom / old).unlink()
    brew.ohai(f"Purging files for version {current} of Cask {token}")


def _download(brew: Brew, token: str, latest: str) -> Path:
    brew.progress(f"==> Fetching downloads for: {token}")
    return brew.cask(token, latest)


def _move_app(brew: Brew, artefact: Path, latest: str) -> None:
    brew.ohai(f"Moving App '{APP}' to '{_app(brew)}'")
    _unpack(brew, artefact.read_bytes(), latest)


def _unpack(brew: Brew, artefact: bytes, latest: str) -> None:
    import io
    import zipfile

    from tests.lab.standins import brew_programs

    target = appdir(brew)
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(artefact)) as archive:
        archive.extractall(target)
    brew_programs.fill_app(brew.mac, target / APP, latest)


def _link_binary(brew: Brew, token: str, force: bool) -> bool:
    """Link the command line tool; False where something is there that brew will not replace."""
    source = _app(brew) / "Contents" / "Resources" / BINARY
    link = brew.prefix / "bin" / BINARY
    if os.path.lexists(link) and not _ours(brew, link) and not force:
        if "/Cellar/ollama/" in os.path.realpath(link):
            brew.warn(
                f"It seems there is already a Binary at '{link}' from formula ollama;"
                " skipping link."
            )
            return True
        brew.fail(f"{token}: It seems there is already a Binary at '{link}'.")
        return False
    if not source.exists():
        brew.fail(f"{token}: It seems the symlink source '{source}' is not there.")
        return False
    brew.ohai(f"Linking Binary '{BINARY}' to '{link}'")
    link.unlink(missing_ok=True)
    link.symlink_to(source)
    return True


def _ours(brew: Brew, link: Path) -> bool:
    return link.is_symlink() and os.readlink(link).startswith(f"{_app(brew)}/")


def _unlink_binary(brew: Brew) -> None:
    link = brew.prefix / "bin" / BINARY
    if _ours(brew, link):
        brew.ohai(f"Unlinking Binary '{link}'")
        link.unlink()


def _record(brew: Brew, token: str, latest: str) -> None:
    path = brew.caskroom / token
    (path / latest).mkdir(parents=True, exist_ok=True)
    if not (path / latest / APP).is_symlink():
        (path / latest / APP).symlink_to(_app(brew))
    now = time.time()
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}"
    saved = path / ".metadata" / latest / stamp / "Casks"
    saved.mkdir(parents=True, exist_ok=True)
    (saved / f"{token}.json").write_text("{}")
    receipt = {"homebrew_version": "6.0.18", "time": int(now), "source": {"version": latest}}
    (path / ".metadata" / "INSTALL_RECEIPT.json").write_text(json.dumps(receipt))
    (path / ".metadata" / "config.json").write_text("{}")


def _number(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]
