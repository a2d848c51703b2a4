from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path

import pytest

from clawfleet import commit, domain, environment
from clawfleet.snapshot import Snapshot
from tests.unit.factory import HOME, file, healthy, settings
from tests.unit.shells import SHELLS, run

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
    (step,) = domain.back(snapshot, lines)
    assert "<string>http_proxy</string><string>http://p:1</string>" in step.script
    assert "no_proxy" not in step.script
    assert "5ecret" not in step.script
    assert domain.back(snapshot, ["no_proxy=a,b"]) == []


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


OURS = "127.0.0.1,localhost,::1"
BEFORE = {"http_proxy": "http://p", "NO_PROXY": "corp.example"}


def setting(domain: dict[str, str] | None = None, remembered: str | None = None) -> Snapshot:
    """A Mac with a proxy in its domain."""
    path = f"{HOME}/.clawfleet/domain"
    return replace(healthy(), gui_environment=domain or BEFORE, domain_set=file(path, remembered))


def around(home: Path, snapshot: Snapshot) -> str:
    home.mkdir()
    lines = "".join(f"\t\t{n} => {v}\n" for n, v in snapshot.gui_environment.items())
    (home / "domain").write_text(f"gui/501 = {{\n\tenvironment = {{\n{lines}\t}}\n}}\n")
    after = "".join(f"\t\t{n} => corp.example,{OURS}\n" for n in ("NO_PROXY", "no_proxy"))
    (home / "after").write_text(f"\t\thttp_proxy => http://p\n{after}")
    (step,) = environment.plan(snapshot, settings(proxies="bypass")).steps
    return commit.head("r", "gateway") + step.script


SETS = LAUNCHCTL.replace(': > "$HOME/domain"', 'cat "$HOME/after" > "$HOME/domain"')


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_inside_the_domain_sets(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = around(home, setting())
    run(shell, script, home, commands={"launchctl": SETS, "sleep": ":"}, check=True)
    job = plistlib.loads((home / "agent.plist").read_bytes())
    value = f"corp.example,{OURS}"
    assert job["ProgramArguments"][1:] == ["setenv", "NO_PROXY", value, "no_proxy", value]
    kept = home / ".clawfleet" / "backups" / "r" / "gateway" / "domain"
    # The name alone: it was not there.
    assert kept.read_text() == "NO_PROXY=corp.example\nno_proxy\n"
    ours = home / ".clawfleet" / "domain"
    assert ours.read_text() == f"NO_PROXY\tcorp.example\t{value}\nno_proxy\t\t{value}\n"
    assert ours.stat().st_mode & 0o777 == 0o600
    assert (home / ".clawfleet" / "unfinished").read_text() == "r\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_one_that_is_not_set_is_told(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = around(home, setting())
    (home / "deaf").touch()
    done = run(shell, script, home, commands={"launchctl": SETS, "sleep": ":"})
    assert done.returncode == 1
    assert "not set in gui/" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_run_that_failed_takes_out_what_it_set(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = around(home, setting())
    stand_ins = {"launchctl": SETS, "sleep": ":"}
    run(shell, script, home, commands=stand_ins, check=True)
    stand_ins["launchctl"] = SETS.replace('"$HOME/agent.plist"', '"$HOME/$(date +%s%N).job"')
    back = f'say() {{ echo "$*" >&2; }}\n{commit.restore("r")}'
    run(shell, back, home, commands=stand_ins, check=True)
    jobs = [plistlib.loads(path.read_bytes()) for path in home.glob("*.job")]
    assert sorted(job["ProgramArguments"][1:] for job in jobs) == [
        ["setenv", "NO_PROXY", "corp.example"],
        ["unsetenv", "no_proxy"],
    ]


def test_a_rollback_unsets_what_was_not_there() -> None:
    snapshot = setting({"no_proxy": OURS, "NO_PROXY": OURS})
    steps = domain.back(snapshot, ["NO_PROXY=corp", "no_proxy"])
    assert [step.title for step in steps] == [
        "set NO_PROXY in gui/501 again",
        "unset no_proxy in gui/501 again",
    ]
    assert "in_domain unsetenv '<string>no_proxy</string>'" in steps[1].script
    assert domain.back(setting({"NO_PROXY": "corp"}), ["NO_PROXY=corp", "no_proxy"]) == []


VALUE = f"corp.example,{OURS}"
REMEMBERED = f"NO_PROXY\tcorp.example\t{VALUE}\nno_proxy\t\t{VALUE}\n"


@pytest.mark.parametrize(
    ("now", "titles"),
    [
        ({"NO_PROXY": VALUE, "no_proxy": VALUE}, ["set NO_PROXY", "unset no_proxy"]),
        # A login has put the user's own value there again, or somebody has changed it.
        ({"NO_PROXY": "corp.example"}, []),
        ({"NO_PROXY": VALUE, "no_proxy": "mine"}, ["set NO_PROXY"]),
        ({}, []),
    ],
)
def test_a_removal_takes_back_what_is_still_ours(now: dict[str, str], titles: list[str]) -> None:
    found = domain.without_ours(setting({"x": "y", **now}, REMEMBERED))
    assert [step.title.partition(" in ")[0] for step in found] == titles


def test_what_was_there_first_is_remembered() -> None:
    wished = settings(proxies="bypass", no_proxy_hosts=["mini-2.local"])
    ours = setting({"http_proxy": "x", "NO_PROXY": VALUE, "no_proxy": VALUE}, REMEMBERED)
    (step,) = environment.plan(ours, wished).steps
    assert f"NO_PROXY\tcorp.example\t{VALUE},mini-2.local\n" in step.script
    assert f"no_proxy\t\t{VALUE},mini-2.local\n" in step.script
    login = setting({"http_proxy": "x", "NO_PROXY": "new.example"}, REMEMBERED)
    (step,) = environment.plan(login, wished).steps
    assert f"NO_PROXY\tnew.example\tnew.example,{OURS},mini-2.local\n" in step.script


@pytest.mark.parametrize("content", ["", "x", "NO_PROXY\ta\n", "\xff"])
def test_a_damaged_note_of_it_is_nothing(content: str) -> None:
    assert domain.without_ours(setting({"NO_PROXY": "a"}, content)) == []
