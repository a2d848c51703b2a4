"""What a command that comes over SSH finds: the user's account and environment."""

from __future__ import annotations

import os

from tests.lab.spec import MacSpec

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""sshd's PATH on macOS: no Homebrew, no /usr/local."""
SHELLS = ("/bin/zsh", "/usr/bin/zsh", "/bin/sh")


def shell() -> str:
    """The login shell: zsh as on a Mac, where this machine has it."""
    return next(path for path in SHELLS if os.path.exists(path))


def path(spec: MacSpec) -> str:
    """PATH of a session; at the level "ports" the stand-ins come before this machine's commands."""
    return SYSTEM_PATH if spec.level == "namespaces" else f"{spec.bin}:{SYSTEM_PATH}"


def environment(spec: MacSpec, *, root: bool = False) -> dict[str, str]:
    """The whole environment of a session; nothing of this machine's is inherited."""
    if root:
        return {"HOME": "/var/root", "USER": "root", "LOGNAME": "root", "PATH": path(spec)}
    return {
        "HOME": spec.home,
        "USER": spec.user,
        "LOGNAME": spec.user,
        "SHELL": shell(),
        "PATH": path(spec),
        "TMPDIR": temporary(spec) + "/",
        "LANG": "C.UTF-8",
    }


def temporary(spec: MacSpec) -> str:
    """The user's own temporary folder, without the trailing slash that TMPDIR has on a Mac."""
    return spec.path(f"/var/folders/zz/lab{spec.uid}/T")
