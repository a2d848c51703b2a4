"""What all Macs of the level "namespaces" share: stand-ins over this machine's files."""

from __future__ import annotations

import os
import stat

from tests.lab import account, standins, wrappers
from tests.lab.spec import MacSpec

HIDDEN = [
    "sha1sum",
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
    "md5sum",
    "b2sum",
    "timeout",
    "setsid",
    "flock",
    "pidof",
    "tac",
    "numfmt",
    "getent",
    "nproc",
    "shred",
    "ptx",
    "runcon",
    "stdbuf",
    "watch",
    "free",
    "ss",
    "ip",
    "tc",
    "wget",
    "setfacl",
    "getfacl",
    "lsb_release",
    "systemctl",
    "journalctl",
    "apt",
    "apt-get",
    "apt-cache",
    "dpkg",
    "dpkg-query",
    "node",
    "npm",
    "npx",
    "pnpm",
    "ollama",
    "brew",
    "python",
    "gcc",
    "cc",
]
"""Commands that a fresh Mac has not: a script that uses one must fail here too."""


def build(folder: str, spec: MacSpec) -> None:
    """Fill ``folder`` (a mount of its own) with ``usr`` and ``etc`` for every Mac."""
    for path, entry in standins.COMMANDS.items():
        top = path if path.startswith("/usr/") else f"/usr{path}"
        wrappers.place(spec, entry, f"{folder}{top}")
    wrappers.place_all(spec, f"{folder}/usr/libexec/lab")
    # A Mac has each command once; this machine may keep its own in another folder.
    for name in {*HIDDEN, *_pythons(), *map(os.path.basename, standins.COMMANDS)}:
        for place in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"):
            target = f"{folder}{place}/{name}"
            if os.path.lexists(f"{place}/{name}") and not os.path.lexists(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.mknod(target, stat.S_IFCHR, os.makedev(0, 0))  # overlayfs: "this name is gone"
    _accounts(f"{folder}/etc", spec)


def _pythons() -> list[str]:
    return [
        name
        for place in ("/usr/bin", "/usr/local/bin")
        if os.path.isdir(place)
        for name in os.listdir(place)
        if name.startswith(("python3", "pip", "perl5."))
    ]


def _accounts(etc: str, spec: MacSpec) -> None:
    os.makedirs(f"{etc}/zsh", exist_ok=True)
    # Debian's own set PATH for every zsh; a Mac's /etc/zshenv does not exist.
    for name in ("zsh/zshenv", "zsh/zshrc", "zsh/zlogin", "zshenv", "zshrc"):
        _write(f"{etc}/{name}", "")
    login = 'PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"\n'
    login += (
        'for f in /etc/paths.d/*(N); do while read -r p; do PATH="$PATH:$p"; done < "$f"; done\n'
    )
    _write(f"{etc}/zsh/zprofile", login)
    _write(f"{etc}/zprofile", login)
    home, name = spec.home, spec.user
    _write(
        f"{etc}/passwd",
        "root:x:0:0:System Administrator:/var/root:/bin/sh\n"
        "sshd:x:75:75:sshd Privilege separation:/var/empty:/usr/bin/false\n"
        f"{name}:x:{spec.uid}:{spec.gid}:Mac:{home}:{account.shell()}\n",
    )
    _write(
        f"{etc}/group",
        f"wheel:x:0:root\nstaff:x:{spec.gid}:{name}\nsshd:x:75:\nadmin:x:80:{name}\n",
    )
    _write(f"{etc}/shadow", f"root:*:1::::::\nsshd:*:1::::::\n{name}:*:1::::::\n", 0o600)
    _write(f"{etc}/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    _write(f"{etc}/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    _write(f"{etc}/resolv.conf", "")


def _write(path: str, text: str, mode: int = 0o644) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
