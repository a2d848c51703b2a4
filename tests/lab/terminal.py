"""Runs what an SSH session of the level "ports" asks for: with pipes, or with a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios

import asyncssh

from tests.lab import processes


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
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        source, sink = os.fdopen(ours, "rb", 0), os.fdopen(os.dup(ours), "wb", 0)
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
        )
        await session.redirect(child.stdin, child.stdout, child.stderr)
    running.add(child.pid)
    ended = asyncio.ensure_future(child.wait())
    gone = asyncio.ensure_future(session.channel.wait_closed())
    try:
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            processes.kill_group(child.pid, signal.SIGHUP)
        status = await ended
        # What the command wrote last may still be in its pipe.
        if not gone.done():
            await session.stdout.drain()
        return status
    finally:
        gone.cancel()
        running.discard(child.pid)
