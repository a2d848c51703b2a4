"""What is said of a step before it is done, and kept of it for the report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from clawfleet.gateway import Decision
from clawfleet.operations import gateway
from clawfleet.operations.mac import announce
from clawfleet.plan import Step
from clawfleet.run import MacRun
from clawfleet.snapshot import Snapshot
from tests.unit.factory import TOKEN, healthy, settings

BY_HAND = f"ends pid 7, a gateway that was started by hand (/bin/openclaw gateway --token {TOKEN})"


class Told(MacRun):
    """A Mac of which it is kept what is said."""

    @property
    def snapshot(self) -> Snapshot:
        return healthy()

    def say(self, text: str, colour: str | None = None) -> None:  # noqa: ARG002
        self.results.setdefault("said", []).append(text)


@pytest.fixture
def mac() -> MacRun:
    state: Any = SimpleNamespace(config=SimpleNamespace(DIFF=True))
    host: Any = SimpleNamespace(print_prefix="")
    return Told(host, state, settings(), "20261123-153000-1a2b")


def test_a_step_shows_no_secret_of_a_command_line(mac: MacRun) -> None:
    announce(mac, [Step("restart the gateway", BY_HAND, "", "", show=BY_HAND)], ())
    said = "\n".join(mac.results["said"])
    assert said.count("pid 7") == 2
    assert TOKEN not in said


def test_the_report_shows_no_secret_of_a_command_line(mac: MacRun) -> None:
    gateway.told(mac, Decision("restart", (BY_HAND,), "by hand"), "6400")
    assert "pid 7" in mac.results["gateway"]["reasons"][0]
    assert TOKEN not in str(mac.results)
