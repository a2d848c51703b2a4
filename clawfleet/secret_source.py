"""Reads the keys of providers on the control machine, each once for all Macs, when one needs it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from clawfleet import redact
from clawfleet.credentials import Secret, checked
from clawfleet.key_sources import KeySource
from clawfleet.plan import Trouble

COMMAND_TIMEOUT = 120
"""Seconds for a command that prints a key; one may wait for a finger on a sensor."""
LARGEST = 65536
"""Bytes of a file that are read at all."""
CHECKOUT = Path(__file__).resolve().parents[1]

_LOCK = threading.Lock()
_READ: dict[KeySource, Secret | Trouble] = {}


def resolve(sources: Mapping[str, KeySource], *, salt: str = "") -> dict[str, Secret]:
    """Provider -> key. Trouble for the first source that gives none.

    A source is read at its first use in this process, and what it gave, be it trouble, stays:
    every Mac of a run gets the same key. `salt` is that of the run's redaction.
    """
    return {provider: _once(provider, source, salt) for provider, source in sources.items()}


def _once(provider: str, source: KeySource, salt: str) -> Secret:
    # One lock for all: a password manager asks its questions one after the other.
    with _LOCK:
        if source not in _READ:
            try:
                _READ[source] = _key(provider, source, salt)
            except Trouble as trouble:
                _READ[source] = trouble
        found = _READ[source]
    if isinstance(found, Trouble):
        raise Trouble(found.found, expected=found.expected, fix=found.fix)
    return found


def _key(provider: str, source: KeySource, salt: str) -> Secret:
    if source.env:
        text, fix = _from_environment(provider, source.env)
    elif source.file:
        text, fix = _from_file(provider, source.file)
    else:
        text, fix = _from_command(provider, source.command or (), salt)
    try:
        return checked(text)
    except ValueError as error:
        raise Trouble(
            f"{source}, for {provider}'s key: what it gives is no key: {error}",
            expected="the key in one line",
            fix=fix,
        ) from None


def _from_environment(provider: str, name: str) -> tuple[str, str]:
    # Typed like this, it does not get into the shell's history.
    fix = f"printf 'key: '; read -rs {name}; export {name} # and run again in the same shell"
    try:
        return os.environ[name], fix
    except KeyError:
        raise Trouble(
            f"the environment variable {name}, for {provider}'s key, is not set",
            expected="it is set where pyinfra runs",
            fix=fix,
        ) from None


def _from_file(provider: str, name: str) -> tuple[str, str]:
    path = Path(name).expanduser()
    shown, word = f"the file {path}, for {provider}'s key,", shlex.quote(str(path))
    fix = f"umask 077; cat > {word} # then the key, Enter and Ctrl-D"
    if path.resolve().is_relative_to(CHECKOUT):
        raise Trouble(
            f"{shown} lies inside this project, from where it gets into the repository",
            expected="a place of its own, such as ~/.config/clawfleet",
            fix=f"mkdir -p ~/.config/clawfleet && mv {word} ~/.config/clawfleet/",
        )
    try:
        # Without blocking: a named pipe that nobody writes would wait for ever.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Trouble(
            f"{shown} can't be read: {error.strerror}",
            expected="a file of yours with the key in one line",
            fix=fix,
        ) from None
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise Trouble(
                f"{shown} is not a regular file",
                expected="a file of yours with the key in one line",
                fix=f"ls -ld {word}",
            )
        if about.st_uid not in (os.getuid(), 0):
            raise Trouble(
                f"{shown} belongs to user {about.st_uid}",
                expected="a file of yours or of root",
                fix=f"sudo chown {os.getuid()} {word}",
            )
        if about.st_mode & 0o077:
            raise Trouble(
                f"{shown} has mode {about.st_mode & 0o777:o}: others on this machine can read it",
                expected="mode 600",
                fix=f"chmod 600 {word}",
            )
        return os.read(number, LARGEST).decode("utf-8", "replace"), fix
    finally:
        os.close(number)


def _from_command(provider: str, argv: tuple[str, ...], salt: str) -> tuple[str, str]:
    line = shlex.join(argv)
    shown = f"the command `{line}`, for {provider}'s key,"

    def failed(how: str) -> Trouble:
        return Trouble(
            f"{shown} {how}", expected="exit code 0, and the key on its output", fix=line
        )

    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise failed(f"can't be run: {error.strerror}") from None
    try:
        out, err = process.communicate(timeout=COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdout, process.stderr)):
            # Not read to its end: a child that was left behind may hold it open, and then
            # gevent's own reader sits in it.
            with suppress(RuntimeError):
                pipe.close()
        raise failed(f"did not end within {COMMAND_TIMEOUT} s") from None
    text = out.decode("utf-8", "replace")
    if process.returncode:
        # What it printed may be the key all the same, or an answer that quotes it.
        known = [word for word in re.split(r"\s+", text) if len(word) >= 6]
        said = redact.text(err.decode("utf-8", "replace").strip(), salt=salt, known=known)
        last = "\n".join(said.splitlines()[-5:]) or "it printed no reason"
        raise failed(f"failed with exit code {process.returncode}: {last}")
    return text, f"{line} # shows it; mind who looks on"
