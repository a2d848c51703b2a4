"""The link before a Mac of the level "ports": a TCP proxy that counts, delays, slows and cuts."""

from __future__ import annotations

import asyncio
import socket


class Proxy:
    """Carries connections from a Mac's public port to its SSH server."""

    def __init__(self) -> None:
        self.rtt = 0.0
        """Milliseconds added to a round trip."""
        self.rate = 0.0
        """kbit/s for each direction of a connection; 0 = unlimited."""
        self.cut = 0.0
        """1 = nothing passes; connections stay open, as behind an unplugged cable."""
        self.bytes_in = 0
        self.bytes_out = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._joined = asyncio.Event()
        self._joined.set()

    def change(self, **values: float) -> None:
        """Set ``rtt``, ``rate`` or ``cut`` from now on; KeyError for anything else."""
        for key, value in values.items():
            if key not in ("rtt", "rate", "cut"):
                raise KeyError(key)
            setattr(self, key, value)
        if self.cut:
            self._joined.clear()
        else:
            self._joined.set()

    def drop(self) -> None:
        """Break every connection that is open now."""
        for end in self._ends:
            end.transport.abort()

    async def listen(self, port: int, target: int) -> None:
        """Return when the public port accepts connections."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._carry(reader, writer, target)
            finally:
                self._tasks.discard(task)

        await asyncio.start_server(accept, "127.0.0.1", port)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int
    ) -> None:
        await self._joined.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        for end in (writer, far_writer):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, inwards=True),
                self._pump(far_reader, writer, inwards=False),
            )
        finally:
            self._ends -= {writer, far_writer}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inwards: bool
    ) -> None:
        """Read at once, write when due: the queue between the two is the length of the cable."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        delivery = asyncio.ensure_future(self._deliver(queue, writer))
        loop = asyncio.get_running_loop()
        free_at = 0.0
        data = b"start"
        while data:
            try:
                data = await reader.read(65536)
            except OSError:
                data = b""
            if inwards:
                self.bytes_in += len(data)
            else:
                self.bytes_out += len(data)
            due = loop.time()
            if self.rate:
                due = free_at = max(due, free_at) + len(data) * 8 / (self.rate * 1000)
            await queue.put((due + self.rtt / 2000, data))
        await delivery

    async def _deliver(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            left = due - loop.time()
            if left > 0:
                await asyncio.sleep(left)
            await self._joined.wait()
            try:
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()
            except OSError:
                data = b""
            if not data:
                return
