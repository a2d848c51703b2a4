"""Stand-in for ``npm`` as far as it handles global packages: the one package it serves is openclaw.

The real OpenClaw comes out of the lab's cache, as a link; nothing is downloaded. A version that the
cache lacks does not exist for this npm, unless the Mac's fault ``npm.openclaw`` (or the environment
variable ``CLAWFLEET_LAB_OPENCLAW``) says ``small``: then the small stand-in is installed.
``npm.install`` as a fault is npm's error code to fail with, such as ``ECONNREFUSED``.

Texts are those of npm 11 run on Linux.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.spec import faults
from tests.lab.standins.here import complain, mac
from tests.lab.standins.node_wrapper import MARK

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

SMALL_VERSIONS = {
    "2026.2.12": ">=22.12.0",
    "2026.2.17": ">=22.12.0",
    "2026.9.6": ">=24.16.0 <25 || >=26.1.0",
}
"""The versions that the small stand-in can be, with the Node each wants."""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def satisfies(version: str, wanted: str) -> bool:
    """Whether a Node version is in an ``engines`` range, as far as OpenClaw's ranges go."""
    have = _number(version)
    return any(
        all(
            have >= _number(part[2:]) if part.startswith(">=") else have < _number(part[1:])
            for part in choice.split()
        )
        for choice in wanted.split("||")
    )


def _small(spec: MacSpec) -> bool:
    asked = os.environ.get("CLAWFLEET_LAB_OPENCLAW") or faults(spec).get("npm.openclaw")
    return asked == "small"


def _served(spec: MacSpec) -> list[str]:
    cached = Path(spec.cache, "openclaw")
    found = {file.parent.name for file in cached.glob("*/.complete")}
    return sorted(found | (set(SMALL_VERSIONS) if _small(spec) else set()), key=_number)


def _resolve(wanted: str, served: list[str]) -> str | None:
    if wanted in ("", "latest", "*"):
        return served[-1] if served else None
    return wanted if wanted in served else None


def engines(spec: MacSpec, version: str) -> str:
    """The Node range that this OpenClaw names in its package.json."""
    try:
        meta = json.loads(_cached(spec, version).joinpath("package.json").read_text())
    except OSError:
        return SMALL_VERSIONS[version]
    return str(meta["engines"]["node"])


def _cached(spec: MacSpec, version: str) -> Path:
    return Path(spec.cache, "openclaw", version, "node_modules", "openclaw")


def place(spec: MacSpec, prefix: Path, version: str) -> None:
    """Put ``openclaw`` below ``<prefix>/lib/node_modules`` and link it into ``<prefix>/bin``."""
    package = prefix / "lib" / "node_modules" / "openclaw"
    _remove(package)
    package.parent.mkdir(parents=True, exist_ok=True)
    cached = _cached(spec, version)
    if cached.exists() and not _small(spec):
        package.symlink_to(cached)
    else:
        (package / "dist").mkdir(parents=True)
        for name in ("openclaw.mjs", "dist/index.js"):
            (package / name).write_text(f"#!/usr/bin/env node\n{MARK}{version}\n")
            (package / name).chmod(0o755)
        meta = {"name": "openclaw", "version": version, "engines": {"node": engines(spec, version)}}
        (package / "package.json").write_text(json.dumps(meta, indent=2) + "\n")
    link = prefix / "bin" / "openclaw"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("../lib/node_modules/openclaw/openclaw.mjs")


def _remove(package: Path) -> bool:
    if package.is_symlink():
        package.unlink()
    elif package.exists():
        shutil.rmtree(package)
    else:
        return False
    return True


def _fail(code: str, lines: list[str]) -> int:
    complain(f"npm error code {code}")
    tag = {"ETARGET": "notarget", "E404": "404"}.get(code, code)
    for line in lines:
        complain(f"npm error {tag} {line}".rstrip())
    stamp = time.strftime("%Y-%m-%dT%H_%M_%S_000Z", time.gmtime())
    home = os.environ.get("HOME", "")
    complain(
        f"npm error A complete log of this run can be found in: "
        f"{home}/.npm/_logs/{stamp}-debug-0.log"
    )
    return 1


def _no_package(asked: str) -> int:
    name = asked if "@" in asked[1:] else f"{asked}@*"
    url = "https://registry.npmjs.org/" + name[: name.index("@", 1)]
    return _fail("E404", [
        f"Not Found - GET {url}", "",
        f" The requested resource '{name}' could not be found or you do not have permission to "
        "access it.", "",
        "Note that you can also install from a", "tarball, folder, http url, or git url.",
    ])  # fmt: skip


def _preinstall_refuses(prefix: Path, wanted: str, node: str) -> int:
    complain("npm error code 1")
    complain(f"npm error path {prefix}/lib/node_modules/openclaw")
    complain("npm error command failed")
    complain("npm error command sh -c node scripts/preinstall-package-manager-warning.mjs")
    keg = os.environ.get("CLAWFLEET_LAB_KEG", "")
    for line in (
        f"error: this OpenClaw release requires Node {wanted}.",
        f"detected Node {node} (exec: {keg}/bin/node).",
        "install Node: https://nodejs.org/en/download",
        "upgrade Node, then retry the OpenClaw update.",
    ):
        complain(f"npm error [openclaw] {line}")
    return 1


def _install(spec: MacSpec, prefix: Path, packages: list[str]) -> int:
    fault = faults(spec).get("npm.install")
    if fault:
        return _fail(fault, [f"request to https://registry.npmjs.org/openclaw failed, {fault}"])
    changed = (prefix / "bin" / "openclaw").exists()
    for asked in packages:
        name, _, version = asked.partition("@")
        if name != "openclaw":
            return _no_package(asked)
        resolved = _resolve(version, _served(spec))
        if resolved is None:
            return _fail("ETARGET", [
                f"No matching version found for openclaw@{version or 'latest'}.",
                "In most cases you or one of your dependencies are requesting a package version "
                "that doesn't exist.",
            ])  # fmt: skip
        wanted = engines(spec, resolved)
        node = os.environ.get("CLAWFLEET_LAB_NODE_VERSION", "")
        if node and not satisfies(node, wanted):
            complain("npm warn EBADENGINE Unsupported engine {")
            complain(f"npm warn EBADENGINE   package: 'openclaw@{resolved}',")
            complain(f"npm warn EBADENGINE   required: {{ node: '{wanted}' }},")
            npm = os.environ.get("CLAWFLEET_LAB_NPM", "")
            complain(f"npm warn EBADENGINE   current: {{ node: 'v{node}', npm: '{npm}' }}")
            complain("npm warn EBADENGINE }")
            if _number(resolved) >= (2026, 9):
                return _preinstall_refuses(prefix, wanted, node)
        place(spec, prefix, resolved)
    print(f"\n{'changed' if changed else 'added'} 1 package in 1s")
    return 0


def _installed(prefix: Path) -> str | None:
    try:
        meta = json.loads((prefix / "lib/node_modules/openclaw/package.json").read_text())
    except OSError:
        return None
    return str(meta["version"])


def _list(prefix: Path, packages: list[str], as_json: bool) -> int:
    version = _installed(prefix)
    found = version if version and (not packages or "openclaw" in packages) else None
    if as_json:
        tree: dict[str, object] = {"name": "lib"}
        if found:
            tree["dependencies"] = {"openclaw": {"version": found, "overridden": False}}
        print(json.dumps(tree, indent=2))
    else:
        print(f"{prefix}/lib\n└── " + (f"openclaw@{found}" if found else "(empty)") + "\n")
    return 1 if packages and not found else 0


def _view(spec: MacSpec, packages: list[str], as_json: bool) -> int:
    asked, *fields = packages or [""]
    name, _, version = asked.partition("@")
    if name != "openclaw":
        return _no_package(asked)
    served = _served(spec)
    if fields[:1] == ["versions"]:
        print(json.dumps(served, indent=2) if as_json else served)
        return 0
    resolved = _resolve(version, served)
    if resolved is None:
        return _no_package(asked)
    print(json.dumps(resolved) if as_json else resolved)
    return 0


def _setting(name: str) -> str | None:
    # npm's own spelling: lower case.
    return os.environ.get(f"npm_config_{name}")


def main(argv: list[str]) -> int:
    """Exit code 0, or 1 with npm's error text on standard error."""
    spec = mac()
    words = [word for word in argv if not word.startswith("-")]
    flags = {word for word in argv if word.startswith("-")}
    prefix = Path(_setting("prefix") or spec.homebrew_prefix)
    if flags & {"--version", "-v"} and not words:
        print(os.environ.get("CLAWFLEET_LAB_NPM", "11.12.1"))
        return 0
    verb, packages = (words[0], words[1:]) if words else ("", [])
    as_json = "--json" in flags
    if verb in ("view", "show", "info"):
        return _view(spec, packages, as_json)
    if verb == "config" and packages == ["get", "prefix"]:
        print(prefix)
        return 0
    if verb == "config" and packages == ["get", "registry"]:
        print(_setting("registry") or "https://registry.npmjs.org/")
        return 0
    if verb in ("root", "prefix") and flags & {"-g", "--global"}:
        print(prefix / "lib" / "node_modules" if verb == "root" else prefix)
        return 0
    if flags & {"-g", "--global"}:
        if verb in ("install", "i", "add"):
            return _install(spec, prefix, packages)
        if verb in ("ls", "list"):
            return _list(prefix, packages, as_json)
        if verb in ("uninstall", "remove", "rm", "un"):
            gone = "openclaw" in packages and _remove(prefix / "lib/node_modules/openclaw")
            (prefix / "bin" / "openclaw").unlink(missing_ok=True) if gone else None
            print("\nremoved 1 package in 1s" if gone else "\nup to date in 1s")
            return 0
    print(
        f'Unknown command: "{" ".join(argv)}"\n\n'
        "To see a list of supported npm commands, run:\n  npm help"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
