from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import environment, variables, wish
from clawfleet.diff import unified
from clawfleet.plan import Trouble
from clawfleet.settings import Settings
from clawfleet.snapshot import Listener, Snapshot
from tests.unit.factory import (
    HOME,
    OLD,
    equipped,
    file,
    healthy,
    plist,
    settings,
    trouble_is_useful,
    with_file,
)
from tests.unit.shells import SHELLS, run

PROXY = "http://me:5ecret@127.0.0.1:7890"


def dirty() -> Snapshot:
    snapshot = healthy()
    return replace(
        snapshot,
        plist=file(snapshot.plist.path, plist({"http_proxy": PROXY, "NO_PROXY": "x"}), mode="644"),
        service_env=file(
            snapshot.service_env.path, f"export HTTPS_PROXY='{PROXY}'\nexport A='b'\n"
        ),
        dotenv=file(snapshot.dotenv.path, f"ZAI_API_KEY=5ecret\nall_proxy={PROXY}\n", mode="640"),
        gui_environment={"http_proxy": PROXY, "https_proxy": PROXY, "PATH": "/usr/bin"},
        gateway_port=replace(snapshot.gateway_port, proxies=("http_proxy",)),
        shell_proxies=("~/.zshrc",),
        agent_proxies=("~/Library/LaunchAgents/env.plist",),
    )


def test_a_clean_mac_is_left_alone() -> None:
    assert environment.plan(healthy(), settings()) == environment.Plan((), (), (), ())


def test_all_places_are_cleaned() -> None:
    plan = environment.plan(dirty(), settings())
    after = {change.path.rpartition("/")[2]: change for change in plan.files}
    assert set(after) == {"ai.openclaw.gateway.plist", "ai.openclaw.gateway.env", ".env"}
    pinned = plistlib.loads(after["ai.openclaw.gateway.plist"].after)
    assert pinned["EnvironmentVariables"] == {"HOME": HOME}
    assert after["ai.openclaw.gateway.env"].after == b"export A='b'\n"
    assert after[".env"].after == b"ZAI_API_KEY=5ecret\n"
    assert [after[name].mode for name in sorted(after)] == ["640", "600", "644"]
    (step,) = plan.steps
    assert step.title == "unset http_proxy, https_proxy in gui/501"
    places = {leak.place.rpartition("/")[2]: leak.names for leak in plan.leaks}
    assert places["the running gateway"] == ("http_proxy",)
    assert len(plan.notes) == 2
    assert "terminal" in plan.notes[0]
    assert "at each login" in plan.notes[1]


def test_no_value_is_shown() -> None:
    plan = environment.plan(dirty(), settings())
    shown = [*plan.notes, *(r for change in plan.files for r in change.reasons)]
    shown += [text for s in plan.steps for text in (s.title, s.reason, s.script, s.fix, s.show)]
    shown += [f"{leak.place} {leak.names}" for leak in plan.leaks]
    assert not any("5ecret" in text for text in shown)


def test_who_wants_to_keep_them_keeps_them_and_is_told() -> None:
    plan = environment.plan(dirty(), settings(proxies="keep"))
    assert plan.files == ()
    assert plan.steps == ()
    assert sum("holds" in note for note in plan.notes) == 5


def test_a_second_run_finds_nothing() -> None:
    snapshot = dirty()
    for change in environment.plan(snapshot, settings()).files:
        field = {"t": "plist", "v": "dotenv"}[change.path[-1]]
        if "service-env" in change.path:
            field = "service_env"
        written = file(change.path, change.after, mode=change.mode)
        snapshot = with_file(snapshot, field, written)
    snapshot = replace(snapshot, gui_environment={}, gateway_port=Listener(18789))
    plan = environment.plan(snapshot, settings())
    assert (plan.files, plan.steps, plan.leaks) == ((), (), ())


def test_bytes_that_are_no_text_stay() -> None:
    snapshot = healthy()
    snapshot = replace(snapshot, dotenv=file(snapshot.dotenv.path, b"A=\xff\nno_proxy=x\n"))
    (change,) = environment.plan(snapshot, settings()).files
    assert change.after == b"A=\xff\n"


def test_a_binary_plist_is_told() -> None:
    snapshot = healthy()
    raw = plistlib.dumps({"a": 1}, fmt=plistlib.FMT_BINARY)
    snapshot = replace(snapshot, plist=file(snapshot.plist.path, raw))
    with pytest.raises(Trouble) as caught:
        environment.plan(snapshot, settings())
    trouble_is_useful(caught.value, "binary plist", "plutil -convert xml1", snapshot.plist.path)


OURS = "127.0.0.1,localhost,::1"
BOTH = {"NO_PROXY": OURS, "no_proxy": OURS}


def around(**wished: Any) -> Settings:
    return settings(proxies="bypass", **wished)


def wrapped(snapshot: Snapshot, lines: str) -> Snapshot:
    """A LaunchAgent whose wrapper reads the service-env file."""
    path = snapshot.service_env.path
    text = snapshot.plist.loose_text.replace("<array>", f"<array><string>{path}</string>", 1)
    clean = variables.without_keys(text)[0]
    agent = file(snapshot.plist.path, clean, mode="644")
    return replace(snapshot, plist=agent, service_env=file(path, lines))


def written(snapshot: Snapshot, plan: environment.Plan) -> Snapshot:
    """The Mac with the files of a plan."""
    for change in (*plan.files, *plan.other):
        new = file(change.path, change.after, mode=change.mode)
        names = ("plist", "service_env", "dotenv", "brew_env")
        name = next((n for n in names if getattr(snapshot, n).path == change.path), None)
        if name:
            snapshot = with_file(snapshot, name, new)
        else:
            also = tuple(new if f.path == change.path else f for f in snapshot.also)
            snapshot = replace(snapshot, also=also)
    return snapshot


def test_around_proxies_in_all_places() -> None:
    plan = environment.plan(dirty(), around())
    after = {change.path.rpartition("/")[2]: change.after.decode() for change in plan.files}
    pinned = plistlib.loads(after["ai.openclaw.gateway.plist"].encode())["EnvironmentVariables"]
    # The plist's own NO_PROXY was "x".
    assert pinned == {
        "HOME": HOME,
        "http_proxy": PROXY,
        "NO_PROXY": f"x,{OURS}",
        "no_proxy": f"x,{OURS}",
    }
    assert after["ai.openclaw.gateway.env"] == (
        f"export HTTPS_PROXY='{PROXY}'\nexport A='b'\n"
        f"export NO_PROXY='{OURS}'\nexport no_proxy='{OURS}'\n"
    )
    assert after[".env"] == (
        f"ZAI_API_KEY=5ecret\nall_proxy={PROXY}\nNO_PROXY='{OURS}'\nno_proxy='{OURS}'\n"
    )
    (step,) = plan.steps
    assert step.title == "set NO_PROXY, no_proxy in gui/501"
    assert {leak.place for leak in plan.leaks} >= {
        "launchd's domain gui/501",
        "the running gateway",
    }
    assert not any("NO_PROXY" in leak.names for leak in plan.leaks)
    shown = [*plan.notes, *(r for c in plan.files for r in c.reasons), step.script, step.show]
    assert not any("5ecret" in text for text in shown)


def test_the_second_time_there_is_nothing_to_do() -> None:
    snapshot = replace(
        dirty(),
        brew_env=file("/opt/homebrew/etc/homebrew/brew.env", f"https_proxy={PROXY}\n", mode="644"),
        also=(file(f"{HOME}/.zshrc", "export http_proxy=x"),),
    )
    wished = around(proxies_in_profiles=True, no_proxy_hosts=["mini-2.local"])
    plan = environment.plan(snapshot, wished)
    assert len(plan.files) == 3
    assert len(plan.other) == 2
    domain = snapshot.gui_environment | dict.fromkeys(BOTH, f"{OURS},mini-2.local")
    again = environment.plan(replace(written(snapshot, plan), gui_environment=domain), wished)
    assert (again.files, again.steps, again.other) == ((), (), ())


def test_a_wrapper_s_file_is_what_the_gateway_starts_with() -> None:
    snapshot = wrapped(healthy(), "# Generated by OpenClaw.\nexport A='b'\n")
    snapshot = replace(snapshot, gui_environment={"http_proxy": PROXY, "NO_PROXY": "corp.example"})
    plan = environment.plan(snapshot, around())
    after = {change.path.rpartition("/")[2]: change.after.decode() for change in plan.files}
    # The domain's own entries are hidden by it from now on, so they are in it.
    assert after == {
        "ai.openclaw.gateway.env": "# Generated by OpenClaw.\nexport A='b'\n"
        f"export NO_PROXY='corp.example,{OURS}'\nexport no_proxy='corp.example,{OURS}'\n",
        ".env": f"NO_PROXY='{OURS}'\nno_proxy='{OURS}'\n",
    }


def test_without_any_proxy_what_launchd_and_openclaw_read_names_loopback_all_the_same() -> None:
    plan = environment.plan(healthy(OLD), around())
    assert [change.path.rpartition("/")[2] for change in plan.files] == [
        "ai.openclaw.gateway.plist",
        ".env",
    ]
    assert (plan.steps, plan.leaks, plan.other) == ((), (), ())


def test_before_there_is_a_gateway_only_openclaws_own_file_is_written() -> None:
    plan = environment.plan(equipped(), around())
    assert [change.path.rpartition("/")[2] for change in plan.files] == [".env"]
    assert environment.around(equipped(), around()) == BOTH


def test_homebrews_file_gets_no_proxy_only_beside_a_proxy() -> None:
    path = "/opt/homebrew/etc/homebrew/brew.env"
    given = f"HOMEBREW_A=1\nhttps_proxy={PROXY}\nno_proxy=corp\n"
    (change,) = environment.plan(
        replace(healthy(), brew_env=file(path, given, mode="644")), around()
    ).other
    assert change.after.decode() == given.replace("corp", f"corp,{OURS}")
    assert change.mode == "644"
    for wished in (settings(), settings(proxies="keep")):
        plan = environment.plan(replace(healthy(), brew_env=file(path, given)), wished)
        assert plan.other == ()
        assert any(path in note and "only Homebrew" in note for note in plan.notes)
        assert not any("5ecret" in note for note in plan.notes)
    plain = replace(healthy(), brew_env=file(path, "HOMEBREW_A=1\n"))
    assert environment.plan(plain, around()).other == ()


def test_ollamas_own_proxy_for_pulls_is_left_to_it() -> None:
    text = "HTTPS_PROXY=http://me:5ecret@p\nNO_PROXY=localhost\n"
    for policy in ("unset", "bypass", "keep"):
        snapshot = healthy()
        snapshot = replace(snapshot, ollama_env=file(snapshot.ollama_env.path, text))
        plan = environment.plan(snapshot, settings(proxies=policy))
        assert snapshot.ollama_env.path not in [c.path for c in (*plan.files, *plan.other)]
        assert any("only Ollama reads it" in note for note in plan.notes)
        assert not any("5ecret" in note for note in plan.notes)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("policy", ["unset", "bypass"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_profiles_when_asked(shell: tuple[str, ...], policy: str, end: str, tmp_path: Path) -> None:
    text = f"if true; then\n  export http_proxy=x no_proxy=corp\nfi{end}"
    profile = file(f"{HOME}/.zshrc", text, mode="644")
    snapshot = replace(healthy(), shell_proxies=("~/.zshrc",), also=(profile,))
    assert environment.plan(snapshot, settings(proxies=policy)).other == ()
    assert environment.profiles(snapshot, settings(proxies=policy)) == []
    wished = settings(proxies=policy, proxies_in_profiles=True)
    assert environment.profiles(snapshot, wished) == [f"{HOME}/.zshrc"]
    (change,) = environment.plan(snapshot, wished).other
    after = change.after.decode()
    assert after.startswith(text)
    assert after.count("\n") == text.count("\n") + (1 if end else 2)
    # A shell inside a shell reads it again.
    script = f'{after}{after}echo "${{http_proxy-gone}} ${{no_proxy-}} ${{NO_PROXY-}}"'
    home = tmp_path / "home"
    home.mkdir()
    said = run(shell, script, home, check=True).stdout.strip()
    expected = {"unset": "gone corp", "bypass": f"x corp,{OURS} {OURS}"}
    assert said == expected[policy]
    # Another policy replaces the line.
    other = settings(proxies={"unset": "bypass"}.get(policy, "unset"), proxies_in_profiles=True)
    (again,) = environment.plan(written(snapshot, environment.plan(snapshot, wished)), other).other
    assert again.after.decode().count("# clawfleet") == 1


def test_a_plist_in_which_they_have_no_place_is_told() -> None:
    snapshot = healthy(OLD)
    raw = plistlib.dumps({"Label": "ai.openclaw.gateway", "ProgramArguments": ["node"]})
    snapshot = replace(snapshot, plist=file(snapshot.plist.path, raw, mode="644"))
    with pytest.raises(Trouble) as caught:
        environment.plan(snapshot, around())
    trouble_is_useful(caught.value, "EnvironmentVariables", "openclaw gateway install --force")


def test_places_that_are_only_reported() -> None:
    snapshot = healthy()
    config = '{ env: { HTTP_PROXY: "http://me:5ecret@p", vars: { https_proxy: "x" } }, '
    config += 'proxy: { proxyUrl: "http://me:5ecret@p", loopbackMode: "proxy" } }'
    snapshot = replace(
        snapshot,
        config=file(snapshot.config.path, config),
        dotenv=file(snapshot.dotenv.path, f"OPENCLAW_PROXY_URL={PROXY}\n"),
        shell_proxies=("~/.zshrc",),
        shell_setenv=("~/.zprofile",),
        brew_proxies=("/etc/homebrew/brew.env",),
        system_proxies=("HTTP 127.0.0.1:7890",),
        proxy_names={
            "~/.zshrc": ("HTTP_PROXY",),
            "~/.zprofile": ("ALL_PROXY",),
            "/etc/homebrew/brew.env": ("all_proxy",),
        },
    )
    notes = environment.plan(snapshot, settings()).notes
    expected = [
        (snapshot.config.path, "env.HTTP_PROXY, env.vars.https_proxy"),
        (snapshot.config.path, "loopbackMode is proxy"),
        (snapshot.dotenv.path, "OPENCLAW_PROXY_URL"),
        ("~/.zshrc", "HTTP_PROXY"),
        ("~/.zprofile", "launchctl setenv whenever"),
        ("/etc/homebrew/brew.env", "all_proxy"),
        ("macOS' network settings", "HTTP 127.0.0.1:7890"),
    ]
    assert len(notes) == len(expected)
    for words in expected:
        assert any(all(word in note for word in words) for note in notes), words
    assert not any("5ecret" in note for note in notes)


@pytest.mark.parametrize("policy", ["unset", "bypass"])
@pytest.mark.parametrize(
    "value",
    [
        "http://me:p4ss-word@proxy.corp:8080",
        "me:p4ss-word@proxy.corp:8080",
        "HTTP://me:p4ss-word@proxy.corp:8080",
        "http://me:in@p4ss-word@proxy.corp:8080",
        "http://me:in/p4ss-word@proxy.corp:8080",
        "http://me:&p4ss-word@proxy.corp:8080",
    ],
)
def test_no_diff_shows_a_proxys_password(policy: str, value: str) -> None:
    """However the proxy is written, and also beside the lines that change."""
    snapshot = with_file(healthy(), "plist", file(f"{HOME}/a.plist", plist({"HTTP_PROXY": value})))
    lines = f"A=1\nHTTP_PROXY={value}\nexport https_proxy='{value}'\n"
    snapshot = with_file(snapshot, "dotenv", file(f"{HOME}/.openclaw/.env", lines))
    changes = environment.plan(snapshot, settings(proxies=policy)).files
    assert len(changes) == 2
    known = wish.secrets_in(snapshot)
    for change in changes:
        after = change.after.decode()
        shown = "\n".join(unified("x", change.file.loose_text, after, salt="x", known=known))
        assert "HTTP_PROXY" in shown
        assert "p4ss-word" not in shown


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("A=1\nhttp_proxy: http://p:8080\nB=1\n", "A=1\nB=1\n"),
        ("\ufeffhttp_proxy=http://p:8080\nB=1\n", "\ufeffB=1\n"),
        ('http_proxy="http://p\n:8080"\nB=1\n', "B=1\n"),
        ('NOTE="a\nhttp_proxy=x\nb"\n', None),
    ],
)
def test_dotenv_is_read_as_openclaw_reads_it(text: str, after: str | None) -> None:
    snapshot = with_file(healthy(), "dotenv", file(f"{HOME}/.openclaw/.env", text))
    changes = environment.plan(snapshot, settings(proxies="unset")).files
    assert [change.after.decode() for change in changes] == ([] if after is None else [after])
