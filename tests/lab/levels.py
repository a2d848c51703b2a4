"""Which isolation level this machine allows, and why not the better one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Literal

Level = Literal["namespaces", "ports"]
ENV = "CLAWFLEET_LAB"
_PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "sshd", "curl")
_PATH = os.environ.get("PATH", "") + ":/usr/bin:/bin:/usr/sbin:/sbin"


def unshare() -> list[str]:
    """The command that opens the bed's namespaces for the current user."""
    argv = ["unshare", "--fork", "--pid", "--mount", "--net", "--ipc", "--kill-child"]
    if os.getuid() != 0:
        argv += ["--user", "--map-root-user", "--map-auto"]
    return argv


def obstacle(folders: list[Path]) -> str | None:
    """Why Macs with namespaces of their own are impossible here; None when they are possible.

    ``folders`` are shown inside the Macs, so a Mac's user must be able to read them.
    """
    if not sys.platform.startswith("linux"):
        return f"namespaces exist on Linux only, this is {sys.platform}"
    for name in _PROGRAMS:
        if not shutil.which(name, path=_PATH):
            return f"{name} is not installed"
    if not os.path.islink("/bin"):
        return "/bin is a folder of its own here, not a part of /usr"
    for folder in folders:
        for path in (folder, *folder.parents):
            if path == folder and not path.stat().st_mode & stat.S_IROTH:
                return f"{path} cannot be read by others: chmod -R o+rX {path}"
    trial = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay none"
    trial += (
        " -o lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w /mnt/r && ip link add br0 type bridge"
    )
    trial += " && chown 501:20 /mnt/u"
    tried = subprocess.run(
        [*unshare(), "sh", "-ec", trial],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        env=os.environ | {"PATH": _PATH},
    )
    if tried.returncode == 0:
        return None
    return " ".join(tried.stderr.split()) or f"unshare ended with {tried.returncode}"


def choose(wish: str, folders: list[Path]) -> tuple[Level, str]:
    """The level to use and the reason; RuntimeError when the wanted one is impossible here.

    ``wish`` is ``auto``, ``namespaces`` or ``ports``; ``CLAWFLEET_LAB`` in the environment
    decides ``auto``.
    """
    forced = os.environ.get(ENV) if wish == "auto" else wish
    if forced == "ports":
        return "ports", f"asked for by {ENV}" if wish == "auto" else "asked for"
    if forced not in (None, "", "namespaces"):
        raise ValueError(f"{ENV}={forced}: expected ports or namespaces")
    why = obstacle(folders)
    if why is None:
        return "namespaces", "they work here"
    if forced:
        raise RuntimeError(
            f"the lab found that namespaces do not work on this machine ({why}), expected them "
            f"because they were asked for; use: python -m tests.lab up N --level ports"
        )
    return "ports", f"no namespaces: {why}"
