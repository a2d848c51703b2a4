"""Proxies in every place of a Mac, and not one request to Ollama through them.

With the real OpenClaw: mac1 is deployed with the policy "unset", mac2 with "bypass"; 2026.9.6 only
with CLAWFLEET_PROXIES=all.
`script/bench proxies` does the same with 100 turns each, and prints a table.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import need_openclaw
from tests.e2e.deploys import home, report
from tests.e2e.proxied import Scene, files, stage
from tests.lab import turns
from tests.lab.evil import CORP, ollama
from tests.lab.standins.evil_proxy import WORDS

pytestmark = [pytest.mark.lab, pytest.mark.openclaw]

TURNS = {"2026.2.17": 100, "2026.9.6": 8}
UNREACHED = 20
"""Seconds for the turns that reach nobody; a request to the proxy is counted within one."""


@pytest.fixture(scope="module", params=list(TURNS))
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    version: str = request.param
    if version != "2026.2.17" and os.environ.get("CLAWFLEET_PROXIES") != "all":
        pytest.skip(
            f"OpenClaw {version} takes five minutes: CLAWFLEET_PROXIES=all, or script/bench proxies"
        )
    need_openclaw(version)
    folder = tmp_path_factory.mktemp("proxies")
    with stage(version, TURNS[version], folder, unreached=UNREACHED) as scene:
        yield scene


def test_without_the_deploy_they_get_the_requests(story: Scene) -> None:
    """The control: else nothing below could fail."""
    for name, told in story.told.items():
        assert ollama(told.control_hits, story.lab.macs[name]) > 0, name
        assert not any("Hello from" in answer for answer in told.control.answers), name


def test_the_dry_run_names_each_place_and_no_value(story: Scene) -> None:
    assert story.dry.code == 0, story.dry.log
    service = ".openclaw/service-env/ai.openclaw.gateway.env"
    start = service if story.version >= "2026.9" else "LaunchAgents/ai.openclaw.gateway.plist"
    for name in story.lab.macs:
        said = "\n".join(line for line in story.dry.log.splitlines() if f"[{name}]" in line)
        for place in (start, ".openclaw/.env", "domain gui/", "the running gateway"):
            found = re.search(rf"found (.*) in \S*.*{re.escape(place)}", said)
            assert found, (name, place)
            assert {"http_proxy", "HTTPS_PROXY", "ALL_PROXY"} <= {*re.findall(r"\w+", found[1])}
        for place in (
            "brew.env has http_proxy",
            *(f"~/{file} has" for file in (".zshenv", ".zprofile", ".zshrc", ".profile")),
            "~/Library/LaunchAgents/com.example.proxy.plist has ALL_PROXY",
            "macOS' network settings has HTTP 127.0.0.1:",
        ):
            assert place in said, (name, place)


def test_the_deploy_succeeds_and_says_what_the_running_process_has(story: Scene) -> None:
    assert story.first.code == 0, story.first.log
    shown = {
        name: next(c["detail"] for c in mac["checks"] if c["layer"] == "proxies")
        for name, mac in report(story.reports)["macs"].items()
    }
    assert shown["mac1"] == "0 proxies in the running process, says ps"
    assert shown["mac2"].startswith("6 proxies in the running process (http_proxy, ")
    assert shown["mac2"].endswith("; bypass: NO_PROXY covers loopback, says ps")


def test_not_one_request_to_ollama_goes_through_them(story: Scene) -> None:
    for name, told in story.told.items():
        mac = story.lab.macs[name]
        for whom, hits in told.hits.items():
            assert ollama(hits, mac) == 0, (name, whom, hits)
        for whom in ("main", "desk"):
            asked = told.answers[whom]
            assert asked.failures == (), (name, whom)
            assert len(asked.answers) == TURNS[story.version] / 2, (name, whom)
            assert all("Hello from" in answer for answer in asked.answers), (name, whom, asked)
        assert b"Hello from" in told.command, name


def test_the_cloud_is_reached_through_them_with_bypass_alone(story: Scene) -> None:
    cloud = f"{turns.CLOUD}:80"
    bypass, unset = story.told["mac2"], story.told["mac1"]
    assert bypass.answers["cloud"].answers == (WORDS,)
    assert bypass.hits["cloud"][cloud] + bypass.hits["cloud"][turns.CLOUD] > 0
    assert WORDS not in unset.answers["cloud"].answers
    assert unset.hits["cloud"] == Counter()


def test_the_users_own_entries_stay(story: Scene) -> None:
    mac = story.lab.macs["mac2"]
    value = rf"{re.escape(CORP)},127\.0\.0\.1,localhost,::1(,[\w.]+)*"
    for place in (
        home(mac, ".openclaw/.env"),
        mac.exec("launchctl print gui/$(id -u)").stdout.decode(),
        mac.exec("launchctl print gui/$(id -u)/ai.openclaw.gateway").stdout.decode(),
        mac.read(f"{mac.spec.homebrew_prefix}/etc/homebrew/brew.env").decode(),
    ):
        assert re.search(rf"no_proxy(=| => )'?{value}'?$", place, re.M), place


def test_a_second_run_changes_nothing(story: Scene) -> None:
    second = story.run("-y", "--json", "--data", "verify=off")
    assert second.code == 0, second.log
    assert second.changed() == []


def test_remove_gives_everything_back(story: Scene) -> None:
    """The last in this file: it ends the story."""
    mac = story.lab.macs["mac2"]
    off = ("--limit", "mac2", "--data", "verify=off")
    done = story.run("-y", "--json", *off, task="tasks/remove.py")
    assert done.code == 0, done.log
    assert files(mac) == story.told["mac2"].files
    domain = mac.exec("launchctl print gui/$(id -u)").stdout.decode()
    assert f"no_proxy => {CORP}\n" in domain
    assert f"NO_PROXY => {CORP}\n" in domain
    assert mac.exec("ls ~/.clawfleet/domain").returncode != 0
