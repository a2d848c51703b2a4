"""A Mac takes blobs from another one into its store: only whole ones, the manifest last, and of the
key nothing stays. With the shells that Macs have; `ssh` is the other Mac here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from clawfleet import lan, store
from clawfleet.store import Build
from tests.unit.shells import SHELLS, run
from tests.unit.test_lan_access import MAC_COMMANDS

MODEL = "gpt-oss:20b"
PATH = "registry.ollama.ai/library/gpt-oss/20b"
BIG = b"weights" * 500_000
CONTENTS = [BIG, b"license", b"{}"]
HOST_KEY = "ssh-ed25519 AAAAHOST"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\npr1vate\n-----END OPENSSH PRIVATE KEY-----"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest() -> bytes:
    entries = [{"digest": f"sha256:{digest(c)}", "size": len(c)} for c in CONTENTS]
    return json.dumps({"layers": entries[:-1], "config": entries[-1]}).encode()


BUILD: Build = store.read(manifest())


class Macs:
    """The receiver's home, and the other Mac: a folder of blobs behind a stand-in for ssh."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.other = folder / "other"
        self.store = self.home / "its models"
        self.blobs = self.store / "blobs"
        self.incoming = self.store / "clawfleet-incoming"
        self.blobs.mkdir(parents=True)
        self.other.mkdir()
        for content in CONTENTS:
            (self.other / f"sha256-{digest(content)}").write_bytes(content)

    def ssh(self, answer: str = "") -> dict[str, str]:
        """The commands of a Mac, with an ssh that answers as lan-serve.sh, or as `answer` says."""
        good = (
            'for last; do :; done; set -- $last; f="$OTHER/$1"\n'
            'printf \'clawfleet %s\\n\' "$(stat-gnu -c %s "$f")"\n'
            'exec dd if="$f" bs=1048576 skip="$2" 2>/dev/null'
        )
        record = 'printf "%s\\n" "$@" >> "$OTHER/arguments"\n'
        keep = 'for a; do case $a in */key) cp -p "$a" "$OTHER/key.seen"; ls -ld "${a%/*}" > '
        keep += '"$OTHER/mode";; esac; done\n'
        return {**MAC_COMMANDS, "ssh": record + keep + (answer or good)}

    def fetch(
        self, shell: tuple[str, ...], answer: str = "", layers: dict[str, int] | None = None
    ) -> subprocess.CompletedProcess[str]:
        script = lan.fetch(
            str(self.store),
            BUILD.layers if layers is None else layers,
            address="192.0.2.1",
            port=22,
            login="mac",
            key=PRIVATE,
            host=HOST_KEY,
        )
        return run(shell, script, self.home, commands=self.ssh(answer), OTHER=str(self.other))

    def place(self, shell: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        script = lan.place(str(self.store), MODEL, manifest(), BUILD)
        return run(shell, script, self.home, commands=MAC_COMMANDS)

    def look(self, shell: tuple[str, ...]) -> lan.Stock:
        script = lan.look(str(self.store), BUILD)
        return lan.read_stock(
            run(shell, script, self.home, commands=MAC_COMMANDS, check=True).stdout
        )

    def temporary(self) -> list[str]:
        return [path.name for path in self.home.parent.glob("clawfleet-lan.*")]


@pytest.fixture
def macs(tmp_path: Path) -> Macs:
    return Macs(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_model_arrives(macs: Macs, shell: tuple[str, ...]) -> None:
    done = macs.fetch(shell)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"got {digest(CONTENTS[-1])}"
    assert list(macs.blobs.iterdir()) == []
    assert (macs.incoming.stat().st_mode & 0o777) == 0o700
    assert macs.look(shell).missing(BUILD) == {}
    assert macs.place(shell).returncode == 0
    for content in CONTENTS:
        blob = macs.blobs / f"sha256-{digest(content)}"
        assert blob.read_bytes() == content
        assert blob.stat().st_mode & 0o777 == 0o644
        assert time.time() - blob.stat().st_mtime < 60
    file = macs.store / "manifests" / PATH
    assert file.read_bytes() == manifest()
    assert file.stat().st_mode & 0o777 == 0o644
    assert not macs.incoming.exists()
    assert [p.name for p in (macs.store / "manifests").iterdir()] == ["registry.ollama.ai"]


@pytest.mark.parametrize("shell", SHELLS)
def test_of_the_key_nothing_stays(macs: Macs, shell: tuple[str, ...]) -> None:
    assert macs.fetch(shell).returncode == 0
    seen = macs.other / "key.seen"
    assert seen.read_text() == PRIVATE + "\n"
    assert seen.stat().st_mode & 0o777 == 0o600
    assert (macs.other / "mode").read_text().startswith("drwx------")
    assert macs.temporary() == []
    said = (macs.other / "arguments").read_text()
    assert "pr1vate" not in said
    for word in ("StrictHostKeyChecking=yes", "-F\n/dev/null", "IdentitiesOnly=yes"):
        assert word in said


BAD = {
    "another blob": ("printf 'clawfleet 3500000\\n'; yes no | head -c 3500000", lan.FOREIGN),
    "too much": ("printf 'clawfleet 3500000\\n'; yes no", lan.FOREIGN),
    "another size": ("printf 'clawfleet 17\\n'; printf 12345678901234567", lan.FOREIGN),
    "too little": ("printf 'clawfleet 3500000\\n'; yes no | head -c 1000000", lan.BROKE),
    "nothing": ("echo 'Permission denied (publickey).' >&2; exit 255", lan.UNSEEN),
    "a greeting": ("echo 'Welcome to this Mac'; yes no", lan.UNSEEN),
    "a refusal": ("echo 'refused: not one of the wanted blobs'; exit 1", lan.UNSEEN),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("answer", "code"), BAD.values(), ids=BAD)
def test_what_is_not_the_blob_gets_nowhere(
    macs: Macs, shell: tuple[str, ...], answer: str, code: int
) -> None:
    assert len(BIG) == 3_500_000
    done = macs.fetch(shell, answer)
    assert done.returncode == code, done.stderr
    assert done.stderr.strip()
    assert list(macs.blobs.iterdir()) == []
    left = [path.name for path in macs.store.glob("clawfleet-incoming/*")]
    assert left == ([f"{digest(BIG)}.part"] if code == lan.BROKE else [])
    assert macs.incoming.exists() is (code == lan.BROKE)
    assert macs.temporary() == []


@pytest.mark.parametrize("shell", SHELLS)
def test_it_goes_on_where_it_broke_off(macs: Macs, shell: tuple[str, ...]) -> None:
    macs.incoming.mkdir(mode=0o700)
    part = macs.incoming / f"{digest(BIG)}.part"
    part.write_bytes(BIG[:2_500_000])
    stock = macs.look(shell)
    assert stock.parts == {f"sha256:{digest(BIG)}": 2_500_000}
    assert stock.to_come(BUILD) == BUILD.size - (2 << 20)
    assert macs.fetch(shell).returncode == 0
    requests = (macs.other / "arguments").read_text().splitlines()
    assert f"sha256-{digest(BIG)} 2" in requests
    assert macs.place(shell).returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_part_of_something_else_does_not_become_the_blob(
    macs: Macs, shell: tuple[str, ...]
) -> None:
    macs.incoming.mkdir(mode=0o700)
    (macs.incoming / f"{digest(BIG)}.part").write_bytes(b"x" * 2_500_000)
    assert macs.fetch(shell).returncode == lan.FOREIGN
    assert not macs.incoming.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_came_in_another_way_does_not_wait(macs: Macs, shell: tuple[str, ...]) -> None:
    assert macs.fetch(shell).returncode == 0
    (macs.incoming / f"{'c' * 64}.part").write_bytes(b"of another model")
    for content in CONTENTS:
        (macs.blobs / f"sha256-{digest(content)}").write_bytes(content)
    run(shell, lan.tidy(str(macs.store)), macs.home, commands=MAC_COMMANDS)
    assert [path.name for path in macs.incoming.iterdir()] == [f"{'c' * 64}.part"]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_lies_in_the_store_is_looked_at(macs: Macs, shell: tuple[str, ...]) -> None:
    """Ollama takes a blob for right because it is there."""
    right, wrong = CONTENTS[1], CONTENTS[0]
    (macs.blobs / f"sha256-{digest(right)}").write_bytes(right)
    (macs.blobs / f"sha256-{digest(wrong)}").write_bytes(b"x" * len(wrong))
    stock = macs.look(shell)
    assert stock.there == {f"sha256:{digest(right)}"}
    assert list(stock.missing(BUILD)) == [f"sha256:{digest(c)}" for c in (BIG, CONTENTS[2])]
    assert macs.fetch(shell, layers=stock.missing(BUILD)).returncode == 0
    assert f"sha256-{digest(right)} 0" not in (macs.other / "arguments").read_text()
    assert macs.place(shell).returncode == 0
    assert (macs.blobs / f"sha256-{digest(wrong)}").read_bytes() == wrong


@pytest.mark.parametrize("shell", SHELLS)
def test_without_all_blobs_there_is_no_manifest(macs: Macs, shell: tuple[str, ...]) -> None:
    assert macs.fetch(shell).returncode == 0
    (macs.incoming / digest(CONTENTS[1])).unlink()
    done = macs.place(shell)
    assert done.returncode == lan.BROKE
    assert "is not whole" in done.stderr
    assert not (macs.store / "manifests" / PATH).exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_that_somebody_put_there_as_a_link_is_not_entered(
    macs: Macs, shell: tuple[str, ...]
) -> None:
    macs.incoming.symlink_to(macs.other)
    done = macs.fetch(shell)
    assert done.returncode == lan.OURS
    assert "is a link" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_nobody_reads_its_lines_any_more(macs: Macs, shell: tuple[str, ...]) -> None:
    """The run was killed: the transfer ends, and the key goes."""
    run(shell, "true", macs.home, commands=macs.ssh("printf 'clawfleet 3500000\\n'; exec sleep 60"))
    found = shutil.which(shell[0])
    assert found
    script = lan.fetch(
        str(macs.store),
        BUILD.layers,
        address="192.0.2.1",
        port=22,
        login="mac",
        key=PRIVATE,
        host=HOST_KEY,
    )
    environment = {
        "HOME": str(macs.home),
        "PATH": f"{macs.home.parent / 'stand-ins'}:{os.environ['PATH']}",
        "TMPDIR": str(macs.home.parent),
        "OTHER": str(macs.other),
    }
    with subprocess.Popen(
        [found, *shell[1:], "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{{\n{script}\n}}\n".encode())
        process.stdin.close()
        while not process.stdout.readline().startswith(b"at "):
            pass
        assert len(macs.temporary()) == 1
        process.stdout.close()
        assert process.wait(20) != 0
    assert macs.temporary() == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_blob_through_the_machine_that_runs_this(macs: Macs, shell: tuple[str, ...]) -> None:
    """The script says how much it has, and only then is anything sent."""
    macs.incoming.mkdir(mode=0o700)
    (macs.incoming / f"{digest(BIG)}.part").write_bytes(BIG[:1_500_000])
    run(shell, "true", macs.home, commands=MAC_COMMANDS)
    found = shutil.which(shell[0])
    assert found
    source = macs.home.parent / "source"
    shutil.copytree(macs.other, source / "blobs")
    sent = run(
        shell, lan.send(f"sha256:{digest(BIG)}", 1, str(source)), macs.home, commands=MAC_COMMANDS
    ).stdout
    path = f"{macs.home.parent / 'stand-ins'}:{os.environ['PATH']}"
    with subprocess.Popen(
        [found, *shell[1:], "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"HOME": str(macs.home), "PATH": path},
    ) as process:
        assert process.stdin
        assert process.stdout
        script = lan.take(str(macs.store), f"sha256:{digest(BIG)}", len(BIG))
        process.stdin.write(f"{{\n{script}\n}}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"ready 1\n"
        head, _, body = sent.partition("\n")
        assert head == f"clawfleet {len(BIG)}"
        process.communicate(body.encode(), timeout=30)
    assert process.returncode == 0
    assert (macs.incoming / digest(BIG)).read_bytes() == BIG
