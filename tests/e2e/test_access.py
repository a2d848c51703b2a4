"""Who may be talked to, and which files may be replaced: the host's key, and links on the way."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.deploys import Done, pyinfra, report
from tests.lab.lab import Lab
from tests.lab.openclaw import use_small
from tests.lab.profiles import apply

pytestmark = pytest.mark.lab

PREFLIGHT = "tasks/preflight.py"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.up(2, dir=tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def known(two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Sets the word for host keys, and what known_hosts holds; gives that file."""
    text = two.inventory().read_text()
    (line,) = [line for line in text.splitlines() if "ssh_known_hosts_file" in line]
    original = Path(line.partition(":")[2].strip().strip('"'))

    def chosen(word: str, change: Callable[[list[str]], list[str]]) -> Path:
        file, hosts = tmp_path / "known hosts", tmp_path / "hosts.yml"
        file.write_text("".join(change(original.read_text().splitlines(keepends=True))))
        kept = text.replace(str(original), str(file))
        # As people write it: without quotes, which YAML reads as a truth.
        kept = kept.replace('_checking: "yes"', f"_checking: {word}")
        hosts.write_text(kept)
        monkeypatch.setattr(two, "inventory", lambda: hosts)
        return file

    return chosen


def stopped(reports: Path, mac: str) -> dict[str, str]:
    trouble: dict[str, str] = report(reports)["macs"][mac]["trouble"]
    return trouble


def address(lab: Lab, name: str) -> str:
    mac = lab.macs[name]
    return mac.address if mac.port == 22 else f"[{mac.address}]:{mac.port}"


def go(lab: Lab, reports: Path, *more: str) -> Done:
    done = pyinfra(lab, "-y", *more, task=PREFLIGHT, reports=reports)
    assert "Traceback" not in done.log, done.log
    return done


def test_an_unknown_key_is_refused_where_strictness_is_asked_for(
    two: Lab, reports: Path, known: Callable[..., Path]
) -> None:
    file = known("yes", lambda lines: lines[1:])
    before = file.read_text()
    done = go(two, reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert "is not in" in found["found"]
    assert str(file) in found["found"]
    assert "ssh_strict_host_key_checking is 'yes'" in found["found"]
    assert f"'UserKnownHostsFile={file}'" in found["fix"]
    assert file.read_text() == before
    assert "[mac2] Connected" in done.log


def test_an_unknown_key_is_taken_once_and_then_known(
    two: Lab, reports: Path, known: Callable[..., Path]
) -> None:
    file = known("accept-new", lambda lines: lines[1:])
    done = go(two, reports)
    assert done.code == 0, done.log
    assert address(two, "mac1") in file.read_text()
    written = file.read_text()
    known("yes", lambda _: [written])
    assert go(two, reports).code == 0


@pytest.mark.parametrize("word", ["accept-new", "no", "yes"])
def test_a_changed_key_is_refused_whatever_the_word(
    two: Lab, reports: Path, known: Callable[..., Path], word: str
) -> None:
    def swap(lines: list[str]) -> list[str]:
        first, second = (line.split() for line in lines)
        return [" ".join([first[0], *second[1:]]) + "\n", lines[1]]

    file = known(word, swap)
    before = file.read_text()
    done = go(two, reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert found["found"].startswith("mac1 shows another host key than before")
    assert found["found"].count("SHA256:") == 2
    named = f"ssh-keygen -R {shlex.quote(address(two, 'mac1'))} -f {shlex.quote(str(file))}"
    assert found["fix"].endswith(named)
    assert file.read_text() == before
    assert "[mac2] Connected" in done.log
    # And the command that is named mends it.
    two.run(["sh", "-c", named], check=True, capture_output=True)
    assert address(two, "mac1") not in file.read_text()


def test_an_exchanged_folder_is_not_written_into(two: Lab, reports: Path) -> None:
    """Links out of ~/.openclaw, and folders that somebody else may write into."""
    mac = two.macs["mac1"]
    apply(mac, "half", "2026.2.17")
    use_small(mac)
    options = ("--limit", "mac1", "--data", "verify=off", "--data", "openclaw_version=2026.2.17")
    mac.exec(
        "mkdir -p ~/.openclaw/agents ~/outside && cd ~/.openclaw && mv agents ~/outside/agents "
        "&& ln -s ~/outside/agents agents",
        check=True,
    )
    before = mac.exec("cd ~/outside && find . -type f -exec shasum {} +").stdout
    done = pyinfra(two, "-y", *options, reports=reports)
    assert done.code == 1
    found = stopped(reports, "mac1")
    assert "outside/agents" in found["found"]
    assert ".openclaw" in found["expected"]
    assert mac.exec("cd ~/outside && find . -type f -exec shasum {} +").stdout == before
    mac.exec("cd ~/.openclaw && rm agents && mv ~/outside/agents agents", check=True)
    mac.exec("chmod 777 ~/.openclaw/agents", check=True)
    done = pyinfra(two, "-y", *options, reports=reports)
    found = stopped(reports, "mac1")
    assert "(mode 777)" in found["found"]
    mac.exec(found["fix"].removeprefix("on the Mac: "), check=True)
    done = pyinfra(two, "--dry", *options, reports=reports)
    assert done.code == 0, done.log
