"""The older subcommands of ``launchctl``: they know no target and act on the caller's domain.

Over SSH that is ``user/UID``, so they neither see nor change what runs in ``gui/UID``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.lab.standins import launchd_print
from tests.lab.standins.launchd_call import (
    ERRORS,
    IO_ERROR,
    NO_SERVICE,
    SIP,
    Call,
    FailureError,
    UsageError,
    label_of,
    loadable,
)


async def list_jobs(call: Call) -> int:
    domain = call.own_domain()
    if not call.words:
        call.out.append(launchd_print.table(domain))
        return 0
    job = domain.jobs.get(call.words[0])
    if job is None:
        return _not_here(call)
    call.out.append(launchd_print.dictionary(job))
    return 0


def _not_here(call: Call) -> int:
    call.err.append(f'Could not find service "{call.words[0]}" in domain for port\n')
    return NO_SERVICE


async def start(call: Call) -> int:
    if not call.words:
        raise UsageError
    job = call.own_domain().jobs.get(call.words[0])
    if job is None or job.removed:
        return _not_here(call)
    await job.start()
    return 0


async def stop(call: Call) -> int:
    if not call.words:
        raise UsageError
    job = call.own_domain().jobs.get(call.words[0])
    if job is None:
        return _not_here(call)
    job.signal(signal.SIGTERM)
    return 0


async def load(call: Call) -> int:
    """The old form: acts on the caller's domain, and says what went wrong with exit code 0."""
    paths = [word for word in call.words if not word.startswith("-")]
    if not paths:
        raise UsageError
    domain = call.own_domain()
    for path in paths:
        try:
            if "-w" in call.words:
                call.machine.override(domain.uid, label_of(call, path), False)
            await call.machine.load(domain, loadable(call, domain, path))
        except FailureError as error:
            _old_failure(call, "Load", "bootstrap", error.code)
    return 0


async def unload(call: Call) -> int:
    """The old form of bootout; see :func:`load`."""
    paths = [word for word in call.words if not word.startswith("-")]
    if not paths:
        raise UsageError
    domain = call.own_domain()
    for path in paths:
        try:
            label = label_of(call, path)
            if "-w" in call.words:
                call.machine.override(domain.uid, label, True)
            job = domain.jobs.get(label)
            if job is None or job.removed:
                raise FailureError(IO_ERROR)
            call.machine.unload(job)
        except FailureError as error:
            _old_failure(call, "Unload", "bootout", error.code)
    return 0


def _old_failure(call: Call, title: str, modern: str, code: int) -> None:
    call.err.append(f"{title} failed: {code}: {ERRORS[code]}\n")
    call.err.append(f"Try running `launchctl {modern}` as root for richer errors.\n")


async def setenv(call: Call) -> int:
    if not call.words or len(call.words) % 2:
        raise UsageError
    pairs = dict(zip(call.words[::2], call.words[1::2], strict=True))
    return _environment(call, lambda values: values.update(pairs))


async def unsetenv(call: Call) -> int:
    if not call.words:
        raise UsageError
    return _environment(call, lambda values: [values.pop(key, None) for key in call.words])


def _environment(call: Call, change: Callable[[dict[str, str]], object]) -> int:
    domain = call.own_domain()
    if domain.kind == "system":
        call.err.append(f"Could not set environment: {SIP}: {ERRORS[SIP]}\n")
        return SIP
    change(domain.environment)
    return 0


async def getenv(call: Call) -> int:
    if not call.words:
        raise UsageError
    value = call.own_domain().environment.get(call.words[0])
    if value is not None:
        call.out.append(f"{value}\n")
    return 0


async def managername(call: Call) -> int:
    call.out.append(f"{call.own_domain().session}\n")
    return 0


async def manageruid(call: Call) -> int:
    call.out.append(f"{call.own_domain().uid}\n")
    return 0
