from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path

import pytest

from clawfleet import commit, environment
from clawfleet.plan import Trouble
from clawfleet.snapshot import PROXY_VARIABLES, Listener, Snapshot
from tests.unit.factory import HOME, file, healthy, plist, settings, trouble_is_useful, with_file
from tests.unit.shells import SHELLS, run

PROXY = "http://me:5ecret@127.0.0.1:7890"


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("", "", ()),
        ("A=1\n", "A=1\n", ()),
        (f"A=1\nhttp_proxy={PROXY}\nB=2", "A=1\nB=2", ("http_proxy",)),
        (f"export HTTPS_PROXY='{PROXY}'\n", "", ("HTTPS_PROXY",)),
        (f"  export\tno_proxy = {PROXY}\r\nA=1\r\n", "A=1\r\n", ("no_proxy",)),
        ("# http_proxy=x\n", "# http_proxy=x\n", ()),
        ("my_http_proxy=x\nhttp_proxy_x=y\n", "my_http_proxy=x\nhttp_proxy_x=y\n", ()),
        ("NOTE=http_proxy=x\n", "NOTE=http_proxy=x\n", ()),
        ("http_proxy=\n", "", ("http_proxy",)),
        ("unset http_proxy\n", "unset http_proxy\n", ()),
        ("http_proxy=a\nHTTP_PROXY=b", "", ("http_proxy", "HTTP_PROXY")),
    ],
)
def test_lines(before: str, after: str, names: tuple[str, ...]) -> None:
    assert environment.without_lines(before) == (after, names)
    assert environment.without_lines(after) == (after, ())


@pytest.mark.parametrize("name", PROXY_VARIABLES)
def test_keys_of_a_plist(name: str) -> None:
    clean = plist({"TMPDIR": "/tmp"}).decode()
    dirty = plist({"TMPDIR": "/tmp", name: PROXY}).decode()
    assert environment.without_keys(dirty) == (clean, (name,))
    assert environment.without_keys(clean) == (clean, ())


@pytest.mark.parametrize(
    "value", ["<string/>", "<string />", "<string></string>", "<string>\n\ta\n</string>"]
)
def test_odd_values_in_a_plist(value: str) -> None:
    text = (
        f"<dict>\r\n\t<key>http_proxy</key>\r\n\t{value}\r\n\t<key>A</key><string>b</string></dict>"
    )
    assert environment.without_keys(text) == (
        "<dict>\r\n\t<key>A</key><string>b</string></dict>",
        ("http_proxy",),
    )


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


LAUNCHCTL = r"""echo "launchctl $*" >> "$HOME/calls"
case $1 in
bootstrap)
  n=$(cat "$HOME/busy" 2>/dev/null || echo 0)
  if [ "$n" -gt 0 ]; then
    echo $((n-1)) > "$HOME/busy"; echo "Bootstrap failed: 5: Input/output error" >&2; exit 5
  fi
  cp "$3" "$HOME/agent.plist"; [ -e "$HOME/deaf" ] || : > "$HOME/domain";;
print)
  case $2 in
  */ai.clawfleet.domain) printf '\tlast exit code = 0\n';;
  *) cat "$HOME/domain";;
  esac;;
bootout) exit 3;;
esac"""


def unset(home: Path) -> str:
    home.mkdir()
    (home / "domain").write_text(
        "gui/501 = {\n\tenvironment = {\n\t\thttp_proxy => http://p\n\t\tA => b\n\t}\n}\n"
    )
    (step,) = environment.plan(
        replace(healthy(), gui_environment={"http_proxy": "x"}), settings()
    ).steps
    return commit.head("r", "gateway") + step.script


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_inside_the_domain_unsets(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = unset(home)
    (home / "busy").write_text("3")
    run(shell, script, home, commands={"launchctl": LAUNCHCTL, "sleep": ":"}, check=True)
    job = plistlib.loads((home / "agent.plist").read_bytes())
    assert job["ProgramArguments"] == [
        str(tmp_path / "stand-ins" / "launchctl"),
        "unsetenv",
        "http_proxy",
    ]
    assert job["RunAtLoad"] is True
    calls = (home / "calls").read_text().splitlines()
    assert sum(" bootstrap " in call for call in calls) == 4
    last = [call for call in calls if " print " not in call][-1]
    assert last.startswith("launchctl bootout gui/")
    assert not list(tmp_path.glob("clawfleet.*"))
    kept = home / ".clawfleet" / "backups" / "r" / "gateway" / "domain"
    assert kept.read_text() == "http_proxy=http://p\n"
    assert (home / ".clawfleet" / "unfinished").read_text() == "r\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_that_failed_sets_them_again(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(shell, unset(home), home, commands={"launchctl": LAUNCHCTL, "sleep": ":"}, check=True)
    kept = home / ".clawfleet" / "backups" / "r" / "gateway" / "domain"
    kept.write_text("http_proxy=http://p:1/?a=b&c<d\nhttps_proxy=http://me:5ecret@p\n")
    back = f'say() {{ echo "$*" >&2; }}\n{commit.restore("r")}'
    done = run(shell, back, home, commands={"launchctl": LAUNCHCTL, "sleep": ":"}, check=True)
    job = plistlib.loads((home / "agent.plist").read_bytes())
    assert job["ProgramArguments"][1:] == ["setenv", "http_proxy", "http://p:1/?a=b&c<d"]
    assert "https_proxy of gui/" in done.stderr
    assert "5ecret" not in done.stderr
    assert "5ecret" not in (home / "calls").read_text()


def test_a_rollback_sets_them_again_but_for_passwords() -> None:
    lines = ["http_proxy=http://p:1", "no_proxy=a,b", "https_proxy=http://me:5ecret@p"]
    snapshot = replace(healthy(), gui_environment={"no_proxy": "a,b"})
    (step,) = environment.set_again(snapshot, lines)
    assert "<string>http_proxy</string><string>http://p:1</string>" in step.script
    assert "no_proxy" not in step.script
    assert "5ecret" not in step.script
    assert environment.set_again(snapshot, ["no_proxy=a,b"]) == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("file_name", "content", "said"),
    [("busy", "99", "Bootstrap failed: 5"), ("deaf", "", "still set in gui/")],
)
def test_a_job_that_does_not_come_through_is_told(
    shell: tuple[str, ...], tmp_path: Path, file_name: str, content: str, said: str
) -> None:
    home = tmp_path / "home"
    script = unset(home)
    (home / file_name).write_text(content)
    done = run(shell, script, home, commands={"launchctl": LAUNCHCTL, "sleep": ":"})
    assert done.returncode == 1
    assert said in done.stderr
    assert "http://p" not in done.stderr
    assert not list(tmp_path.glob("clawfleet.*"))
