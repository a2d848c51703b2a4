"""What has to happen so that Homebrew is there, from the mirror that is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawfleet.plan import FileChange, Step, Trouble, guard, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import Snapshot

INSTALLER = "https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh"

# ustclug/mirrorhelp docs/brew.git.md and docs/homebrew-bottles.md; TUNA help/homebrew.
MIRRORS: Mapping[str, Mapping[str, str]] = {
    "ustc": {
        "HOMEBREW_API_DOMAIN": "https://mirrors.ustc.edu.cn/homebrew-bottles/api",
        "HOMEBREW_BOTTLE_DOMAIN": "https://mirrors.ustc.edu.cn/homebrew-bottles",
        "HOMEBREW_BREW_GIT_REMOTE": "https://mirrors.ustc.edu.cn/brew.git",
        "HOMEBREW_CORE_GIT_REMOTE": "https://mirrors.ustc.edu.cn/homebrew-core.git",
        "HOMEBREW_PIP_INDEX_URL": "https://mirrors.ustc.edu.cn/pypi/simple",
    },
    "tuna": {
        "HOMEBREW_API_DOMAIN": "https://mirrors.tuna.tsinghua.edu.cn/homebrew-bottles/api",
        "HOMEBREW_BOTTLE_DOMAIN": "https://mirrors.tuna.tsinghua.edu.cn/homebrew-bottles",
        "HOMEBREW_BREW_GIT_REMOTE": "https://mirrors.tuna.tsinghua.edu.cn/git/homebrew/brew.git",
        "HOMEBREW_CORE_GIT_REMOTE": (
            "https://mirrors.tuna.tsinghua.edu.cn/git/homebrew/homebrew-core.git"
        ),
        "HOMEBREW_PIP_INDEX_URL": "https://pypi.tuna.tsinghua.edu.cn/simple",
    },
}
_INSTALLERS = {
    "ustc": "https://mirrors.ustc.edu.cn/misc/brew-install.sh",
    # TUNA serves the installer as a git repository only.
    "tuna": "https://mirrors.tuna.tsinghua.edu.cn/git/homebrew/install.git",
}

# Quiet, without questions, and never an upgrade of something the user did not name. Homebrew 6
# asks before an install where it has a terminal (HOMEBREW_NO_ASK).
_QUIET = {
    "HOMEBREW_NO_ANALYTICS": "1",
    "HOMEBREW_NO_ASK": "1",
    "HOMEBREW_NO_AUTO_UPDATE": "1",
    "HOMEBREW_NO_COLOR": "1",
    "HOMEBREW_NO_EMOJI": "1",
    "HOMEBREW_NO_ENV_HINTS": "1",
    "HOMEBREW_NO_INSTALL_CLEANUP": "1",
    "HOMEBREW_NO_INSTALL_UPGRADE": "1",
    "HOMEBREW_NO_UPGRADE_AUTO_UPDATES_CASKS": "1",
    "NONINTERACTIVE": "1",
    "LC_ALL": "en_US.UTF-8",
}


def mirror(settings: Settings) -> dict[str, str]:
    """HOMEBREW_* variables of the wanted mirror; empty without one."""
    wish = settings.homebrew_mirror
    if wish is None:
        return {}
    return dict(MIRRORS[wish]) if isinstance(wish, str) else dict(wish)


def prefix(snapshot: Snapshot, settings: Settings) -> str:
    """Homebrew's prefix: where it is, else where the installer will put it."""
    default = "/opt/homebrew" if snapshot.arch == "arm64" else "/usr/local"
    return snapshot.brew or settings.homebrew_prefix or default


def environment(snapshot: Snapshot, settings: Settings) -> str:
    """sh lines that every script with a brew call begins with."""
    variables = {**_QUIET, **mirror(settings)}
    exports = " ".join(f"{name}={quote(value)}" for name, value in variables.items())
    where = prefix(snapshot, settings)
    return f'export {exports}\nPATH={quote(where)}/bin:{quote(where)}/sbin:"$PATH"; export PATH\n'


def plan(snapshot: Snapshot, settings: Settings) -> list[Step]:
    """The installer where Homebrew is missing; Trouble when it could not work."""
    if snapshot.brew:
        return []
    wish = settings.homebrew_mirror
    address = settings.homebrew_installer or (
        _INSTALLERS[wish] if isinstance(wish, str) else INSTALLER
    )
    by_hand = f'on the Mac itself: /bin/bash -c "$(curl -fsSL {address})"'
    if address.endswith(".git"):
        by_hand = (
            f"on the Mac itself: git clone --depth=1 {address} /tmp/brew-install && "
            "/bin/bash /tmp/brew-install/install.sh"
        )
    if not snapshot.sudo_free:
        raise Trouble(
            "no Homebrew, and sudo asks for a password",
            expected="Homebrew, or an administrator whose `sudo -n true` works, for its installer",
            fix=by_hand,
        )
    where = prefix(snapshot, settings)
    fetch = (
        f'git clone -q --depth=1 {quote(address)} "$d/install"'
        if address.endswith(".git")
        else f'mkdir "$d/install" && curl -q -fsSL --retry 3 --connect-timeout 20 '
        f'-o "$d/install/install.sh" {quote(address)}'
    )
    script = f"""{environment(snapshot, settings)}
d=$(mktemp -d "${{TMPDIR:-/tmp}}/clawfleet.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
{fetch} || {{ echo "the installer can't be fetched from "{quote(address)} >&2; exit 1; }}
/bin/bash "$d/install/install.sh" </dev/null || exit 1
[ -x {quote(where)}/bin/brew ] || {{ echo "the installer left no {where}/bin/brew" >&2; exit 1; }}
"""
    return [
        Step(
            "install Homebrew",
            f"no bin/brew in {where}",
            script,
            by_hand,
            timeout=3600,
            show=f"NONINTERACTIVE=1 /bin/bash install.sh  # from {address}",
            installs="homebrew",
        )
    ]


def files(snapshot: Snapshot, settings: Settings) -> list[FileChange]:
    """The mirror written down for every later brew call, in the prefix's own brew.env.

    brew takes lines NAME=value literally: no export, no quotes (bin/brew of 6.0).
    """
    wanted = mirror(settings)
    if not wanted or not snapshot.brew:
        return []
    env = guard(snapshot.brew_env, snapshot)
    after = set_lines(env.loose_text, wanted)
    change = FileChange(
        env,
        after.encode("utf-8", "surrogateescape"),
        env.mode or "644",
        ("later brew calls use the mirror as well",),
    )
    return [] if change.same else [change]


def install(snapshot: Snapshot, settings: Settings, what: str, *, kind: str, reason: str) -> Step:
    """`brew install` of one formula or cask (`kind`), with metadata brought up to date first."""
    command = f"brew install --{kind} {quote(what)}"
    return Step(
        f"install {what}",
        reason,
        f"{environment(snapshot, settings)}"
        "brew update-if-needed >/dev/null 2>&1 </dev/null\n"
        f"{command} </dev/null\n",
        f"on the Mac: {prefix(snapshot, settings)}/bin/{command}",
        timeout=3600,
        show=command,
        installs=f"{kind} {what}",
    )


def reinstall(snapshot: Snapshot, settings: Settings, token: str) -> Step:
    """`brew reinstall` of a cask whose app was deleted by hand."""
    command = f"brew reinstall --cask {quote(token)}"
    return Step(
        f"install {token} again",
        "Homebrew has it on its list, but the app is gone",
        f"{environment(snapshot, settings)}{command} </dev/null\n",
        f"on the Mac: {prefix(snapshot, settings)}/bin/{command}",
        timeout=3600,
        show=command,
    )


def set_lines(text: str, wanted: Mapping[str, str | None]) -> str:
    """`text` of NAME=value lines with the wanted values; None takes a line out.

    Every other line stays as it is, order included; new lines go to the end.
    """
    lines = re.split(r"(?<=\n)", text)  # splitlines would split at more than brew does
    lines = [line for line in lines if line]
    out = []
    seen = set()
    for line in lines:
        name = line.split("=", 1)[0].strip()
        if name in wanted and not line.lstrip().startswith("#"):
            value = wanted[name]
            if value is None or name in seen:
                continue
            seen.add(name)
            same = line.rstrip("\r\n") == f"{name}={value}"
            out.append(line if same else f"{name}={value}\n")
        else:
            out.append(line)
    new = [f"{n}={v}\n" for n, v in wanted.items() if v is not None and n not in seen]
    if new and out and not out[-1].endswith("\n"):
        out[-1] += "\n"
    return "".join(out + new)
