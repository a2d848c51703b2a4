"""The stand-in ``launchctl``: hands its command line to the Mac's launchd and prints the answer.

Where a call comes from decides which domain is its own: jobs of launchd carry
``CLAWFLEET_LAB_DOMAIN``; anything else, an SSH session too, is in ``user/UID``.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from tests.lab.standins import here

TYPE_CHECKING = False  # as in `here`: importing typing costs more than the call
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

ANSWER_LIMIT = 60.0
"""Seconds: longer than any ExitTimeOut that ``kickstart -k`` may have to wait for."""


def caller(mac: MacSpec) -> int:
    """The uid that runs this, as the Mac sees it."""
    if here.root(mac):
        return 0
    return os.geteuid() if mac.level == "namespaces" else mac.uid


def ask(mac: MacSpec, words: list[str], tty: bool = False) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``launchctl WORDS``; OSError where no launchd answers."""
    uid = caller(mac)
    session = "system" if uid == 0 else f"user/{uid}"
    cwd = os.getcwd()
    request = {
        "words": words,
        "cwd": cwd,
        "uid": uid,
        "session": os.environ.get("CLAWFLEET_LAB_DOMAIN", session),
        "tty": tty,
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_LIMIT)
        # By its bare name: the whole path may be longer than a socket's address may be.
        os.chdir(mac.state)
        try:
            connection.connect("launchd.sock")
        finally:
            os.chdir(cwd)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("r", encoding="utf-8") as reader:
            answer = json.loads(reader.readline())
    return answer["code"], answer["out"], answer["err"]


def _as_user(mac: MacSpec, words: list[str]) -> int:
    """``asuser UID COMMAND``: run a command inside the GUI domain of that user."""
    if len(words) < 2 or not words[0].isdigit():
        sys.stdout.write("Usage: launchctl asuser <uid> <program> ...\n")
        return 64
    if caller(mac) != 0:
        sys.stderr.write("Could not switch to audit session 0x186a6: 1: Operation not permitted\n")
        return 1
    os.environ["CLAWFLEET_LAB_DOMAIN"] = f"gui/{words[0]}"
    return os.spawnvp(os.P_WAIT, words[1], words[1:])


def main(argv: list[str]) -> int:
    """Exit code as of macOS' launchctl; 69 where the simulated Mac has no launchd running."""
    mac = here.mac()
    if argv[:1] == ["asuser"]:
        return _as_user(mac, argv[1:])
    try:
        code, out, err = ask(mac, argv, sys.stdout.isatty())
    except (OSError, ValueError) as error:
        here.complain(
            f"{mac.name}: no launchd answers on {mac.state}/launchd.sock ({error}); expected the"
            " daemon that the lab starts with each Mac: take the lab down and up again"
        )
        return 69
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
