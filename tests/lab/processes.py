"""Finding and ending the processes of Macs that are only folders (level "ports")."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def kill_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group that may be gone already."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def belonging_to(roots: list[str]) -> list[int]:
    """Process ids whose environment or command line names a path below one of the folders."""
    marks = [root.encode() + b"/" for root in roots]
    if sys.platform == "darwin":
        listing = subprocess.run(
            ["/bin/ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=False
        ).stdout
        lines = [line for line in listing.splitlines() if any(mark in line for mark in marks)]
        return [int(line.split()[0]) for line in lines]
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                content = file.read()
        except OSError:
            continue
        if any(b"=" + mark in content for mark in marks):
            found.append(int(entry))
    return found


def sweep(roots: list[str], *, spare: int, seconds: float = 5) -> None:
    """End everything that runs on these Macs: SIGTERM, then SIGKILL; ``spare`` is left alone."""
    end = time.monotonic() + seconds
    asked: set[int] = set()
    while left := [pid for pid in belonging_to(roots) if pid != spare]:
        late = time.monotonic() > end
        for pid in left:
            if pid not in asked or late:
                asked.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                except (ProcessLookupError, PermissionError):
                    continue
        if time.monotonic() > end + seconds:
            return
        time.sleep(0.02)
