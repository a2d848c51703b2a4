from __future__ import annotations

import json
import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import preload
from clawfleet.preload import Load
from clawfleet.settings import SettingsError
from clawfleet.snapshot import PRELOAD_LABEL, Job, Snapshot
from tests.unit.factory import NEW, OLD, bare, equipped, file, settings
from tests.unit.shells import SHELLS, run

BOTH = ["gpt-oss:20b", "qwen3-coder"]
JOB = Job("not running", None, 1, "0", {}, {})


def settled(snapshot: Snapshot, **wished: Any) -> Snapshot:
    """The Mac after a run with these settings."""
    (change,) = preload.plan(snapshot, settings(**wished)).files
    written = file(change.path, change.after, mode=change.mode)
    return replace(snapshot, preload=written, preload_job=JOB)


def script_of(snapshot: Snapshot, **wished: Any) -> str:
    (change,) = preload.plan(snapshot, settings(**wished)).files
    agent = plistlib.loads(change.after)
    assert agent["Label"] == PRELOAD_LABEL
    assert agent["RunAtLoad"] is True
    shell, option, script = agent["ProgramArguments"]
    assert (shell, option) == ("/bin/sh", "-c")
    return str(script)


def test_nothing_without_the_setting() -> None:
    assert preload.plan(equipped(), settings()) == preload.Plan((), (), (), (), ())


@pytest.mark.parametrize(
    ("version", "memory", "wish", "loads"),
    [
        (OLD, 32, "primary", [Load("gpt-oss:20b", 32768)]),
        (NEW, 32, ["qwen3-coder"], [Load("qwen3-coder:latest", 32768)]),
        # OpenClaw sends no num_ctx, so this request must not either.
        ("2026.2.12", 32, "primary", [Load("gpt-oss:20b", None)]),
        # 13.8 and 18.6 GB: never both in the GPU's share of 32 GB.
        (NEW, 32, BOTH, [Load("gpt-oss:20b", 32768)]),
        (NEW, 36, BOTH, [Load("gpt-oss:20b", 32768)]),
        (NEW, 64, BOTH, [Load("gpt-oss:20b", 32768), Load("qwen3-coder:latest", 32768)]),
    ],
)
def test_what_is_loaded(version: str, memory: int, wish: Any, loads: list[Load]) -> None:
    snapshot = replace(equipped(version), memory=memory * 1024**3)
    wished: dict[str, Any] = {"preload": wish, "keep_alive": "24h"}
    plan = preload.plan(snapshot, settings(**wished))
    assert list(plan.loads) == loads
    left_out = len(wish) - len(loads) if isinstance(wish, list) else 0
    assert len(plan.notes) == left_out
    assert all("qwen3-coder is not preloaded" in note for note in plan.notes)
    (step,) = plan.steps
    assert "NEW=yes" in step.script
    script = script_of(snapshot, **wished)
    for one in loads:
        request = {"model": one.model, "stream": False}
        request |= {"options": {"num_ctx": one.num_ctx}} if one.num_ctx else {}
        assert json.dumps(request | {"keep_alive": "24h"}) in script
    assert preload.plan(settled(snapshot, **wished), settings(**wished)).files == ()


def test_without_keep_alive_it_says_that_the_models_go_again() -> None:
    (note,) = preload.plan(equipped(), settings(preload="primary")).notes
    assert "five minutes" in note
    assert "keep_alive" not in script_of(equipped(), preload="primary")


@pytest.mark.parametrize("wish", ["-1", -1])
def test_seconds_are_a_number_in_the_request(wish: Any) -> None:
    script = script_of(equipped(), preload="primary", keep_alive=wish)
    assert '"keep_alive": -1}' in script


def test_a_model_of_unknown_size_is_not_put_beside_another() -> None:
    models = [{"id": "gpt-oss:20b"}, {"id": "mystery"}]
    wished = settings(
        models=models, fallbacks=[], preload=["gpt-oss:20b", "mystery"], keep_alive=-1
    )
    snapshot = replace(equipped(), memory=128 * 1024**3)
    assert [one.model for one in preload.plan(snapshot, wished).loads] == ["gpt-oss:20b"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("looks", [1, 3])
def test_it_is_forgotten_when_launchd_has_it_no_more(
    shell: tuple[str, ...], looks: int, tmp_path: Path
) -> None:
    launchctl = f"""case $1 in print) echo x >> "$HOME/looks"
  [ "$(wc -l < "$HOME/looks")" -lt {looks} ];; esac"""
    commands = {"launchctl": launchctl, "sleep": ":"}
    done = run(shell, preload.forget(bare(), "off").script, tmp_path, commands=commands)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "looks").read_text().split()) == looks


def test_switched_off_again() -> None:
    snapshot = settled(equipped(), preload="primary")
    (change,), (step,) = (p := preload.plan(snapshot, settings())).files, p.before
    assert change.gone
    assert "bootout" in step.script
    assert (p.steps, p.loads) == ((), ())


def test_the_old_job_goes_before_its_file_changes() -> None:
    """Cut off after the write, the next run would find the file as it wants it, and a job."""
    snapshot = settled(equipped(), preload="primary")
    plan = preload.plan(snapshot, settings(preload="primary", keep_alive="2h"))
    assert [len(part) for part in (plan.before, plan.files, plan.steps)] == [1, 1, 1]
    assert "bootout" in plan.before[0].script
    cut = replace(snapshot, preload=replace(snapshot.preload, content=plan.files[0].after))
    again = preload.plan(
        replace(cut, preload_job=None), settings(preload="primary", keep_alive="2h")
    )
    assert (again.files, [step.title for step in again.steps]) == ((), ["load gpt-oss:20b"])


def test_an_agent_that_launchd_does_not_know_is_given_to_it() -> None:
    snapshot = replace(settled(equipped(), preload="primary"), preload_job=None)
    plan = preload.plan(snapshot, settings(preload="primary"))
    assert plan.files == ()
    assert [step.reason for step in plan.steps] == ["launchd does not know it"]


def test_what_is_due() -> None:
    loads = [Load("gpt-oss:20b", 32768), Load("qwen3-coder:latest", None)]
    running = [{"name": "gpt-oss:20b", "context_length": 4096}]
    assert preload.due([], loads) == loads
    assert preload.due(running, loads) == loads
    running = [{"name": "GPT-OSS:20b", "context_length": 32768}, {"name": "qwen3-coder:latest"}]
    assert preload.due(running, loads) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preload": ["nope"]}, "'nope' is not in models"),
        (
            {
                "preload": "primary",
                "primary": "zai/x",
                "fallbacks": [],
                "other_providers": ["zai"],
            },
            "not a local one",
        ),
        ({"keep_alive": "soon"}, "not a duration"),
        ({"keep_alive": True}, "not a duration"),
        ({"keep_alive": ""}, "not a duration"),
        ({"keep_alive": "5"}, None),
        ({"keep_alive": 0}, None),
        ({"keep_alive": 0, "preload": "primary"}, "with a keep_alive of 0 no model stays"),
        ({"keep_alive": "0h0.0m", "preload": "primary"}, "no model stays in memory"),
        ({"keep_alive": "10m", "preload": "primary"}, None),
        (
            {"preload": "primary", "ollama_environment": {"OLLAMA_KEEP_ALIVE": "0"}},
            "no model stays in memory",
        ),
        ({"keep_alive": -1}, None),
        ({"keep_alive": "1h30m"}, None),
        (
            {"keep_alive": 5, "ollama_environment": {"OLLAMA_KEEP_ALIVE": 5}},
            "says it too",
        ),
        ({"ollama_app_settings": "maybe"}, "'leave' or 'change'"),
    ],
)
def test_settings(changes: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert settings(**changes)
        return
    with pytest.raises(SettingsError, match=words):
        settings(**changes)


AGENT = {
    "sleep": ":",
    # Time passes by five minutes at each look.
    "date": 'case $1 in +%s) n=$(cat "$HOME/clock" 2>/dev/null || echo 0); n=$((n+300)); '
    'echo $n > "$HOME/clock"; echo $n;; esac',
    "curl": """case "$*" in
*api/version*) n=$(cat "$HOME/asked" 2>/dev/null || echo 0); echo $((n+1)) > "$HOME/asked"
  [ "$n" -ge "$READY" ];;
*) printf '%s\\n' "$*" >> "$HOME/calls"; printf '%s' "$SAYS";; esac""",
}


def with_stand_ins(script: str, home: Path) -> str:
    """The agent sets a PATH of its own, as launchd gives it nearly none."""
    return script.replace("PATH=/usr/bin", f'PATH="{home.parent}/stand-ins":/usr/bin', 1)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("ready", "says", "code", "words"),
    [
        ("0", '{"done":true,"done_reason":"load"}', 0, "gpt-oss:20b is loaded"),
        ("1", '{"done":true,"done_reason":"load"}', 0, "gpt-oss:20b is loaded"),
        ("9", "", 1, "no Ollama on port 11434 after 600 s"),
        ("0", '{"error":"model not found"}', 1, 'was not loaded: {"error":"model not found"}'),
        ("0", "", 1, "was not loaded: no answer"),
    ],
)
def test_the_agents_program(
    shell: tuple[str, ...], tmp_path: Path, ready: str, says: str, code: int, words: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = script_of(equipped(), preload="primary", keep_alive=-1)
    done = run(shell, with_stand_ins(script, home), home, commands=AGENT, READY=ready, SAYS=says)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    if code == 0:
        (call,) = (home / "calls").read_text().splitlines()
        assert '"num_ctx": 32768' in call
        assert '"keep_alive": -1' in call


LAUNCHD = {
    "sleep": ":",
    "date": 'n=$(cat "$HOME/clock" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "$HOME/clock"; '
    "echo $n",
    # One look after it was started it has ended.
    "launchctl": r"""f=$HOME/job; n=$(cat "$f" 2>/dev/null)
case $1 in
print) [ -n "$n" ] || exit 113; printf '\truns = %s\n' "$n"
  if [ -e "$f.pid" ]; then printf '\tpid = 5\n'; rm "$f.pid"; fi
  printf '\tlast exit code = %s\n' "$EXIT";;
bootout) rm -f "$f";;
bootstrap) [ -z "$n" ] || exit 5; echo 1 > "$f"; touch "$f.pid";;
kickstart) echo $((n+1)) > "$f"; touch "$f.pid";;
esac
echo "$1" >> "$HOME/calls" """,
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("code", "new"), [("0", True), ("0", False), ("1", True), ("1", False)])
def test_the_agent_is_run_and_waited_for(
    shell: tuple[str, ...], tmp_path: Path, code: str, new: bool
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "job").write_text("3\n")
    (home / ".clawfleet").mkdir()
    (home / ".clawfleet" / "preload.log").write_text("gpt-oss:20b was not loaded: x\n")
    step = preload.run(bare(), [Load("gpt-oss:20b", None)], "because", new=new)
    done = run(shell, step.script, home, commands=LAUNCHD, EXIT=code)
    assert done.returncode == int(code), done.stderr
    calls = (home / "calls").read_text().split()
    assert ("bootstrap" in calls, "kickstart" in calls) == (new, not new)
    if code == "1":
        assert "was not loaded: x" in done.stderr
        assert "last exit 1" in done.stderr
