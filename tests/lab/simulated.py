"""One Mac of the level "namespaces": its file system and its first process."""

from __future__ import annotations

import encodings.idna  # noqa: F401  (wanted by the first connection, when it is out of reach)
import importlib.util
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tests.lab import account, kernel, wrappers
from tests.lab.spec import MacSpec
from tests.lab.standins.here import SYSTEM

PRIVATE = "/private/lab"
"""Folder inside a Mac with what no Mac has: this checkout, the cache, the machine's own /usr."""
ROOT_HELPER = f"{PRIVATE}/bin/as-root"
"""A set-user-id ``setpriv``, through which the stand-in ``sudo`` becomes root."""
_SSHD = "/private/var/lab-sshd"
_SSHD_CONFIG = f"""\
Port 22
ListenAddress 0.0.0.0
HostKey {_SSHD}/key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
LogLevel VERBOSE
Subsystem sftp internal-sftp
StrictModes no
SetEnv PATH={account.SYSTEM_PATH} TMPDIR={{tmpdir}}/
"""


@dataclass(frozen=True)
class Place:
    """Where the machine below keeps what a Mac is built from."""

    lab: str
    """The lab's folder: keys, logs."""
    layer: str
    """The shared layer (:mod:`tests.lab.layer`)."""
    repo: str
    cache: str
    python_prefix: str | None
    """Folder of the interpreter for stand-ins; None when it is part of /usr."""
    users_size: str
    """Size of the file system with the homes, as tmpfs takes it: ``2g``."""


def enter(spec: MacSpec, place: Place) -> str:
    """Build the Mac's file system in this mount namespace; returns its root from here."""
    base = f"{place.lab}/{spec.name}"
    root, upper = f"{base}/root", f"{base}/upper"
    socket.sethostname(spec.name)
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    os.makedirs(base, exist_ok=True)
    kernel.mount("tmpfs", base, "tmpfs", options="mode=755,size=2g")
    os.mkdir(root)
    kernel.mount("tmpfs", root, "tmpfs", options="mode=755,size=2g")
    for folder in _FOLDERS:
        os.makedirs(f"{root}{folder}")
    for link, target in _LINKS.items():
        os.symlink(target, f"{root}{link}")
    for name, inside in (("usr", "/usr"), ("etc", "/private/etc")):
        os.makedirs(f"{upper}/{name}")
        os.makedirs(f"{base}/scratch/{name}")
        layers = f"lowerdir={place.layer}/{name}:/{name}"
        layers += f",upperdir={upper}/{name},workdir={base}/scratch/{name}"
        kernel.mount("overlay", f"{root}{inside}", "overlay", options=layers)
    for folder in ("/private/tmp", "/private/var/tmp"):
        os.chmod(f"{root}{folder}", 0o1777)
    size = f"mode=755,size={place.users_size}"
    kernel.mount("tmpfs", f"{root}/Users", "tmpfs", options=size)
    _devices(f"{root}/dev")
    _share(root, place)
    _fill(root, spec, place)
    return root


_FOLDERS = [
    "/usr",
    "/private/etc",
    "/private/tmp",
    "/private/var/tmp",
    "/private/var/log",
    "/private/var/root",
    "/private/var/run",
    "/private/var/empty",
    "/private/var/lab",
    "/private/var/lab-sshd",
    "/private/lab/bin",
    "/proc",
    "/dev",
    "/run/sshd",
    "/Users",
    "/opt",
    "/Applications",
    "/Library/LaunchAgents",
    "/Library/LaunchDaemons",
    "/Library/Preferences",
    "/System/Library",
    "/System/Volumes/Data",
    "/Volumes",
    "/cores",
]
_LINKS = {
    "/bin": "usr/bin",
    "/sbin": "usr/sbin",
    "/lib": "usr/lib",
    "/lib64": "usr/lib64",
    "/tmp": "private/tmp",
    "/var": "private/var",
    "/etc": "private/etc",
}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def _devices(dev: str) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", options="mode=755,size=1m")
    for name in _DEVICES:
        with open(f"{dev}/{name}", "w", encoding="utf-8"):
            pass
        kernel.bind(f"/dev/{name}", f"{dev}/{name}")
    os.mkdir(f"{dev}/pts")
    kernel.mount("devpts", f"{dev}/pts", "devpts", options="newinstance,ptmxmode=0666,mode=0620")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
    for name, target in links.items():
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(f"{dev}/shm", 0o1777)
    os.chmod(f"{dev}/shm", 0o1777)
    with open(f"{dev}/console", "w", encoding="utf-8"):
        pass


def _share(root: str, place: Place) -> None:
    shares = {SYSTEM: "/usr", f"{PRIVATE}/repo": place.repo, f"{PRIVATE}/cache": place.cache}
    if place.python_prefix:
        # Under its own path: the interpreter may look for its library by an absolute one.
        shares[place.python_prefix] = place.python_prefix
    for inside, outside in shares.items():
        os.makedirs(f"{root}{inside}", exist_ok=True)
        kernel.bind(outside, f"{root}{inside}", read_only=True)


def _fill(root: str, spec: MacSpec, place: Place) -> None:
    home = f"{root}{spec.home}"
    temporary = f"{root}/private{account.temporary(spec)}"
    for folder in (".ssh", "Desktop", "Documents", "Downloads", "Library/Logs"):
        os.makedirs(f"{home}/{folder}")
    for folder in ("Library/Preferences", "Library/Application Support", "Library/Caches"):
        os.makedirs(f"{home}/{folder}")
    os.makedirs(temporary)
    os.makedirs(f"{root}/Users/Shared")
    shutil.copyfile(f"{place.lab}/id.pub", f"{home}/.ssh/authorized_keys")
    os.chmod(home, 0o750)
    state = f"{root}/private/var/lab"
    with open(f"{state}/mac.json", "w", encoding="utf-8") as file:
        json.dump(asdict(spec), file, indent=1)
    for top in (home, state, f"{root}/private/var/folders"):
        _give(top, spec)
    # As on a Mac: administrators may put apps there without a password.
    os.chown(f"{root}/Applications", 0, 80)
    os.chmod(f"{root}/Applications", 0o775)
    helper = f"{root}{ROOT_HELPER}"
    shutil.copyfile(_program("setpriv"), helper)
    os.chmod(helper, 0o4755)
    shutil.copyfile(f"{place.lab}/{spec.name}.key", f"{root}{_SSHD}/key")
    os.chmod(f"{root}{_SSHD}/key", 0o600)
    with open(f"{root}{_SSHD}/config", "w", encoding="utf-8") as file:
        file.write(_SSHD_CONFIG.format(tmpdir=account.temporary(spec)))


def _give(top: str, spec: MacSpec) -> None:
    os.chown(top, spec.uid, spec.gid)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.chown(f"{folder}/{name}", spec.uid, spec.gid)


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if not found:
        raise FileNotFoundError(name)
    return found


def run(spec: MacSpec, root: str, logs: str, ready: Callable[[], None]) -> None:
    """The Mac's first process: start launchd and sshd, say ``ready``; never returns."""
    # All that is needed from the machine below comes first: after pivot_root it is gone.
    log = {name: _log(f"{logs}/{spec.name}.{name}.log") for name in ("launchd", "sshd")}
    sshd = _program("sshd")
    with_launchd = launchd_exists()
    os.makedirs(f"{root}/proc", exist_ok=True)
    kernel.mount("proc", f"{root}/proc", "proc")
    kernel.pivot_root(root)
    kernel.name_process("launchd")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    path = {"PATH": account.SYSTEM_PATH}

    def start(name: str, argv: list[str], environment: dict[str, str]) -> int:
        output = [(os.POSIX_SPAWN_DUP2, log[name], 1), (os.POSIX_SPAWN_DUP2, log[name], 2)]
        return os.posix_spawn(argv[0], argv, path | environment, file_actions=output)

    if with_launchd:
        start("launchd", *launchd(spec))
        wait_for(lambda: os.path.exists(f"{spec.state}/launchd.sock"), "launchd's stand-in")
    command = [sshd, "-D", "-e", "-f", f"{_SSHD}/config"]
    server = start("sshd", command, {})
    wait_for(lambda: listening("127.0.0.1", 22), "sshd")
    ready()
    while True:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            time.sleep(1)
            continue
        if ended == server:
            server = start("sshd", command, {})


def launchd_exists() -> bool:
    """Whether this checkout has the stand-in for launchd."""
    return importlib.util.find_spec("tests.lab.standins.launchd") is not None


def launchd(spec: MacSpec) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the stand-in for launchd."""
    argv = [spec.python, "-S", "-P", "-m", "tests.lab.standins.launchd"]
    environment = {
        "CLAWFLEET_LAB_MAC": f"{spec.state}/mac.json",
        "PYTHONPATH": spec.repo,
        wrappers.ARGV0: "/sbin/launchd",
        "PATH": account.path(spec),
    }
    return argv, environment


def _log(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Return when the condition holds; TimeoutError names ``what`` did not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come up within {seconds:g} s")
        time.sleep(0.005)


def listening(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
