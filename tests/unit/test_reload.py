"""Which changes of openclaw.json need no restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import commit, reload
from clawfleet.plan import FileChange
from clawfleet.snapshot import Snapshot
from tests.unit.factory import HOME, NEW, OLD, file, healthy, plist, settings, with_file
from tests.unit.shells import SHELLS, run

RUN = "20261123-153000-1a2b"
Edit = Callable[[dict[str, Any]], object]


def change(snapshot: Snapshot, edit: Edit) -> FileChange:
    config = json.loads(snapshot.config.content or b"")
    edit(config)
    return FileChange(snapshot.config, json.dumps(config).encode())


def models(config: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config["models"]["providers"]["ollama"]["models"]
    return found


def defaults(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["agents"]["defaults"]
    return found


def applied(
    snapshot: Snapshot, *files: FileChange, pending: tuple[str, ...] = (), **wished: Any
) -> tuple[str, ...]:
    return reload.applied(snapshot, settings(**wished), 18789, files, pending)


HOT: list[tuple[Edit, tuple[str, ...]]] = [
    (lambda c: models(c)[0].update(contextWindow=9), ("models.providers.ollama.models",)),
    (lambda c: models(c).pop(), ("models.providers.ollama.models",)),
    (lambda c: defaults(c)["model"].update(primary="a/b"), ("agents.defaults.model.primary",)),
    (lambda c: defaults(c)["models"].update(x={}), ("agents.defaults.models.x",)),
    (lambda c: defaults(c).update(timeoutSeconds=9), ("agents.defaults.timeoutSeconds",)),
]
COLD: list[Edit] = [
    lambda c: c["gateway"].update(port=1),
    lambda c: c["models"].update(mode="replace"),
    lambda c: c.update(auth={"order": {}}),
    lambda c: c.pop("agents"),
    lambda c: (defaults(c).update(timeoutSeconds=9), c["gateway"].update(bind="lan")),
    lambda c: (defaults(c).update(timeoutSeconds=9), c["gateway"].update(reload={"mode": "off"})),
    lambda c: c.copy(),
]


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(("edit", "paths"), HOT)
def test_it_applies_these_itself(version: str, edit: Edit, paths: tuple[str, ...]) -> None:
    mac = healthy(version)
    assert applied(mac, change(mac, edit)) == paths


@pytest.mark.parametrize("edit", COLD)
def test_it_is_restarted_for_these(edit: Edit) -> None:
    mac = healthy(OLD)
    assert applied(mac, change(mac, edit)) == ()


@pytest.mark.parametrize("version", ["2026.2.12", "2026.2.26", "2026.9.3", "2026.12.1"])
def test_not_where_nobody_has_measured_it(version: str) -> None:
    mac = replace(healthy(OLD), openclaw=version)
    assert applied(mac, change(mac, HOT[0][0])) == ()


def test_not_with_another_file_or_another_reason() -> None:
    mac = healthy(OLD)
    hot = change(mac, HOT[0][0])
    assert applied(mac, hot)
    auth = FileChange(mac.auth, b"{}")
    leaking = with_file(mac, "plist", file(mac.plist.path, plist({"http_proxy": "http://x"})))
    broken = with_file(mac, "config", file(mac.config.path, "{"))
    assert not applied(mac, hot, auth)
    assert not applied(mac, auth)
    assert not applied(mac)
    assert not applied(mac, hot, pending=("OpenClaw was installed anew",))
    assert not applied(mac, hot, reset_sessions=True)
    assert not applied(replace(mac, unfinished=RUN), hot)
    assert not applied(replace(mac, gateway_http=0), hot)
    assert not applied(replace(mac, gui=False), hot)
    assert not applied(leaking, hot)
    assert not applied(broken, replace(hot, file=broken.config))


def test_it_is_said_once_more_than_it_was_read() -> None:
    """A link in the place of openclaw.json: the change names the file itself."""
    mac = healthy(OLD)
    linked = replace(mac.config, link=f"{HOME}/.openclaw/real.json")
    there = replace(mac, config=linked)
    hot = change(there, HOT[0][0])
    moved = replace(hot, file=replace(hot.file, path=linked.link or ""))
    assert applied(there, moved)


COMMANDS = {
    "launchctl": """case $1 in print) [ -e "$HOME/gone" ] && exit 113
  printf '\\tstate = running\\n\\tpid = %s\\n\\truns = 1\\n' "$(cat "$HOME/pid")"
  printf '\\tstdout path = %s\\n' "$HOME/gateway.log";; *) echo "$*" >> "$HOME/calls";; esac""",
    "lsof": 'cat "$HOME/pid"',
    "ps": "case $* in *command*) echo openclaw-gateway;; *) echo 1;; esac",
    "curl": "printf 200",
    "openclaw": 'echo "{\\"ok\\": $(cat "$HOME/ok")}"',
    "sleep": ":",
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); echo $((n+1)) > "$HOME/clock"; echo $n',
    # The gateway: it sees the file move.
    "mv": '/bin/mv "$@"; case $* in *openclaw.json) [ ! -e "$HOME/says" ] || '
    'cat "$HOME/says" >> "$HOME/gateway.log";; esac',
}
TAKEN = "2026 [reload] config change applied (dynamic reads: agents.defaults.timeoutSeconds)\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / ".openclaw").mkdir(parents=True)
    (folder / ".openclaw" / "openclaw.json").write_bytes(healthy(OLD).config.content or b"")
    for name, text in {"pid": "9000000", "ok": "true", "gateway.log": TAKEN, "says": TAKEN}.items():
        (folder / name).write_text(text)
    return folder


def written(shell: tuple[str, ...], home: Path) -> None:
    """The change in place, under the running gateway."""
    mac = replace(healthy(OLD), home=str(home), openclaw_bin=None, nodes=())
    mac = replace(mac, config=replace(mac.config, path=f"{home}/.openclaw/openclaw.json"))
    text = commit.script(
        [change(mac, HOT[-1][0])],
        run=RUN,
        restart_reasons=["openclaw.json was changed"],
        port=18789,
        running=True,
    )
    done = run(shell, text, home, commands=COMMANDS, check=True)
    assert commit.STOPPED in done.stdout
    assert not (home / "calls").exists()
    assert (home / ".clawfleet" / "unfinished").read_text() == f"{RUN}\n"


def looked(shell: tuple[str, ...], home: Path) -> tuple[int, str]:
    mac = replace(healthy(OLD), home=str(home), openclaw_bin=None, nodes=())
    step = reload.step(mac, settings(gateway_settle=2), 18789, RUN)
    done = run(shell, step.script, home, commands=COMMANDS)
    return done.returncode, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_change_that_is_taken_over_closes_the_transaction(
    shell: tuple[str, ...], home: Path
) -> None:
    (home / ".clawfleet").mkdir()
    (home / ".clawfleet" / "started").write_text("pid\t9000000\nbegan\t1\nwell\t2\n")
    written(shell, home)
    assert looked(shell, home) == (0, "")
    assert not (home / "calls").exists()
    left = sorted(path.name for path in (home / ".clawfleet").iterdir())
    assert left == ["backups", "started", "started.json"]
    now = (home / ".openclaw" / "openclaw.json").read_bytes()
    assert (home / ".clawfleet" / "started.json").read_bytes() == now
    assert b'"timeoutSeconds": 9' in now


@pytest.mark.parametrize(
    ("say", "told"),
    [
        ("", "nothing in its log"),
        ("2026 [reload] config change requires gateway restart (auth)\n", "requires gateway"),
        ("2026 [reload] config reload skipped (invalid config): x\n", "reload skipped"),
        ("2026 [other] config change applied (dynamic reads: x)\n", "nothing in its log"),
    ],
)
def test_what_the_gateway_says_otherwise(home: Path, say: str, told: str) -> None:
    (home / "says").write_text(say)
    written(("dash",), home)
    code, said = looked(("dash",), home)
    assert code == 1
    assert said.startswith("the running gateway did not apply it: ")
    assert told in said
    for note in ("unfinished", "restart-needed"):
        assert (home / ".clawfleet" / note).exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pid", "9000001", "pid 9000000 has ended"),
        ("gone", "", "pid 9000000 has ended"),
        ("ok", "false", "it applied the change, and then: not well"),
    ],
)
def test_a_gateway_that_is_no_longer_well(home: Path, name: str, text: str, told: str) -> None:
    written(("dash",), home)
    (home / name).write_text(text)
    code, said = looked(("dash",), home)
    assert code == 1
    assert told in said
    assert (home / ".clawfleet" / "unfinished").exists()
