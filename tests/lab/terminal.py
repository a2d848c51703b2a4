"""Runs what an SSH session of the level "ports" asks for: with pipes, or with a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator

import asyncssh

from tests.lab import processes

HELD = 2.0
"""Seconds without output after a command has ended, until it counts as complete."""


def _heeds() -> None:
    """Under nohup, or in the background of a shell, this server ignores what sessions must not."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _in_a_terminal() -> None:
    _heeds()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.asynccontextmanager
async def _or_hang_up(child: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """A client may have gone between the start of its command and here."""
    try:
        yield
    except BaseException:
        processes.kill_group(child.pid, signal.SIGHUP)
        await child.wait()
        raise


async def _pump(
    source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes], moved: list[int]
) -> None:
    """Copy everything, counting in ``moved``.

    Not asyncssh's redirection, which may lose the end of a long output.
    """
    try:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
            moved[0] += len(chunk)
    except (OSError, asyncssh.Error):
        return


async def serve(
    session: asyncssh.SSHServerProcess[bytes],
    program: str,
    argv: list[str],
    environment: dict[str, str],
    folder: str,
    running: set[int],
) -> int:
    """Run the command to its end and return its status (negative: the signal that ended it).

    When the client goes away first, the process group gets SIGHUP. ``running`` holds the groups.
    """
    kind = session.get_terminal_type()
    pumps: list[asyncio.Future[None]] = []
    moved = [0]
    if kind:
        ours, theirs = pty.openpty()
        width, height, *_ = session.get_terminal_size()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment |= {"TERM": kind, "SSH_TTY": os.ttyname(theirs)}
        child = await asyncio.create_subprocess_exec(
            *argv,
            executable=program,
            env=environment,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_in_a_terminal,
        )
        os.close(theirs)
        source, sink = os.fdopen(ours, "rb", 0), os.fdopen(os.dup(ours), "wb", 0)
        async with _or_hang_up(child):
            await session.redirect(stdin=sink, stdout=source)
    else:
        child = await asyncio.create_subprocess_exec(
            *argv,
            executable=program,
            env=environment,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_heeds,
        )
        assert child.stdout
        assert child.stderr
        async with _or_hang_up(child):
            await session.redirect(child.stdin)
        pumps = [
            asyncio.ensure_future(_pump(child.stdout, session.stdout, moved)),
            asyncio.ensure_future(_pump(child.stderr, session.stderr, moved)),
        ]
    running.add(child.pid)
    ended = asyncio.ensure_future(child.wait())
    gone = asyncio.ensure_future(session.channel.wait_closed())
    try:
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            processes.kill_group(child.pid, signal.SIGHUP)
        status = await ended
        # What the command wrote last may still be in its pipe; something that it left running may
        # hold the pipe open for ever.
        if pumps and not gone.done():
            before = -1
            while before != moved[0] and any(not pump.done() for pump in pumps):
                before = moved[0]
                await asyncio.wait(pumps, timeout=HELD)
        elif not gone.done():
            await session.stdout.drain()
        return status
    finally:
        gone.cancel()
        for pump in pumps:
            pump.cancel()
        running.discard(child.pid)
