"""One call of ``launchctl`` inside the stand-in launchd: its target, its caller, its errors."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from tests.lab.standins.launchd_job import BadPlistError, Definition, Domain, Job, read
from tests.lab.standins.launchd_machine import Machine

USAGE = "Usage: launchctl <subcommand> ... | help [subcommand]\n"
ERRORS = {
    1: "Operation not permitted",
    3: "No such process",
    5: "Input/output error",
    36: "Operation now in progress",
    37: "Operation already in progress",
    125: "Domain does not support specified action",
    150: "Operation not permitted while System Integrity Protection is engaged",
}
NO_DOMAIN = 112
NO_SERVICE = 113
UNSUPPORTED = 125
SIP = 150
BUSY = 37
IO_ERROR = 5


class FailureError(Exception):
    """An error that launchd answered; the subcommand decides how it is worded."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class UsageError(Exception):
    """The command line itself is wrong: usage on stdout, exit code 64."""


@dataclass(frozen=True)
class Target:
    """``gui/501/LABEL`` taken apart."""

    kind: str
    uid: int
    label: str | None

    @property
    def words(self) -> str:
        """The domain as launchctl's error messages name it."""
        return {"system": "system", "user": f"uid: {self.uid}"}.get(
            self.kind, f"user gui: {self.uid}"
        )


@dataclass
class Call:
    """One run of ``launchctl`` and what it prints."""

    machine: Machine
    words: list[str]
    cwd: str
    uid: int
    """Of the caller; 0 may do everything."""
    session: str
    """The caller's own domain, such as ``user/501`` for an SSH session."""
    tty: bool
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    def target(self, text: str) -> Target:
        """Take a target apart; UsageError with the reason on stderr where it is none."""
        kind, _, rest = text.partition("/")
        if kind == "system":
            return Target("system", 0, rest or None)
        number, _, label = rest.partition("/")
        if kind in ("gui", "user") and number.isdigit():
            return Target(kind, int(number), label or None)
        self.err.append(
            f"Unrecognized target specifier, did you mean gui/<uid>/{text}\n"
            if "/" not in text
            else "Unrecognized target specifier. <service-target> takes a form of"
            " <domain-target>/<service-id>.\n"
        )
        raise UsageError

    def domain(self, target: Target) -> Domain:
        """The domain of a target; FailureError 112 where it does not exist."""
        if target.kind == "system":
            return self.machine.system
        if target.uid != self.machine.mac.uid:
            raise FailureError(NO_DOMAIN if self.uid == 0 else 1)
        if self.uid not in (0, target.uid):
            raise FailureError(1)
        if target.kind == "user":
            return self.machine.user
        if self.machine.gui is None:
            raise FailureError(NO_DOMAIN)
        return self.machine.gui

    def own_domain(self) -> Domain:
        """The domain that the caller runs in."""
        try:
            return self.domain(self.target(self.session))
        except FailureError:
            return self.machine.user

    def job(self, target: Target) -> Job:
        """The job of a service target; FailureError 112 or 113 where there is none."""
        if target.label is None:
            raise UsageError
        job = self.domain(target).jobs.get(target.label)
        if job is None:
            raise FailureError(NO_SERVICE)
        return job

    def missing(self, code: int, target: Target) -> str:
        """The last line of an error about a domain or service that is not there."""
        if code == NO_SERVICE:
            return f'Could not find service "{target.label}" in domain for {target.words}\n'
        if code == NO_DOMAIN:
            return f"Could not find domain for {target.words}\n"
        return f"{ERRORS.get(code, f'Unknown error: {code}')}\n"


def loadable(call: Call, domain: Domain, path: str) -> Definition:
    """The job in a plist; FailureError 5 where launchd would not load it into this domain."""
    path = os.path.join(call.cwd, path)
    owner = 0 if domain.kind == "system" else call.machine.mac.uid
    try:
        facts = os.stat(path)
        definition = read(path)
    except (OSError, BadPlistError) as error:
        raise FailureError(IO_ERROR) from error
    isolated = call.machine.mac.level == "namespaces"
    refused = (
        facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        or (isolated and facts.st_uid not in (0, owner))
        or call.machine.is_disabled(domain, definition)
        or definition.label in domain.jobs
        or (domain.kind != "system" and domain.session not in definition.sessions)
    )
    if refused:
        raise FailureError(IO_ERROR)
    return definition


def label_of(call: Call, path: str) -> str:
    try:
        return read(os.path.join(call.cwd, path)).label
    except BadPlistError as error:
        raise FailureError(IO_ERROR) from error
