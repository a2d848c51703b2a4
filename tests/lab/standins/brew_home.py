"""One run of ``brew``: which Mac, which settings, what it prints; and where Homebrew keeps things.

All that brew knows about what is installed is in real folders, as with the real one: a test of a
folder and ``brew list`` cannot disagree.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.standins import brew_catalogue, here

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

PASSED_ON = re.compile(r"HOMEBREW_|SUDO_ASKPASS$|(all|no|ftp|https?)_proxy$")
ALSO_PASSED_ON = {"HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY"}
"""brew drops everything else, HTTP_PROXY and NO_PROXY too."""


class BrewError(Exception):
    """Ends brew with exit code 1 and this text after ``Error:``."""


class Brew:
    """Settings and output of one run."""

    def __init__(self, mac: MacSpec, quiet: bool = False) -> None:
        self.mac = mac
        self.quiet = quiet
        self.prefix = Path(mac.homebrew_prefix)
        self.cellar = self.prefix / "Cellar"
        self.caskroom = self.prefix / "Caskroom"
        self.env = _settings(mac)
        self.failed = False
        """Something went wrong, but the run goes on to its end, then exits with 1."""

    @property
    def cache(self) -> Path:
        """Where downloads are kept."""
        return Path(self.env.get("HOMEBREW_CACHE", f"{self.mac.home}/Library/Caches/Homebrew"))

    def on(self, setting: str) -> bool:
        """Whether ``HOMEBREW_<setting>`` has any value."""
        return bool(self.env.get(f"HOMEBREW_{setting}"))

    def say(self, *lines: str) -> None:
        """Plain lines on stdout."""
        for line in () if self.quiet else lines:
            print(line)

    def ohai(self, title: str, *lines: str) -> None:
        """A ``==>`` line on stdout and what belongs to it."""
        self.say(f"==> {title}", *lines)

    def progress(self, *lines: str) -> None:
        """What brew prints about downloads: on stderr where it is no terminal."""
        sys.stdout.flush()
        for line in () if self.quiet else lines:
            print(line, file=sys.stderr)

    def warn(self, text: str) -> None:
        """A warning on stderr; changes no exit code."""
        self.progress(f"Warning: {text}")

    def fail(self, text: str) -> None:
        """An error on stderr; brew goes on and exits with 1."""
        self.progress(f"Error: {text}")
        self.failed = True

    def done(self, text: str) -> None:
        """The closing line with its mug."""
        self.say(text if self.on("NO_EMOJI") else f"🍺  {text}")

    def announce(self, kind: str, names: Iterable[str], verb: str = "install") -> None:
        """What Homebrew 6 says before it begins; it asks only at a terminal."""
        listed = list(names)
        if self.on("NO_ASK") or not listed:
            return
        plural = {"formula": "formulae", "cask": "casks"}[kind] if len(listed) > 1 else kind
        self.ohai(f"Would {verb} {len(listed)} {plural}:", *listed)

    def scripted(self, command: str) -> None:
        """Raise what a test put into the fault ``brew.<command>``."""
        faults: dict[str, str] = json.loads(here.state(self.mac, "faults.json", "{}"))
        text = faults.get(f"brew.{command}")
        if text:
            raise BrewError(text.removeprefix("Error: "))

    def catalogue(self, refresh: bool = False) -> dict[str, dict[str, str]]:
        """Current versions, from the cache unless it is missing or ``refresh`` is set."""
        file = self.cache / "api" / "catalogue.json"
        if refresh or not file.exists():
            from tests.lab.standins import brew_fetch

            try:
                data = brew_fetch.catalogue(self.mac, self.env)
            except brew_fetch.FetchError as error:
                raise BrewError(str(error).replace("@NAME@", "catalogue.json")) from error
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        loaded: dict[str, dict[str, str]] = json.loads(file.read_bytes())
        return loaded

    def auto_update(self) -> None:
        """What ``install`` and ``upgrade`` do first unless HOMEBREW_NO_AUTO_UPDATE is set."""
        self.catalogue(refresh=not self.on("NO_AUTO_UPDATE"))

    def bottle(self, name: str, version: str) -> Path:
        """The downloaded bottle, fetched unless it is in the cache."""
        file = self.cache / "downloads" / f"{name}--{version}.tar.gz"
        wanted = brew_catalogue.bottle(name, version)
        self._fetch(f"Bottle {name} ({version})", f"bottles/{file.name}", file, wanted)
        return file

    def cask(self, token: str, version: str) -> Path:
        """The downloaded artefact of a cask, fetched unless it is in the cache."""
        file = self.cache / "Cask" / f"{token}--{version}.zip"
        wanted = brew_catalogue.cask(token, version)
        self._fetch(f"Cask {token} ({version})", f"casks/{file.name}", file, wanted)
        return file

    def _fetch(self, title: str, path: str, file: Path, wanted: bytes) -> None:
        from tests.lab.standins import brew_fetch

        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.write_bytes(brew_fetch.artefact(self.mac, self.env, path))
            except brew_fetch.FetchError as error:
                raise BrewError(str(error).replace("@NAME@", title)) from error
        if file.read_bytes() != wanted:
            expected, actual = brew_fetch.checksums(wanted, file.read_bytes())
            raise BrewError(
                f"{title}: SHA-256 mismatch\nExpected: {expected}\n  Actual: {actual}\n"
                f"    File: {file}\nTo retry an incomplete download, remove the file above."
            )
        self.progress(f"✔︎ {title}")


def _settings(mac: MacSpec) -> dict[str, str]:
    """brew's environment after its filter, with what the three ``brew.env`` files add."""
    passed = {
        key: value
        for key, value in os.environ.items()
        if PASSED_ON.match(key) or key in ALSO_PASSED_ON
    }
    user = os.environ.get("XDG_CONFIG_HOME", "")
    written: dict[str, str] = {}
    for file in (
        f"{mac.root}/etc/homebrew/brew.env",
        f"{mac.homebrew_prefix}/etc/homebrew/brew.env",
        f"{user}/homebrew/brew.env" if user else f"{mac.home}/.homebrew/brew.env",
    ):
        written |= read_env(Path(file))
    return {**passed, **written}


def read_env(file: Path) -> dict[str, str]:
    """The lines of a ``brew.env`` that count; quotes stay, ``export`` makes a line worthless."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key: value for key, equals, value in pairs if equals and PASSED_ON.match(key)}
