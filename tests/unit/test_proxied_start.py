from __future__ import annotations

from dataclasses import replace

import pytest

from clawfleet import environment, proxied_start
from clawfleet.snapshot import Listener, Snapshot
from tests.unit.factory import file, healthy, settings

PROXY = "http://me:5ecret@127.0.0.1:7890"
LATE = "not well after 180 s; last seen: pid 7 runs, port 18789 is not open"


def with_proxies(text: str = f"HTTPS_PROXY={PROXY}\nno_proxy=corp\n") -> Snapshot:
    snapshot = healthy()
    return replace(snapshot, dotenv=file(snapshot.dotenv.path, text))


def warned(snapshot: Snapshot, policy: str) -> list[str]:
    wish = settings(proxies=policy, gateway_start_timeout=77)
    return proxied_start.warning(environment.plan(snapshot, wish).leaks, wish)


def test_keep_is_warned_of_beforehand_with_what_helps() -> None:
    (said,) = warned(with_proxies(), "keep")
    for part in ('proxies = "keep"', "77 s", "is undone", 'proxies = "unset"', "NO_PROXY"):
        assert part in said
    assert warned(with_proxies(), "bypass") == warned(with_proxies(), "unset") == []


@pytest.mark.parametrize(
    "snapshot",
    [
        healthy(),
        with_proxies("no_proxy=corp\n"),
        # What runs now is no place that the next one starts from.
        replace(healthy(), gateway_port=Listener(18789, proxies=("http_proxy",))),
    ],
    ids=["none", "only NO_PROXY", "only in the process"],
)
def test_where_no_proxy_is_left_none_is_named(snapshot: Snapshot) -> None:
    keep = settings(proxies="keep")
    assert warned(snapshot, "keep") == []
    assert proxied_start.blamed(snapshot, keep, LATE) is None
    assert proxied_start.of_a_turn(snapshot, keep) == ""


@pytest.mark.parametrize("policy", ["keep", "bypass"])
def test_a_late_start_names_the_proxies_that_were_left_to_it(policy: str) -> None:
    snapshot = with_proxies()
    found = proxied_start.blamed(snapshot, settings(proxies=policy), LATE)
    assert found
    likely, fix = found
    assert f"HTTPS_PROXY in {snapshot.dotenv.path}" in likely
    assert f'"{policy}"' in likely
    assert "no_proxy" not in likely
    assert 'proxies = "unset"' in fix
    assert "gateway_start_timeout = 600" in fix
    assert "5ecret" not in likely + fix


def test_they_are_not_blamed_for_another_failure() -> None:
    loop = "a crash loop: it ended 3 times (last exit 1)"
    assert proxied_start.blamed(with_proxies(), settings(proxies="keep"), loop) is None
    assert proxied_start.blamed(with_proxies(), settings(), LATE) is None


def test_a_failed_turn_names_what_keep_left() -> None:
    said = proxied_start.of_a_turn(with_proxies(), settings(proxies="keep"))
    assert "HTTPS_PROXY" in said
    assert "5ecret" not in said
    assert proxied_start.of_a_turn(with_proxies(), settings(proxies="bypass")) == ""
