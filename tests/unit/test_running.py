from __future__ import annotations

from dataclasses import replace

import pytest

from clawfleet import gateway, running
from clawfleet.snapshot import Job, Listener, Snapshot
from tests.unit.factory import HOME, NEW, OLD, file, healthy, settings

OURS = "127.0.0.1,localhost,::1"
PROXY = "http://me:5ecret@127.0.0.1:7890"


def shown(proxies: tuple[str, ...] = (), **no_proxy: str) -> Snapshot:
    """A Mac whose ps shows the environment of the gateway."""
    snapshot = healthy()
    named = (*proxies, *(name for name, value in no_proxy.items() if value))
    port = replace(snapshot.gateway_port, proxies=named)
    return replace(snapshot, gateway_port=port, gateway_shown=True, gateway_no_proxy=no_proxy)


@pytest.mark.parametrize(
    ("policy", "snapshot", "found"),
    [
        ("unset", shown(), []),
        ("unset", shown(("http_proxy",)), ["the running process has http_proxy"]),
        ("unset", shown(NO_PROXY=OURS), ["the running process has NO_PROXY"]),
        ("bypass", shown(("http_proxy",), NO_PROXY=OURS), []),
        ("bypass", shown(("http_proxy",), NO_PROXY="a", no_proxy=OURS), []),
        ("bypass", shown(("http_proxy",), NO_PROXY="*"), []),
        # What the user has in small letters hides ours, also where it is blank.
        ("bypass", shown((), NO_PROXY=OURS, no_proxy=""), ["does not name 127.0.0.1, localhost"]),
        (
            "bypass",
            shown((), NO_PROXY=OURS, no_proxy="localhost"),
            ["does not name 127.0.0.1, ::1"],
        ),
        ("bypass", shown(("http_proxy",)), ["does not name 127.0.0.1, localhost, ::1"]),
        ("bypass", shown(), ["does not name 127.0.0.1, localhost, ::1"]),
        ("keep", shown(("http_proxy",)), []),
    ],
)
def test_against_the_policy(policy: str, snapshot: Snapshot, found: list[str]) -> None:
    reasons = running.against(snapshot, settings(proxies=policy))
    assert len(reasons) == len(found)
    assert all(part in reason for part, reason in zip(found, reasons, strict=True)), reasons
    decision = gateway.decide(snapshot, settings(proxies=policy), 18789, ())
    assert decision.action == ("restart" if found else "none")
    assert all(reason in decision.reasons for reason in reasons)


def test_where_macos_hides_it_launchd_is_asked() -> None:
    domain = {"http_proxy": PROXY, "NO_PROXY": "corp"}
    job = Job("running", 900, 1, "(never exited)", domain, {"NO_PROXY": OURS})
    snapshot = replace(healthy(OLD), gateway=job)
    found = running.read(snapshot)
    assert found == running.Running("launchctl", ("http_proxy", "NO_PROXY"), {"NO_PROXY": OURS})
    assert running.against(snapshot, settings(proxies="bypass")) == []
    assert running.against(snapshot, settings()) != []
    told = running.told(snapshot, settings(proxies="bypass"))
    assert told == (
        "1 proxy in the running process (http_proxy); bypass: NO_PROXY covers loopback, says "
        "launchctl; macOS hides the process's own"
    )


def test_the_wrappers_file_is_a_part_of_what_launchd_says() -> None:
    snapshot = healthy(NEW)
    path = f"{HOME}/.openclaw/service-env/ai.openclaw.gateway.env"
    wrapped = snapshot.plist.loose_text.replace(
        "<array>", f"<array><string>/bin/sh</string><string>{path}</string>", 1
    )
    snapshot = replace(
        snapshot,
        plist=file(snapshot.plist.path, wrapped),
        service_env=file(path, f"export HTTPS_PROXY='{PROXY}'\nexport NO_PROXY='{OURS}'\n"),
    )
    found = running.read(snapshot)
    assert (found.source, found.proxies) == ("launchctl", ("HTTPS_PROXY", "NO_PROXY"))
    assert running.against(snapshot, settings(proxies="bypass")) == []
    assert "5ecret" not in running.told(snapshot, settings())


def test_told() -> None:
    assert running.told(shown(), settings()) == "0 proxies in the running process, says ps"
    kept = running.told(shown(("http_proxy", "ALL_PROXY")), settings(proxies="keep"))
    assert kept.startswith("2 proxies in the running process (http_proxy, ALL_PROXY); kept")


def test_a_gateway_that_does_not_run_has_no_environment_to_complain_of() -> None:
    snapshot = replace(healthy(), gateway=None, gateway_port=Listener(18789), gateway_http=0)
    decision = gateway.decide(snapshot, settings(proxies="bypass"), 18789, ())
    assert decision.reasons == ("it is installed but not loaded, and never was",)
