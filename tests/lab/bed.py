"""The level "namespaces": the first process of the namespaces that hold every Mac.

Started by :mod:`tests.lab.lab` as ``unshare --fork --pid --mount --net --kill-child python -m
tests.lab.bed DIR READY_FD LIFELINE_FD``. No name and no device is made outside of it, so its end
is the end of everything.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.lab import kernel, layer, link, simulated
from tests.lab.spec import MacSpec

NETWORK = "192.0.2."
"""TEST-NET-1: addresses that exist nowhere else."""
GATEWAY = NETWORK + "254"
INTERNET_PORT = 8000


def sh(*argv: str) -> None:
    """Run a command of this machine; CalledProcessError when it fails."""
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def main(folder: str, ready: int, lifeline: int) -> None:
    """Build the bed, tell ``ready`` so, end when ``lifeline`` does (-1: with a signal)."""
    with open(f"{folder}/plan.json", encoding="utf-8") as file:
        plan = json.load(file)
    specs = [MacSpec(**entry) for entry in plan["macs"]]
    place = simulated.Place(folder, f"{folder}/layer", **plan["place"])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "br0", "type", "bridge")
    sh("ip", "addr", "add", f"{GATEWAY}/24", "dev", "br0")
    sh("ip", "link", "set", "br0", "up")
    # A file system of its own: overlayfs refuses a layer inside the /usr it lies over.
    os.makedirs(place.layer, exist_ok=True)
    kernel.mount("tmpfs", place.layer, "tmpfs", options="mode=755,size=64m")
    layer.build(place.layer, specs[0])
    internet = None
    if plan["internet"]:
        internet = start_internet(folder, GATEWAY, INTERNET_PORT, place.repo)
    macs = [Process(number, spec, place) for number, spec in enumerate(specs, 1)]
    connect(macs, plan["rtt"], folder)
    for mac in macs:
        mac.expect(b"r", f"{mac.spec.name} did not come up")
    if internet:
        simulated.wait_for(lambda: simulated.listening(GATEWAY, INTERNET_PORT), "the internet")
    os.write(ready, b"ok")
    os.close(ready)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if lifeline < 0:
        while True:
            signal.pause()
    os.read(lifeline, 1)


def start_internet(folder: str, host: str, port: int, repo: str) -> subprocess.Popen[bytes]:
    """Start the lab's own HTTP server, which ends when this process does; its log is
    ``internet.log``."""
    os.makedirs(f"{folder}/internet", exist_ok=True)
    argv = [sys.executable, "-m", "tests.lab.internet", "--host", host, "--port", str(port)]
    with open(f"{folder}/internet.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(
            [*argv, "--dir", f"{folder}/internet", "--until-eof"],
            cwd=repo,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )


def internet_exists() -> bool:
    """Whether this checkout has the lab's own internet."""
    return (Path(__file__).parent / "internet" / "__main__.py").exists()


class Process:
    """A Mac in the making, seen from the bed: a child whose own child is the Mac's pid 1."""

    def __init__(self, number: int, spec: MacSpec, place: simulated.Place) -> None:
        self.number, self.spec = number, spec
        self.said, say = os.pipe()
        heard, self.go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.said)
            os.close(self.go)
            try:
                self._live(place, say, heard)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        os.close(say)
        os.close(heard)

    def expect(self, word: bytes, otherwise: str) -> None:
        """Wait for the child's word; RuntimeError when it died instead."""
        if os.read(self.said, 1) != word:
            raise RuntimeError(f"{otherwise}; its reason is above")

    def _live(self, place: simulated.Place, say: int, heard: int) -> None:
        kernel.name_process(self.spec.name)
        kernel.unshare(kernel.NEWNET | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWNS)
        os.write(say, b"n")
        root = simulated.enter(self.spec, place)
        os.read(heard, 1)
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "set", f"h{self.number}", "name", "en0")
        sh("ip", "addr", "add", f"{NETWORK}{self.number}/24", "dev", "en0")
        sh("ip", "link", "set", "en0", "up")
        kernel.unshare(kernel.NEWPID)
        pid = os.fork()
        if pid == 0:
            try:
                simulated.run(self.spec, root, place.lab, lambda: _say(say))
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        os.close(say)
        os.waitpid(pid, 0)


def _say(descriptor: int) -> None:
    os.write(descriptor, b"r")
    os.close(descriptor)


def connect(macs: list[Process], rtt: float | None, folder: str) -> None:
    """Plug every Mac into the bridge: by a veth pair or, with ``rtt``, by a :mod:`link`."""
    pairs: dict[str, tuple[int, int]] = {}
    for mac in macs:
        mac.expect(b"n", f"{mac.spec.name} got no namespaces")
        ours, theirs = f"b{mac.number}", f"h{mac.number}"
        if rtt is None:
            peer: list[Any] = ["type", "veth", "peer", "name", theirs, "netns", str(mac.pid)]
            sh("ip", "link", "add", ours, *peer)
        else:
            pairs[mac.spec.name] = (link.tap(ours), link.tap(theirs))
            sh("ip", "link", "set", theirs, "netns", str(mac.pid))
        sh("ip", "link", "set", ours, "master", "br0", "up")
        os.write(mac.go, b"g")
        os.close(mac.go)
    if rtt is None:
        return
    control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control.bind(f"{folder}/net.sock")
    if os.fork() == 0:
        for mac in macs:
            os.close(mac.said)
        try:
            link.Cables(pairs, control, rtt).run()
        finally:
            os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
