"""``lab-homebrew-install``: what the stand-in installer does once its checks have passed.

Which ``HOMEBREW_*`` variables the installer saw is kept in ``<state>/installer-env.json``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.lab.spec import faults, load
from tests.lab.standins import brew_programs


def main(argv: list[str]) -> int:
    """Make Homebrew's folders and ``bin/brew``; 1 with the text of the fault ``brew.installer``.

    ``--quiet`` says nothing: for tests that want a Mac with Homebrew. ``--prefix`` only tells
    where Homebrew goes.
    """
    mac = load()
    if argv == ["--prefix"]:
        print(mac.homebrew_prefix)
        return 0
    text = faults(mac).get("brew.installer")
    if text:
        sys.stderr.write(f"{text}\n")
        return 1
    seen = {key: value for key, value in os.environ.items() if key.startswith("HOMEBREW_")}
    Path(mac.state, "installer-env.json").write_text(json.dumps(seen, indent=1))
    prefix = mac.homebrew_prefix
    lines = [
        "==> This script will install:",
        f"{prefix}/bin/brew",
        f"{prefix}/share/doc/homebrew",
        f"{prefix}/share/man/man1/brew.1",
        f"{prefix}/share/zsh/site-functions/_brew",
        f"{prefix}/etc/bash_completion.d/brew",
        prefix,
        "==> Downloading and installing Homebrew...",
    ]
    brew_programs.place_brew(mac)
    lines += [
        "==> Installation successful!",
        "",
        "==> Next steps:",
        "- Run these commands in your terminal to add Homebrew to your PATH:",
        f"    echo 'eval \"$({prefix}/bin/brew shellenv)\"' >> {mac.home}/.zprofile",
        f'    eval "$({prefix}/bin/brew shellenv)"',
        "- Run brew help to get started",
    ]
    if "--quiet" not in argv:
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
