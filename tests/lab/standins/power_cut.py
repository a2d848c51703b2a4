"""The end of the power on a Mac, called by ``sh/power-sh``: ``power_cut PID``, the script's shell.

The SSH connection first, so that nobody is told; then the script with everything below it, and
OpenClaw with its gateway: all with SIGKILL. launchd's stand-in goes on; with ``reboot`` it starts
anew, as a Mac does that comes up again and logs its user in.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys

from tests.lab.standins import launchctl
from tests.lab.standins.here import mac
from tests.lab.standins.running import Process, ancestors, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec


def kill(pid: int) -> None:
    """End a process that may be gone already, or may not be ours."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def cut_ssh(spec: MacSpec, top: int) -> None:
    """End the connection that the script came over, and at the level "ports" every one."""
    if spec.level == "ports":
        control = os.path.join(os.path.dirname(spec.root), "control.sock")
        if not os.path.exists(control):
            return
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(control)
            connection.sendall(json.dumps({"drop": spec.name}).encode() + b"\n")
            connection.recv(1)
        return
    for pid in ancestors(top):
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            # The one that runs as the user; root's end with it.
            if file.read().startswith("sshd") and os.stat(f"/proc/{pid}").st_uid == spec.uid:
                kill(pid)


def is_openclaw(process: Process) -> bool:
    """Whether it is OpenClaw, its gateway or a command of its."""
    return process.comm.startswith("openclaw") or bool(
        re.search("(node_modules|bin)/openclaw", process.command)
    )


def main(argv: list[str]) -> int:
    """Cut the power once; the marker ``cut-done`` says that all of it has happened."""
    spec = mac()
    top = int(argv[0])
    folder = f"{spec.state}/power"
    try:
        os.rename(f"{folder}/armed", f"{folder}/fired")
    except FileNotFoundError:
        return 0  # another element of the same pipeline was quicker
    if os.getpgid(0) != os.getpid():
        os.setsid()
    found = processes(spec)
    cut_ssh(spec, top)
    below: set[int] = set()
    more = {top}
    while more:
        below |= more
        more = {p.real_pid for p in found if p.parent in below} - below
    for pid in sorted(below - {os.getpid()}):
        kill(pid)
    for process in found:
        if process.pid != os.getpid() and process.pid != 1 and is_openclaw(process):
            kill(process.pid)
    if os.path.exists(f"{folder}/reboot"):
        launchctl.ask(spec, ["__lab", "reboot"])
    with open(f"{folder}/cut-done", "w", encoding="utf-8"):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
