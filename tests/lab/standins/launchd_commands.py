"""The subcommands of ``launchctl``, carried out inside the stand-in launchd.

Texts, streams and exit codes are those of macOS 12 to 26; what differs by version is decided by
the Mac's own version.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

from tests.lab.standins import launchd_legacy as legacy
from tests.lab.standins import launchd_print
from tests.lab.standins.launchd_call import (
    BUSY,
    ERRORS,
    IO_ERROR,
    NO_DOMAIN,
    NO_SERVICE,
    UNSUPPORTED,
    USAGE,
    Call,
    FailureError,
    Target,
    UsageError,
    label_of,
    loadable,
)
from tests.lab.standins.launchd_job import Domain


async def bootstrap(call: Call) -> int:
    if len(call.words) < 2:
        raise UsageError
    target = call.target(call.words[0])
    if target.label is not None:
        raise UsageError
    try:
        _scripted(call, "bootstrap")
        try:
            domain = call.domain(target)
        except FailureError as error:
            raise FailureError(UNSUPPORTED if error.code == NO_DOMAIN else error.code) from error
        if domain.kind == "system" and call.uid != 0:
            raise FailureError(IO_ERROR)
        for path in call.words[1:]:
            await call.machine.load(domain, loadable(call, domain, path))
    except FailureError as error:
        _failed(call, "Bootstrap failed", error.code, target)
        return error.code
    return 0


async def bootout(call: Call) -> int:
    if not call.words:
        raise UsageError
    target = call.target(call.words[0])
    try:
        _scripted(call, "bootout")
        if target.label is None:
            if len(call.words) < 2:
                raise FailureError(1)
            target = Target(target.kind, target.uid, label_of(call, call.words[1]))
            absent = IO_ERROR
        else:
            absent = 3
        try:
            job = call.job(target)
        except FailureError as error:
            codes = {NO_SERVICE: absent, NO_DOMAIN: UNSUPPORTED}
            raise FailureError(codes.get(error.code, error.code)) from error
        if job.removed:
            raise FailureError(36)
        running = job.pid is not None
        call.machine.unload(job)
        if running and int(call.machine.mac.macos.split(".")[0]) < 12:
            raise FailureError(36)
    except FailureError as error:
        _failed(call, "Boot-out failed", error.code, target)
        return error.code
    return 0


def _failed(call: Call, title: str, code: int, target: Target) -> None:
    if code == NO_DOMAIN:
        call.err.append(call.missing(code, target))
        return
    call.err.append(f"{title}: {code}: {ERRORS.get(code, f'Unknown error: {code}')}\n")
    if code == IO_ERROR and call.uid != 0:
        call.err.append("Try re-running the command as root for richer errors.\n")


def _scripted(call: Call, command: str) -> None:
    code = call.machine.scripted(command)
    if code:
        raise FailureError(code)


async def kickstart(call: Call) -> int:
    flags = "".join(word[1:] for word in call.words if word.startswith("-"))
    names = [word for word in call.words if not word.startswith("-")]
    if not names or set(flags) - set("kps"):
        raise UsageError
    target = call.target(names[0])
    try:
        _scripted(call, "kickstart")
        job = call.job(target)
        if job.removed:
            raise FailureError(NO_SERVICE)
        if job.pid is not None and "k" not in flags:
            raise FailureError(BUSY)
        pid = await (job.restart() if "k" in flags else job.start())
    except FailureError as error:
        if error.code in (NO_DOMAIN, NO_SERVICE):
            call.err.append(call.missing(error.code, target))
        elif error.code != BUSY:
            text = ERRORS.get(error.code, "")
            call.err.append(f'Could not kickstart service "{names[0]}": {error.code}: {text}\n')
        return error.code
    if "p" in flags:
        call.out.append(f"service spawned with pid: {pid}\n" if call.tty else f"{pid or 0}\n")
    return 0


async def kill(call: Call) -> int:
    if len(call.words) < 2:
        raise UsageError
    name = call.words[0].lstrip("-").upper().removeprefix("SIG")
    try:
        number = int(name) if name.isdigit() else signal.Signals[f"SIG{name}"].value
    except KeyError:
        call.err.append("Invalid signal.\n")
        raise UsageError from None
    target = call.target(call.words[1])
    try:
        if not call.job(target).signal(number):
            raise FailureError(3)
    except FailureError as error:
        call.err.append(
            "No process to signal.\n" if error.code == 3 else call.missing(error.code, target)
        )
        return error.code
    return 0


async def print_target(call: Call) -> int:
    if not call.words:
        raise UsageError
    target = call.target(call.words[0])
    machine = call.machine
    try:
        _scripted(call, "print")
        if target.label is not None:
            call.out.append(launchd_print.service(call.job(target)))
        else:
            domain = call.domain(target)
            overrides = machine.overrides(domain)
            call.out.append(launchd_print.domain_description(domain, overrides, machine.mac.uid))
    except FailureError as error:
        code = error.code
        if code == 1:
            call.err.append("Could not print domain: 1: Operation not permitted\n")
            return code
        if code == NO_DOMAIN and target.label and int(machine.mac.macos.split(".")[0]) >= 26:
            code = UNSUPPORTED
        if code != UNSUPPORTED:
            call.err.append("Bad request.\n")
        call.err.append(call.missing(code, target))
        return code
    return 0


async def print_disabled(call: Call) -> int:
    if not call.words:
        raise UsageError
    target = call.target(call.words[0])
    domain = Domain(target.kind, target.uid, 0, {})
    text = launchd_print.disabled(call.machine.overrides(domain), call.machine.mac.macos)
    call.out.append(text)
    return 0


async def enable(call: Call, disabled: bool = False) -> int:
    """Writes the override database only, also for a label that nobody knows."""
    if not call.words:
        raise UsageError
    target = call.target(call.words[0])
    if target.label is None:
        raise UsageError
    if call.uid not in (0, target.uid):
        verb = "disable" if disabled else "enable"
        call.err.append(f"Could not {verb} service: 1: Operation not permitted\n")
        return 1
    call.machine.override(target.uid, target.label, disabled)
    return 0


async def disable(call: Call) -> int:
    return await enable(call, disabled=True)


async def lab(call: Call) -> int:
    """What no Mac has: somebody logs in or out at the console, or the Mac starts again."""
    machine = call.machine
    match call.words:
        case ["login"]:
            await machine.login()
        case ["logout"]:
            await machine.logout()
        case ["reboot"]:
            await machine.shutdown()
            await machine.boot()
        case ["logged-in"]:
            return 0 if machine.gui is not None else 1
        case _:
            call.err.append("usage: launchctl __lab login|logout|reboot|logged-in\n")
            return 64
    return 0


COMMANDS: dict[str, Callable[[Call], Awaitable[int]]] = {
    "bootstrap": bootstrap, "bootout": bootout, "kickstart": kickstart, "kill": kill,
    "print": print_target, "print-disabled": print_disabled, "enable": enable, "disable": disable,
    "list": legacy.list_jobs, "start": legacy.start, "stop": legacy.stop, "load": legacy.load,
    "unload": legacy.unload, "setenv": legacy.setenv, "unsetenv": legacy.unsetenv,
    "getenv": legacy.getenv, "managername": legacy.managername, "manageruid": legacy.manageruid,
    "__lab": lab,
}  # fmt: skip


async def run(call: Call) -> int:
    """Carry out one call; its exit code. The texts are in ``call.out`` and ``call.err``."""
    if not call.words:
        call.out.append(USAGE)
        return 0
    name, *call.words = call.words
    command = COMMANDS.get(name)
    if command is None:
        call.err.append(f"Unrecognized subcommand: {name}\n")
        return 1
    try:
        return await command(call)
    except UsageError:
        call.out.append(USAGE)
        return 64
