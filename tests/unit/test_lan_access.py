"""One Mac lets another one read: what stands in authorized_keys meanwhile, what can be read, and
that nothing of it stays. With the shells that Macs have; sshd itself is in the end-to-end tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawfleet import lan
from clawfleet.lan import Access
from tests.unit.shells import SHELLS, run

RUN = "20261123-153000-1a2b"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUBLIC"
WANTED, FOREIGN = "a" * 64, "b" * 64
MAC_COMMANDS = {
    "date": 'if [ "$1" = -r ]; then exec /bin/date -d "@$2" "$3"; fi; exec /bin/date "$@"',
    "stat": '[ "$1" = -L ] && { shift; set -- -L "$@"; exec stat-gnu "$1" -c %s "$4"; }; '
    'exec stat-gnu -c %s "$3"',
    "stat-gnu": 'exec /usr/bin/stat "$@"',
}
KEYS = {
    "ordinary": b"ssh-ed25519 AAAA me@laptop\n# a comment\nssh-rsa BBBB old\n",
    "no end": b"ssh-ed25519 AAAA me@laptop",
    "empty": b"",
    "one empty line": b"\n",
    "windows": b"ssh-ed25519 AAAA me\r\nssh-rsa BBBB\r\n",
    "odd bytes": b"# \xff\x00\xfe\nssh-ed25519 AAAA me\n\n\n",
    "much": b"".join(b"ssh-ed25519 AAAA%d me\n" % i for i in range(3000)),
}


def access(home: Path, reader: str = "192.0.2.7") -> Access:
    return Access(RUN, PUBLIC, reader, str(home / ".ollama" / "models"), (f"sha256:{WANTED}",))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a home"
    blobs = folder / ".ollama" / "models" / "blobs"
    blobs.mkdir(parents=True)
    for name in (WANTED, FOREIGN):
        (blobs / f"sha256-{name}").write_bytes(name[:1].encode() * 3_000_000)
    return folder


def keys(home: Path) -> Path:
    return home / ".ssh" / "authorized_keys"


def write_keys(home: Path, content: bytes, mode: int = 0o600) -> None:
    keys(home).parent.mkdir(mode=0o700)
    keys(home).write_bytes(content)
    keys(home).chmod(mode)


def eventually(true: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def opened(
    shell: tuple[str, ...], home: Path, given: Access | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The access, as long as the standard input of its shell is open."""
    run(shell, "true", home, commands=MAC_COMMANDS, check=True)
    found = shutil.which(shell[0])
    assert found
    path = f"{home.parent / 'stand-ins'}:{os.environ['PATH']}"
    with subprocess.Popen(
        [found, *shell[1:], "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"HOME": str(home), "PATH": path},
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{{\n{(given or access(home)).open()}\n}}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"open\n", process.stderr and process.stderr.read()
        yield process


def close(process: subprocess.Popen[bytes]) -> bytes:
    out, _ = process.communicate(timeout=30)
    return out


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("content", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_authorized_keys_are_as_before(
    shell: tuple[str, ...], home: Path, content: bytes, mode: int
) -> None:
    write_keys(home, content, mode)
    with opened(shell, home) as process:
        first, _, rest = keys(home).read_bytes().partition(b"\n")
        assert rest == content
        assert keys(home).stat().st_mode & 0o7777 == mode
        assert first.startswith(b'restrict,from="192.0.2.7",expiry-time="20')
        assert first.endswith(f" {PUBLIC} clawfleet-lan-{RUN}".encode())
        assert close(process) == b"closed\n"
    assert keys(home).read_bytes() == content
    assert keys(home).stat().st_mode & 0o7777 == mode
    assert [path.name for path in keys(home).parent.iterdir()] == ["authorized_keys"]
    assert not (home / ".clawfleet" / "lan").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("folder", [True, False])
def test_where_there_was_no_file_there_is_none_afterwards(
    shell: tuple[str, ...], home: Path, folder: bool
) -> None:
    if folder:
        keys(home).parent.mkdir(mode=0o700)
    with opened(shell, home) as process:
        assert keys(home).stat().st_mode & 0o7777 == 0o600
        assert keys(home).parent.stat().st_mode & 0o7777 == 0o700
        close(process)
    assert keys(home).parent.exists() is folder
    assert not keys(home).exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_link_stays_one(shell: tuple[str, ...], home: Path) -> None:
    keys(home).parent.mkdir(mode=0o700)
    real = home / "dotfiles"
    real.write_bytes(b"ssh-rsa BBBB")
    keys(home).symlink_to(real)
    with opened(shell, home) as process:
        assert b"clawfleet-lan" in real.read_bytes()
        close(process)
    assert keys(home).is_symlink()
    assert real.read_bytes() == b"ssh-rsa BBBB"


@pytest.mark.parametrize("shell", SHELLS)
def test_what_somebody_adds_meanwhile_stays(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"ssh-rsa BBBB\n")
    with opened(shell, home) as process:
        ours = keys(home).read_bytes().splitlines(keepends=True)[0]
        keys(home).write_bytes(b"first\n" + ours + b"ssh-rsa BBBB\nnew without end")
        close(process)
    assert keys(home).read_bytes() == b"first\nssh-rsa BBBB\nnew without end"


@pytest.mark.parametrize("shell", SHELLS)
def test_it_goes_when_its_shell_is_killed(shell: tuple[str, ...], home: Path) -> None:
    """SIGKILL, which no script sees."""
    write_keys(home, b"ssh-rsa BBBB")
    with opened(shell, home) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        eventually(lambda: keys(home).read_bytes() == b"ssh-rsa BBBB", "the line stays")
    eventually(lambda: not (home / ".clawfleet" / "lan").exists(), "the folder stays")


@pytest.mark.parametrize("shell", SHELLS)
def test_it_goes_when_its_time_is_over(
    shell: tuple[str, ...], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan, "BOUND", 1)
    write_keys(home, b"ssh-rsa BBBB")
    with opened(shell, home) as process:
        eventually(lambda: keys(home).read_bytes() == b"ssh-rsa BBBB", "the line stays")
        close(process)


def test_sshd_is_told_when_it_ends(home: Path) -> None:
    """In local time, by the Mac's own clock: OpenSSH before 9.1 knows no other."""
    write_keys(home, b"")
    before = time.time()
    with opened(("dash",), home) as process:
        said = keys(home).read_text().split('expiry-time="')[1].split('"')[0]
        close(process)
    end = time.mktime(time.strptime(said, "%Y%m%d%H%M%S"))
    assert before + lan.BOUND - 1 <= end <= time.time() + lan.BOUND + 1


@pytest.mark.parametrize("shell", SHELLS)
def test_the_next_run_takes_back_what_a_dead_one_left(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"ssh-rsa BBBB")
    with opened(shell, home) as process:
        line = keys(home).read_bytes()
        folder = home / ".clawfleet" / "lan"
        kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        close(process)
    # As after a power cut: no process of it lives.
    keys(home).write_bytes(line)
    (folder / "reading").mkdir(parents=True)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    run(shell, lan.close(), home, commands=MAC_COMMANDS, check=True)
    assert keys(home).read_bytes() == b"ssh-rsa BBBB"
    assert not folder.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_another_run_that_lives_is_left_alone(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"ssh-rsa BBBB")
    with opened(shell, home) as process:
        line = keys(home).read_bytes()
        for script in (access(home, "192.0.2.8").open(), lan.close()):
            done = run(shell, script, home, commands=MAC_COMMANDS)
            assert done.returncode == 75
            assert "another run reads from this Mac" in done.stderr
            assert keys(home).read_bytes() == line
        close(process)


REFUSED = [
    "",
    "id",
    f"sha256-{WANTED}",
    f"sha256-{FOREIGN} 0",
    f"sha256-{WANTED} 0 0",
    f"sha256-{WANTED} -1",
    f"sha256-{WANTED} 9999999",
    f"sha256-{WANTED} 0;id",
    f"sha256-{WANTED}/../sha256-{FOREIGN} 0",
    f"../blobs/sha256-{WANTED} 0",
    "../../../.ssh/authorized_keys 0",
    "sha256-" + "*" * 64 + " 0",
    "sha256-" + "?" * 64 + " 0",
    f"-F sha256-{WANTED}",
    f"$(touch pwned) sha256-{WANTED}",
    "internal-sftp",
    "/usr/libexec/sftp-server",
]


@pytest.mark.parametrize("shell", SHELLS)
def test_only_wanted_blobs_can_be_read(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"")
    found = shutil.which(shell[0])
    assert found
    path = f"{home.parent / 'stand-ins'}:{os.environ['PATH']}"

    def ask(request: str) -> bytes:
        serve = str(home / ".clawfleet" / "lan" / "serve")
        environment = {"HOME": str(home), "PATH": path, "SSH_ORIGINAL_COMMAND": request}
        done = subprocess.run(
            [found, *shell[1:], serve], env=environment, capture_output=True, cwd=home, check=False
        )
        return done.stdout

    with opened(shell, home) as process:
        assert ask(f"sha256-{WANTED} 0") == b"clawfleet 3000000\n" + b"a" * 3_000_000
        assert ask(f"sha256-{WANTED} 2") == b"clawfleet 3000000\n" + b"a" * (3_000_000 - (2 << 20))
        for request in REFUSED:
            assert ask(request).startswith(b"refused: "), request
        blob = home / ".ollama" / "models" / "blobs" / f"sha256-{WANTED}"
        blob.unlink()
        blob.symlink_to(home / ".ssh" / "authorized_keys")
        assert ask(f"sha256-{WANTED} 0") == b"refused: no such file\n"
        close(process)
    assert not (home / "pwned").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_of_somebody_elses_is_left_alone(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"ssh-rsa BBBB")
    os.chown(keys(home), 12345, -1)
    done = run(shell, access(home).open(), home, commands=MAC_COMMANDS)
    assert done.returncode != 0
    assert "belongs to somebody else" in done.stderr
    assert keys(home).read_bytes() == b"ssh-rsa BBBB"
    assert keys(home).stat().st_uid == 12345


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_that_cannot_be_changed_gives_no_access(shell: tuple[str, ...], home: Path) -> None:
    write_keys(home, b"ssh-rsa BBBB")
    commands = {**MAC_COMMANDS, "mv": "exit 1"}
    done = run(shell, access(home).open(), home, commands=commands)
    assert done.returncode != 0
    assert "authorized_keys can't be changed" in done.stderr
    assert "open" not in done.stdout
    assert keys(home).read_bytes() == b"ssh-rsa BBBB"
    assert [path.name for path in keys(home).parent.iterdir()] == ["authorized_keys"]
    assert not (home / ".clawfleet" / "lan").exists()
