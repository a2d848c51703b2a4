"""A script on a Mac that talks while it runs, over the SSH connection that is there."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from paramiko import Channel, SSHException
from pyinfra.api import Host

from clawfleet.connection import transport_of

_BLOCK = 1 << 18
"""Bytes that are on their way through this machine at a time."""


class Session:
    """``sh -s`` on a Mac with open streams.

    EOFError when the connection is gone, TimeoutError when nothing came in time.
    """

    def __init__(self, host: Host, script: str) -> None:
        transport = transport_of(host)
        if transport is None or not transport.is_active():
            raise EOFError("no SSH connection")
        try:
            self._channel: Channel = transport.open_session(timeout=30)
            self._channel.exec_command("sh -s")
            # In braces, so that nothing runs before all of it has arrived.
            self._channel.sendall(f"{{\n{script}\n}}\n".encode())
        except (SSHException, OSError) as error:
            raise EOFError(str(error) or type(error).__name__) from error
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def line(self, timeout: float) -> str | None:
        """The next line without its end; None when there is none any more."""
        while b"\n" not in self._buffer:
            block = self._receive(timeout)
            if not block:
                rest, self._buffer = self._buffer, b""
                return rest.decode("utf-8", "replace") or None
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace")

    def read(self, timeout: float) -> bytes:
        """What comes next, at most 256 KiB; empty at the end."""
        if self._buffer:
            block, self._buffer = self._buffer, b""
            return block
        return self._receive(timeout)

    def _receive(self, timeout: float) -> bytes:
        self._channel.settimeout(timeout)
        return self._channel.recv(_BLOCK)

    def write(self, block: bytes, timeout: float) -> None:
        """Send bytes to the script's standard input."""
        self._channel.settimeout(timeout)
        try:
            self._channel.sendall(block)
        except TimeoutError:
            raise
        except OSError as error:
            raise EOFError(str(error)) from error

    def finish(self) -> None:
        """End the script's standard input."""
        try:
            self._channel.shutdown_write()
        except OSError as error:
            raise EOFError(str(error)) from error

    def code(self, timeout: float) -> int:
        """The script's exit code; -1 when the connection ended before it."""
        if not self._channel.status_event.wait(timeout):
            raise TimeoutError("no exit code")
        return self._channel.recv_exit_status()

    def error(self) -> str:
        """The last line that the script has written to standard error, empty when there is none."""
        said = b""
        while self._channel.recv_stderr_ready():
            said += self._channel.recv_stderr(_BLOCK)
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
