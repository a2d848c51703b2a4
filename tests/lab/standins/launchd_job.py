"""One job of the stand-in launchd: what its plist says, its process, and how it lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import plistlib
import pwd
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.parsers.expat import ExpatError

from tests.lab.spec import MacSpec, faults

CONFIG_ERROR = 78
"""``EX_CONFIG``: what launchd reports where it cannot start the program (missing program,
working directory or log folder), instead of a shell's 126 or 127."""
THROTTLE = 10.0
"""Seconds between two starts of a job on a real Mac, unless ``ThrottleInterval`` says otherwise."""
LAB_THROTTLE = 1.0
"""What those ten seconds last in the lab; the fault ``launchd.throttle`` sets another figure."""
EXIT_TIMEOUT = 5.0
BASE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


class BadPlistError(ValueError):
    """The file is no job that launchd would take."""


@dataclass(frozen=True)
class Definition:
    """What a plist said when it was bootstrapped; launchd does not look at the file again."""

    label: str
    path: str
    arguments: tuple[str, ...]
    program: str
    inferred: bool
    """Whether the program was taken from the first argument."""
    environment: Mapping[str, str]
    run_at_load: bool
    keep_alive: bool | Mapping[str, bool]
    throttle: float
    exit_timeout: float
    stdout: str | None
    stderr: str | None
    directory: str | None
    umask: int | None
    user: str | None
    sessions: tuple[str, ...]
    disabled: bool
    abandon_group: bool
    interactive: bool

    @property
    def starts_at_load(self) -> bool:
        """``KeepAlive`` in any form means that the job also starts when it is loaded."""
        return self.run_at_load or self.keep_alive is not False

    def keeps_alive_after(self, status: int) -> bool:
        """Whether the job starts again after it ended with ``status`` (negative: signal)."""
        if isinstance(self.keep_alive, bool):
            return self.keep_alive
        wanted = []
        if "SuccessfulExit" in self.keep_alive:
            wanted.append(self.keep_alive["SuccessfulExit"] == (status == 0))
        if "Crashed" in self.keep_alive:
            wanted.append(self.keep_alive["Crashed"] == (status < 0))
        return any(wanted) if wanted else True


def read(path: str) -> Definition:
    """The job in the plist at ``path``; BadPlistError where launchd would refuse the file."""
    try:
        with open(path, "rb") as file:
            return parse(plistlib.load(file), path)
    except (OSError, ValueError, TypeError, AttributeError, ExpatError) as error:
        raise BadPlistError(f"{path}: {error}") from error


def parse(plist: Any, path: str) -> Definition:
    """The job that a decoded plist describes; BadPlistError where it describes none."""
    if not isinstance(plist, dict) or not isinstance(plist.get("Label"), str):
        raise BadPlistError(f"{path}: no Label")
    arguments = tuple(str(word) for word in plist.get("ProgramArguments", ()))
    program = plist.get("Program") or (arguments[0] if arguments else None)
    if not program:
        raise BadPlistError(f"{path}: neither Program nor ProgramArguments")
    sessions = plist.get("LimitLoadToSessionType", "Aqua")
    umask = plist.get("Umask")
    return Definition(
        label=plist["Label"],
        path=path,
        arguments=arguments or (program,),
        program=program,
        inferred="Program" not in plist,
        environment={k: str(v) for k, v in plist.get("EnvironmentVariables", {}).items()},
        run_at_load=bool(plist.get("RunAtLoad", False)),
        keep_alive=plist.get("KeepAlive", False),
        throttle=float(plist.get("ThrottleInterval", THROTTLE)),
        exit_timeout=float(plist.get("ExitTimeOut", EXIT_TIMEOUT)),
        stdout=plist.get("StandardOutPath"),
        stderr=plist.get("StandardErrorPath"),
        directory=plist.get("WorkingDirectory"),
        umask=int(umask, 8) if isinstance(umask, str) else umask,
        user=plist.get("UserName"),
        sessions=(sessions,) if isinstance(sessions, str) else tuple(sessions),
        disabled=bool(plist.get("Disabled", False)),
        abandon_group=bool(plist.get("AbandonProcessGroup", False)),
        interactive=plist.get("ProcessType") == "Interactive",
    )


class Domain:
    """``system``, ``user/UID`` or ``gui/UID``: jobs, and the environment they inherit."""

    def __init__(self, kind: str, uid: int, asid: int, environment: dict[str, str]) -> None:
        self.kind = kind
        self.uid = uid
        self.asid = asid
        self.environment = environment
        self.jobs: dict[str, Job] = {}

    @property
    def name(self) -> str:
        """As in a target: ``gui/501``."""
        return "system" if self.kind == "system" else f"{self.kind}/{self.uid}"

    @property
    def session(self) -> str:
        """As ``launchctl managername`` prints it."""
        return {"gui": "Aqua", "user": "Background", "system": "System"}[self.kind]


class Job:
    """A loaded job. It lives from bootstrap until some time after bootout."""

    def __init__(self, mac: MacSpec, domain: Domain, definition: Definition) -> None:
        self.mac = mac
        self.domain = domain
        self.definition = definition
        self.state = "not running"
        self.pid: int | None = None
        self.runs = 0
        self.last_status: int | None = None
        """As of subprocess: the exit code, or minus the signal; None: it never ended."""
        self.removed = False
        self.inherited: dict[str, str] = {}
        """The domain's environment as the running process got it."""
        self._demand = asyncio.Event()
        self._spawned = asyncio.Event()
        self._life = asyncio.create_task(self._live())

    async def load(self) -> None:
        """Start the job if its plist wants that; returns when it was tried once."""
        if self.definition.starts_at_load:
            await self.start()

    async def start(self) -> int | None:
        """Start the job unless it runs; the pid of the process, None where that failed."""
        if self.pid is None:
            await self._respawn()
        return self.pid

    async def restart(self) -> int | None:
        """End the process if there is one and start another, without reading the plist again."""
        if self.pid is not None:
            self._demand.set()
            self._spawned.clear()
            self._terminate(self._exit_timeout())
            await self._spawned.wait()
            return self.pid
        return await self.start()

    def signal(self, number: int) -> bool:
        """Send a signal to the process; False where none runs."""
        if self.pid is None:
            return False
        os.kill(self.pid, number)
        return True

    def unload(self) -> None:
        """Begin to end the job; it is gone when :meth:`gone` returns."""
        self.removed = True
        self.state = "SIGTERMed"
        self._demand.set()
        if self.pid is not None:
            self._terminate(self._exit_timeout())

    async def gone(self) -> None:
        """Wait until the process and its group have ended after :meth:`unload`."""
        await self._life

    def kill(self) -> None:
        """End the process and its group at once."""
        if self.pid is not None:
            _end_group(self.pid)

    async def _respawn(self) -> None:
        self._spawned.clear()
        self._demand.set()
        await self._spawned.wait()

    def _exit_timeout(self) -> float:
        override = faults(self.mac).get("launchd.exit_timeout")
        return self.definition.exit_timeout if override is None else float(override)

    def _terminate(self, timeout: float) -> None:
        pid = self.pid
        if pid is None:
            return
        self.state = "SIGTERMed"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        asyncio.get_running_loop().call_later(timeout, self._kill_if_still, pid)

    def _kill_if_still(self, pid: int) -> None:
        if self.pid == pid:
            self.kill()

    async def _live(self) -> None:
        due = False
        while not self.removed:
            if not due:
                self.state = "not running"
                await self._demand.wait()
            if self.removed:
                break
            self._demand.clear()
            began = asyncio.get_running_loop().time()
            status = await self._run_once()
            self.last_status = status
            due = self._demand.is_set() or self.definition.keeps_alive_after(status)
            if due and not self.removed:
                await self._throttle(began)
        self._spawned.set()

    async def _throttle(self, began: float) -> None:
        self.state = "spawn scheduled"
        scale = float(faults(self.mac).get("launchd.throttle", LAB_THROTTLE)) / THROTTLE
        passed = asyncio.get_running_loop().time() - began
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                self._demand.wait(), max(0.0, self.definition.throttle * scale - passed)
            )

    async def _run_once(self) -> int:
        self.runs += 1
        self.state = "xpcproxy"
        self.inherited = dict(self.domain.environment)
        try:
            process = await self._spawn()
        except OSError:
            self._spawned.set()
            return CONFIG_ERROR
        self.pid = process.pid
        self.state = "running"
        self._spawned.set()
        if self.removed:
            self._terminate(self._exit_timeout())
        status = await process.wait()
        self.pid = None
        if not self.definition.abandon_group:
            _end_group(process.pid)
        return status

    async def _spawn(self) -> asyncio.subprocess.Process:
        job = self.definition
        account = self._account()
        files: list[BinaryIO] = []
        try:
            files.append(_log(job.stdout, account))
            files.append(_log(job.stderr, account))
            return await asyncio.create_subprocess_exec(
                *job.arguments,
                executable=job.program,
                env=self.environment(),
                cwd=job.directory or "/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=files[0],
                stderr=files[1],
                start_new_session=True,
                umask=0o22 if job.umask is None else job.umask,
                **account,
            )
        finally:
            for file in files:
                file.close()

    def _account(self) -> dict[str, Any]:
        """Arguments of Popen that make the process run as the right user, where we may choose."""
        if os.geteuid() != 0 or self.mac.level != "namespaces":
            return {}
        if self.definition.user is not None:
            entry = pwd.getpwnam(self.definition.user)
            uid, gid = entry.pw_uid, entry.pw_gid
        elif self.domain.kind == "system":
            return {}
        else:
            uid, gid = self.mac.uid, self.mac.gid
        return {"user": uid, "group": gid, "extra_groups": [gid]}

    def environment(self) -> dict[str, str]:
        """All that the process gets: nothing of the daemon's own environment is in it."""
        mac = self.mac
        base = {
            "HOME": mac.home,
            "USER": mac.user,
            "LOGNAME": mac.user,
            "SHELL": "/bin/zsh",
            "TMPDIR": tmpdir(mac),
            "PATH": default_path(mac),
        }
        if self.domain.kind == "system":
            base = {"PATH": default_path(mac)}
        return {
            **base,
            **self.domain.environment,
            **self.definition.environment,
            "XPC_FLAGS": "0x0",
            "XPC_SERVICE_NAME": self.definition.label,
            "CLAWFLEET_LAB_DOMAIN": self.domain.name,
        }


def default_path(mac: MacSpec) -> str:
    """PATH of a job whose plist has none; where stand-ins only shadow, they come first."""
    return BASE_PATH if mac.level == "namespaces" else f"{mac.bin}:{BASE_PATH}"


def tmpdir(mac: MacSpec) -> str:
    """The user's folder for temporary files, with the slash that macOS has at its end."""
    return mac.path(f"/var/folders/zz/lab{mac.uid}/T/")


def _log(path: str | None, account: Mapping[str, Any]) -> BinaryIO:
    if path is None:
        return open(os.devnull, "wb")
    new = not os.path.exists(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    if new and account:
        os.fchown(descriptor, account["user"], account["group"])
    return os.fdopen(descriptor, "ab")


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
