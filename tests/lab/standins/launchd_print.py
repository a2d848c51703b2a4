"""``launchctl print`` and ``list``, laid out as on a real Mac (TABs and blank lines included)."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping

from tests.lab.standins.launchd_job import Domain, Job, default_path

SYSEXITS = {
    64: "EX_USAGE", 65: "EX_DATAERR", 66: "EX_NOINPUT", 67: "EX_NOUSER", 68: "EX_NOHOST",
    69: "EX_UNAVAILABLE", 70: "EX_SOFTWARE", 71: "EX_OSERR", 72: "EX_OSFILE", 73: "EX_CANTCREAT",
    74: "EX_IOERR", 75: "EX_TEMPFAIL", 76: "EX_PROTOCOL", 77: "EX_NOPERM", 78: "EX_CONFIG",
}  # fmt: skip
SIGNALS = {
    signal.SIGHUP: "Hangup", signal.SIGINT: "Interrupt", signal.SIGQUIT: "Quit",
    signal.SIGABRT: "Abort trap", signal.SIGKILL: "Killed", signal.SIGSEGV: "Segmentation fault",
    signal.SIGPIPE: "Broken pipe", signal.SIGTERM: "Terminated",
}  # fmt: skip


def last_exit(status: int | None) -> str:
    """The line that tells how a job's process last ended; ``status`` as of subprocess."""
    if status is None:
        return "last exit code = (never exited)"
    if status < 0:
        name = SIGNALS.get(signal.Signals(-status), signal.Signals(-status).name)
        return f"last terminating signal = {name}: {-status}"
    name = SYSEXITS.get(status, "")
    return f"last exit code = {status}: {name}" if name else f"last exit code = {status}"


def _block(title: str, lines: Iterable[str], indent: str = "\t") -> list[str]:
    return [f"{indent}{title} = {{", *(f"{indent}\t{line}" for line in lines), f"{indent}}}"]


def _variables(title: str, values: Mapping[str, str]) -> list[str]:
    return _block(title, (f"{key} => {value}" for key, value in values.items()))


def _coalition(kind: str, number: int, job: Job) -> list[str]:
    running = job.pid is not None
    return _block(
        f"{kind} coalition",
        [
            f"ID = {number}",
            f"type = {kind}",
            f"state = {'active' if running else 'terminated'}",
            f"active count = {int(running)}",
            f"name = {job.definition.label}",
        ],
    )


def _properties(job: Job) -> str:
    definition = job.definition
    named = {
        "partial import": True,
        "keepalive": definition.keep_alive is not False,
        "runatload": definition.run_at_load,
        "inferred program": definition.inferred,
    }
    return " | ".join(name for name, holds in named.items() if holds)


def service(job: Job) -> str:
    """The whole answer to ``launchctl print DOMAIN/LABEL``.

    "inherited environment" is what the running process was given, or what the next one would
    get where none runs.
    """
    definition, domain, running = job.definition, job.domain, job.pid is not None
    lines = [
        f"{domain.name}/{definition.label} = {{",
        f"\tactive count = {int(running)}",
        f"\tpath = {definition.path}",
        f"\ttype = Launch{'Daemon' if domain.kind == 'system' else 'Agent'}",
        f"\tstate = {job.state}",
        "",
        f"\tprogram = {definition.program}",
        *_block("arguments", definition.arguments),
        "",
    ]
    if definition.directory:
        lines += [f"\tworking directory = {definition.directory}", ""]
    if definition.stdout:
        lines.append(f"\tstdout path = {definition.stdout}")
    if definition.stderr:
        lines.append(f"\tstderr path = {definition.stderr}")
    lines += [
        *_variables("inherited environment", job.inherited if running else domain.environment),
        "",
        *_variables("default environment", {"PATH": default_path(job.mac)}),
        "",
        *_variables(
            "environment",
            {
                **definition.environment,
                "OSLogRateLimit": "64",
                "XPC_SERVICE_NAME": definition.label,
            },
        ),
        "",
        f"\tdomain = {domain.name}" + (f" [{domain.asid}]" if domain.kind == "gui" else ""),
    ]
    if definition.umask is not None:
        lines.append(f"\tumask = {definition.umask:o}")
    lines += [
        f"\tasid = {domain.asid}",
        f"\tminimum runtime = {definition.throttle:g}",
        f"\texit timeout = {definition.exit_timeout:g}",
        f"\truns = {job.runs}",
    ]
    if job.pid is not None:
        lines += [
            f"\tpid = {job.pid}",
            "\timmediate reason = speculative",
            "\tforks = 0",
            "\texecs = 1",
            "\tinitialized = 1",
            "\ttrampolined = 1",
            "\tstarted suspended = 0",
            "\tproxy started suspended = 0",
            "\tchecked allocations = 0 (queried = 1)",
            "\tchecked allocations reason = no host",
            "\tchecked allocations flags = 0x0",
        ]
    lines += [
        f"\t{last_exit(job.last_status)}",
        "",
        *_coalition("resource", 2 * domain.asid % 65536, job),
        "",
        *_coalition("jetsam", 2 * domain.asid % 65536 + 1, job),
        "",
        f"\tspawn type = {'interactive (4)' if definition.interactive else 'daemon (3)'}",
        "\tjetsam priority = 40",
        "\tjetsam memory limit (active) = (unlimited)",
        "\tjetsam memory limit (inactive) = (unlimited)",
        "\tjetsamproperties category = daemon",
        "\tjetsam thread limit = 32",
        "\tcpumon = default",
        "",
        f"\tproperties = {_properties(job)}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def domain_description(domain: Domain, overrides: Mapping[str, bool], mac_uid: int) -> str:
    """The whole answer to ``launchctl print DOMAIN``.

    ``overrides`` maps labels to True where they are disabled.
    """
    active = sum(job.pid is not None for job in domain.jobs.values())
    gui = domain.kind == "gui"
    lines = [
        f"{domain.name} = {{",
        f"\ttype = {'login' if gui else domain.kind}",
        f"\thandle = {domain.asid if gui else domain.uid}",
        f"\tactive count = {len(domain.jobs) + 1}",
        f"\tservice count = {len(domain.jobs)}",
        f"\tactive service count = {active}",
        f"\tcreator = {'loginwindow[536]' if gui else 'launchd[1]'}",
        "\tcreator euid = 0",
        f"\tsession = {domain.session}",
    ]
    if gui:
        lines.append(f"\tendpoint destination = com.apple.xpc.launchd.domain.user.{mac_uid}")
    owner = "uid unset" if domain.kind == "system" else f"uid = {domain.uid}"
    lines += [
        "\tauxiliary bootstrapper = com.apple.xpc.otherbsd (complete)",
        *_block("security context", [owner, f"asid = {domain.asid}"]),
        "",
        "\tbringup time = 64 ms",
        "\tdeath port = 0x14503",
        "",
        *_variables("environment", domain.environment),
        "",
        *_block("services", (_service_line(job) for job in domain.jobs.values())),
        "",
        *_block("unmanaged processes", ()),
        "",
        *_block("endpoints", ()),
        "",
        *_block("task-special ports", ()),
        "",
        *_block(
            "disabled services",
            (f'"{label}" => {_enabled(off)}' for label, off in overrides.items()),
        ),
        "",
        f"\tproperties = {'gui | gui login' if gui else ''}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _service_line(job: Job) -> str:
    status = "-" if job.last_status is None else str(job.last_status)
    return f"{job.pid or 0:8d} {status:>6} \t{job.definition.label}"


def _enabled(disabled: bool) -> str:
    return "disabled" if disabled else "enabled"


def disabled(overrides: Mapping[str, bool], macos: str) -> str:
    """The answer to ``print-disabled``; before macOS 13 it said true and false."""
    modern = int(macos.split(".", maxsplit=1)[0]) >= 13
    words = ("enabled", "disabled") if modern else ("false", "true")
    lines = [f'\t\t"{label}" => {words[off]}' for label, off in overrides.items()]
    return "\n".join(["disabled services = {", *lines, "}", "login item associations = {", "}", ""])


def table(domain: Domain) -> str:
    """The answer to ``launchctl list``: the jobs of one domain only."""
    lines = ["PID\tStatus\tLabel"]
    for label, job in domain.jobs.items():
        lines.append(f"{job.pid or '-'}\t{job.last_status or 0}\t{label}")
    return "\n".join(lines) + "\n"


def dictionary(job: Job) -> str:
    """The answer to ``launchctl list LABEL``."""
    definition = job.definition
    status = job.last_status or 0
    lines = ["{"]
    for key, path in (("Out", definition.stdout), ("Error", definition.stderr)):
        if path:
            lines.append(f'\t"Standard{key}Path" = "{path}";')
    lines += [
        f'\t"LimitLoadToSessionType" = "{job.domain.session}";',
        f'\t"Label" = "{definition.label}";',
        f'\t"OnDemand" = {"true" if definition.keep_alive is False else "false"};',
        f'\t"LastExitStatus" = {-status if status < 0 else status << 8};',
    ]
    if job.pid is not None:
        lines.append(f'\t"PID" = {job.pid};')
    lines.append(f'\t"Program" = "{definition.program}";')
    lines += ['\t"ProgramArguments" = (']
    lines += [f'\t\t"{word}";' for word in definition.arguments]
    return "\n".join([*lines, "\t);", "};"]) + "\n"
