"""The SSH connection that pyinfra already holds: tuned, and as a way for httpx to reach a Mac's
loopback ports. No local port is opened and nobody logs in twice."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx
from paramiko import ChannelException, SSHException, Transport
from pyinfra.api import Host

DEAD = 60
"""Seconds without an acknowledgement after which a link counts as cut."""
_TCP_RXT_CONNDROPTIME = 0x80  # macOS <netinet/tcp.h>; Python has no name for it
KEEPALIVE = 30
"""Seconds between keep-alives: a pull of 18 GB outlives a NAT's patience."""


def transport_of(host: Host) -> Transport | None:
    """The SSH transport of a host, None where it is this machine itself."""
    client = getattr(host.connector, "client", None)
    transport: Transport | None = client.get_transport() if client is not None else None
    return transport


def is_lost(host: Host) -> bool:
    """Whether a connection that was there has ended. A command that ran then has no exit code,
    which pyinfra takes for a failure of its own."""
    transport = transport_of(host)
    return transport is not None and not transport.is_active()


def tune(host: Host) -> None:
    """Nagle off and keep-alive on.

    Without TCP_NODELAY each command costs 40 ms more and a latency figure would be false by as
    much (paramiko 4.0 leaves Nagle on).
    """
    transport = transport_of(host)
    if transport is None:
        return
    transport.set_keepalive(KEEPALIVE)
    # Through a ProxyJump the "socket" is a channel of another connection and has no such option.
    if isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Keep-alives that nobody acknowledges end the connection; paramiko itself never gives up,
        # and pyinfra waits for every host. Linux takes milliseconds, macOS seconds.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            option, bound = socket.TCP_USER_TIMEOUT, DEAD * 1000
        else:
            option, bound = _TCP_RXT_CONNDROPTIME, DEAD
        transport.sock.setsockopt(socket.IPPROTO_TCP, option, bound)
    # A refused port is an answer to us, not a line for the terminal.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def client(host: Host, port: int, *, timeout: httpx.Timeout | None = None) -> httpx.Client:
    """An HTTP client for ``127.0.0.1:port`` of a host.

    Proxies of the control machine are never used. Errors are httpx's own: ConnectError when
    nothing listens there, ReadTimeout, ReadError when the link is cut.
    """
    bounds = timeout or httpx.Timeout(10, read=60)
    address = f"http://127.0.0.1:{port}"
    if transport_of(host) is None:
        return httpx.Client(base_url=address, timeout=bounds, trust_env=False)
    return httpx.Client(
        transport=_SSHTransport(lambda: transport_of(host)),
        base_url=address,
        timeout=bounds,
        trust_env=False,
    )


class _Stream(httpcore.NetworkStream):
    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._channel.settimeout(timeout)
        try:
            data: bytes = self._channel.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except (OSError, EOFError, SSHException) as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._channel.settimeout(timeout)
        try:
            self._channel.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except (OSError, EOFError, SSHException) as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._channel.close()

    def get_extra_info(self, info: str) -> Any:
        # httpcore asks an idle connection whether it is readable: readable means dead.
        if info == "is_readable":
            channel = self._channel
            return channel.closed or channel.eof_received or channel.recv_ready()
        return None


class _Backend(httpcore.NetworkBackend):
    def __init__(self, transport: Callable[[], Transport | None]) -> None:
        self._transport = transport

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 (httpcore's signature)
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        transport = self._transport()
        if transport is None or not transport.is_active():
            raise httpcore.ConnectError("the SSH connection is gone")
        try:
            channel = transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout
            )
        except ChannelException as error:
            # Nothing listens there, or sshd's AllowTcpForwarding is off.
            raise httpcore.ConnectError(f"the Mac refused {host}:{port}: {error.text}") from error
        except (SSHException, EOFError, OSError) as error:
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(channel)


class _SSHTransport(httpx.HTTPTransport):
    def __init__(self, transport: Callable[[], Transport | None]) -> None:
        # No TLS inside SSH; loading the CA bundle would cost 35 ms for each client.
        super().__init__(verify=False, trust_env=False)
        # httpx has no public way to give a network backend (0.28.1, which is pinned for this).
        self._pool = httpcore.ConnectionPool(
            network_backend=_Backend(transport), max_connections=8, keepalive_expiry=30
        )
