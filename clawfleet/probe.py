"""The output of ``facts/mac.sh`` as a typed snapshot."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import ipaddress
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from clawfleet import architecture
from clawfleet.architecture import Architecture
from clawfleet.names import normalise, same
from clawfleet.printed import ProbeError, block, parse_job, process
from clawfleet.snapshot import (
    GATEWAY_LABEL,
    PROXY_VARIABLES,
    File,
    Folder,
    Job,
    Listener,
    Model,
    Node,
    Process,
    Snapshot,
    Store,
)

_OVERRIDES: dict[str, Literal["enabled", "disabled"]] = {
    "enabled": "enabled",
    "disabled": "disabled",
}


def parse(
    output: str, *, ollama_port: int = 11434, gateway_port: int = 18789, daemons: bool = False
) -> Snapshot:
    """The snapshot in the probe's output.

    Raises ProbeError when the output is not complete.
    """
    values: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, tab, value = line.partition("\t")
        if tab:
            values.setdefault(name.removesuffix(":l"), []).append(value)
    if "clawfleet.probe" not in values or "clawfleet.end" not in values:
        raise ProbeError("the answer of the reading script was cut short")

    def every(name: str) -> list[str]:
        return [value for value in values.get(name, []) if value]

    def one(name: str) -> str | None:
        return next(iter(every(name)), None)

    kernel = one("os.kernel") or ""
    if kernel != "Darwin":
        return Snapshot(kernel=kernel)

    files, folders = unpack(one("files.tar"))
    no_proxy = dict(
        line.split("=", 1) for line in every("gateway.env") if line[:9].lower() == "no_proxy="
    )
    processes = {p.pid: p for p in map(process, every("process"))}

    def file(name: str) -> File:
        path = one(f"file.{name}") or ""
        link, trouble = one(f"file.{name}.link"), one(f"file.{name}.trouble")
        found = files.get(path) or File(path, None)
        return replace(found, link=link, trouble=trouble, folder=one(f"file.{name}.folder"))

    def listener(name: str, port: int) -> Listener:
        pids = sorted({int(pid) for pid in every(f"{name}.port")})
        return Listener(
            port,
            tuple(processes[pid] for pid in pids if pid in processes),
            tuple(n for n in PROXY_VARIABLES if n in every(f"{name}.env") or no_proxy.get(n))
            if name == "gateway"
            else (),
        )

    def places(name: str) -> dict[str, tuple[str, ...]]:
        """File -> names of variables, of the files in which there are any."""
        pairs = [value.partition("\t")[::2] for value in every(name)]
        found = {path if path[0] == "/" else f"~/{path}": tuple(n.split()) for path, n in pairs}
        return {path: names for path, names in found.items() if names}

    agents = {
        path: names
        for path, names in places("agent.proxy").items()
        if not path.endswith(f"{GATEWAY_LABEL}.plist")
    }
    shells, setenv, brew = places("shell.proxy"), places("shell.setenv"), places("brew.proxy")
    sysctl = dict(line.split(": ", 1) for line in every("sysctl") if ": " in line)
    api = [_json(line) for line in every("ollama.api")]
    tags: list[Any] = next((a["models"] for a in api if isinstance(a.get("models"), list)), [])
    shapes = _shapes(every("ollama.show"))
    http = every("gateway.http") or ["0"]
    healthz = _json("".join(http[1:]))
    curl = one("ollama.curl")

    def job(name: str) -> Job | None:
        printed = "\n".join(values.get(f"{name}.print", []))
        return _aged(parse_job(printed), processes) if printed else None

    def pairs(name: str, seen: bool) -> dict[str, str] | None:
        found = (value.split("=", 1) for value in every(name) if "=" in value)
        return {key.strip(): value.strip() for key, value in found} if seen else None

    return Snapshot(
        kernel=kernel,
        macos=one("os.version") or "",
        arch="arm64" if sysctl.get("hw.optional.arm64") == "1" else one("os.arch") or "",
        chip=sysctl.get("machdep.cpu.brand_string", ""),
        memory=int(sysctl.get("hw.memsize", 0)),
        wired_limit=int(limit)
        if (limit := sysctl.get("iogpu.wired_limit_mb", "")).isdigit()
        else 0,
        user=one("user.name") or "",
        uid=int(one("user.uid") or 0),
        home=one("user.home") or "",
        sudo_free=one("sudo.free") == "yes",
        daemons=daemons,
        now=int(one("now") or 0),
        disk_free=_available(every("df")),
        gui=one("gui.exists") == "yes",
        gui_error=one("gui.error") or "",
        automatic_login=one("login.automatic") or "",
        filevault=one("filevault") or "",
        # What a login has there reaches no daemon.
        gui_environment=block(
            "\n".join([] if daemons else values.get("gui.print", [])), "environment"
        ),
        brew=one("brew.prefix"),
        ollama_formula=one("ollama.formula"),
        ollama_cask=one("ollama.cask"),
        ollama_app=one("ollama.app"),
        ollama_app_version=one("ollama.app.version"),
        ollama_link=one("ollama.link"),
        ollama_port=listener("ollama", ollama_port),
        # curl's 7 is "connection refused"; with 28 (time is up) somebody is there and says nothing.
        ollama_open=curl not in (None, "7"),
        ollama_server=next((str(a["version"]) for a in api if "version" in a), None),
        ollama_job=job("ollama"),
        ollama_twin=one("ollama.twin") == "yes",
        ollama_daemon=file("ollama_daemon"),
        ollama_root=one("ollama.root") == "yes",
        ollama_variables=pairs("ollama.variable", one("ollama.environment") == "yes"),
        ollama_app_pids=tuple(int(pid) for pid in every("ollama.app.pid"))
        if one("ollama.app")
        else None,
        ollama_app_settings=pairs("ollama.app.setting", one("ollama.app.database") == "yes"),
        models=tuple(
            Model(
                name := str(m["name"]),
                str(m.get("digest", "")),
                size if isinstance(size := m.get("size"), int) else 0,
                next((shape for wanted, shape in shapes.items() if same(wanted, name)), None),
            )
            for m in tags
            if isinstance(m, dict) and "name" in m  # a foreign server may answer there
        )
        or tuple(Model(name, "", 0) for name in _names(every("ollama.manifest"))),
        store=_store(
            one("store.path") or "",
            every("store.manifest"),
            every("store.blob"),
            every("store.part"),
            every("store.incoming"),
            files,
        ),
        ollama_env=file("ollama_env"),
        openclaw=one("openclaw.version"),
        openclaw_bin=one("openclaw.bin"),
        openclaw_entry=one("openclaw.entry"),
        openclaw_since=int(since) if (since := one("openclaw.since") or "").isdigit() else 0,
        nodes=tuple(
            Node(path, version.removeprefix("v"))
            for path, _, version in (value.rpartition(" ") for value in every("node"))
            if path and version
        ),
        npm=one("npm.bin"),
        pnpm=one("pnpm.bin"),
        sqlite=one("openclaw.sqlite") == "yes",
        state_link=one("state.link"),
        state_mode=state.mode if (state := folders.get(one("state.dir") or "")) else "",
        state_folder=one("state.physical"),
        home_folder=one("home.physical"),
        folders=folders,
        config=file("config"),
        auth=file("auth"),
        dotenv=file("dotenv"),
        service_env=file("service_env"),
        plist=file("plist"),
        brew_env=file("brew_env"),
        preload=file("preload"),
        preload_job=job("preload"),
        owned=file("owned"),
        also=tuple(file(f"also.{path}") for path in every("also")),
        installed=_lines(file("installed")),
        unfinished=_first(file("unfinished")),
        reached=_reached(one("ssh.connection") or "", one("ssh.address")),
        lan_access=_access(one("lan.access")),
        gateway_port=listener("gateway", gateway_port),
        gateway=job("gateway"),
        gateway_override=_OVERRIDES.get(one("gateway.override") or "", ""),
        gateway_twin=one("gateway.twin") == "yes",
        gateway_http=int(http[0]) if http[0].isdigit() else 0,
        gateway_live=healthz.get("ok") is True,
        restart_needed=_lines(file("restart_needed")),
        started=file("started"),
        started_config=file("started_config"),
        gateway_shown="HOME" in every("gateway.env"),
        gateway_no_proxy=no_proxy,
        shell_proxies=tuple(shells),
        shell_setenv=tuple(setenv),
        agent_proxies=tuple(agents),
        brew_proxies=tuple(brew),
        system_proxies=_system_proxies(every("system.proxy")),
        proxy_names=setenv | shells | agents | brew,
        domain_set=file("domain"),
    )


def _shapes(lines: list[str]) -> dict[str, Architecture]:
    """Shapes by the names that were asked for: an object, then ``=NAME``."""
    found: dict[str, Architecture] = {}
    info: dict[str, Any] = {}
    for line in lines:
        if line.startswith("="):
            if shape := architecture.read(info):
                found[line[1:]] = shape
            info = {}
        else:
            info = _json(line)
    return found


def unpack(encoded: str | None) -> tuple[dict[str, File], dict[str, Folder]]:
    """Files and folders by path, from a tar in base64."""
    files: dict[str, File] = {}
    folders: dict[str, Folder] = {}
    if encoded is None:
        return files, folders
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(encoded, validate=True))) as tar:
            for member in tar.getmembers():
                path = "/" + member.name.strip("/")
                if member.isdir():
                    folders[path] = Folder(path, f"{member.mode & 0o7777:o}", member.uid)
                # Two names of one file: the second one is a link to the first one in the archive.
                whole = member.isfile() or member.islnk()
                extracted = tar.extractfile(member) if whole else None
                if extracted is None:
                    continue
                content = extracted.read()
                files[path] = File(
                    path,
                    content,
                    mode=f"{member.mode & 0o7777:o}",
                    uid=member.uid,
                    mtime=int(member.mtime),
                    sha256=hashlib.sha256(content).hexdigest(),
                )
    except (binascii.Error, tarfile.TarError) as error:
        raise ProbeError(f"the files arrived damaged ({error})") from error
    return files, folders


def _first(file: File) -> str | None:
    """The first word of a file, or why it can't be read."""
    return file.trouble or next(iter(file.loose_text.split()), None)


def _lines(file: File) -> tuple[str, ...]:
    text = (file.content or b"").decode("utf-8", "replace")
    return tuple(dict.fromkeys(text.splitlines()))


def _named(manifest: str) -> str:
    """Name of a model from its manifest's path, ``registry.ollama.ai/library/NAME/TAG``."""
    host, namespace, model, tag = manifest.split("/")
    return normalise(f"{host}/{namespace}/{model}:{tag}")


def _names(manifests: list[str]) -> Iterable[str]:
    """Names of the models in a store; what is no model's name, such as the ``latest copy`` that
    Finder makes, is passed over, as Ollama does."""
    for manifest in manifests:
        try:
            yield _named(manifest)
        except ValueError:
            continue


def _store(
    path: str,
    manifests: list[str],
    blobs: list[str],
    parts: list[str],
    incoming: list[str],
    files: dict[str, File],
) -> Store:
    sizes: dict[str, int] = {}
    for line in blobs:
        size, _, name = line.partition(" ")
        if re.fullmatch(r"sha256-[0-9a-f]{64}", name) and size.isdigit():
            sizes[name.replace("-", ":")] = int(size)
    partials: dict[str, int] = {}
    for line in parts:
        # A part's note: {"N":0,"Offset":0,"Size":862089,"Completed":65536} (server/download.go)
        name, _, note = line.partition(" ")
        completed = _json(note).get("Completed")
        if (match := re.match(r"sha256-([0-9a-f]{64})-partial-", name)) and completed:
            digest = f"sha256:{match[1]}"
            partials[digest] = partials.get(digest, 0) + int(completed)
    waiting = {}
    for line in incoming:
        size, _, name = line.partition(" ")
        if (match := re.fullmatch(r"([0-9a-f]{64})(\.part)?", name)) and size.isdigit():
            waiting[f"sha256:{match[1]}"] = int(size)
    found = {}
    for manifest in manifests:
        whole = f"{path}/manifests/{manifest}"
        unread = File(whole, None, trouble="not readable by this user")
        found[_named(manifest)] = files.get(whole, unread)
    return Store(path, found, sizes, partials, waiting)


def _reached(connection: str, other: str | None) -> tuple[str, int] | None:
    """Address and port at which a Mac was reached, from sshd's ``SSH_CONNECTION``: "client port
    server port". None where it is no address that another Mac could use."""
    words = connection.split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    try:
        address = ipaddress.ip_address(other or words[2].partition("%")[0])
    except ValueError:
        return None
    return None if address.is_link_local else (str(address), int(words[3]))


def _access(said: str | None) -> Literal["none", "open", "left"]:
    return "open" if said == "open" else "left" if said == "left" else "none"


def _available(df: list[str]) -> int | None:
    # df -P: Filesystem, 1024-blocks, Used, Available, Capacity, Mounted on
    fields = df[1].split() if len(df) > 1 else []
    return int(fields[3]) * 1024 if len(fields) > 3 and fields[3].isdigit() else None


def _aged(job: Job, processes: Mapping[int, Process]) -> Job:
    process = processes.get(job.pid or 0)
    return replace(job, age=process.age if process else None)


def _system_proxies(lines: list[str]) -> tuple[str, ...]:
    """From ``scutil --proxy``: a proxy that is switched off keeps its address, so Enable counts."""
    found = dict(line.split(" ", 1) for line in lines if " " in line)
    shown = [
        f"{kind} {found.get(f'{kind}Proxy', '')}:{found.get(f'{kind}Port', '')}"
        for kind in ("HTTP", "HTTPS", "SOCKS")
        if found.get(f"{kind}Enable") == "1"
    ]
    # Not its address: a path of it may be secret.
    automatic = ["a configuration file (PAC)"] if found.get("ProxyAutoConfigEnable") == "1" else []
    return (*shown, *automatic)


def _json(raw: str) -> dict[str, Any]:
    try:
        loaded = json.loads(raw)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
