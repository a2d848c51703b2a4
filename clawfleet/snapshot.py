"""One Mac as it is, read once: the typed form of what ``facts/mac.sh`` prints.

Everything that decides takes a :class:`Snapshot` (and the settings) and returns data; nothing in
here or above it asks the Mac again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from clawfleet.architecture import Architecture

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
PRELOAD_LABEL = "ai.clawfleet.preload"
OLLAMA_LABEL = "ai.clawfleet.ollama"
"""Of our LaunchDaemon; Homebrew's LaunchAgent has its own."""


@dataclass(frozen=True)
class Folder:
    """A folder in which such a file lies, or one on the way to it."""

    path: str
    """Without any link in it."""
    mode: str
    uid: int


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
    folder: str | None = None
    """The folder in which it really lies, without any link in the path; where there is none yet,
    the nearest one above. None: nobody looked."""

    @property
    def exists(self) -> bool:
        return self.sha256 is not None

    @property
    def text(self) -> str | None:
        """The content as text, None when absent; UnicodeDecodeError when it is not UTF-8."""
        return None if self.content is None else self.content.decode("utf-8")

    @property
    def loose_text(self) -> str:
        """The content as text that ``encode("utf-8", "surrogateescape")`` gives back byte by byte;
        empty when absent."""
        return (self.content or b"").decode("utf-8", "surrogateescape")


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
    arguments: tuple[str, ...] = ()
    age: int | None = None
    """Seconds since its process was started; None where none runs, or where `ps` did not say."""


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
    """Bytes on disk; 0 where no server told."""
    architecture: Architecture | None = None
    """From ``/api/show``, of the models that are wanted."""


@dataclass(frozen=True)
class Store:
    """Ollama's store of models as it lies on disk, whether a server runs or not."""

    path: str = ""
    """The folder with ``manifests`` and ``blobs``."""
    manifests: dict[str, File] = field(default_factory=dict)
    """By normalised name: those of the wanted models that are there."""
    blobs: dict[str, int] = field(default_factory=dict)
    """Digest (``sha256:...``) -> bytes, of every blob, whoever uses it."""
    partials: dict[str, int] = field(default_factory=dict)
    """Digest -> bytes that are there of an unfinished download."""
    incoming: dict[str, int] = field(default_factory=dict)
    """Digest -> bytes that came from another Mac and wait before the store."""


@dataclass(frozen=True)
class Snapshot:
    """What one probe saw. Absent things are None, empty or False."""

    kernel: str
    macos: str = ""
    arch: str = ""
    chip: str = ""
    memory: int = 0
    """Bytes."""
    wired_limit: int = 0
    """``sysctl iogpu.wired_limit_mb``: MiB that the GPU may have; 0: macOS' default."""
    user: str = ""
    uid: int = 0
    home: str = ""
    sudo_free: bool = False
    """``sudo -n true`` works; asked only where it is needed."""
    daemons: bool = False
    """What runs here is started by launchd's system domain, as the setting `services` says."""
    now: int = 0
    """The Mac's clock when the ages of processes were read, seconds since 1970."""
    disk_free: int | None = None
    """Bytes available where the models lie."""

    gui: bool = False
    gui_error: str = ""
    automatic_login: str = ""
    """Who is logged in at the screen by itself after a start; read only where nobody is."""
    filevault: str = ""
    """What ``fdesetup status`` says, such as ``FileVault is On.``; read only where nobody is."""
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
    ollama_open: bool = False
    """Something accepts connections on that port, also a process that this user can't see."""
    ollama_server: str | None = None
    """Version that the running server tells; None: none answers."""
    ollama_job: Job | None = None
    """Homebrew's ``homebrew.mxcl.ollama`` in this user's domains, or where services are daemons and
    it is loaded, ours; None: not loaded."""
    ollama_twin: bool = False
    """The other of the two is loaded as well, or its plist is there and it will be: Homebrew's
    where services are daemons, else ours."""
    ollama_daemon: File = field(default_factory=lambda: File("", None))
    """The plist of ours."""
    ollama_root: bool = False
    """That job is loaded in launchd's system domain (`sudo brew services start`)."""
    ollama_variables: dict[str, str] | None = None
    """``OLLAMA_*`` of the listening process without keys and tokens, as ``ps`` shows them; a value
    ends at its first blank. None: hidden, as macOS does for protected programs."""
    ollama_app_pids: tuple[int, ...] | None = None
    """Of Ollama.app's main process, None where nobody looked (no app)."""
    ollama_app_settings: dict[str, str] | None = None
    """Some columns of the app's settings database; None: no database, empty: it can't be read."""
    models: tuple[Model, ...] = ()
    store: Store = field(default_factory=Store)
    ollama_env: File = field(default_factory=lambda: File("", None))

    openclaw: str | None = None
    """Version of the installed OpenClaw."""
    openclaw_bin: str | None = None
    openclaw_entry: str | None = None
    openclaw_since: int = 0
    """When this OpenClaw was put in place, seconds since 1970; 0: not known."""
    nodes: tuple[Node, ...] = ()
    npm: str | None = None
    pnpm: str | None = None
    sqlite: bool = False
    """OpenClaw has migrated its state into SQLite here."""

    state_link: str | None = None
    state_mode: str = ""
    """Permission bits of ~/.openclaw, empty when there is none."""
    state_folder: str | None = None
    """Where ~/.openclaw really lies; None when there is none."""
    home_folder: str | None = None
    """Where the home folder really lies."""
    folders: dict[str, Folder] = field(default_factory=dict)
    """By path: in which the files below lie, and those between them and the home folder."""
    config: File = field(default_factory=lambda: File("", None))
    auth: File = field(default_factory=lambda: File("", None))
    dotenv: File = field(default_factory=lambda: File("", None))
    service_env: File = field(default_factory=lambda: File("", None))
    plist: File = field(default_factory=lambda: File("", None))
    brew_env: File = field(default_factory=lambda: File("", None))
    preload: File = field(default_factory=lambda: File("", None))
    """The LaunchAgent of ours that loads models after a login."""
    preload_job: Job | None = None

    owned: File = field(default_factory=lambda: File("", None))
    """``~/.clawfleet/owned.json``, the ledger of what earlier runs wrote."""
    also: tuple[File, ...] = ()
    """Further files that were asked for, as the ledger names them."""
    installed: tuple[str, ...] = ()
    """What earlier runs installed here, such as ``formula ollama`` or ``model gpt-oss:20b``."""
    unfinished: str | None = None
    """Name of the run that has replaced files of the gateway and was cut off before the gateway
    was seen well again; anything else than a run's name: the note of it is damaged."""

    reached: tuple[str, int] | None = None
    """Address and port at which this Mac's sshd was reached; None where no other Mac could use
    it."""
    lan_access: Literal["none", "open", "left"] = "none"
    """Another Mac may read models of this one: for a run that lives, or one that died left it."""

    gateway_port: Listener = field(default_factory=lambda: Listener(18789))
    gateway: Job | None = None
    gateway_override: Literal["", "enabled", "disabled"] = ""
    """What launchd's database of overrides says of the job; empty: nobody ever loaded it."""
    gateway_twin: bool = False
    """There is a job, or the plist of one, of the same label in the domain that is not ours: the
    system's, or where services are daemons the user's own."""
    gateway_http: int = 0
    """Status of ``GET /`` on the gateway's port; 0: no answer."""
    gateway_live: bool = False
    """``/healthz`` answered JSON with ok (OpenClaw 2026.2.x answers HTML to any path)."""
    restart_needed: tuple[str, ...] = ()
    """Reasons that an earlier change left, until a healthy restart takes them away."""
    started: File = field(default_factory=lambda: File("", None))
    """``~/.clawfleet/started``: which process clawfleet saw well last, and what that had read."""
    started_config: File = field(default_factory=lambda: File("", None))
    """The openclaw.json with which that process was started."""
    gateway_shown: bool = False
    """ps showed the environment of the process that listens on the gateway's port."""
    gateway_no_proxy: dict[str, str] = field(default_factory=dict)
    """``no_proxy`` and ``NO_PROXY`` in that environment, also blank ones."""

    shell_proxies: tuple[str, ...] = ()
    """Start files of shells that set a proxy, such as ``~/.zshrc``."""
    shell_setenv: tuple[str, ...] = ()
    """Those that set one in launchd's domain."""
    agent_proxies: tuple[str, ...] = ()
    """LaunchAgents that do so at each login."""
    brew_proxies: tuple[str, ...] = ()
    """Files besides `brew_env` that give Homebrew a proxy."""
    system_proxies: tuple[str, ...] = ()
    """Proxies of macOS' own settings that are switched on, such as ``HTTP 127.0.0.1:7890``."""
    proxy_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each of these files the names of the variables in it."""
    domain_set: File = field(default_factory=lambda: File("", None))
    """``~/.clawfleet/domain``: what earlier runs set in the GUI domain, and what was there."""

    @property
    def written(self) -> tuple[File, ...]:
        """The files that a deploy may write, also those that are not there."""
        files = (self.config, self.auth, self.dotenv, self.service_env, self.plist)
        ours = (self.ollama_env, self.brew_env, self.preload)
        daemon = (self.ollama_daemon,) if self.daemons else ()
        return (*files, *ours, *daemon, *self.also)

    @property
    def read_by_gateway(self) -> tuple[File, ...]:
        """The files that the gateway reads and that there are."""
        files = (self.config, self.auth, self.dotenv, self.service_env, self.plist)
        return tuple(file for file in files if file.exists)

    @property
    def ollama_owner(self) -> OllamaOwner:
        """Whose server listens on Ollama's port, told by the listening process, launchd's job and
        the app's process; more about "foreign" in `clawfleet.ollama_server`."""
        for process in self.ollama_port.processes:
            program = self.ollama_program(process.command)
            # A child of launchd's process listens where a wrapper does not replace itself.
            if program == "formula":
                job = self.ollama_job.pid if self.ollama_job else None
                return "formula" if job in (process.pid, process.ppid) else "foreign"
            if program == "app":
                apps = self.ollama_app_pids
                return "app" if apps is None or process.ppid in apps else "foreign"
        there = self.ollama_port.processes or self.ollama_open or self.ollama_server
        return "foreign" if there else "none"

    def ollama_program(self, command: str) -> Literal["formula", "app"] | None:
        """Which Ollama a command line runs, by its path; None: neither of the two."""
        if "Ollama.app/Contents/" in command:
            return "app"
        if "/opt/ollama/bin/ollama" in command or "/Cellar/ollama/" in command:
            return "formula"
        # brew's link leads to whoever owns it
        if self.brew and command.startswith(f"{self.brew}/bin/ollama"):
            return "app" if "Ollama.app" in (self.ollama_link or "") else "formula"
        return None
