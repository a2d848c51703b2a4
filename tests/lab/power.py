"""A power cut in the middle of a script that came over SSH, at a point that a test chooses.

    power.arm(mac, r"mv -f .*openclaw\\.json", when="after")
    ...                          # a deploy; its connection breaks
    power.wait(mac)              # all of it has happened; the power is back

While it is armed, ``sh`` on the user's PATH is ``standins/sh/power-sh``: scripts from standard
input run in bash, whose DEBUG trap sees each simple command before it runs, builtins included.
Unarmed nothing of this is on the Mac. The points of a script are what :func:`steps` lists after a
run with :func:`record`: ``FUNCTION:LINE COMMAND`` as it stands in the script, not expanded, without
the text of here-documents; ``main`` outside of functions, ``main:0 at exit`` in its EXIT trap.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Literal

from tests.lab import account, wrappers
from tests.lab.lab import LabError, Mac

_SH = Path(__file__).parent / "standins" / "sh" / "power-sh"
_PASSWD = "/private/etc/passwd"


def record(mac: Mac) -> None:
    """Write down from now on which commands the scripts run, and cut nothing."""
    if sys.platform == "darwin":
        raise LabError("power cuts read /proc; expected Linux below the lab")
    folder = _folder(mac)
    disarm(mac)
    mac.exec(f"mkdir -p {shlex.quote(folder)}/bin", check=True)
    for name, content in (("log", ""), ("matched", "0\n")):
        mac.write(f"{folder}/{name}", content.encode(), 0o600)
    mac.write(f"{folder}/cut", wrappers.text(mac.spec, "power_cut").encode(), 0o755)
    script = _SH.read_text().replace("@STATE@", shlex.quote(mac.spec.state))
    mac.write(_sh(mac), script.encode(), 0o755)
    if mac.spec.level == "namespaces":
        shell = account.shell()
        login = f'#!/bin/sh\nPATH="{folder}/bin:$PATH" SHELL={shell} exec {shell} "$@"\n'
        mac.write(f"{folder}/login", login.encode(), 0o755)
        _login_shell(mac, f"{folder}/login")


When = Literal["before", "after"]


def arm(
    mac: Mac, pattern: str, *, nth: int = 1, when: When = "before", reboot: bool = False
) -> None:
    """Cut the power once, at the `nth` command from now on in which the regular expression (bash's,
    extended) is found; with `reboot` the Mac comes up anew, else launchd goes on."""
    record(mac)
    folder = _folder(mac)
    if reboot:
        mac.write(f"{folder}/reboot", b"")
    mac.write(f"{folder}/armed", f"{when}\n{nth}\n{pattern}\n".encode(), 0o600)


def interject(mac: Mac, pattern: str, script: str, *, nth: int = 1, when: When = "before") -> None:
    """Run a sh script of somebody else's at that command instead of a cut, and go on."""
    record(mac)
    folder = _folder(mac)
    mac.write(f"{folder}/goes-on", b"")
    here = shlex.quote(folder)
    text = f"#!/bin/sh\nrm -f {here}/armed\n{script}\n: > {here}/cut-done\n"
    mac.write(f"{folder}/cut", text.encode(), 0o755)
    mac.write(f"{folder}/armed", f"{when}\n{nth}\n{pattern}\n".encode(), 0o600)


def steps(mac: Mac) -> list[str]:
    """The commands that ran since :func:`record` or :func:`arm`, in order."""
    return mac.read(f"{_folder(mac)}/log").decode(errors="replace").splitlines()


def wait(mac: Mac, seconds: float = 60) -> None:
    """Return when the cut has happened; TimeoutError when it has not by then."""
    end = time.monotonic() + seconds
    done = f"{_folder(mac)}/cut-done"
    while mac.exec(["test", "-e", done]).returncode:
        if time.monotonic() > end:
            raise TimeoutError(f"{mac.name}: no power cut within {seconds:g} s")
        time.sleep(0.02)


def disarm(mac: Mac) -> None:
    """Take everything of this off the Mac again."""
    if mac.spec.level == "namespaces":
        _login_shell(mac, account.shell())
    mac.exec(["rm", "-rf", _folder(mac), _sh(mac)], check=True)


def words(mac: Mac) -> list[str]:
    """What stands for ``sh -s`` where a test runs a script without SSH."""
    return [_sh(mac), "-s"]


def _folder(mac: Mac) -> str:
    return f"{mac.spec.state}/power"


def _sh(mac: Mac) -> str:
    if mac.spec.level == "ports":
        return f"{mac.spec.bin}/sh"
    return f"{_folder(mac)}/bin/sh"


def _login_shell(mac: Mac, shell: str) -> None:
    lines = mac.read(_PASSWD, user=False).decode().splitlines()
    mine = f"{mac.spec.user}:"
    changed = [
        f"{line.rpartition(':')[0]}:{shell}" if line.startswith(mine) else line for line in lines
    ]
    if changed != lines:
        mac.write(_PASSWD, "".join(f"{line}\n" for line in changed).encode(), user=False)
