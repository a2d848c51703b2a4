"""scripts/registry.sh and scripts/aside*.sh, run by dash and bash."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from clawfleet.plan import quote
from clawfleet.scripts import load
from tests.unit.shells import HOSTILE_NAMES, SHELLS, run

URL = "https://registry.ollama.ai/v2/library/gpt-oss/manifests/20b"
CURL = """\
{ printf '%s\\n' "$*"; env | grep -i _proxy= | sort; } > "$HOME/seen"
printf '{"layers": []}\\n\\n200'"""
GUI = (
    "printf 'gui/501 = {\\n\\tenvironment = {\\n\\t\\thttps_proxy => http://gui:1\\n"
    "\\t\\tHTTP_PROXY => http://no:1\\n\\t\\tPATH => /x\\n\\t}\\n}\\n'"
)
NAMES = [f"sha256-{letter * 64}" for letter in "ab"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "the home"
    folder.mkdir()
    return folder


def asked(shell: tuple[str, ...], home: Path, *, service: str, gui: str = GUI) -> list[str]:
    """Arguments and proxies of curl, when the registry is asked."""
    done = run(
        shell,
        f"URL={quote(URL)}\nSERVICE={service}\n{load('registry.sh')}",
        home,
        commands={"curl": CURL, "launchctl": gui, "id": "echo 501"},
        check=True,
        HTTPS_PROXY="http://session:1",
        all_proxy="http://session:1",
    )
    assert base64.b64decode(done.stdout) == b'{"layers": []}\n\n200'
    return (home / "seen").read_text().splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_registry_is_asked_as_ollama_asks_it(shell: tuple[str, ...], home: Path) -> None:
    arguments, *proxies = asked(shell, home, service="no")
    assert URL in arguments
    assert "Accept: application/vnd.docker.distribution.manifest.v2+json" in arguments
    assert proxies == ["https_proxy=http://gui:1"]
    env = home / ".homebrew/services/ollama.env"
    env.parent.mkdir(parents=True)
    own = "http://me:5ecret@own:1 $(touch pwned)"
    env.write_text(f"OLLAMA_HOST=x\nHTTPS_PROXY={own}\nNO_PROXY=.a,b")
    assert asked(shell, home, service="no")[1:] == proxies
    arguments, *proxies = asked(shell, home, service="yes")
    assert proxies == [
        f"HTTPS_PROXY={own}",
        "NO_PROXY=.a,b",
        f"https_proxy={own}",
        "no_proxy=.a,b",
    ]
    assert "5ecret" not in arguments
    env.write_text("NO_PROXY=.a,b\n")
    proxies = asked(shell, home, service="yes")[1:]
    assert proxies == ["NO_PROXY=.a,b", "https_proxy=http://gui:1", "no_proxy=.a,b"]
    assert asked(shell, home, service="yes", gui="exit 113")[1:] == [
        "NO_PROXY=.a,b",
        "no_proxy=.a,b",
    ]
    assert not list(home.rglob("pwned"))


def put_aside(
    shell: tuple[str, ...], home: Path, store: Path, run_id: str, drop: str = "no"
) -> int:
    values = f"M={quote(str(store))}\nRUN={run_id}\nNAMES={quote(' '.join(NAMES))}\nDROP={drop}\n"
    return run(shell, values + load("aside.sh"), home).returncode


def whole(shell: tuple[str, ...], home: Path, store: Path) -> None:
    values = f"M={quote(str(store))}\nNAMES={quote(' '.join(NAMES))}\n"
    run(shell, values + load("aside-gone.sh"), home, check=True)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["models", *HOSTILE_NAMES])
def test_put_aside_and_taken_away(shell: tuple[str, ...], home: Path, name: str) -> None:
    store = home / name
    blobs = store / "blobs"
    blobs.mkdir(parents=True)
    for blob in (*NAMES, "sha256-other"):
        (blobs / blob).write_text("short")
    assert put_aside(shell, home, store, "1") == 0
    assert [path.name for path in blobs.iterdir()] == ["sha256-other"]
    aside = store / ".clawfleet-aside"
    assert aside.stat().st_mode & 0o777 == 0o700
    # A second run that was cut off: one of them came short again.
    (blobs / NAMES[0]).write_text("short again")
    assert put_aside(shell, home, store, "2") == 0
    # One is whole now, of the other there is still nothing.
    (blobs / NAMES[0]).write_text("whole")
    whole(shell, home, store)
    assert [path.relative_to(aside) for path in aside.rglob("*") if path.is_file()] == [
        Path("1", NAMES[1])
    ]
    (blobs / NAMES[1]).write_text("whole")
    whole(shell, home, store)
    assert sorted(path.name for path in store.iterdir()) == ["blobs"]
    assert sorted(path.name for path in blobs.iterdir()) == [*NAMES, "sha256-other"]
    whole(shell, home, store)
    assert not list(home.rglob("pwned"))


@pytest.mark.parametrize("shell", SHELLS)
def test_without_room_for_both_the_old_goes(shell: tuple[str, ...], home: Path) -> None:
    (home / "m" / "blobs").mkdir(parents=True)
    (home / "m" / "blobs" / NAMES[0]).write_text("short")
    assert put_aside(shell, home, home / "m", "1", drop="yes") == 0
    assert [path for path in (home / "m").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_store_that_is_not_there_is_an_error(shell: tuple[str, ...], home: Path) -> None:
    (home / "m").write_text("a file")
    assert put_aside(shell, home, home / "m", "1") != 0
