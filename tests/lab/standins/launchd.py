"""The launchd of one simulated Mac: ``python -m tests.lab.standins.launchd``.

It listens on ``<state>/launchd.sock`` (one JSON object a line each way) and runs until SIGTERM or
SIGINT; then every job ends first. At the level "namespaces" it runs as root and starts a user's
jobs as that user, at the level "ports" everything runs as the user who started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.lab.spec import MacSpec, load
from tests.lab.standins.launchd_call import Call
from tests.lab.standins.launchd_commands import run
from tests.lab.standins.launchd_job import tmpdir
from tests.lab.standins.launchd_machine import Machine

LINE_LIMIT = 1 << 20


def _prepare(mac: MacSpec) -> None:
    folder = Path(tmpdir(mac))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and mac.level == "namespaces":
        os.chown(folder, mac.uid, mac.gid)


class Daemon:
    """Answers ``launchctl``; one instance for each Mac."""

    def __init__(self, mac: MacSpec) -> None:
        self.machine = Machine(mac)

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Exit code and texts of one call."""
        call = Call(self.machine, **request)
        code = await run(call)
        return {"code": code, "out": "".join(call.out), "err": "".join(call.err)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; a caller that went away is no error."""
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                answer = await self.answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()


async def main_async(mac: MacSpec) -> None:
    """Boot the Mac, serve until a signal arrives, then end every job."""
    _prepare(mac)
    daemon = Daemon(mac)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # By its bare name: the whole path may be longer than a socket's address may be.
    os.chdir(mac.state)
    path = "launchd.sock"
    for left in (path, f"{path}.new"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(left)
    await daemon.machine.boot()
    # Whoever waits for the socket's name must find somebody who listens.
    server = await asyncio.start_unix_server(daemon.serve, f"{path}.new", limit=LINE_LIMIT)
    os.chmod(f"{path}.new", 0o666)
    os.replace(f"{path}.new", path)
    await stop.wait()
    server.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    await daemon.machine.shutdown()


def main(argv: list[str]) -> int:
    """Run the daemon of the Mac that the environment names."""
    if argv:
        sys.stderr.write("usage: launchd\n")
        return 64
    asyncio.run(main_async(load()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
