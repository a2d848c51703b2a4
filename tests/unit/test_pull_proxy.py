from __future__ import annotations

from dataclasses import replace

import pytest

from clawfleet import ledger, ollama
from clawfleet.plan import FileChange
from clawfleet.settings import SettingsError
from clawfleet.snapshot import Process, Snapshot
from tests.unit.factory import HOME, equipped, file, settings

PROXY = "http://192.168.1.5:7890"


def environment(snapshot: Snapshot, proxy: str | None = None) -> str:
    """The file of variables after a deploy; as it is where nothing changes."""
    plan = ollama.plan(snapshot, settings(pull_proxy=proxy))
    return plan.files[0].after.decode() if plan.files else snapshot.ollama_env.loose_text


def written(snapshot: Snapshot, proxy: str | None) -> Snapshot:
    """The Mac after a deploy, with the ledger of it."""
    (change,) = ollama.plan(snapshot, settings(pull_proxy=proxy)).files
    book = ledger.dumps(ledger.record(ledger.loads(snapshot.owned.loose_text), [change]))
    return replace(
        snapshot,
        ollama_env=file(change.path, change.after),
        owned=file(f"{HOME}/.clawfleet/owned.json", book),
    )


def with_lines(text: str) -> Snapshot:
    snapshot = equipped()
    path = snapshot.ollama_env.path
    return replace(snapshot, ollama_env=file(path, snapshot.ollama_env.loose_text + text))


def test_only_ollamas_server_gets_it() -> None:
    plan = ollama.plan(equipped(), settings(pull_proxy=PROXY))
    (change,) = plan.files
    assert isinstance(change, FileChange)
    assert change.path == f"{HOME}/.homebrew/services/ollama.env"
    lines = change.after.decode().splitlines()
    assert f"HTTPS_PROXY={PROXY}" in lines
    assert "NO_PROXY=localhost,127.0.0.1,::1" in lines
    assert not [line for line in lines if line.startswith(("HTTP_PROXY", "http_proxy"))]
    assert [step.title for step in plan.steps] == ["restart Ollama"]
    assert plan.notes == ()


def test_it_goes_when_it_is_no_longer_wanted() -> None:
    before = equipped()
    there = written(before, PROXY)
    assert environment(there, PROXY) == there.ollama_env.loose_text
    assert environment(there) == before.ollama_env.loose_text


def test_what_the_user_had_comes_back() -> None:
    before = with_lines("HTTPS_PROXY=http://own:1\nNO_PROXY=.corp\n")
    there = written(before, PROXY)
    assert "NO_PROXY=.corp\n" in there.ollama_env.loose_text
    assert "own" not in there.ollama_env.loose_text
    assert environment(there) == before.ollama_env.loose_text


def test_what_the_user_wrote_stays() -> None:
    own = with_lines("HTTPS_PROXY=http://me:secret@own:1\n")
    assert environment(own) == own.ollama_env.loose_text
    there = written(equipped(), PROXY)
    changed = there.ollama_env.loose_text.replace(PROXY, "http://other:1")
    edited = replace(there, ollama_env=file(there.ollama_env.path, changed))
    assert "HTTPS_PROXY=http://other:1" in environment(edited)


def test_whoever_can_not_have_it_says_so() -> None:
    app = replace(
        equipped(),
        ollama_formula=None,
        ollama_app="/Applications/Ollama.app",
        ollama_app_version="0.32.3",
        ollama_port=replace(
            equipped().ollama_port,
            processes=(
                Process(7, 1, 9, "/Applications/Ollama.app/Contents/Resources/ollama serve"),
            ),
        ),
    )
    plan = ollama.plan(app, settings(pull_proxy=PROXY))
    assert any("pull_proxy is not given to this server" in note for note in plan.notes)
    assert plan.files == ()
    by_hand = replace(
        equipped(),
        ollama_port=replace(
            equipped().ollama_port, processes=(Process(7, 1, 9, "/usr/local/bin/ollama serve"),)
        ),
    )
    notes = ollama.plan(by_hand, settings(pull_proxy=PROXY)).notes
    assert any("pull_proxy is not given to this server" in note for note in notes)


@pytest.mark.parametrize(
    ("wished", "said"),
    [
        ({"pull_proxy": "http://me:pw@p:1"}, "an address with a password in it"),
        ({"pull_proxy": "p:1"}, "expected an address such as"),
        ({"pull_proxy": "ftp://p:1"}, "expected an address such as"),
        ({"pull_proxy": "http://p\nX=1"}, "line break"),
        (
            {"pull_proxy": PROXY, "ollama_environment": {"HTTPS_PROXY": "http://q:1"}},
            "keep one of them",
        ),
    ],
)
def test_refused(wished: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        settings(**wished)
    assert "pw" not in str(refused.value)
