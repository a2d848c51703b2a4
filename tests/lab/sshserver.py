"""The level "ports": one process with an SSH server for each Mac, on loopback.

``python -m tests.lab.sshserver DIR READY_FD LIFELINE_FD``. A Mac is a folder; what comes over SSH
gets the Mac's environment and nothing of this machine's. Requests to change a link and to read
the counters come over ``DIR/control.sock``, one JSON object a connection.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import asyncssh
from asyncssh.forward import SSHForwarder

from tests.lab import account, bed, processes, simulated, terminal
from tests.lab.linkproxy import Proxy
from tests.lab.spec import MacSpec

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server(asyncssh.SSHServer):
    """Who may come in, and where a forwarded connection may go."""

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        """Keys only, whatever the name."""
        return True

    def connection_requested(
        self, dest_host: str, dest_port: int, *_: object
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        """Forward to the Mac's own loopback addresses."""
        if dest_host not in LOOPBACK:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, f"{dest_host} is not this Mac"
            )
        return _connect(dest_host, dest_port)


class _Forwarder(SSHForwarder):
    """Ends a forwarded connection once both sides have said all.

    asyncssh 2.24.1 leaves it open for ever where the Mac's side was the first to end.
    """

    def eof_received(self) -> bool:
        more = super().eof_received()
        if not more:
            self.close()
        return more


async def _connect(host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
    try:
        _, far = await asyncio.get_running_loop().create_connection(_Forwarder, host, port)
    except OSError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from None
    # asyncssh's own forward_connection casts in the same way.
    return cast(asyncssh.SSHTCPSession[bytes], _Forwarder(far))


class Files(asyncssh.SFTPServer):
    """SFTP that starts in the user's home, as OpenSSH's does."""

    home = b""

    def map_path(self, path: bytes) -> bytes:
        """A path of this machine: relative ones are below the home."""
        return os.path.join(self.home, path)


class Machine:
    """One Mac: its launchd, its SSH server and the link before it."""

    def __init__(self, spec: MacSpec, folder: str, port: int) -> None:
        self.spec, self.folder, self.port = spec, folder, port
        self.sessions = 0
        self.running: set[int] = set()
        self.proxy = Proxy()

    async def start(self, rtt: float) -> None:
        """Return when SSH answers on the Mac's port."""
        files = type("MacFiles", (Files,), {"home": self.spec.home.encode()})
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[f"{self.folder}/{self.spec.name}.key"],
            authorized_client_keys=f"{self.folder}/id.pub",
            process_factory=self._session,
            sftp_factory=files,
            allow_scp=False,
            encoding=None,
            line_editor=False,
            login_timeout=120,
        )
        self.proxy.rtt = rtt
        await self.proxy.listen(self.port, server.sockets[0].getsockname()[1])

    def launchd(self) -> None:
        """Start the Mac's launchd; TimeoutError when its socket does not appear."""
        argv, environment = simulated.launchd(self.spec)
        log = os.open(
            f"{self.folder}/{self.spec.name}.launchd.log", os.O_CREAT | os.O_WRONLY, 0o644
        )
        os.posix_spawn(
            argv[0],
            argv,
            account.environment(self.spec) | environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
            setsid=True,
        )
        os.close(log)
        socket = f"{self.spec.state}/launchd.sock"
        simulated.wait_for(lambda: os.path.exists(socket), "launchd's stand-in")

    def drop(self) -> None:
        """Break every connection, and end what runs for it, without a word."""
        self.proxy.drop()
        for group in self.running:
            processes.kill_group(group, signal.SIGKILL)

    async def _session(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.sessions += 1
        environment = account.environment(self.spec) | {
            key: value
            for key, value in process.env.items()
            if key == "LANG" or key.startswith("LC_")
        }
        connection = process.get_extra_info("peername")
        environment["SSH_CONNECTION"] = f"{connection[0]} {connection[1]} 127.0.0.1 {self.port}"
        environment["SSH_CLIENT"] = f"{connection[0]} {connection[1]} {self.port}"
        shell = account.shell()
        argv = [shell, "-c", process.command] if process.command else ["-" + shell]
        try:
            status = await terminal.serve(
                process, shell, argv, environment, self.spec.home, self.running
            )
        except (BrokenPipeError, ConnectionResetError):
            return
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


async def serve(folder: str, ready: int, lifeline: int) -> None:
    """Start all Macs, then serve until SIGTERM or until the other end of ``lifeline`` is closed."""
    with open(f"{folder}/plan.json", encoding="utf-8") as file:
        plan = json.load(file)
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if lifeline >= 0:
        loop.add_reader(lifeline, end.set)
    machines = [
        Machine(MacSpec(**entry), folder, plan["ports"][entry["name"]]) for entry in plan["macs"]
    ]
    if simulated.launchd_exists():
        await asyncio.gather(*(loop.run_in_executor(None, machine.launchd) for machine in machines))
    for machine in machines:
        await machine.start(plan["rtt"] or 0)
    internet = None
    if plan["internet"]:
        host, port = plan["macs"][0]["internet"].removeprefix("http://").split(":")
        internet = bed.start_internet(folder, host, int(port), str(Path(__file__).parents[2]))
        await loop.run_in_executor(
            None,
            lambda: simulated.wait_for(
                lambda: simulated.listening(host, int(port)), "the internet"
            ),
        )
    control = await asyncio.start_unix_server(_control(machines), f"{folder}/control.sock")
    os.write(ready, b"ok")
    os.close(ready)
    await end.wait()
    control.close()
    if internet:
        internet.terminate()
        internet.wait()
    for machine in machines:
        for group in machine.running:
            processes.kill_group(group, signal.SIGHUP)
    processes.sweep([machine.spec.root for machine in machines], spare=os.getpid())


def _control(machines: list[Machine]) -> Callable[..., Any]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wish = json.loads(await reader.readline())
        for machine in machines:
            if wish.get("drop") == machine.spec.name:
                machine.drop()
            if wish.get("mac") in (machine.spec.name, "all"):
                machine.proxy.change(**wish["set"])
        counted = {
            machine.spec.name: {
                "sessions": machine.sessions,
                "bytes_in": machine.proxy.bytes_in,
                "bytes_out": machine.proxy.bytes_out,
            }
            for machine in machines
        }
        writer.write(json.dumps(counted).encode() + b"\n")
        await writer.drain()
        writer.close()

    return answer


def become_user(uid: int, gid: int) -> None:
    """As root: show the processes of the Macs as the uid and gid that a Mac's first user has.

    A user namespace with one user in it; files stay as accessible as they were.
    """
    real = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) != 0:
        return
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {real[0]} 1"),
        ("gid_map", f"{gid} {real[1]} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def main() -> None:
    """See the module's text."""
    folder, ready, lifeline = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(f"{folder}/plan.json", encoding="utf-8") as file:
        spec = MacSpec(**json.load(file)["macs"][0])
    if os.getuid() == 0 and spec.uid != 0:
        become_user(spec.uid, spec.gid)
    asyncio.run(serve(folder, ready, lifeline))


if __name__ == "__main__":
    main()
