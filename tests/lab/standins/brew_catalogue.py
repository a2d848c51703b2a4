"""What the lab's own small internet offers for Homebrew: the server calls these functions.

Bottles and casks are made on the fly and are the same bytes each time, so that both ends know
their checksum. They hold no program: what a formula installs is written when it is poured, for
only then the Mac is known. Every run of brew reads the tables here, few make an archive: so the
modules for that are imported inside.
"""

from __future__ import annotations

import functools
import os

FORMULAE = {
    "ollama": "0.32.3",
    "node@22": "22.23.3",
    "node@24": "24.21.0",
    "node": "24.21.0",
    "openclaw-cli": "2026.9.6",
}
CASKS = {"ollama-app": "0.32.3"}
BOTTLE_BYTES = 200_000
CASK_BYTES = 400_000


def catalogue() -> dict[str, dict[str, str]]:
    """Current versions: ``{"formulae": {name: version}, "casks": {token: version}}``."""
    return {"formulae": dict(FORMULAE), "casks": dict(CASKS)}


@functools.cache
def bottle(name: str, version: str) -> bytes:
    """``NAME--VERSION.tar.gz``: a keg with its formula and ballast, any version."""
    import gzip
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in (
            (f"{name}/{version}/.brew/{name}.rb", f'# {name}\nversion "{version}"\n'.encode()),
            (f"{name}/{version}/share/{name}/ballast", _ballast(name + version, BOTTLE_BYTES)),
        ):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


@functools.cache
def cask(token: str, version: str) -> bytes:
    """``TOKEN--VERSION.zip``: ``Ollama.app`` with its Info.plist and ballast, any version."""
    import io
    import plistlib
    import zipfile

    information = {
        "CFBundleIdentifier": "com.electron.ollama",
        "CFBundleExecutable": "Ollama",
        "CFBundleName": "Ollama",
        "CFBundleShortVersionString": version,
        "CFBundleVersion": version,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in (
            ("Ollama.app/Contents/Info.plist", plistlib.dumps(information)),
            ("Ollama.app/Contents/Resources/ballast", _ballast(token + version, CASK_BYTES)),
        ):
            archive.writestr(zipfile.ZipInfo(path), content)
    return buffer.getvalue()


def installer() -> str:
    """``install.sh``, to be run with bash on any simulated Mac."""
    path = os.path.join(os.path.dirname(__file__), "sh", "homebrew-install.sh")
    with open(path, encoding="utf-8") as file:
        return file.read()


def _ballast(seed: str, size: int) -> bytes:
    """Bytes that do not shrink when they are compressed."""
    import hashlib

    return hashlib.shake_256(seed.encode()).digest(size)
