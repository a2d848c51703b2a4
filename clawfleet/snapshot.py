"""One Mac as it is, read once: the typed form of what ``facts/mac.sh`` prints.

Everything that decides takes a :class:`Snapshot` (and the settings) and returns data; nothing in
here or above it asks the Mac again.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

PROXY_VARIABLES = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)
GATEWAY_LABEL = "ai.openclaw.gateway"


class ProbeError(ValueError):
    """The probe's output is not what the script prints (cut link, a shell that prints noise)."""


@dataclass(frozen=True)
class File:
    """A file that the deploy reads or writes, as it lies on the Mac."""

    path: str
    content: bytes | None
    """None: there is no such file."""
    mode: str = ""
    """Octal permission bits such as ``600``."""
    uid: int | None = None
    mtime: int = 0
    sha256: str | None = None
    link: str | None = None
    """Where the path leads when it is a symbolic link."""
    trouble: str | None = None
    """Why it can't be read, such as ``not a regular file``."""

    @property
    def exists(self) -> bool:
        return self.sha256 is not None

    @property
    def text(self) -> str | None:
        """The content as text, None when absent; UnicodeDecodeError when it is not UTF-8."""
        return None if self.content is None else self.content.decode("utf-8")


@dataclass(frozen=True)
class Process:
    pid: int
    ppid: int
    age: int
    """Seconds since it was started."""
    command: str


@dataclass(frozen=True)
class Listener:
    """Who listens on a port of the Mac's loopback address."""

    port: int
    processes: tuple[Process, ...] = ()
    parents: tuple[Process, ...] = ()
    proxies: tuple[str, ...] = ()
    """Names of proxy variables in the environment of the listening process."""

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(p.pid for p in self.processes)


@dataclass(frozen=True)
class Job:
    """A launchd job, from ``launchctl print``."""

    state: str
    pid: int | None
    runs: int
    last_exit: str
    inherited: dict[str, str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Node:
    path: str
    version: str


OllamaOwner = Literal["none", "formula", "app", "foreign"]


@dataclass(frozen=True)
class Model:
    """A model in Ollama's store, from ``/api/tags``."""

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class Snapshot:
    """What one probe saw. Absent things are None, empty or False."""

    kernel: str
    macos: str = ""
    arch: str = ""
    chip: str = ""
    memory: int = 0
    """Bytes."""
    user: str = ""
    uid: int = 0
    home: str = ""
    admin: bool = False
    sudo_free: bool = False
    now: int = 0
    """The Mac's clock, seconds since 1970."""
    disk_free: int | None = None
    """Bytes available where the models lie."""

    gui: bool = False
    gui_error: str = ""
    console_uid: int | None = None
    gui_environment: dict[str, str] = field(default_factory=dict)

    brew: str | None = None
    """Homebrew's prefix."""
    ollama_formula: str | None = None
    """Version in the Cellar."""
    ollama_cask: str | None = None
    """Token under which the cask is recorded: ``ollama-app``, or ``ollama`` before the rename."""
    ollama_app: str | None = None
    ollama_app_version: str | None = None
    ollama_link: str | None = None
    ollama_port: Listener = field(default_factory=lambda: Listener(11434))
    ollama_server: str | None = None
    """Version that the running server tells; None: none answers."""
    models: tuple[Model, ...] = ()
    ollama_env: File = field(default_factory=lambda: File("", None))
    ollama_plist: File = field(default_factory=lambda: File("", None))
    node_formulae: dict[str, str] = field(default_factory=dict)

    openclaw: str | None = None
    """Version of the installed OpenClaw."""
    openclaw_bin: str | None = None
    openclaw_entry: str | None = None
    nodes: tuple[Node, ...] = ()
    npm: str | None = None
    pnpm: str | None = None
    sqlite: bool = False
    """OpenClaw has migrated its state into SQLite here."""

    state_link: str | None = None
    config: File = field(default_factory=lambda: File("", None))
    auth: File = field(default_factory=lambda: File("", None))
    dotenv: File = field(default_factory=lambda: File("", None))
    service_env: File = field(default_factory=lambda: File("", None))
    plist: File = field(default_factory=lambda: File("", None))
    sessions: File = field(default_factory=lambda: File("", None))
    brew_env: File = field(default_factory=lambda: File("", None))

    gateway_port: Listener = field(default_factory=lambda: Listener(18789))
    gateway: Job | None = None
    gateway_disabled: bool = False
    gateway_system: bool = False
    gateway_http: int = 0
    """Status of ``GET /`` on the gateway's port; 0: no answer."""
    gateway_live: bool = False
    """``/healthz`` answered JSON with ok (OpenClaw 2026.2.x answers HTML to any path)."""
    restart_needed: tuple[str, ...] = ()
    """Reasons that an earlier change left, until a healthy restart takes them away."""
    shell_proxies: tuple[str, ...] = ()
    agent_proxies: tuple[str, ...] = ()

    @property
    def ollama_owner(self) -> OllamaOwner:
        """Who listens on Ollama's port, told by the command line of the listening process."""
        for process in self.ollama_port.processes:
            command = process.command
            if "Ollama.app/Contents/" in command:
                return "app"
            if "/opt/ollama/bin/ollama" in command or "/Cellar/ollama/" in command:
                return "formula"
            # brew's link leads to whoever owns it
            if self.brew and command.startswith(f"{self.brew}/bin/ollama"):
                return "app" if "Ollama.app" in (self.ollama_link or "") else "formula"
        return "foreign" if self.ollama_port.processes or self.ollama_server else "none"


def parse(output: str, *, ollama_port: int = 11434, gateway_port: int = 18789) -> Snapshot:
    """The snapshot in the probe's output.

    Raises ProbeError when the output is not complete.
    """
    values: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, tab, value = line.partition("\t")
        if tab:
            values.setdefault(name, []).append(value)
    if "clawfleet.probe" not in values or "clawfleet.end" not in values:
        raise ProbeError("the answer of the reading script was cut short")

    def one(name: str) -> str | None:
        found = values.get(name, [""])[0]
        return found or None

    def raw(name: str) -> bytes:
        try:
            return base64.b64decode(values.get(f"{name}:b64", [""])[0], validate=True)
        except binascii.Error as error:
            raise ProbeError(f"{name} arrived damaged ({error})") from error

    def text(name: str) -> str:
        return raw(name).decode("utf-8", "replace")

    kernel = one("os.kernel") or ""
    if kernel != "Darwin":
        return Snapshot(kernel=kernel)

    def file(name: str) -> File:
        path = one(f"file.{name}.path") or ""
        facts = one(f"file.{name}")
        link = one(f"file.{name}.link")
        if facts is None:
            trouble = "not a regular file" if one(f"file.{name}.other") else None
            return File(path, None, link=link, trouble=trouble)
        mode, uid, mtime, _size, sha256 = facts.split()
        trouble = "not readable by this user" if one(f"file.{name}.unreadable") else None
        content = None if trouble else raw(f"file.{name}.content")
        return File(path, content, mode, int(uid), int(mtime), sha256, link, trouble)

    def listener(name: str, port: int) -> Listener:
        return Listener(
            port,
            tuple(_process(line) for line in values.get(f"{name}.port.process", []) if line),
            tuple(_process(line) for line in values.get(f"{name}.port.parent", []) if line),
            tuple(sorted(set(values.get(f"{name}.port.proxy", [])))),
        )

    tags = _json(raw("ollama.api.tags")).get("models")
    healthz = _json(raw("gateway.healthz"))
    gateway_print = text("gateway.print")
    disk = one("disk.free_kb")
    console = one("console.uid")
    http = one("gateway.http") or "0"
    return Snapshot(
        kernel=kernel,
        macos=one("os.version") or "",
        arch="arm64" if one("sysctl.hw.optional.arm64") == "1" else one("os.arch") or "",
        chip=one("sysctl.machdep.cpu.brand_string") or "",
        memory=int(one("sysctl.hw.memsize") or 0),
        user=one("user.name") or "",
        uid=int(one("user.uid") or 0),
        home=one("user.home") or "",
        admin="admin" in (one("user.groups") or "").split(),
        sudo_free=one("sudo.free") == "yes",
        now=int(one("now") or 0),
        disk_free=int(disk) * 1024 if disk and disk.isdigit() else None,
        gui=one("gui.exists") == "yes",
        gui_error=one("gui.error") or "",
        console_uid=int(console) if console and console.isdigit() else None,
        gui_environment=_block(text("gui.print"), "environment"),
        brew=one("brew.prefix"),
        ollama_formula=one("ollama.formula"),
        ollama_cask=one("ollama.cask"),
        ollama_app=one("ollama.app"),
        ollama_app_version=one("ollama.app.version"),
        ollama_link=one("ollama.link"),
        ollama_port=listener("ollama", ollama_port),
        ollama_server=_json(raw("ollama.api.version")).get("version"),
        models=tuple(
            Model(str(m["name"]), str(m.get("digest", "")), int(m.get("size", 0)))
            for m in tags or []
        ),
        ollama_env=file("ollama_env"),
        ollama_plist=file("ollama_plist"),
        node_formulae={
            name.removeprefix("node.formula."): found[0]
            for name, found in values.items()
            if name.startswith("node.formula.")
        },
        openclaw=one("openclaw.version"),
        openclaw_bin=one("openclaw.bin"),
        openclaw_entry=one("openclaw.entry"),
        nodes=tuple(
            Node(path, version.removeprefix("v"))
            for path, _, version in (v.rpartition(" ") for v in values.get("node", []))
            if version
        ),
        npm=one("npm.bin"),
        pnpm=one("pnpm.bin"),
        sqlite=one("openclaw.sqlite") == "yes" or one("openclaw.agent_sqlite") == "yes",
        state_link=one("state.link"),
        config=file("config"),
        auth=file("auth"),
        dotenv=file("dotenv"),
        service_env=file("service_env"),
        plist=file("plist"),
        sessions=file("sessions"),
        brew_env=file("brew_env"),
        gateway_port=listener("gateway", gateway_port),
        gateway=parse_job(gateway_print) if gateway_print else None,
        gateway_disabled=one("gateway.disabled") == "yes",
        gateway_system=one("gateway.system") == "yes",
        gateway_http=int(http) if http.isdigit() else 0,
        gateway_live=healthz.get("ok") is True,
        restart_needed=tuple(line for line in text("restart.needed").splitlines() if line),
        shell_proxies=tuple(values.get("shell.proxy", [])),
        agent_proxies=tuple(values.get("agent.proxy", [])),
    )


def parse_job(printed: str) -> Job:
    """A job from ``launchctl print DOMAIN/LABEL``.

    Only lines with a single TAB count: the coalition blocks have a ``state`` of their own.
    """
    found: dict[str, str] = dict(re.findall(r"^\t([a-z ]+) = (.*)$", printed, re.M))
    pid = found.get("pid", "")
    return Job(
        state=found.get("state", "unknown"),
        pid=int(pid) if pid.isdigit() else None,
        runs=int(found["runs"]) if found.get("runs", "").isdigit() else 0,
        last_exit=str(found.get("last exit code") or found.get("last terminating signal") or ""),
        inherited=_block(printed, "inherited environment"),
        environment=_block(printed, "environment"),
    )


def seconds(etime: str) -> int:
    """Seconds in ``ps -o etime=``: ``[[dd-]hh:]mm:ss``."""
    days, dash, clock = etime.strip().rpartition("-")
    total = 0
    for part in clock.split(":"):
        total = total * 60 + int(part)
    return total + (int(days) * 86400 if dash else 0)


def _process(line: str) -> Process:
    try:
        pid, ppid, etime, command = line.split(None, 3)
        return Process(int(pid), int(ppid), seconds(etime), command.rstrip())
    except ValueError as error:
        raise ProbeError(f"ps printed {line!r}") from error


def _block(printed: str, name: str) -> dict[str, str]:
    block = re.search(rf"^\t{name} = \{{\n(.*?)^\t\}}", printed, re.M | re.S)
    if block is None:
        return {}
    return dict(re.findall(r"^\t\t(\S+) => (.*)$", block.group(1), re.M))


def _json(raw: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(raw)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
