"""A real Mac beside its stand-ins: what the lab pretends, checked where it can be.

The lab's stand-ins follow captured output. Here each command runs twice on a real Mac, as macOS
has it and as the lab has it, and the answers are compared. Runs on macOS only (see the workflow);
it adds one LaunchAgent of its own for a moment, with sudo a LaunchDaemon, and takes them away.
"""

from __future__ import annotations

import os
import platform
import plistlib
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawfleet import commit
from clawfleet.plan import DAEMONS, FileChange
from clawfleet.printed import parse_job
from clawfleet.probe import parse
from clawfleet.snapshot import File
from tests.lab import wrappers
from tests.lab.standins.launchd_bench import Bench, until

pytestmark = pytest.mark.skipif(
    platform.system() != "Darwin", reason="compares stand-ins with a real Mac, and this is none"
)

STANDINS = {
    "sw_vers": "sh/sw_vers",
    "uname": "sh/uname",
    "sysctl": "sh/sysctl",
    "stat": "stat_file",
    "df": "disks",
    "shasum": "digests",
    "md5": "digests",
    "base64": "base_64",
    "mktemp": "temporary",
    "plutil": "plists",
    "scutil": "network",
    "launchctl": "launchctl",
}
Done = subprocess.CompletedProcess[str]
Both = Callable[[str], tuple[Done, Done]]
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


def real(script: str, **variables: str) -> Done:
    """A shell command with macOS' own tools."""
    env = {"PATH": PATH, "HOME": str(Path.home()), "LC_ALL": "C", **variables}
    return subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, env=env, check=False
    )


def value(command: str) -> str:
    """What a command of this Mac prints."""
    return real(command).stdout.strip()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A simulated Mac that has this Mac's own figures, with its launchd running."""
    user = pwd.getpwuid(os.getuid())
    # Not in pytest's folder: on macOS the path of a socket has at most 103 bytes.
    folder = Path(tempfile.mkdtemp(prefix="clawfleet-", dir="/tmp"))
    bench = Bench(
        folder,
        name=value("uname -n"),
        user=user.pw_name,
        uid=user.pw_uid,
        gid=user.pw_gid,
        macos=value("sw_vers -productVersion"),
        build=value("sw_vers -buildVersion"),
        darwin=value("uname -r"),
        arch=value("uname -m"),
        chip=value("sysctl -n machdep.cpu.brand_string"),
        model=value("sysctl -n hw.model"),
        memory=int(value("sysctl -n hw.memsize")),
        cores=int(value("sysctl -n hw.ncpu")),
    )
    for name, entry in STANDINS.items():
        wrappers.place(bench.mac, entry, f"{bench.mac.bin}/{name}")
    bench.up()
    yield bench
    bench.down()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def both(bench: Bench) -> Both:
    """Runs a shell command with macOS' tools and with the stand-ins."""

    def run(script: str) -> tuple[Done, Done]:
        return real(script), real(script, PATH=f"{bench.mac.bin}:{PATH}")

    return run


@pytest.fixture(scope="module")
def gui() -> str:
    """The GUI domain of whoever runs this."""
    domain = f"gui/{os.getuid()}"
    if real(f"launchctl print {domain}").returncode != 0:
        pytest.skip(f"there is no {domain}: nobody is logged in at this Mac's screen")
    return domain


@pytest.mark.usefixtures("gui")
@pytest.mark.parametrize(
    "script",
    [
        "sw_vers",
        "sw_vers -productVersion",
        "sw_vers --buildVersion",
        "uname -s; uname -m; uname -sm; uname -r; uname -p",
        "sysctl -n hw.memsize machdep.cpu.brand_string hw.ncpu",
        "sysctl hw.model",
        "sysctl -n hw.no_such_thing",
        "printf hello > f; stat -f '%z %Lp %m %u %g %N %HT' f; stat -f '%Sp %Su' f",
        "chmod 4751 f; stat -f '%p %Lp %Mp%Lp' f; ln -sf f link; stat -f '%Y %HT' link",
        "stat -L -f '%z' link; stat -f %u /dev/console; stat /no/such/file",
        "stat -c %s f",
        "shasum -a 256 f; shasum -a 256 < f; shasum -a 1 f; md5 -q f; md5 f",
        "head -c 300 /dev/zero | base64; printf aGVsbG8= | base64 -d; printf aGVsbG8= | base64 -D",
        "plutil -lint data.plist; plutil -extract Label raw -o - data.plist",
        "plutil -extract ProgramArguments.0 raw -o - data.plist",
        "plutil -extract KeepAlive raw -o - data.plist",
        "plutil -extract No.Such raw -o - data.plist",
        "plutil -convert json -o - data.plist",
        "plutil -convert xml1 -o - data.plist",
        "plutil -lint f",
        "launchctl print gui/$(id -u)/no.such.label",
        "launchctl bootout gui/$(id -u)/no.such.label",
        "launchctl kickstart gui/$(id -u)/no.such.label",
        "launchctl bootstrap gui/$(id -u) /no/such/file.plist",
        "launchctl no-such-subcommand",
    ],
)
def test_same_answer(both: Both, tmp_path: Path, script: str) -> None:
    """Text, stream and exit code are equal, byte for byte."""
    plist = {
        "Label": "a",
        "ProgramArguments": ["/bin/sleep", "1"],
        "KeepAlive": True,
        "Number": 3,
    }
    (tmp_path / "data.plist").write_bytes(plistlib.dumps(plist))
    (tmp_path / "f").write_text("hello")
    (tmp_path / "link").symlink_to("f")
    expected, got = both(f"cd '{tmp_path}'; {script}")
    assert (got.stdout, got.stderr, got.returncode) == (
        expected.stdout,
        expected.stderr,
        expected.returncode,
    )


@pytest.mark.parametrize("script", ["df -Pk .", "df -k /", "df -Pk . /", "df -h ."])
def test_same_columns(both: Both, script: str) -> None:
    """Heads and the number of columns are equal; the figures are the disk's own."""
    expected, got = both(script)
    heads = [re.split(r"  +| (?=[A-Z%1])", done.stdout.splitlines()[0]) for done in (expected, got)]
    fields = [[len(line.split()) for line in done.stdout.splitlines()] for done in (expected, got)]
    assert heads[1] == heads[0]
    assert fields[1] == fields[0]


def test_temporary_names(both: Both) -> None:
    for script in ("mktemp", "mktemp -d", "mktemp -t prefix"):
        made = [done.stdout.strip() for done in both(script)]
        forms = [re.sub(r"[A-Za-z0-9]{8,10}$", "X", os.path.basename(path)) for path in made]
        assert forms[1] == forms[0], script


def test_proxies_have_the_form_that_scutil_has(both: Both) -> None:
    for done in both("scutil --proxy"):
        assert done.stdout.startswith("<dictionary> {\n")
        assert done.stdout.endswith("}\n")
        assert done.returncode == 0


def test_lsof_and_ps_say_what_the_probe_reads() -> None:
    """The stand-ins of these two read Linux's /proc, so here stands the captured form itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert value(f"lsof -nP -tiTCP:{port} -sTCP:LISTEN") == str(os.getpid())
        shown = value(f"lsof -nP -iTCP:{port} -sTCP:LISTEN").splitlines()
    heads = "COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"
    assert " ".join(shown[0].split()) == heads
    assert shown[1].endswith(f"TCP 127.0.0.1:{port} (LISTEN)")
    free = real(f"lsof -nP -tiTCP:{port} -sTCP:LISTEN")
    assert (free.stdout, free.stderr, free.returncode) == ("", "", 1)
    process = value(f"ps -o pid= -o ppid= -o etime= -o command= -p {os.getpid()}").split(None, 3)
    assert process[:2] == [str(os.getpid()), str(os.getppid())]
    assert re.fullmatch(r"(\d+-)?(\d+:)?\d+:\d\d", process[2])
    with_environment = value(f"ps eww -o command= -p {os.getpid()}")
    assert f"PATH={os.environ['PATH']}".split()[0] in with_environment


def tabs(printed: str) -> list[str]:
    """What each line of ``launchctl print`` with one TAB is called, in its order."""
    lines = [line for line in printed.splitlines() if re.match(r"\t[^\t}]", line)]
    return [re.split(r" = | \{", line.strip())[0] for line in lines]


def life(run: Callable[[str], Done], domain: str, label: str, path: Path) -> tuple[str, Done]:
    """An agent bootstrapped, bootstrapped again (refused), restarted and taken away.

    Returns what ``print`` said while it ran, and the refusal.
    """

    def pid() -> int | None:
        return parse_job(run(f"launchctl print {domain}/{label}").stdout).pid

    try:
        assert run(f"launchctl bootstrap {domain} '{path}'").returncode == 0
        first = until(pid, "the agent runs")
        printed = run(f"launchctl print {domain}/{label}").stdout
        again = run(f"launchctl bootstrap {domain} '{path}'")
        assert run(f"launchctl kickstart -k {domain}/{label}").returncode == 0
        until(lambda: pid() not in (None, first), "kickstart -k made a new process")
    finally:
        run(f"launchctl bootout {domain}/{label}")
    until(
        lambda: run(f"launchctl print {domain}/{label}").returncode == 113,
        "launchd has forgotten the agent",
    )
    return printed, again


def test_agent_is_printed_alike(bench: Bench, gui: str, tmp_path: Path) -> None:
    label = f"clawfleet.test.{uuid.uuid4().hex[:8]}"
    path = tmp_path / f"{label}.plist"
    arguments = ["/bin/sleep", "300"]
    plist = {"Label": label, "ProgramArguments": arguments, "RunAtLoad": True, "KeepAlive": True}
    path.write_bytes(plistlib.dumps(plist))
    path.chmod(0o644)
    printed, refused = life(real, gui, label, path)
    printed_here, refused_here = life(
        lambda script: real(script, PATH=f"{bench.mac.bin}:{PATH}"), gui, label, path
    )
    assert (refused_here.stderr, refused_here.returncode) == (refused.stderr, refused.returncode)
    assert [name for name in tabs(printed_here) if name not in tabs(printed)] == []
    assert parse_job(printed).state == parse_job(printed_here).state == "running"


def test_a_daemon_runs_as_its_user(tmp_path: Path) -> None:
    """What `services = "daemons"` rests on: our script writes the plist as launchd wants it, and
    its process is the user's, with files of the user's."""
    if real("sudo -n true").returncode != 0:
        pytest.skip("sudo asks for a password, and only root loads a LaunchDaemon")
    label = f"clawfleet.test.{uuid.uuid4().hex[:8]}"
    file = File(f"{DAEMONS}/{label}.plist", None)
    log = tmp_path / "log"
    log.touch(mode=0o600)
    plist = {
        "Label": label,
        "UserName": value("id -un"),
        "ProgramArguments": ["/bin/sh", "-c", 'echo "$HOME $(id -u)"; sleep 300'],
        "EnvironmentVariables": {"HOME": str(tmp_path)},
        "RunAtLoad": True,
        "StandardOutPath": str(log),
    }
    change = FileChange(file, plistlib.dumps(plist), "644")
    script = commit.script([change], run="20261123-153000-1a2b", part="other")
    try:
        assert real(script, HOME=str(tmp_path)).returncode == 0
        assert value(f"stat -f '%u %g %Lp' {file.path}") == "0 0 644"
        assert real(f"sudo -n launchctl bootstrap system {file.path}").returncode == 0
        shown = real(f"launchctl print system/{label}").stdout
        job = parse_job(shown)
        assert (job.state, job.environment["HOME"]) == ("running", str(tmp_path))
        assert value(f"ps -o uid= -p {job.pid}").strip() == str(os.getuid())
        until(log.read_text, "it has written its log")
        assert log.read_text() == f"{tmp_path} {os.getuid()}\n"
        assert log.stat().st_uid == os.getuid()
    finally:
        real(f"sudo -n launchctl bootout system/{label}; sudo -n rm -f {file.path}")


def test_environment_goes_into_the_callers_domain(gui: str) -> None:
    """What the removal of proxies rests on: ``setenv`` here is seen by ``print`` of a domain."""
    name = f"CLAWFLEET_TEST_{uuid.uuid4().hex[:8]}"
    try:
        assert real(f"launchctl setenv {name} 1").returncode == 0
        assert value(f"launchctl getenv {name}") == "1"
        manager = value("launchctl managername")
        domain = gui if manager == "Aqua" else gui.replace("gui", "user")
        assert f"{name} => 1" in real(f"launchctl print {domain}").stdout
    finally:
        real(f"launchctl unsetenv {name}")
    assert value(f"launchctl getenv {name}") == ""


def test_the_probe_reads_this_mac(tmp_path: Path) -> None:
    """The one script that reads a Mac before every decision: complete, and true where we know."""
    script = Path(__file__).parents[2] / "clawfleet" / "facts" / "mac.sh"
    prelude = "OLLAMA_PORT=11434\nGATEWAY_PORT=18789\nPREFIX=\nAGENT=main\nSERVICES=agents\n"
    began = time.time()
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=prelude + script.read_text(),
        env={"HOME": str(tmp_path), "PATH": PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    snapshot = parse(done.stdout)
    assert snapshot.kernel == "Darwin"
    assert snapshot.arch == platform.machine()
    assert snapshot.uid == os.getuid()
    assert snapshot.macos == platform.mac_ver()[0]
    assert snapshot.memory == int(value("sysctl -n hw.memsize"))
    free = os.statvfs(tmp_path)
    assert snapshot.disk_free == pytest.approx(free.f_bavail * free.f_frsize, rel=0.2)
    assert snapshot.now >= int(began)
    assert done.stderr == ""
