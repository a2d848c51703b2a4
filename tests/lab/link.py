"""A network cable in user space: two TAP devices with delay, rate, loss and a cut between them.

Kernels without netem (containers, small virtual machines) are the reason that it is not ``tc``.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import time
from dataclasses import dataclass

DEVICE = "/dev/net/tun"
_TUNSETIFF, _TAP, _NO_PACKET_INFO = 0x400454CA, 0x0002, 0x1000
_QUEUE_SECONDS = 1.0


@dataclass
class Quality:
    """How a Mac's cable behaves in each direction."""

    rtt: float = 0.0
    """Milliseconds added to a round trip; half of it each way."""
    rate: float = 0.0
    """kbit/s; 0 = unlimited."""
    loss: float = 0.0
    """Percent of the packets."""
    cut: float = 0.0
    """1 = nothing passes."""


def tap(name: str) -> int:
    """File descriptor of a new TAP device; OSError where :data:`DEVICE` is closed to this user."""
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH14x", name.encode(), _TAP | _NO_PACKET_INFO)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


class Cables:
    """Carries the packets of all Macs; :meth:`run` is the whole life of its process."""

    def __init__(self, pairs: dict[str, tuple[int, int]], control: socket.socket, rtt: float):
        self.quality = {name: Quality(rtt=rtt) for name in pairs}
        self.control = control
        self.peer: dict[int, int] = {}
        self.owner: dict[int, str] = {}
        for name, (left, right) in pairs.items():
            self.peer |= {left: right, right: left}
            self.owner |= {left: name, right: name}
        self.free_at = dict.fromkeys(self.peer, 0.0)
        self.waiting: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.epoll = select.epoll()
        for descriptor in [*self.peer, control.fileno()]:
            self.epoll.register(descriptor, select.EPOLLIN)

    def run(self) -> None:
        """Carry packets until the process is killed."""
        while True:
            for descriptor, _ in self._events():
                if descriptor == self.control.fileno():
                    self._change(self.control.recv(4096))
                else:
                    self._read(descriptor)
            self._deliver()

    def _events(self) -> list[tuple[int, int]]:
        if not self.waiting:
            return self.epoll.poll()
        left = self.waiting[0][0] - time.monotonic()
        # select waits in microseconds where epoll would round up to milliseconds.
        if left > 0 and not select.select([self.epoll.fileno()], [], [], left)[0]:
            return []
        return self.epoll.poll(0)

    def _change(self, message: bytes) -> None:
        wish = json.loads(message)
        names = list(self.quality) if wish["mac"] == "all" else [wish["mac"]]
        for name in names:
            for key, value in wish["set"].items():
                setattr(self.quality[name], key, float(value))

    def _read(self, descriptor: int) -> None:
        quality = self.quality[self.owner[descriptor]]
        for _ in range(64):
            try:
                packet = os.read(descriptor, 70000)
            except BlockingIOError:
                return
            if quality.cut or (quality.loss and random.random() * 100 < quality.loss):
                continue
            at = time.monotonic()
            if quality.rate:
                begin = max(at, self.free_at[descriptor])
                if begin - at > _QUEUE_SECONDS:
                    continue
                at = begin + len(packet) * 8 / (quality.rate * 1000)
                self.free_at[descriptor] = at
            self.count += 1
            item = (at + quality.rtt / 2000, self.count, descriptor, packet)
            heapq.heappush(self.waiting, item)

    def _deliver(self) -> None:
        now = time.monotonic() + 2e-5
        while self.waiting and self.waiting[0][0] <= now:
            _, _, descriptor, packet = heapq.heappop(self.waiting)
            try:
                os.write(self.peer[descriptor], packet)
            except OSError:
                continue  # the other end is down: a packet into nothing


def change(address: str, mac: str, **values: float) -> None:
    """Tell the running cables: ``change(path, "mac1", cut=1)``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.send(json.dumps({"mac": mac, "set": values}).encode())
