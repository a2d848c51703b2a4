"""What the stand-in launchd keeps of one simulated Mac: domains, overrides, who is logged in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from tests.lab.spec import MacSpec, faults
from tests.lab.standins.launchd_job import BadPlistError, Definition, Domain, Job, read

TEARDOWN = 0.3
"""Seconds that a label stays after bootout (3 to 20 on a real Mac); fault ``launchd.teardown``."""
SHUTDOWN_GRACE = 1.0
"""Seconds that jobs have to end when the whole Mac goes down."""


class Machine:
    """The domains of one Mac. At the start the state is that of a Mac just after its boot."""

    def __init__(self, mac: MacSpec) -> None:
        self.mac = mac
        self.system = Domain("system", 0, 0, {})
        self.user = Domain("user", mac.uid, 100001, {})
        self.gui: Domain | None = None
        self._logins = 0
        self._endings: set[asyncio.Task[None]] = set()
        self._overrides_file = Path(mac.state) / "launchd-overrides.json"

    async def boot(self) -> None:
        """Load the daemons, and log the user in where the Mac does that by itself."""
        for definition in _installed(self.mac.path("/Library/LaunchDaemons")):
            await self._load_installed(self.system, definition)
        if self.mac.gui_login:
            await self.login()
        else:
            self._note_console(0)

    async def login(self) -> None:
        """Create ``gui/UID`` and load the user's agents, as loginwindow does."""
        if self.gui is not None:
            return
        asid = 100002 + self._logins
        self._logins += 1
        socket = f"/private/tmp/com.apple.launchd.lab{asid}/Listeners"
        self.gui = Domain("gui", self.mac.uid, asid, {"SSH_AUTH_SOCK": socket})
        self._note_console(self.mac.uid)
        for definition in _installed(f"{self.mac.home}/Library/LaunchAgents"):
            if "Aqua" in definition.sessions:
                await self._load_installed(self.gui, definition)

    async def logout(self) -> None:
        """End all jobs of ``gui/UID``, then the domain with what ``setenv`` put there."""
        if self.gui is not None:
            await _end(list(self.gui.jobs.values()))
            self.gui = None
            self._note_console(0)

    async def shutdown(self) -> None:
        """End every job of the Mac; returns when no process is left."""
        domains = [domain for domain in (self.gui, self.user, self.system) if domain]
        await _end([job for domain in domains for job in domain.jobs.values()])
        for task in self._endings:
            task.cancel()
        self.gui = None
        self.user.environment.clear()

    async def load(self, domain: Domain, definition: Definition) -> None:
        """Add a job to a domain and start it if its plist says so."""
        job = Job(self.mac, domain, definition)
        domain.jobs[definition.label] = job
        await job.load()

    def unload(self, job: Job) -> None:
        """Begin to end a job; its label stays until process and delay are over."""
        job.unload()
        task = asyncio.create_task(self._forget(job))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _forget(self, job: Job) -> None:
        delay = float(faults(self.mac).get("launchd.teardown", TEARDOWN))
        await asyncio.gather(job.gone(), asyncio.sleep(delay))
        job.domain.jobs.pop(job.definition.label, None)

    async def _load_installed(self, domain: Domain, definition: Definition) -> None:
        label = definition.label
        if label not in domain.jobs and not self.is_disabled(domain, definition):
            await self.load(domain, definition)

    def is_disabled(self, domain: Domain, definition: Definition) -> bool:
        """The override database decides; the plist's ``Disabled`` only where it says nothing."""
        return self.overrides(domain).get(definition.label, definition.disabled)

    def overrides(self, domain: Domain) -> dict[str, bool]:
        """Label to True (disabled) or False (enabled); kept over restarts, one for each user."""
        return self._all_overrides().get(str(domain.uid), {})

    def override(self, uid: int, label: str, disabled: bool) -> None:
        """``launchctl enable`` and ``disable``."""
        everything = self._all_overrides()
        everything.setdefault(str(uid), {})[label] = disabled
        self._overrides_file.write_text(json.dumps(everything))

    def _all_overrides(self) -> dict[str, dict[str, bool]]:
        try:
            stored: dict[str, dict[str, bool]] = json.loads(self._overrides_file.read_text())
        except FileNotFoundError:
            return {}
        return stored

    def _note_console(self, uid: int) -> None:
        """The owner of /dev/console, for the stand-in of ``stat``."""
        Path(self.mac.state, "console-uid").write_text(f"{uid}\n")

    def scripted(self, command: str) -> int:
        """The exit code that a test wants from this call of a subcommand; 0: do the real thing.

        ``{"launchctl.bootstrap": "5,5,0"}`` is used up call by call, then nothing is scripted.
        """
        codes = faults(self.mac).get(f"launchctl.{command}")
        if not codes:
            return 0
        counters = Path(self.mac.state) / "launchctl-faults.json"
        try:
            used: dict[str, list[str]] = json.loads(counters.read_text())
        except FileNotFoundError:
            used = {}
        before, count = used.get(command, [codes, "0"])
        position = int(count) if before == codes else 0
        used[command] = [codes, str(position + 1)]
        counters.write_text(json.dumps(used))
        sequence = codes.split(",")
        return int(sequence[position]) if position < len(sequence) else 0


async def _end(jobs: Iterable[Job]) -> None:
    ending = list(jobs)
    for job in ending:
        job.unload()
    if ending:
        waits = [asyncio.create_task(job.gone()) for job in ending]
        await asyncio.wait(waits, timeout=SHUTDOWN_GRACE)
        for job in ending:
            job.kill()
        await asyncio.wait(waits)
    for job in ending:
        job.domain.jobs.pop(job.definition.label, None)


def _installed(folder: str) -> list[Definition]:
    definitions = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):
            if name.endswith(".plist"):
                with contextlib.suppress(BadPlistError):
                    definitions.append(read(os.path.join(folder, name)))
    return definitions
