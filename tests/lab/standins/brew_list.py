"""``brew list``, ``info`` and ``outdated``: what brew says about what is there."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.lab.standins import brew_cask, brew_catalogue, brew_formula
from tests.lab.standins.brew_home import Brew, BrewError


def show_list(brew: Brew, names: list[str], flags: set[str]) -> None:
    """``brew list``; exit code 1 and no word where a named version is not there."""
    casks_only, formulae_only = "--cask" in flags, "--formula" in flags
    if "--pinned" in flags:
        kegs = (name for name in brew_formula.installed(brew) if brew_formula.pinned(brew, name))
        pinned = [*kegs, *(token for token in _tokens(brew) if brew_cask.pinned(brew, token))]
        brew.say(*pinned)
    elif "--versions" in flags:
        if not casks_only:
            _formula_versions(brew, names)
        if not formulae_only and (casks_only or not names):
            _cask_versions(brew, names)
    elif names:
        for name in names:
            _files(brew, name, casks_only)
    else:
        if not casks_only:
            brew.say(*brew_formula.installed(brew))
        if not formulae_only and brew.caskroom.is_dir():
            brew.say(*sorted(os.listdir(brew.caskroom)))


def _tokens(brew: Brew) -> list[str]:
    return [token for token in brew_catalogue.CASKS if brew_cask.version(brew, token)]


def _formula_versions(brew: Brew, names: list[str]) -> None:
    kegs = brew_formula.installed(brew)
    for name in names or kegs:
        if name in kegs:
            brew.say(f"{name} {' '.join(kegs[name])}")
        else:
            brew.failed = True


def _cask_versions(brew: Brew, names: list[str]) -> None:
    """A cask is found by the name of its folder in the Caskroom, not by what it is called now."""
    for token in _tokens(brew):
        path = brew_cask.folder(brew, token)
        if not names and path is not None and path.name != token:
            brew.warn(f"Cask {path.name} was renamed to {token}.")
    for name in names or _tokens(brew):
        token = brew_cask.RENAMED.get(name, name)
        version = brew_cask.version(brew, token)
        if version and (not names or (brew.caskroom / name).is_dir()):
            brew.say(f"{token} {version}")
        else:
            brew.failed = True


def _files(brew: Brew, name: str, cask: bool) -> None:
    keg = brew.cellar / name
    if not cask and keg.is_dir():
        for path in sorted(keg.rglob("*")):
            if path.is_file():
                brew.say(str(path))
        return
    token = brew_cask.resolve(name)
    if token is None:
        raise BrewError(f"No such keg: {keg}")
    brew.say(*brew_cask.files(brew, token))


def outdated(brew: Brew, names: list[str], flags: set[str]) -> None:
    """``brew outdated``: names, or JSON with what is there and what there is."""
    greedy = bool(flags & {"--greedy", "--greedy-auto-updates"})
    latest = brew.catalogue()
    formulae = []
    for name, versions in brew_formula.installed(brew).items():
        if (not names or name in names) and latest["formulae"].get(name) not in versions:
            formulae.append(_outdated(name, versions[-1], latest["formulae"][name]))
            formulae[-1]["pinned"] = brew_formula.pinned(brew, name)
    casks = []
    for token in _tokens(brew):
        if (not names or token in names) and brew_cask.is_outdated(brew, token, greedy):
            version = brew_cask.version(brew, token)
            casks.append(_outdated(token, str(version), latest["casks"][token]))
            casks[-1]["pinned"] = brew_cask.pinned(brew, token)
    chosen = {
        "formulae": [] if "--cask" in flags else formulae,
        "casks": [] if "--formula" in flags else casks,
    }
    if any(flag.startswith("--json") for flag in flags):
        brew.say(json.dumps(chosen, indent=2))
    else:
        brew.say(*(str(item["name"]) for items in chosen.values() for item in items))


def _outdated(name: str, installed: str, current: str) -> dict[str, Any]:
    return {
        "name": name,
        "installed_versions": [installed],
        "current_version": current,
        "pinned": False,
        "pinned_version": None,
    }


def info(brew: Brew, names: list[str], flags: set[str]) -> None:
    """``brew info``; with ``--json=v2`` the keys that a program is likely to ask for."""
    formulae, casks = [], []
    for name in names or (brew_formula.installed(brew) if "--installed" in flags else ()):
        token = brew_cask.resolve(name)
        if "--cask" not in flags and name in brew_catalogue.FORMULAE:
            formulae.append(_formula(brew, name))
        elif "--formula" not in flags and token:
            casks.append(_cask(brew, token))
        elif "--cask" in flags:
            raise BrewError(f"Cask '{name}' is unavailable: No Cask with this name exists.")
        else:
            raise BrewError(f'No available formula with the name "{name}".')
    if "--installed" in flags and not names and "--formula" not in flags:
        casks = [_cask(brew, token) for token in _tokens(brew)]
    if any(flag.startswith("--json") for flag in flags):
        brew.say(json.dumps({"formulae": formulae, "casks": casks}, indent=2))
        return
    for formula in formulae:
        brew.ohai(f"{formula['name']}: stable {formula['versions']['stable']} (bottled)")
        brew.say("Installed" if formula["installed"] else "Not installed")
    for cask in casks:
        brew.ohai(f"{cask['token']} (Ollama): {cask['version']} (auto_updates)")
        brew.say(str(cask["desc"]), str(cask["homepage"]))
        brew.say("Installed (on request)" if cask["installed"] else "Not installed")


def _formula(brew: Brew, name: str) -> dict[str, Any]:
    latest = brew.catalogue()["formulae"][name]
    versions = brew_formula.installed(brew).get(name, [])
    return {
        "name": name,
        "full_name": name,
        "tap": "homebrew/core",
        "versions": {"stable": latest, "head": None, "bottle": True},
        "keg_only": name in brew_formula.KEG_ONLY,
        "installed": [{"version": version, "installed_on_request": True} for version in versions],
        "linked_keg": None if name in brew_formula.KEG_ONLY or not versions else versions[-1],
        "pinned": brew_formula.pinned(brew, name),
        "outdated": bool(versions) and latest not in versions,
    }


def _cask(brew: Brew, token: str) -> dict[str, Any]:
    app = brew_cask.appdir(brew) / brew_cask.APP
    source = app / "Contents" / "Resources" / brew_cask.BINARY
    bundle = brew_cask.bundle_version(brew)
    return {
        "token": token,
        "full_token": token,
        "old_tokens": [old for old, new in brew_cask.RENAMED.items() if new == token],
        "tap": "homebrew/cask",
        "name": ["Ollama"],
        "desc": "Get up and running with large language models locally",
        "homepage": "https://ollama.com/",
        "version": brew.catalogue()["casks"][token],
        "installed": brew_cask.version(brew, token),
        "bundle_version": bundle,
        "bundle_short_version": bundle,
        "pinned": brew_cask.pinned(brew, token),
        "pinned_version": None,
        "outdated": brew_cask.is_outdated(brew, token),
        "artifacts": [
            {"app": [brew_cask.APP], "target": str(app)},
            {"binary": [str(source)], "target": str(brew.prefix / "bin" / brew_cask.BINARY)},
        ],
        "auto_updates": True,
    }
