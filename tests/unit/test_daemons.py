"""LaunchDaemons: what is in them, what is decided of them, and how a file of root is written."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import commit, daemons, gateway, ledger, ollama, preflight, preload, removal
from clawfleet.plan import DAEMONS, FileChange, Trouble, guard, is_roots
from clawfleet.scripts import load
from clawfleet.settings import SettingsError
from clawfleet.snapshot import File, Listener, Process, Snapshot
from tests.unit import factory, shells
from tests.unit.factory import NEW, OLD, TEMPLATES, TOKEN, file, settings, trouble_is_useful

RUN = "20261123-153000-1a2b"
LATER = "20261124-153000-1a2b"
WISHED = settings(services="daemons")
SUDO = {"sudo": '[ "$1" != -n ] || shift; echo "$*" >> "$HOME/sudo.log"; exec "$@"'}


def ours(version: str = NEW, **changes: Any) -> Snapshot:
    return replace(factory.daemons(version), **changes)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_converged_mac_needs_nothing(version: str) -> None:
    snapshot = ours(version)
    assert gateway.decide(snapshot, WISHED, 18789, ()).action == "none"
    plan = ollama.plan(snapshot, WISHED)
    assert (plan.files, plan.steps) == ((), ())
    preflight.check(snapshot, WISHED, 18789, TEMPLATES)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_what_is_in_the_plists(version: str) -> None:
    snapshot = replace(ours(version), service_env=file("/Users/mac/x", "export A='b'"))
    for change in (
        daemons.gateway(snapshot, WISHED, 18900),
        daemons.ollama(snapshot, WISHED),
    ):
        plist = plistlib.loads(change.after)
        assert plist["UserName"] == "mac"
        assert plist["RunAtLoad"] is plist["KeepAlive"] is True
        assert plist["EnvironmentVariables"]["HOME"] == "/Users/mac"
        assert change.mode == "644"
        assert TOKEN.encode() not in change.after
        assert not [name for name in plist["EnvironmentVariables"] if "proxy" in name.lower()]
    plist = plistlib.loads(daemons.gateway(snapshot, WISHED, 18900).after)
    assert plist["ProgramArguments"] == [
        "/opt/homebrew/opt/node@24/bin/node",
        "/opt/homebrew/lib/node_modules/openclaw/openclaw.mjs",
        *("gateway", "--port", "18900"),
    ]
    assert gateway.is_gateway(" ".join(plist["ProgramArguments"]))
    around = settings(services="daemons", proxies="bypass")
    names = plistlib.loads(daemons.gateway(snapshot, around, 18789).after)["EnvironmentVariables"]
    assert "127.0.0.1" in names["NO_PROXY"]
    written = file(snapshot.plist.path, daemons.gateway(snapshot, around, 18789).after, uid=0)
    again = replace(snapshot, plist=written)
    assert daemons.gateway(again, around, 18789).same


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_ollamas_variables_are_read_as_they_stand(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".homebrew/services").mkdir(parents=True)
    (home / ".homebrew/services/ollama.env").write_text(
        "# a comment = none\nOLLAMA_A=1 2 $HOME `id`\nbad name=x\n9=y\nOLLAMA_B='q'\nOLLAMA_C=last"
    )
    arguments = plistlib.loads(daemons.ollama(ours(), WISHED).after)["ProgramArguments"]
    script = arguments[2].replace("/opt/homebrew/opt/ollama/bin/ollama", str(tmp_path / "ollama"))
    (tmp_path / "ollama").write_text('#!/bin/sh\n[ "$1" = serve ] && env\n')
    (tmp_path / "ollama").chmod(0o755)
    shown = shells.run(shell, script, home, check=True).stdout.splitlines()
    assert [line for line in shown if line.startswith("OLLAMA")] == [
        "OLLAMA_A=1 2 $HOME `id`",
        "OLLAMA_B='q'",
        "OLLAMA_C=last",
    ]
    (home / ".homebrew/services/ollama.env").unlink()
    assert "HOME=" in shells.run(shell, script, home, check=True).stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sudo_free": False}, ["sudo asks for a password", "NOPASSWD", 'services = "agents"']),
        ({"gateway_twin": True}, ["LaunchAgent of mac", "openclaw gateway uninstall"]),
        (
            {"gateway_port": Listener(18789, (Process(55, 1, 9, "python3 -m http.server"),))},
            ["kill 55"],
        ),
    ],
)
def test_what_stops_the_mac(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Trouble) as caught:
        preflight.check(ours(**changes), WISHED, 18789, TEMPLATES)
    trouble_is_useful(caught.value, *words)


def test_an_app_can_not_be_a_daemon() -> None:
    snapshot = ours(ollama_formula=None, ollama_app="/Applications/Ollama.app")
    with pytest.raises(Trouble) as caught:
        ollama.plan(snapshot, WISHED)
    trouble_is_useful(caught.value, "needs a login", "brew uninstall --cask ollama-app")
    with pytest.raises(SettingsError, match="needs a login"):
        settings(services="daemons", ollama_install="cask")


def test_a_daemon_of_before_is_not_taken_for_somebodys_server() -> None:
    with pytest.raises(Trouble) as caught:
        ollama.plan(replace(factory.healthy(), ollama_twin=True), settings())
    trouble_is_useful(caught.value, "LaunchDaemon", "tasks/remove.py --data services=daemons")


def test_nobody_logged_in_is_no_trouble_with_daemons_only() -> None:
    with pytest.raises(Trouble, match="nobody is logged in") as caught:
        gateway.decide(replace(factory.healthy(), gui=False), settings(), 18789, ())
    assert 'services = "daemons"' in caught.value.expected


@pytest.mark.parametrize(
    "changes",
    [
        {"ollama_twin": True},
        {"ollama_job": None, "ollama_port": Listener(11434), "ollama_server": None},
        {"ollama_daemon": file(f"{DAEMONS}/ai.clawfleet.ollama.plist", "old", uid=0)},
    ],
)
def test_ollamas_server_becomes_the_daemon(changes: dict[str, Any]) -> None:
    plan = ollama.plan(ours(**changes), WISHED)
    [step] = plan.steps
    assert step.title == "start Ollama's LaunchDaemon"
    assert "OWNER=daemon" in step.script
    assert [change.path for change in plan.files] == (
        [f"{DAEMONS}/ai.clawfleet.ollama.plist"] if "ollama_daemon" in changes else []
    )


def test_a_job_that_launchd_has_otherwise_is_loaded_anew() -> None:
    snapshot = ours()
    job = snapshot.ollama_job
    assert job is not None
    for other in (
        replace(job, arguments=("/bin/sh", "-c", "other")),
        replace(job, environment={"HOME": "/Users/mac"}),
    ):
        [step] = ollama.plan(replace(snapshot, ollama_job=other), WISHED).steps
        assert "as its plist says" in step.reason


def test_preloading_is_a_daemon_too() -> None:
    wished = settings(services="daemons", preload="primary")
    plan = preload.plan(ours(), wished)
    [change] = plan.files
    assert change.path == f"{DAEMONS}/ai.clawfleet.preload.plist"
    assert plistlib.loads(change.after)["UserName"] == "mac"
    assert "SERVICES=daemons" in plan.steps[0].script
    assert "KeepAlive" not in plistlib.loads(change.after)


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_the_log_of_preloading_is_the_users(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    launchctl = r"""case $1 in print) [ -e "$HOME/job" ] || exit 113
  printf '\truns = 1\n\tlast exit code = 0\n';;
bootstrap) ls -l "$HOME/.clawfleet" > "$HOME/job";; esac"""
    step = preload.run(ours(), [preload.Load("gpt-oss:20b", None)], "because", new=True)
    shells.run(shell, step.script, home, commands=SUDO | {"launchctl": launchctl}, check=True)
    assert "-rw-------" in (home / "job").read_text()
    assert "preload.log" in (home / "job").read_text()


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (File("", b"x", uid=501, sha256="1"), "sudo chown root"),
        (File("", b"x", uid=0, sha256="1", link="/tmp/x"), "is a link"),
    ],
)
def test_a_plist_that_is_not_roots_is_refused(seen: File, word: str) -> None:
    with pytest.raises(Trouble) as caught:
        guard(replace(seen, path=f"{DAEMONS}/ai.clawfleet.ollama.plist"), ours())
    trouble_is_useful(caught.value, word)


@pytest.mark.parametrize(("mode", "after"), [("640", "640"), ("664", "644"), ("", "644")])
def test_a_plist_with_a_secret_does_not_become_readable(mode: str, after: str) -> None:
    theirs = file(f"{DAEMONS}/ai.openclaw.gateway.plist", "theirs", mode=mode, uid=0)
    assert daemons.gateway(ours(plist=theirs), WISHED, 18789).mode == after


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_nothing_outside_of_launchds_folder_is_touched_as_root(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    path = f"{DAEMONS}/../../etc/sudoers"
    assert not is_roots(path)
    home = tmp_path / "home"
    home.mkdir()
    script = f"{load('owners.sh')}own {path} true; own {DAEMONS}/a.plist true; like /none {path}"
    shells.run(shell, script, home, commands=SUDO)
    assert (home / "sudo.log").read_text() == "true\n"


def written(folder: Path, *changes: tuple[str, bytes | None, bytes]) -> list[FileChange]:
    """Changes of files in `folder`, which stands for launchd's."""
    return [
        FileChange(
            file(str(folder / name), before), after, "644", gone=not after, reasons=("test",)
        )
        for name, before, after in changes
    ]


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_a_file_of_roots_is_written_and_goes_back(
    shell: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = tmp_path / "home", tmp_path / "LaunchDaemons"
    home.mkdir()
    folder.mkdir()
    (folder / "b.plist").write_bytes(b"theirs")
    (folder / "a.plist.clawfleet-left").write_bytes(b"of a run that was cut off")
    monkeypatch.setattr("clawfleet.plan.DAEMONS", str(folder))

    def here(script: str) -> str:
        # Only root may choose an owner.
        return script.replace(DAEMONS, str(folder)).replace("chown 0:0", "true")

    changes = written(folder, ("a.plist", None, b"new"), ("b.plist", b"theirs", b""))
    script = here(commit.script(changes, run=RUN, part="gateway"))
    done = shells.run(shell, script, home, commands=SUDO)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.plist"]
    assert (folder / "a.plist").read_bytes() == b"new"
    assert (folder / "a.plist").stat().st_mode & 0o777 == 0o644
    asked = (home / "sudo.log").read_text()
    assert f"mv -f {folder}/a.plist.clawfleet-{RUN} {folder}/a.plist" in asked
    assert f"rm -f {folder}/b.plist" in asked

    restore = here(f'say() {{ echo "$*" >&2; }}\n{commit.restore(RUN)}')
    shells.run(shell, restore, home, commands=SUDO, check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["b.plist"]
    assert (folder / "b.plist").read_bytes() == b"theirs"
    assert (folder / "b.plist").stat().st_mode & 0o777 == 0o644

    # One that not everybody may read stays so, also when it comes back.
    (folder / "b.plist").chmod(0o640)
    [theirs] = changes[1:]
    other = here(commit.script([replace(theirs, gone=False, after=b"n", mode="640")], run=LATER))
    shells.run(shell, other, home, commands=SUDO, check=True)
    assert (folder / "b.plist").stat().st_mode & 0o777 == 0o640
    back = restore.replace(RUN, LATER).replace("/gateway", "/other")
    shells.run(shell, back, home, commands=SUDO, check=True)
    assert (folder / "b.plist").read_bytes() == b"theirs"
    assert (folder / "b.plist").stat().st_mode & 0o777 == 0o640

    # Somebody wrote it meanwhile: nothing moves, and nothing is left beside it.
    (folder / "b.plist").write_bytes(b"other")
    refused = shells.run(shell, script.replace(RUN, f"{RUN[:-1]}c"), home, commands=SUDO)
    assert refused.returncode == commit.CHANGED_MEANWHILE
    assert sorted(path.name for path in folder.iterdir()) == ["b.plist"]


def test_a_removal_takes_the_daemons_away() -> None:
    snapshot = ours()
    changes = [
        FileChange(File(one.path, None), one.content or b"", "644")
        for one in (snapshot.plist, snapshot.ollama_daemon)
    ]
    book = ledger.dumps(ledger.record(ledger.Ledger(), changes))
    owned = file(f"{factory.HOME}/.clawfleet/owned.json", book)
    plan = removal.plan(replace(snapshot, owned=owned), WISHED)
    assert [change.path for change in plan.gateway if change.gone] == [snapshot.plist.path]
    assert snapshot.ollama_daemon.path in [change.path for change in plan.other if change.gone]
    assert not plan.agent


ROOTS = FileChange(File(f"{DAEMONS}/ai.clawfleet.ollama.plist", b"x", sha256="1"), b"", gone=True)
OWN = FileChange(File(f"{factory.HOME}/.openclaw/openclaw.json", b"x", sha256="1"), b"y")


@pytest.mark.parametrize(
    ("snapshot", "changes", "words"),
    [
        (factory.healthy(), [OWN, ROOTS], ["--data services=daemons"]),
        (ours(gateway_twin=True, plist=file("p")), [OWN], ["--data services=agents"]),
        (ours(sudo_free=False), [OWN], ["sudo asks for a password", "NOPASSWD"]),
        (ours(gateway_twin=True, plist=file("p")), [OWN, ROOTS], None),
        (ours(), [OWN, ROOTS], None),
        (factory.healthy(), [OWN], None),
    ],
)
def test_the_way_back_is_of_the_services_that_are_there(
    snapshot: Snapshot, changes: list[FileChange], words: list[str] | None
) -> None:
    if words is None:
        daemons.check_way_back(snapshot, changes)
        return
    with pytest.raises(Trouble) as caught:
        daemons.check_way_back(snapshot, changes)
    trouble_is_useful(caught.value, *words)


REFUSED = {
    "sudo": 'echo "sudo: a password is required" >&2; exit 1',
    "launchctl": 'echo "$*" >> "$HOME/calls"; [ "$1" = print ]',
    "brew": 'echo "brew $*" >> "$HOME/calls"',
    "sleep": ":",
    "curl": "exit 7",
    "lsof": ":",
}
"""A Mac whose sudo has begun to ask for a password; whatever is asked for is loaded."""


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_where_sudo_stops_working_nothing_is_ended(shell: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".clawfleet").mkdir(parents=True)
    [step] = ollama.plan(ours(ollama_twin=True), WISHED).steps
    loads = [preload.Load("gpt-oss:20b", None)]
    scripts = (
        step.script,
        preload.run(ours(), loads, "because", new=True).script,
        preload.forget(ours(), "because").script,
        f'{commit.launchd(18789, True)}stop || {{ say "$why; $fix"; exit 1; }}',
        f'{commit.launchd(18789, True)}refused bootstrap 1 || {{ say "$why; $fix"; exit 1; }}',
    )
    for script in scripts:
        done = shells.run(shell, script, home, commands=REFUSED)
        assert done.returncode == 1
        assert "password" in done.stderr.splitlines()[-1], done.stderr
        assert not (home / "calls").exists()


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_homebrews_service_goes_where_it_is_not_loaded(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    """Nobody is logged in: its LaunchAgent would come at the next login, and take the port."""
    home = tmp_path / "home"
    agent = home / "Library/LaunchAgents/homebrew.mxcl.ollama.plist"
    agent.parent.mkdir(parents=True)
    agent.touch()
    start = "\n".join(("free() { :; }; refused() { :; }", load("ollama-daemon.sh")))
    stand_ins = (
        REFUSED
        | SUDO
        | {
            "brew": 'echo "brew $*" >> "$HOME/calls"; [ -e "$HOME/stuck" ] || rm ~/Library/*/*',
            "launchctl": 'echo "$*" >> "$HOME/calls"; [ "$1" != print ]',
        }
    )
    (home / "stuck").touch()
    done = shells.run(shell, start, home, commands=stand_ins)
    assert done.returncode == 1
    assert f"left {agent}" in done.stderr
    assert "bootstrap" not in (home / "calls").read_text()
    (home / "stuck").unlink()
    shells.run(shell, start, home, commands=stand_ins, check=True)
    assert not agent.exists()
    assert "brew services stop ollama" in (home / "calls").read_text()
    assert "bootstrap system" in (home / "calls").read_text()
