"""The command line against captured texts, and Ollama.app's main process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.lab.ollama_alone import WAIT, Alone, wait_until_up
from tests.lab.standins import ollama_text
from tests.lab.standins.ollama_names import parse
from tests.lab.standins.ollama_store import seed

DOWN = "Error: could not connect to ollama server, run 'ollama serve' to start it\n"


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[Alone]:
    alone = Alone(tmp_path / "mac")
    seed(alone.store.root, "gpt-oss:20b", factor=0.01)
    yield alone
    alone.stop()


def until(met: Callable[[], bool], what: str) -> None:
    """Poll; AssertionError after WAIT seconds."""
    end = time.monotonic() + WAIT
    while not met():
        assert time.monotonic() < end, f"not within {WAIT} s: {what}"
        time.sleep(0.02)


def answers(mac: Alone) -> bool:
    try:
        httpx.get(mac.url + "/api/version", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def shape(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_version_in_its_three_shapes(mac: Alone) -> None:
    down = (
        "Warning: could not connect to a running Ollama instance\n"
        "Warning: client version is 0.32.3\n"
    )
    assert shape(mac.cli("--version")) == (0, down, "")
    mac.serve()
    assert shape(mac.cli("-v")) == (0, "ollama version is 0.32.3\n", "")
    mac.version = "0.32.1"
    mac.wrapper(mac.command, "ollama")
    mac.serve()
    mac.version = "0.32.3"
    mac.wrapper(mac.command, "ollama")
    other = "ollama version is 0.32.1\nWarning: client version is 0.32.3\n"
    assert shape(mac.cli("--version")) == (0, other, "")


@pytest.mark.parametrize("argv", [["list"], ["ps"], ["pull", "tiny"], ["show", "x"], ["rm", "x"]])
def test_without_a_server(mac: Alone, argv: list[str]) -> None:
    assert shape(mac.cli(*argv)) == (1, "", DOWN)


def test_ollama_host_is_read_by_client_and_server(mac: Alone) -> None:
    mac.serve()
    there = mac.url.removeprefix("http://")
    assert mac.cli("list", OLLAMA_HOST=there).returncode == 0
    assert shape(mac.cli("list", OLLAMA_HOST="127.0.0.1:9")) == (1, "", DOWN)


def test_list_and_ps_are_padded_tables(mac: Alone) -> None:
    seed(mac.store.root, "qwen3-coder:latest", factor=0.01)
    mac.serve()
    head, *rows = mac.cli("list").stdout.splitlines()
    assert head.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    names = [row.split()[0] for row in rows]
    assert sorted(names) == ["gpt-oss:20b", "qwen3-coder:latest"]
    column = head.index("ID")
    assert {row[column - 4 : column] for row in rows} == {" " * 4}
    digests = {model["name"]: model["digest"][:12] for model in mac.get("/api/tags")["models"]}
    assert [row[column : column + 12] for row in rows] == [digests[name] for name in names]
    assert mac.cli("ps").stdout == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL    \n"
    mac.post("/api/generate", {"model": "gpt-oss:20b", "keep_alive": -1})
    row = mac.cli("ps").stdout.splitlines()[1].split("    ")
    assert [cell.strip() for cell in row[2:6]] == ["14 GB", "100% GPU", "4096", "Forever"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (13_793_441_244, "13 GB"),
        (18_556_688_736, "18 GB"),
        (2_019_393_189, "2.0 GB"),
        (999, "999 B"),
    ],
)
def test_sizes_are_cut_off(count: int, text: str) -> None:
    assert ollama_text.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (30, "30 seconds"),
        (61, "About a minute"),
        (299, "4 minutes"),
        (3600, "About an hour"),
        (86400 * 3, "3 days"),
        (86400 * 21, "3 weeks"),
        (86400 * 90, "3 months"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert ollama_text.span(seconds) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("qwen3-coder", "qwen3-coder:latest"),
        ("registry.ollama.ai/library/qwen3-coder:latest", "qwen3-coder:latest"),
        ("gpt-oss:20b", "gpt-oss:20b"),
        ("someone/model:1", "someone/model:1"),
        ("host:8000/ns/model", "host:8000/ns/model:latest"),
    ],
)
def test_names_are_normalised(text: str, short: str) -> None:
    name = parse(text)
    assert name is not None
    assert name.short == short


@pytest.mark.parametrize("text", ["", "a b", "x:", "some.one/model", ":tag", "/x"])
def test_what_is_no_name(text: str) -> None:
    assert parse(text) is None


def test_run_answers_after_its_thoughts(mac: Alone) -> None:
    mac.serve()
    done = mac.cli("run", "gpt-oss:20b", "say", "hi")
    assert done.stdout == (
        "Thinking...\nThe user wants a short answer, so a greeting will do.\n"
        "...done thinking.\n\nHello from gpt-oss:20b on mac1.\n\n"
    )


def test_names_match_without_regard_to_case(mac: Alone) -> None:
    mac.serve()
    assert mac.cli("show", "GPT-OSS:20B").returncode == 0


def test_rm_cp_and_unknown_words(mac: Alone) -> None:
    mac.serve()
    copied = "copied 'gpt-oss:20b' to 'mine'\n"
    assert shape(mac.cli("cp", "gpt-oss:20b", "mine")) == (0, copied, "")
    assert shape(mac.cli("rm", "mine")) == (0, "deleted 'mine'\n", "")
    assert shape(mac.cli("rm", "mine")) == (1, "", "Error: model 'mine' not found\n")
    assert shape(mac.cli("fly")) == (1, "", 'Error: unknown command "fly" for "ollama"\n')


def test_a_failed_pull_is_told_on_stderr(mac: Alone) -> None:
    mac.serve()
    mac.faults(ollama__pull="unknown")
    done = mac.cli("pull", "no-such-model")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("\nError: pull model manifest: file does not exist\n")


def test_a_taken_port(mac: Alone) -> None:
    mac.serve()
    taken = f"Error: listen tcp 127.0.0.1:{mac.port}: bind: address already in use\n"
    assert shape(mac.cli("serve")) == (1, "", taken)


def test_the_log_tells_effective_values(mac: Alone) -> None:
    mac.serve(OLLAMA_CONTEXT_LENGTH="65536", https_proxy="http://127.0.0.1:7897")
    log = mac.logfile.read_text()
    assert 'msg="server config" env="map[' in log
    assert "OLLAMA_CONTEXT_LENGTH:65536 " in log
    assert "https_proxy:http://127.0.0.1:7897 " in log
    assert f'msg="Listening on 127.0.0.1:{mac.port} (version 0.32.3)"' in log
    assert 'msg="vram-based default context" total_vram="21.3 GiB" default_num_ctx=4096' in log


def link_into_app(mac: Alone) -> Path:
    """Ollama.app with its server, and the client as a link into it; the app's own file."""
    app = Path(mac.spec.applications) / "Ollama.app" / "Contents"
    server = mac.wrapper(app / "Resources" / "ollama", "ollama")
    mac.command.unlink()
    mac.command.symlink_to(server)
    return mac.wrapper(app / "MacOS" / "Ollama", "ollama_app")


def test_a_client_of_the_app_opens_it(mac: Alone) -> None:
    link_into_app(mac)
    opener = Path(mac.spec.bin) / "open"
    seen = mac.root / "opened"
    opener.write_text(f'#!/bin/sh\necho "$*" >{seen}\nexit 1\n')
    opener.chmod(0o755)
    assert mac.cli("--version").returncode == 0
    assert not seen.exists()
    assert shape(mac.cli("list")) == (1, "", DOWN)
    assert seen.read_text() == f"-j -a {mac.spec.applications}/Ollama.app --args --fast-startup\n"


def test_a_client_of_the_formula_opens_nothing(mac: Alone) -> None:
    opener = Path(mac.spec.bin) / "open"
    opener.write_text(f"#!/bin/sh\ntouch {mac.root}/opened\n")
    opener.chmod(0o755)
    assert mac.cli("list").returncode == 1
    assert not (mac.root / "opened").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the app finds its Mac's processes in /proc")
class TestApp:
    @pytest.fixture
    def app(self, mac: Alone) -> Iterator[subprocess.Popen[bytes]]:
        """The app while it runs, at release 0.16.1."""
        mac.version = "0.16.1"
        with self.start(mac) as process:
            yield process
            process.terminate()

    def start(self, mac: Alone) -> subprocess.Popen[bytes]:
        program = link_into_app(mac)
        environment = mac.environment(OLLAMA_CONTEXT_LENGTH="65536")
        return subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL)

    def server(self, app: subprocess.Popen[bytes]) -> str:
        """Process id of the app's server, empty while there is none."""
        return Path(f"/proc/{app.pid}/task/{app.pid}/children").read_text().strip()

    def log(self, mac: Alone) -> str:
        return (Path(mac.spec.home) / ".ollama/logs/server.log").read_text()

    def test_keeps_its_server_with_its_own_context(
        self, mac: Alone, app: subprocess.Popen[bytes]
    ) -> None:
        wait_until_up(mac.url, app)
        assert "OLLAMA_CONTEXT_LENGTH:4096 " in self.log(mac)
        first = self.server(app)
        os.kill(int(first), signal.SIGTERM)
        until(lambda: self.server(app) not in ("", first) and answers(mac), "a new server")
        app.terminate()
        app.wait(WAIT)
        assert not answers(mac)

    def test_ends_a_foreign_server(self, mac: Alone) -> None:
        mac.serve()
        foreign = mac.process
        assert foreign is not None
        with self.start(mac) as app:
            foreign.wait(WAIT)
            until(lambda: answers(mac), "the app's own server")
            assert "address already in use" in self.log(mac)
            app.terminate()

    def test_later_releases_leave_the_environment(self, mac: Alone) -> None:
        with self.start(mac) as app:
            wait_until_up(mac.url, app)
            assert "OLLAMA_CONTEXT_LENGTH:65536 " in self.log(mac)
            (mac.state / "ollama-app.json").write_text(json.dumps({"context_length": 8192}))
            app.terminate()
        with self.start(mac) as app:
            wait_until_up(mac.url, app)
            assert "OLLAMA_CONTEXT_LENGTH:8192 " in self.log(mac)
            app.terminate()
