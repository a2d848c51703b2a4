"""Planted secrets, searched for in everything that a run prints, writes, or passes to a process."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clawfleet import dotenv, json5
from tests.e2e.deploys import Done, home, pyinfra
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import TOKEN, apply

pytestmark = pytest.mark.lab

FIRST = "planted-first-key-0f1e2d3c4b5a"
SECOND = "planted-second-key-a5b4c3d2e1f0"
OTHER = "planted-other-key-77d1"
PLANTED = {
    "the provider's key": FIRST,
    "the provider's next key": SECOND,
    "the key that the user had": "zai-lab-not-a-real-key",
    "the gateway's token": TOKEN,
    "a channel's token": "123456:lab-not-a-real-token",
    "a proxy's password": "planted-proxy-password",
    "a variable in .env": "planted-dotenv-secret",
    "a key in a comment": "sk-plantedcomment0123456789",
    "the ending of a failing command": OTHER,
}
QUICK = ("--data", "gateway_settle=1", "--data", "gateway_start_timeout=30")
VERSIONS = {"mac1": "2026.2.17", "mac2": "2026.9.6"}


@dataclass
class Watched:
    """What the processes of a machine showed to everybody, or to their own user."""

    commands: set[str] = field(default_factory=set)
    environments: dict[str, str] = field(default_factory=dict)
    """Command -> environment."""


@contextmanager
def watching(homes: set[str]) -> Iterator[Watched]:
    """Look at all processes of this machine, and at the environment of those of simulated Macs
    that are not OpenClaw's own (the gateway has its keys there), again and again."""
    seen, over = Watched(), threading.Event()
    marks = [f"HOME={home}\0" for home in homes]

    def look() -> None:
        while not over.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    command = (process / "cmdline").read_bytes().decode("utf-8", "replace")
                    if not command:
                        continue
                    seen.commands.add(command)
                    environment = (process / "environ").read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                if any(mark in environment for mark in marks) and "openclaw" not in command:
                    seen.environments[command] = environment

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def plant(mac: Mac, version: str) -> None:
    """The rich user's Mac, with more secrets of the user's own."""
    apply(mac, "rich", version)
    folder = f"{mac.spec.home}/.openclaw"
    config = mac.read(f"{folder}/openclaw.json").decode()
    comment = f"// the old one was {PLANTED['a key in a comment']}\n"
    mac.write(f"{folder}/openclaw.json", (comment + config).encode(), 0o600)
    proxy = "http://me:planted-proxy-password@127.0.0.1:9"
    lines = f"https_proxy={proxy}\nMY_SERVICE_TOKEN={PLANTED['a variable in .env']} # mine\n"
    mac.write(f"{folder}/.env", lines.encode(), 0o600)
    mac.exec(["launchctl", "setenv", "https_proxy", proxy], env={
        "CLAWFLEET_LAB_DOMAIN": f"gui/{mac.spec.uid}"
    })  # fmt: skip


@dataclass
class Story:
    """What happened, in order, on one lab of two Macs."""

    lab: Lab
    watched: Watched
    runs: dict[str, Done]
    reports: Path
    files: dict[str, dict[str, str]]
    """After the first deploy: Mac -> path -> text."""
    listing: str
    homes: set[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    reports = tmp_path_factory.mktemp("reports")
    source = tmp_path_factory.mktemp("keys") / "zai.key"
    source.touch(0o600)
    failing = source.with_name("op")
    failing.write_text(f"echo {OTHER}; echo 'no session: token={OTHER}' >&2; exit 1\n")
    wished = {"zai": {"file": str(source)}}
    broken = {"zai": {"command": ["sh", str(failing)]}}

    def keys(value: object) -> tuple[str, ...]:
        return (*QUICK, "--data", f"provider_keys={json.dumps(value)}")

    with Lab.up(2, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac in lab.macs.values():
            use_small(mac)
            plant(mac, VERSIONS[mac.name])
        homes = {mac.spec.home for mac in lab.macs.values()}
        runs: dict[str, Done] = {}
        with watching(homes) as watched:
            source.write_text(f"{FIRST}\n")
            full = ("--diff", "-vvv", "--debug")
            runs["dry"] = pyinfra(lab, "--dry", *full, *keys(wished), reports=reports)
            runs["deploy"] = pyinfra(lab, "-y", "--json", *keys(wished), reports=reports)
            files = {name: _files(mac) for name, mac in lab.macs.items()}
            runs["again"] = pyinfra(lab, "-y", "--json", *keys(wished), reports=reports)
            source.write_text(f"{SECOND}\n")
            for mac in lab.macs.values():
                mac.set_faults({"npm.openclaw": "small", "openclaw.gateway": "exit:40960"})
            # With a config in which 40960 stands the gateway does not come up.
            window = ("--data", "context_window=40960")
            runs["failing"] = pyinfra(lab, "-y", *full, *window, *keys(wished), reports=reports)
            for mac in lab.macs.values():
                use_small(mac)
            runs["no key"] = pyinfra(lab, "--dry", *full, *keys(broken), reports=reports)
            runs["json"] = pyinfra(lab, "--dry", "--json", *keys(wished), reports=reports)
            for task in ("rollback", "remove"):
                back = ("--dry", *full, "--data", f"run={_first_run(lab.macs['mac1'])}")
                script = f"tasks/{task}.py"
                runs[task] = pyinfra(lab, *back, "--limit", "mac1", task=script, reports=reports)
            lab.macs["mac1"].exec(["sh", "-c", "sleep 1; true", "canary-in-a-command"])
        listing = "".join(
            mac.exec("ls -laR ~/.clawfleet ~/.openclaw").stdout.decode()
            for mac in lab.macs.values()
        )
        yield Story(lab, watched, runs, reports, files, listing, homes)


def _first_run(mac: Mac) -> str:
    """The run that replaced the user's own key."""
    return mac.exec("ls -1 ~/.clawfleet/backups", check=True).stdout.decode().split()[0]


def _files(mac: Mac) -> dict[str, str]:
    """The user's files that are not clawfleet's own record of them: path -> text."""
    find = 'find "$HOME" -type f -size -2000k ! -path "*/.clawfleet/*" ! -path "*/node_modules/*"'
    found = mac.exec(f"{find} -exec grep -laF planted- {{}} +").stdout.decode().split()
    return {path: mac.read(path).decode("utf-8", "replace") for path in found}


def leaks(text: str) -> list[str]:
    return [what for what, secret in PLANTED.items() if secret in text]


def test_the_runs_went_as_they_should(story: Story) -> None:
    codes = {name: done.code for name, done in story.runs.items()}
    logs = story.runs["deploy"].log + story.runs["failing"].log
    assert codes == {
        "dry": 0, "deploy": 0, "again": 0, "failing": 1, "no key": 1, "json": 0,
        "rollback": 0, "remove": 0,
    }, logs  # fmt: skip
    for task in ("rollback", "remove"):
        assert "Will remove ~/.clawfleet/owned.json" in story.runs[task].log
    assert story.runs["again"].changed() == [], story.runs["again"].log


@pytest.mark.parametrize(
    "run", ["dry", "deploy", "again", "failing", "no key", "json", "rollback", "remove"]
)
def test_no_run_prints_a_secret(story: Story, run: str) -> None:
    done = story.runs[run]
    assert leaks(done.out + done.log) == []
    assert "Traceback" not in done.log


def test_the_reports_hold_no_secret(story: Story) -> None:
    written = [file.read_text(encoding="utf-8") for file in story.reports.rglob("*.json")]
    assert len(written) >= 3
    assert leaks("".join(written)) == []


def test_no_name_of_a_file_is_a_secret(story: Story) -> None:
    assert "backups" in story.listing
    assert leaks(story.listing) == []


def test_no_process_shows_a_secret(story: Story) -> None:
    commands = "\n".join(story.watched.commands)
    assert "canary-in-a-command" in commands, "the look at the processes sees what is there"
    assert leaks(commands) == []
    assert story.watched.environments
    keys = [FIRST, SECOND, OTHER]
    environments = story.watched.environments
    assert [c for c, shown in environments.items() if any(key in shown for key in keys)] == []


def test_the_key_lies_in_one_file(story: Story) -> None:
    for name, mac in story.lab.macs.items():
        folder = f"{mac.spec.home}/.openclaw"
        files = story.files[name]
        assert [path for path, text in files.items() if FIRST in text] == [f"{folder}/.env"]
        env = dotenv.values(files[f"{folder}/.env"])
        assert env == {"ZAI_API_KEY": FIRST, "MY_SERVICE_TOKEN": PLANTED["a variable in .env"]}
        modes = mac.exec('stat -f "%Lp" ~/.openclaw/.env ~/.clawfleet ~/.clawfleet/backups').stdout
        assert modes.split() == [b"600", b"700", b"700"]


def test_openclaw_refers_to_it(story: Story) -> None:
    shown = {
        "mac1": "ZAI_API_KEY",
        "mac2": {"source": "env", "provider": "default", "id": "ZAI_API_KEY"},
    }
    for name, expected in shown.items():
        config = home(story.lab.macs[name], ".openclaw/openclaw.json")
        assert json5.loads(config)["models"]["providers"]["zai"]["apiKey"] == expected
        assert PLANTED["the key that the user had"] not in config
        assert PLANTED["a key in a comment"] in config, "the user's comment stays"


def test_a_failed_run_puts_the_former_key_back(story: Story) -> None:
    for mac in story.lab.macs.values():
        assert dotenv.values(home(mac, ".openclaw/.env"))["ZAI_API_KEY"] == FIRST


@pytest.mark.parametrize("name", VERSIONS)
def test_the_diff_shows_that_a_key_changes(story: Story, name: str) -> None:
    lines = [line for line in story.runs["failing"].log.splitlines() if f"[{name}]" in line]
    change = {
        sign: set(
            re.findall(rf"\] +{re.escape(sign)}ZAI_API_KEY=.?(‹secret \w+›)", "\n".join(lines))
        )
        for sign in "-+"
    }
    assert len(change["-"]) == len(change["+"]) == 1, lines
    assert change["-"] != change["+"]


def test_a_source_that_fails_is_told_to_each_mac(story: Story) -> None:
    for name in VERSIONS:
        assert re.search(
            rf"\[{name}\].*for zai's key, failed with exit code 1", story.runs["no key"].log
        )
