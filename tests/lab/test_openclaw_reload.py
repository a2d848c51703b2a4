"""The small gateway under a changing openclaw.json, against logs of the real 2026.2.17 and 2026.9.6
whose keys were changed one by one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.openclaw_bench import Clawed
from tests.lab.standins.launchd_bench import until

OLD, NEW = "2026.2.17", "2026.9.6"
DYNAMIC, HOT = "config change applied (dynamic reads: {})", "config hot reload applied ({})"
MODEL = {"id": "m", "name": "M"}


@contextlib.contextmanager
def running(folder: Path, version: str) -> Iterator[Clawed]:
    mac = Clawed(folder, version)
    mac.install_small()
    ollama = {"baseUrl": "http://127.0.0.1:9", "api": "ollama", "models": [MODEL]}
    mac.write_config({"gateway": mac.gateway(), "models": {"providers": {"ollama": ollama}}})
    mac.up()
    try:
        assert mac.openclaw("gateway", "install").returncode == 0
        # Not the process that the install's kickstart has replaced.
        until(lambda: f"(PID {pid(mac)})" in log(mac), "launchd's own process listens")
        yield mac
    finally:
        mac.down()


def log(mac: Clawed) -> str:
    names = ("gateway.log", "gateway.err.log")
    files = [Path(mac.mac.home, ".openclaw", "logs", name) for name in names]
    files.append(Path(mac.mac.home, "Library", "Logs", "openclaw", "gateway.log"))
    return "".join(file.read_text() for file in files if file.exists())


def change(mac: Clawed, edit: Callable[[dict[str, Any]], object]) -> None:
    """By a file beside it that is moved into its place."""
    path = Path(mac.mac.home, ".openclaw", "openclaw.json")
    config = json.loads(path.read_text())
    edit(config)
    new = path.with_name("new")
    new.write_text(json.dumps(config))
    os.replace(new, path)


def pid(mac: Clawed) -> str:
    return mac.shown(f"gui/{mac.mac.uid}/ai.openclaw.gateway").get("pid", "")


@pytest.mark.parametrize(("version", "applied"), [(OLD, DYNAMIC), (NEW, HOT)])
def test_models_are_taken_over(tmp_path: Path, version: str, applied: str) -> None:
    with running(tmp_path, version) as mac:
        before = pid(mac)
        change(mac, lambda c: c["models"]["providers"]["ollama"]["models"].append(MODEL))
        path = "models.providers.ollama.models"
        until(lambda: applied.format(path) in log(mac), "it says that it has applied it")
        assert f"[reload] config change detected; evaluating reload ({path})" in log(mac)
        model = {"primary": "ollama/m"}
        change(mac, lambda c: c.update(agents={"defaults": {"model": model}}))
        until(lambda: applied.format("agents") in log(mac), "it says so again")
        change(mac, lambda c: c.update(nobodyKnowsThis=1))
        until(lambda: "config reload skipped (invalid config): " in log(mac), "it refuses")
        assert pid(mac) == before


def test_the_old_one_leaves_a_copy_behind(tmp_path: Path) -> None:
    with running(tmp_path, OLD) as mac:
        before = pid(mac)
        # launchd's next start has to wait: else either of them may be the first at the port.
        mac.faults('{"launchd.throttle": "10000"}')
        profiles = {"ollama:default": {"provider": "ollama", "mode": "api_key"}}
        change(mac, lambda c: c.update(auth={"profiles": profiles}))
        spawned = "restart mode: full process restart (spawned pid "
        until(lambda: spawned in log(mac), "it starts a copy")
        assert "[reload] config change requires gateway restart (auth)" in log(mac)
        copy = log(mac).rpartition("(spawned pid ")[2].partition(")")[0]
        assert copy != before
        port = f"-tiTCP:{mac.mac.gateway_port}"
        listening = partial(mac.sh, "lsof", "-nP", port, "-sTCP:LISTEN")
        until(lambda: listening().stdout.split() == [copy], "the copy has the port")
        until(lambda: pid(mac) == "", "launchd has seen the end of its own process")
        job = f"gui/{mac.mac.uid}/ai.openclaw.gateway"
        assert mac.sh("launchctl", "kickstart", job).returncode == 0
        until(lambda: "Gateway already running locally." in log(mac), "launchd's start fails")
        assert listening().stdout.split() == [copy]
        os.kill(int(copy), 15)


def test_the_new_one_ends_for_launchd_to_start_it(tmp_path: Path) -> None:
    with running(tmp_path, NEW) as mac:
        before = pid(mac)
        change(mac, lambda c: c["gateway"].update(bind="lan"))
        until(lambda: pid(mac) not in ("", before), "launchd starts it again")
        assert "[reload] config change requires gateway restart (gateway.bind)" in log(mac)
