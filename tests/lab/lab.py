"""Simulated Macs for tests and for a look by hand.

    with Lab.up(2) as lab:
        mac = lab.macs["mac1"]
        mac.exec("sw_vers -productVersion", check=True).stdout      # b"15.6\\n"
        lab.run([sys.executable, "-m", "pyinfra", str(lab.inventory()), "deploy.py"])

A lab lives in one folder (``.lab/`` of the checkout, or ``CLAWFLEET_LAB_DIR``) and is gone with
:meth:`Lab.down`, at the end of the ``with`` block, or when the process that brought it up dies.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import account, levels, link, plan, processes
from tests.lab.plan import Down, LabError
from tests.lab.spec import MacSpec
from tests.lab.standins.here import SYSTEM


class Mac:
    """One running simulated Mac."""

    def __init__(self, lab: Lab, spec: MacSpec, address: str, port: int) -> None:
        self.lab, self.spec, self.address, self.port = lab, spec, address, port

    @property
    def name(self) -> str:
        """``mac1``, as in the inventory."""
        return self.spec.name

    def command(
        self, argv: Sequence[str] | str, *, user: bool = True, env: dict[str, str] | None = None
    ) -> list[str]:
        """The command of this machine that runs ``argv`` inside the Mac, as over SSH."""
        inside = ["/bin/sh", "-c", argv] if isinstance(argv, str) else list(argv)
        values = account.environment(self.spec, root=not user) | (env or {})
        clean = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in values.items())]
        home = self.spec.home if user else "/"
        clean += ["/bin/sh", "-c", 'cd "$0" && exec "$@"', home, *inside]
        return [*self.lab.enter(self.spec, user=user), *clean]

    def exec(
        self,
        argv: Sequence[str] | str,
        *,
        user: bool = True,
        env: dict[str, str] | None = None,
        check: bool = False,
        stdin: bytes | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside the Mac, as the user (or as root), with bytes on both streams.

        A text runs in ``/bin/sh``. CalledProcessError with ``check``, TimeoutExpired after
        ``timeout`` seconds.
        """
        return subprocess.run(
            self.command(argv, user=user, env=env),
            input=b"" if stdin is None else stdin,
            capture_output=True,
            check=check,
            timeout=timeout,
        )

    def write(self, path: str, content: bytes, mode: int = 0o644, *, user: bool = True) -> None:
        """Write a file (and the folders above it) inside the Mac."""
        script = 'mkdir -p "${1%/*}" && umask 077 && cat > "$1" && chmod "$2" "$1"'
        argv = ["/bin/sh", "-c", script, "write", path, f"{mode:o}"]
        self.exec(argv, user=user, stdin=content, check=True)

    def read(self, path: str, *, user: bool = True) -> bytes:
        """Content of a file inside the Mac; FileNotFoundError when it cannot be read."""
        done = self.exec(["/bin/cat", path], user=user)
        if done.returncode != 0:
            raise FileNotFoundError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def change(self, **values: Any) -> None:
        """Change values of the spec while the Mac runs: ``mac.change(disk_free=0)``."""
        self.spec = replace(self.spec, **values)
        text = json.dumps(asdict(self.spec), indent=1) + "\n"
        self.write(f"{self.spec.state}/mac.json", text.encode())

    def set_faults(self, faults: dict[str, str]) -> None:
        """Replace the Mac's fault switches (:func:`tests.lab.spec.faults`)."""
        self.write(f"{self.spec.state}/faults.json", json.dumps(faults).encode())


class Lab:
    """A running lab."""

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self.folder, self.state = folder, state
        self.level: levels.Level = state["level"]
        self.reason: str = state["reason"]
        self.internet: str = state["internet"]
        self.macs = {
            entry["name"]: Mac(self, MacSpec(**entry), *state["addresses"][entry["name"]])
            for entry in state["macs"]
        }
        self._lifeline: int | None = None

    @classmethod
    def up(
        cls,
        n: int,
        *,
        level: str = "auto",
        rtt: float | None = None,
        dir: Path | str | None = None,
        internet: bool | None = None,
        overrides: dict[str, dict[str, Any]] | None = None,
        users_size: str = "2g",
        linger: bool = False,
    ) -> Self:
        """Start ``n`` Macs and return when SSH answers on all of them.

        ``rtt``: milliseconds; at the level "namespaces" a link can be changed later only if it is
        given (0 is fine). ``overrides``: values of MacSpec for a Mac, such as ``{"mac2":
        {"memory": 8 << 30}}``; ``"all"`` is every Mac. ``linger``: stay up when this process
        ends. LabError says what did not come up.
        """
        folder = plan.folder(dir)
        if (folder / "lab.json").exists():
            running = cls.attach(folder)
            if running.alive():
                raise LabError(
                    f"a lab of {len(running.macs)} Macs is up in {folder}, expected none; "
                    f"take it down with: python -m tests.lab down --dir {folder}"
                )
            running.down()
        chosen, reason = levels.choose(level, plan.shown())
        wanted = plan.make(n, chosen, folder, rtt=rtt, internet=internet, overrides=overrides or {})
        wanted["place"]["users_size"] = users_size
        wanted["reason"] = reason
        plan.lay_out(folder, wanted)
        ours, lifeline = os.pipe() if not linger else (-1, -1)
        state = plan.launch(folder, wanted, lifeline=ours)
        lab = cls(folder, state)
        if not linger:
            os.close(ours)
            lab._lifeline = lifeline
        (folder / "lab.json").write_text(json.dumps(state, indent=1) + "\n")
        return lab

    @classmethod
    def attach(cls, dir: Path | str | None = None) -> Self:
        """The lab that runs in that folder; Down when there is none."""
        folder = plan.folder(dir)
        try:
            state = json.loads((folder / "lab.json").read_text())
        except FileNotFoundError:
            raise Down(
                f"no lab is up in {folder}, expected one; start it with: python -m tests.lab up 3"
            ) from None
        return cls(folder, state)

    def alive(self) -> bool:
        """Whether the process that holds all Macs still runs."""
        return plan.same_process(self.state["pid"], self.state["started"])

    def enter(self, spec: MacSpec, *, user: bool) -> list[str]:
        """The words before a command that make it run inside a Mac."""
        if self.level == "ports":
            if not self.state["mapped"]:
                return []
            return ["nsenter", "-t", str(self.state["pid"]), "-U", "--preserve-credentials", "--"]
        argv = ["nsenter", "-t", str(self.state["inits"][spec.name])]
        argv += ["-U"] if self.state["userns"] else []
        argv += ["-m", "-n", "-p", "-u", "-i", "-S0", "-G0", "--"]
        if user:
            argv += [f"{SYSTEM}/bin/setpriv", f"--reuid={spec.uid}", f"--regid={spec.gid}"]
            argv += ["--init-groups", "--"]
        return argv

    def network(self) -> list[str]:
        """The words before a command that make it reach the Macs."""
        if self.level == "ports":
            return []
        argv = ["nsenter", "-t", str(self.state["bed"])]
        argv += ["-U", "--preserve-credentials"] if self.state["userns"] else []
        return [*argv, "-n", "--"]

    def run(self, argv: Sequence[str], **keywords: Any) -> subprocess.CompletedProcess[Any]:
        """``subprocess.run`` in the lab's network, from where the Macs are reached."""
        keywords.setdefault("check", False)
        return subprocess.run([*self.network(), *argv], **keywords)  # noqa: PLW1510

    def inventory(self) -> Path:
        """Write ``hosts.yml`` with all Macs and return its path."""
        path = self.folder / "hosts.yml"
        path.write_text(plan.inventory(self.folder, self.macs.values()))
        return path

    def sessions(self) -> dict[str, dict[str, int]]:
        """What the SSH servers counted so far: ``sessions`` (commands, SFTP), ``bytes_in``,
        ``bytes_out``.

        At the level "namespaces" the bytes are those of the Mac's network interface, with all
        headers and downloads; at the level "ports" those of the SSH connections.
        """
        if self.level == "ports":
            return plan.ask(self.folder, {})
        return {
            name: plan.counted(self.folder / f"{name}.sshd.log", self.state["inits"][name])
            for name in self.macs
        }

    def net(self, mac: str, **values: float) -> None:
        """Change a link (``"all"``: each): rtt (ms), rate (kbit/s), loss (%), cut (0 or 1)."""
        if mac != "all" and mac not in self.macs:
            raise LabError(f"no {mac} in this lab, expected one of: {', '.join(self.macs)}, all")
        if unknown := values.keys() - {"rtt", "rate", "loss", "cut"}:
            raise LabError(f"no {', '.join(unknown)} in a link, expected rtt, rate, loss or cut")
        if self.level == "ports":
            if "loss" in values:
                raise LabError("loss needs the level namespaces; this lab has the level ports")
            plan.ask(self.folder, {"mac": mac, "set": values})
        elif self.state["rtt"] is not None:
            link.change(f"{self.folder}/net.sock", mac, **values)
        elif values.keys() == {"cut"}:
            for number, name in enumerate(self.macs, 1):
                if mac in (name, "all"):
                    how = "down" if values["cut"] else "up"
                    self.run(["ip", "link", "set", f"b{number}", how], check=True)
        else:
            raise LabError(
                "this lab has plain links; for a quality: python -m tests.lab up N --rtt 0"
            )

    def status(self) -> dict[str, Any]:
        """Everything about the lab, fit for JSON."""
        return {
            "level": self.level,
            "reason": self.reason,
            "folder": str(self.folder),
            "alive": self.alive(),
            "internet": self.internet,
            "sessions": self.sessions() if self.alive() else {},
            "macs": {
                mac.name: {"address": mac.address, "port": mac.port, **asdict(mac.spec)}
                for mac in self.macs.values()
            },
        }

    def down(self) -> None:
        """End every process of the lab and remove its folder, whatever is left of it."""
        pid = self.state["pid"]
        if self.alive():
            # The bed's end is the end of its namespaces; the other level's server tidies up itself.
            target = pid if self.level == "ports" else (self.state["bed"] or pid)
            os.kill(target, signal.SIGTERM if self.level == "ports" else signal.SIGKILL)
        end = time.monotonic() + 15
        while self.alive():
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            plan.reap(pid)
            time.sleep(0.005)
        if self.level == "ports":
            processes.sweep([mac.spec.root for mac in self.macs.values()], spare=os.getpid())
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
