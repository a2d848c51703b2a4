"""``sudo``: to root without a password, or with one, as ``MacSpec.sudo`` says.

At the level "ports" there is no root: the command runs as the same user with
``CLAWFLEET_LAB_ROOT`` set, by which the other stand-ins know.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.lab.standins.here import complain, mac, root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

PASSWORD = "lab"
"""What ``sudo -S`` and ``sudo -A`` accept where a password is needed."""
ROOT_HELPER = "/private/lab/bin/as-root"
_NO_TERMINAL = (
    "sudo: a terminal is required to read the password; either use the -S option to read from "
    "standard input or configure an askpass helper"
)
_KEPT = ("HOME", "MAIL", "PATH", "LANG", "TERM", "SHELL", "SSH_AUTH_SOCK", "COLORTERM", "TZ")


class Call:
    """The options of one call."""

    def __init__(self, argv: list[str]) -> None:
        self.flags, self.user, self.command = "", "root", list(argv)
        self.variables: dict[str, str] = {}
        words = self.command
        while words and words[0].startswith("-") and words[0] != "--":
            option = words.pop(0)
            if option in ("--non-interactive", "--stdin", "--askpass", "--preserve-env"):
                self.flags += {"--non-interactive": "n", "--stdin": "S", "--askpass": "A"}.get(
                    option, "E"
                )
                continue
            rest = option[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter in "upgCrtT" and (rest or words):
                    value, rest = rest or words.pop(0), ""
                    self.user = value if letter == "u" else self.user
                else:
                    self.flags += letter
        if words[:1] == ["--"]:
            words.pop(0)
        while words and "=" in words[0].partition("/")[0]:
            key, _, value = words.pop(0).partition("=")
            self.variables[key] = value


def allowed(spec: MacSpec, call: Call) -> bool:
    """Whether the caller may; says why not."""
    if spec.sudo == "nopasswd" or root(spec):
        return True
    if "n" in call.flags:
        complain("sudo: a password is required")
        return False
    if "S" in call.flags:
        sys.stderr.write("Password:")
        answer = line()
    elif "A" in call.flags and os.environ.get("SUDO_ASKPASS"):
        asked = [os.environ["SUDO_ASKPASS"], "Password:"]
        answer = subprocess.run(asked, stdout=subprocess.PIPE, check=False).stdout
    else:
        complain(f"{_NO_TERMINAL}\nsudo: a password is required")
        return False
    if answer.decode().strip() == PASSWORD:
        return True
    complain(
        "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt"
    )
    return False


def line() -> bytes:
    """One line of standard input; what follows stays there for the command."""
    read = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        read += byte
    return read


def environment(spec: MacSpec, call: Call) -> dict[str, str]:
    """What the command gets: the kept variables (``-E``: all), and who called."""
    values = dict(os.environ) if "E" in call.flags else {}
    values |= {key: os.environ[key] for key in _KEPT if key in os.environ}
    values |= {"USER": call.user, "LOGNAME": call.user, "SUDO_USER": spec.user}
    values |= {"SUDO_UID": str(spec.uid), "SUDO_GID": str(spec.gid)}
    if spec.level == "ports" and call.user == "root":
        values["CLAWFLEET_LAB_ROOT"] = "1"
    elif "H" in call.flags or "i" in call.flags:
        values["HOME"] = "/var/root" if call.user == "root" else spec.home
    return values | {"SUDO_COMMAND": " ".join(call.command)} | call.variables


def main(argv: list[str]) -> int:
    """The command's exit code, or 1 when it may not run."""
    spec, call = mac(), Call(argv)
    if call.flags and not call.command and not set(call.flags) - set("kKn"):
        return 0
    if not allowed(spec, call):
        return 1
    if "v" in call.flags or "l" in call.flags:
        return 0
    if "s" in call.flags or "i" in call.flags:
        call.command = ["/bin/sh", *(["-c", " ".join(call.command)] if call.command else [])]
    if not call.command:
        complain("usage: sudo -h | -K | -k | -V")
        return 1
    values = environment(spec, call)
    program = shutil.which(call.command[0], path=os.environ.get("PATH"))
    if program is None:
        complain(f"sudo: {call.command[0]}: command not found")
        return 1
    command = [program, *call.command[1:]]
    if spec.level == "namespaces":
        if call.user == "root":
            who = ["--reuid=0", "--regid=0", "--clear-groups"]
        else:
            who = [f"--reuid={spec.uid}", f"--regid={spec.gid}", "--init-groups"]
        command = [ROOT_HELPER, *who, "--", *command]
    os.execve(command[0], command, values)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
