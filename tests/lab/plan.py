"""What a lab consists of before it runs: folders, keys, ports, the Macs' values; and its launch."""

from __future__ import annotations

import compileall
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from tests.lab import account, bed, kernel, keys, levels, link, processes, simulated, wrappers
from tests.lab.spec import MacSpec
from tests.lab.standins.here import SYSTEM

REPO = Path(__file__).resolve().parents[2]
USER, UID, GID = "mac", 501, 20


class LabError(Exception):
    """The lab is not what was expected; the text says what was found and which command helps."""


class Down(LabError):
    """No lab runs in that folder."""


class Reachable(Protocol):
    """What an inventory needs to know of a Mac."""

    spec: MacSpec
    address: str
    port: int


def folder(wish: Path | str | None) -> Path:
    """The lab's folder: the wish, ``CLAWFLEET_LAB_DIR``, or ``.lab`` in the checkout."""
    return Path(wish or os.environ.get("CLAWFLEET_LAB_DIR") or REPO / ".lab").absolute()


def cache() -> Path:
    """Folder of what the lab fetched from npm; made when it is missing."""
    path = Path(os.environ.get("CLAWFLEET_CACHE") or Path.home() / ".cache" / "clawfleet")
    path.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def interpreter() -> tuple[str, str | None]:
    """The base interpreter of this process, and its folder if that is not in /usr."""
    executable = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if executable.startswith("/usr/"):
        return executable, None
    return executable, str(Path(executable).parents[1])


def shown() -> list[Path]:
    """Folders of this machine that every Mac's user must be able to read."""
    prefix = interpreter()[1]
    return [REPO, cache(), *([Path(prefix)] if prefix else [])]


def make(
    n: int,
    level: levels.Level,
    where: Path,
    *,
    rtt: float | None,
    internet: bool | None,
    overrides: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The plan that the bed or the SSH server reads; LabError for an impossible wish."""
    if not 1 <= n <= 200:
        raise LabError(f"the lab was asked for {n} Macs, expected 1 to 200")
    if rtt is not None and level == "namespaces" and not os.access(link.DEVICE, os.R_OK | os.W_OK):
        raise LabError(
            f"{link.DEVICE} is not open to this user, expected so for links with a quality; "
            f"use: sudo chmod 666 {link.DEVICE}, or leave out --rtt"
        )
    with_internet = bed.internet_exists() if internet is None else internet
    mapped = level == "ports" and os.getuid() == 0 and _can_map()
    ports = _free_ports(3 * n + 1) if level == "ports" else []
    address = f"127.0.0.1:{ports[-1]}" if ports else f"{bed.GATEWAY}:{bed.INTERNET_PORT}"
    specs = []
    for number in range(1, n + 1):
        name = f"mac{number}"
        values = overrides.get("all", {}) | overrides.get(name, {})
        if level == "namespaces":
            spec = _with_namespaces(name, f"http://{address}", values)
        else:
            own = ports[3 * number - 2 : 3 * number]
            spec = _as_folder(name, where, f"http://{address}", own, mapped, values)
        specs.append(asdict(spec))
    names = [entry["name"] for entry in specs]
    reached: dict[str, tuple[str, int]] = {
        name: ("127.0.0.1", ports[3 * i]) if ports else (f"{bed.NETWORK}{i + 1}", 22)
        for i, name in enumerate(names)
    }
    place = {"repo": str(REPO), "cache": str(cache()), "python_prefix": interpreter()[1]}
    return {
        "level": level,
        "macs": specs,
        "addresses": reached,
        "ports": {name: port for name, (_, port) in reached.items()},
        "rtt": rtt,
        "internet": f"http://{address}" if with_internet else "",
        "mapped": mapped,
        "userns": level == "namespaces" and os.getuid() != 0,
        "place": place,
    }


def _with_namespaces(name: str, internet: str, values: dict[str, Any]) -> MacSpec:
    executable, prefix = interpreter()
    home = f"/Users/{USER}"
    paths: dict[str, Any] = {
        "root": "",
        "home": home,
        "state": "/private/var/lab",
        "homebrew_prefix": "/usr/local" if values.get("arch") == "x86_64" else "/opt/homebrew",
        "applications": "/Applications",
        "python": executable if prefix else SYSTEM + executable.removeprefix("/usr"),
        "repo": f"{simulated.PRIVATE}/repo",
        "cache": f"{simulated.PRIVATE}/cache",
        "bin": "/usr/libexec/lab",
    }
    account_: dict[str, Any] = {"user": USER, "uid": UID, "gid": GID}
    fixed: dict[str, Any] = {"name": name, "level": "namespaces", "internet": internet}
    return MacSpec(**(fixed | account_ | paths | values))


def _as_folder(
    name: str, where: Path, internet: str, own: list[int], mapped: bool, values: dict[str, Any]
) -> MacSpec:
    root = f"{where}/{name}"
    brew = "/usr/local" if values.get("arch") == "x86_64" else "/opt/homebrew"
    paths: dict[str, Any] = {
        "root": root,
        "home": f"{root}/Users/{USER}",
        "state": f"{root}/state",
        "homebrew_prefix": root + brew,
        "applications": f"{root}/Users/{USER}/Applications",
        "python": interpreter()[0],
        "repo": str(REPO),
        "cache": str(cache()),
        "bin": f"{root}/usr/local/lab-bin",
        "ollama_port": own[0],
        "gateway_port": own[1],
    }
    uid, gid = (UID, GID) if mapped else (os.getuid(), os.getgid())
    account_: dict[str, Any] = {"user": USER, "uid": uid, "gid": gid}
    fixed: dict[str, Any] = {"name": name, "level": "ports", "internet": internet}
    return MacSpec(**(fixed | account_ | paths | values))


def _can_map() -> bool:
    argv = ["unshare", "--user", f"--map-user={UID}", f"--map-group={GID}", "true"]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _free_ports(count: int) -> list[int]:
    """Free loopback ports, below those that the kernel gives to outgoing connections."""
    found: list[int] = []
    candidates = random.sample(range(20000, 32000), 4000)
    for port in candidates:
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise LabError(f"{len(found)} free ports between 20000 and 32000, expected {count}")


def lay_out(where: Path, wanted: dict[str, Any]) -> None:
    """Write keys, plan and folders; LabError when ``where`` holds other files."""
    if where.exists() and any(where.iterdir()):
        if not (where / "plan.json").exists():
            raise LabError(
                f"{where} holds other files, expected an empty folder; use another --dir"
            )
        shutil.rmtree(where)
    where.mkdir(parents=True, exist_ok=True)
    (where / "plan.json").write_text(json.dumps(wanted, indent=1) + "\n")
    keys.make(where / "id")
    known = []
    for entry in wanted["macs"]:
        address, port = wanted["addresses"][entry["name"]]
        host = address if port == 22 else f"[{address}]:{port}"
        known.append(f"{host} {keys.make(where / (entry['name'] + '.key'))}\n")
        if wanted["level"] == "ports":
            _make_folders(MacSpec(**entry))
    (where / "known_hosts").write_text("".join(known))
    compileall.compile_dir(REPO / "tests" / "lab" / "standins", quiet=2)


def _make_folders(spec: MacSpec) -> None:
    folders = [spec.state, spec.applications, account.temporary(spec), spec.path("/private/tmp")]
    library = ("Logs", "Preferences", "Application Support", "Caches")
    folders += [f"{spec.home}/Library/{name}" for name in library]
    for path in folders:
        os.makedirs(path, exist_ok=True)
    if len(f"{spec.state}/launchd.sock") > 100:
        raise LabError(
            f"{spec.state} is too long for a socket, expected < 88 bytes; use another --dir"
        )
    spec.save(Path(spec.state) / "mac.json")
    wrappers.place_all(spec, spec.bin, ports=True)


def launch(where: Path, wanted: dict[str, Any], *, lifeline: int) -> dict[str, Any]:
    """Start the lab's process; its state once all Macs answer, or LabError."""
    ready, said = os.pipe()
    log = where / "lab.log"
    module = "tests.lab.bed" if wanted["level"] == "namespaces" else "tests.lab.sshserver"
    argv = levels.unshare() if wanted["level"] == "namespaces" else []
    argv += [sys.executable, "-P", "-m", module, str(where), str(said), str(lifeline)]
    path = f"{os.environ.get('PATH', '')}:/usr/bin:/bin:/usr/sbin:/sbin"
    modules = os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | {"PATH": path, "PYTHONPATH": modules}
    with log.open("w") as output:
        process = subprocess.Popen(
            argv,
            cwd=REPO,
            env=environment,
            pass_fds=[said, *([lifeline] if lifeline >= 0 else [])],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    os.close(said)
    heard, _, _ = select.select([ready], [], [], 120)
    word = os.read(ready, 2) if heard else b""
    os.close(ready)
    if word != b"ok":
        process.kill()
        process.wait()
        if wanted["level"] == "ports":
            roots = [entry["root"] for entry in wanted["macs"]]
            processes.sweep(roots, spare=os.getpid())
        raise LabError(f"the lab did not come up: {log.read_text().strip()[-2000:]}")
    process.returncode = 0  # it outlives this object on purpose: no ResourceWarning
    state = wanted | {"pid": process.pid, "started": kernel.started(process.pid), "bed": None}
    if wanted["level"] == "namespaces":
        state["bed"] = kernel.children(process.pid)[0]
        outer = {kernel.command_name(pid): pid for pid in kernel.children(state["bed"])}
        names = [entry["name"] for entry in wanted["macs"]]
        state["inits"] = {name: kernel.children(outer[name])[0] for name in names}
    return state


def same_process(pid: int, started: int | None) -> bool:
    """Whether that very process still runs, not another one with its number."""
    if sys.platform.startswith("linux"):
        return started is not None and kernel.started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def reap(pid: int) -> None:
    """Collect a child that ended; nothing when it is not ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def inventory(where: Path, macs: Iterable[Reachable]) -> str:
    """An Ansible-style inventory of the Macs, as YAML."""
    lines = ["all:", "  hosts:"]
    macs = list(macs)
    for mac in macs:
        spec = mac.spec
        values: dict[str, Any] = {
            "ansible_host": mac.address,
            "ansible_port": mac.port,
            "ansible_user": spec.user,
            "ansible_ssh_private_key_file": str(where / "id"),
        }
        for key in ("homebrew_prefix", "ollama_port", "gateway_port"):
            value = getattr(spec, key)
            if value not in ("/opt/homebrew", 11434, 18789):
                values[key] = value
        lines.append(f"    {spec.name}:")
        lines += [f"      {key}: {json.dumps(value)}" for key, value in values.items()]
    lines.append("  vars:")
    internet = next((mac.spec.internet for mac in macs), "")
    if internet:
        lines.append(f'    homebrew_installer: "{internet}/homebrew/install.sh"')
    lines += [
        f"    ssh_known_hosts_file: {json.dumps(str(where / 'known_hosts'))}",
        '    ssh_strict_host_key_checking: "yes"',
        "    ssh_look_for_keys: false",
        "    ssh_allow_agent: false",
    ]
    return "\n".join(lines) + "\n"


def ask(where: Path, message: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Send a wish to the SSH server of the level "ports" and return its counters."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{where}/control.sock")
        connection.sendall(json.dumps(message).encode() + b"\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    counted: dict[str, dict[str, int]] = json.loads(answer)
    return counted


def counted(log: Path, pid: int) -> dict[str, int]:
    """Sessions from an OpenSSH server's log (LogLevel VERBOSE), bytes of a process's en0."""
    text = log.read_text(errors="replace")
    interfaces = Path(f"/proc/{pid}/net/dev").read_text()
    fields = interfaces.partition("en0:")[2].split()
    return {
        "sessions": text.count("Starting session: "),
        "bytes_in": int(fields[0]),
        "bytes_out": int(fields[8]),
    }
