"""Look through every file of the repository for what must not be published with it.

Secrets, the locations and private addresses of the machine that the files were written on, and
addresses in lock files. Prints one line per finding and exits with 1 when there is any.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = {"pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "localhost", "127.0.0.1"}
SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a GitHub token": re.compile(r"\b(ghp|gho|ghs|github_pat)_[A-Za-z0-9_]{30,}"),
    "an AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a Slack token": re.compile(r"\bxox[abp]-[0-9A-Za-z-]{20,}"),
    "an API key": re.compile(r"\bsk-(ant-|proj-)?[A-Za-z0-9_-]{40,}"),
}
REQUIREMENTS = re.compile(r"^\s*(-\w|--(extra-)?index|--find|--trusted)|://| @ ")


def main() -> int:
    """Exit code: 1 when something was found."""
    findings = list(look(files()))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def files() -> list[Path]:
    """What git has or would take; without git (an unpacked archive) nothing can be told."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        print(f"no git checkout in {ROOT}: files not looked through", file=sys.stderr)
        return []
    names = listed.stdout.decode().split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def look(paths: list[Path]) -> Iterator[str]:
    """One line per finding: place, what it is, what to do."""
    here = places()
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        text = path.read_bytes().decode(errors="replace")
        for what, pattern in SECRETS.items():
            for match in pattern.finditer(text):
                yield f"{at(name, text, match.start())}: {what}; take it out and renounce it"
        for what, place in here.items():
            for match in re.finditer(re.escape(place) + r"(?![\w-])", text):
                yield f"{at(name, text, match.start())}: {what} of this machine ({place})"
        if name.startswith("requirements"):
            for number, line in enumerate(text.splitlines(), 1):
                if not line.lstrip().startswith(("--hash", "#")) and REQUIREMENTS.search(line):
                    yield f"{name}:{number}: an option or address in a lock file; run script/lock"
        if path.name == "package-lock.json" and (found := text.find('"resolved"')) >= 0:
            yield f"{at(name, text, found)}: an address in a lock file; delete all such lines"


def at(name: str, text: str, position: int) -> str:
    """``name:line`` of a position in a file's text."""
    return f"{name}:{text.count(chr(10), 0, position) + 1}"


def places() -> dict[str, str]:
    """What only this machine would say: its folders, its name, its package indexes."""
    found = {"the checkout's folder": f"{ROOT}"}
    if len(Path.home().parts) > 2:
        found["a home"] = str(Path.home())
    if len(socket.gethostname()) > 8:
        found["the host name"] = socket.gethostname()
    for index in indexes():
        host = urlsplit(index).hostname
        if host and host not in PUBLIC:
            found[f"a package index ({host})"] = host
    return found


def indexes() -> Iterator[str]:
    """Addresses that pip, uv and npm are configured with, from their environments and from pip."""
    for key, value in os.environ.items():
        if key.lower().startswith(("pip_", "uv_", "npm_config_")) and "://" in value:
            yield from value.split()
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    yield from re.findall(r"\w+://[^'\s]+", configured.stdout)


if __name__ == "__main__":
    sys.exit(main())
