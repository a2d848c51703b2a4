"""The stand-in ``brew``: Homebrew 6 as far as a playbook, pyinfra or OpenClaw uses it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tests.lab.standins import (
    brew_cask,
    brew_catalogue,
    brew_formula,
    brew_list,
    brew_services,
    here,
    launchctl,
)
from tests.lab.standins.brew_home import Brew, BrewError

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

VERSION = "6.0.18"
ROOT_MAY = {"--prefix", "--version", "-v", "shellenv", "services", "list", "ls", "__lab"}
ROOT = """\
Running Homebrew as root is extremely dangerous and no longer supported.
As Homebrew does not drop privileges on installation you would be giving all
build scripts full access to your system."""
SHORT = {"-f": "--force", "-n": "--dry-run", "--casks": "--cask", "--formulae": "--formula"}
ALIASES = {"ls": "list", "remove": "uninstall", "rm": "uninstall", "up": "update"}


def main(argv: list[str]) -> int:
    """Exit code as of Homebrew: 0, or 1 with ``Error:`` on stderr."""
    mac = here.mac()
    if not os.environ.get("HOME"):
        return _refuse("$HOME must be set to run brew.")
    flags = {SHORT.get(word, word) for word in argv[1:] if word.startswith("-")}
    command = ALIASES.get(argv[0], argv[0]) if argv else "help"
    if launchctl.caller(mac) == 0 and (argv[:1] == [] or not _root_may(command, flags)):
        return _refuse(ROOT)
    brew = Brew(mac)
    try:
        brew.scripted(command)
        _run(brew, command, argv[1:], flags)
    except BrewError as error:
        sys.stdout.flush()
        return _refuse(str(error))
    return 1 if brew.failed else 0


def _refuse(text: str) -> int:
    sys.stderr.write(f"Error: {text}\n")
    return 1


def _root_may(command: str, flags: set[str]) -> bool:
    return command in ROOT_MAY and not (command == "list" and "--versions" in flags)


def _run(brew: Brew, command: str, words: list[str], flags: set[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    for flag in flags:
        if flag.startswith("--appdir="):
            brew.env["HOMEBREW_CASK_OPTS"] = flag
    match command:
        case "--version" | "-v":
            brew.say(f"Homebrew {VERSION}")
        case "--prefix":
            paths = [brew.prefix / "opt" / name for name in names] or [brew.prefix]
            brew.say(*map(str, paths))
        case "shellenv":
            _shellenv(brew, names)
        case "list":
            brew_list.show_list(brew, names, flags)
        case "outdated":
            brew_list.outdated(brew, names, flags)
        case "info":
            brew_list.info(brew, names, flags)
        case "update":
            brew.catalogue(refresh=True)
            brew.say("Already up-to-date.")
        case "update-if-needed":
            brew.catalogue(refresh=True)
        case "services":
            brew_services.run(brew, words)
        case "install" | "upgrade" | "reinstall" | "uninstall" | "pin" | "unpin":
            _change(brew, command, names, flags)
        case "migrate":
            for name in names:
                brew_cask.migrate(brew, name)
        case "trust" | "untrust" | "tap" | "cleanup":
            pass
        case "__lab":
            _lab(brew.mac, words)
        case _:
            raise BrewError(f"Unknown command: brew {command}")


def _change(brew: Brew, command: str, names: list[str], flags: set[str]) -> None:
    if command in ("install", "upgrade", "reinstall"):
        brew.auto_update()
    if command == "upgrade" and not names:
        names = _outdated(brew, flags)
        if not names:
            return
        explicit = False
    else:
        explicit = True
    if not names:
        raise BrewError("Invalid usage: This command requires at least 1 argument.")
    for name in names:
        token = _as_cask(brew, command, name, flags)
        if token is None:
            _change_formula(brew, command, name, flags)
        else:
            _change_cask(brew, command, token, flags, explicit)


def _as_cask(brew: Brew, command: str, name: str, flags: set[str]) -> str | None:
    """The token where ``name`` means a cask; None where it means a formula.

    Without a flag a formula comes first, and ``uninstall`` takes what is installed.
    """
    if "--formula" in flags:
        return None
    token = brew_cask.resolve(name)
    if "--cask" in flags:
        if token is None:
            _unknown_cask(brew, command, name)
        return token
    if name not in brew_catalogue.FORMULAE:
        if token is None and command == "install":
            brew.warn(f'No available formula with the name "{name}".')
            brew.ohai("Searching for similarly named formulae and casks...")
            raise BrewError(f"No formulae or casks found for {name}.")
        return token
    installed = name in brew_formula.installed(brew)
    wants_installed = command in ("uninstall", "upgrade", "reinstall")
    if wants_installed and not installed and token and brew_cask.version(brew, token):
        return token
    return None


def _unknown_cask(brew: Brew, command: str, name: str) -> None:
    text = f"Cask '{name}' is unavailable: No Cask with this name exists."
    if command != "install":
        raise BrewError(text)
    brew.warn(text)
    brew.ohai("Searching for similarly named casks...")
    raise BrewError(f"No casks found for {name}.")


def _outdated(brew: Brew, flags: set[str]) -> list[str]:
    greedy = bool(flags & {"--greedy", "--greedy-auto-updates"})
    latest = brew.catalogue()
    names = []
    if "--cask" not in flags:
        names = [
            name
            for name in brew_formula.installed(brew)
            if brew_formula.linked_version(brew, name) != latest["formulae"].get(name)
        ]
    if "--formula" not in flags:
        names += [token for token in latest["casks"] if brew_cask.is_outdated(brew, token, greedy)]
    return names


def _change_formula(brew: Brew, command: str, name: str, flags: set[str]) -> None:
    match command:
        case "install":
            brew_formula.install(brew, name, "--force" in flags)
        case "upgrade":
            brew_formula.upgrade(brew, name)
        case "reinstall":
            brew_formula.reinstall(brew, name)
        case "uninstall":
            brew_formula.uninstall(brew, name)
        case _:
            brew_formula.pin(brew, name, command == "pin")


def _change_cask(brew: Brew, command: str, token: str, flags: set[str], explicit: bool) -> None:
    match command:
        case "install":
            brew_cask.install(brew, token, force="--force" in flags, adopt="--adopt" in flags)
        case "upgrade":
            greedy = bool(flags & {"--greedy", "--greedy-auto-updates"})
            brew_cask.upgrade(brew, token, explicit, greedy, "--dry-run" in flags)
        case "reinstall":
            brew_cask.reinstall(brew, token)
        case "uninstall":
            brew_cask.uninstall(brew, token, "--force" in flags)
        case _:
            brew_cask.pin(brew, token, command == "pin")


def _shellenv(brew: Brew, names: list[str]) -> None:
    """The form without ``path_helper``, which the lab does not have; zsh gets two lines more."""
    prefix = brew.prefix
    if os.environ.get("PATH", "").startswith(f"{prefix}/bin:{prefix}/sbin"):
        return
    brew.say(
        f'export HOMEBREW_PREFIX="{prefix}";',
        f'export HOMEBREW_CELLAR="{prefix}/Cellar";',
        f'export HOMEBREW_REPOSITORY="{prefix}";',
    )
    if names[:1] == ["zsh"]:
        brew.say(f'fpath[1,0]="{prefix}/share/zsh/site-functions";', "export FPATH;")
    brew.say(
        f'export PATH="{prefix}/bin:{prefix}/sbin${{PATH+:$PATH}}";',
        '[ -z "${MANPATH-}" ] || export MANPATH=":${MANPATH#:}";',
        f'export INFOPATH="{prefix}/share/info:${{INFOPATH:-}}";',
    )


def _lab(mac: MacSpec, words: list[str]) -> None:
    """What no brew has: put a Mac into some earlier state, without network."""
    match words:
        case ["install-formula", name, version]:
            brew_formula.install_formula(mac, name, version)
        case ["install-cask", token, version]:
            brew_cask.install_cask(mac, token, version)
        case ["update-app", version]:
            brew_cask.update_app(mac, version)
        case _:
            raise BrewError(
                "usage: brew __lab install-formula NAME VERSION | install-cask TOKEN VERSION"
                " | update-app VERSION"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
