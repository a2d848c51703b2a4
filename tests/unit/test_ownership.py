from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawfleet import json5, ledger, ownership, wish
from clawfleet.edits import Item
from clawfleet.ownership import OWNED, RULES, due, owner, without
from clawfleet.plan import Trouble
from clawfleet.snapshot import Snapshot
from tests.unit.factory import (
    HOME,
    NEW,
    OLD,
    TEMPLATES,
    TOKEN,
    equipped,
    file,
    settings,
    trouble_is_useful,
)

DOCS = Path(__file__).parents[2] / "docs" / "safety.md"
CONFIG = f"{HOME}/.openclaw/openclaw.json"
LEDGER = f"{HOME}/.clawfleet/owned.json"
USER = """\
{ // mine
  agents: { defaults: {
    model: "zai/glm", // the cloud
  } },
  gateway: { mode: "local", port: 18789, auth: { mode: "token", token: "TOKEN" } },
}
""".replace("TOKEN", TOKEN)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for part in value:
            yield from leaves(part, (*path, part["id"]))
    else:
        yield path


@pytest.mark.parametrize("version", ["2026.2.12", OLD, "2026.4.29", "2026.6.6", NEW])
def test_everything_that_is_written_stands_in_the_table(version: str) -> None:
    found = 0
    for change in wish.plan(equipped(version), settings(), TEMPLATES, lambda: TOKEN).files:
        name = change.path.rpartition("/")[2]
        for path in leaves(json.loads(change.after)):
            assert owner(name, path), (name, path)
            found += 1
    assert found > 20


def test_every_place_of_the_table_is_written_by_some_version() -> None:
    written = set()
    for version in ("2026.2.12", OLD, "2026.4.29", "2026.6.6", NEW):
        theirs = '{ agents: { defaults: { modelPolicy: { allow: ["zai/glm"] } } } }'
        for config in ("", theirs if version == NEW else ""):
            snapshot = replace(equipped(version), config=file(CONFIG, config))
            for change in wish.plan(snapshot, settings(), TEMPLATES, lambda: TOKEN).files:
                name = change.path.rpartition("/")[2]
                for path in leaves(json5.loads(change.after.decode())):
                    written |= {
                        one
                        for one in OWNED
                        if one.file == name and ownership._matches(one.path, path)
                    }
    assert set(OWNED) - written == set()


def test_the_docs_show_the_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for one in OWNED:
        row = f"| {one.file} | `{'.'.join(one.path)}` | {one.rule} | {one.why} |"
        assert row in text, f"docs/safety.md lacks: {row}"
    for rule, meaning in RULES.items():
        assert f"{rule}: {meaning}" in text


def test_without_takes_a_value_out_of_a_wish() -> None:
    value = {"a": {"b": 1, "c": [{"id": "x", "n": 1}, {"id": "y", "n": 2}]}}
    assert without(value, ("a", "b"))["a"] == {"c": value["a"]["c"]}
    assert without(value, ("a", "c", Item("id", "x"))) == {
        "a": {"b": 1, "c": [{"id": "y", "n": 2}]}
    }
    assert without(value, ("a", "c", Item("id", "y"), "n"))["a"]["c"][1] == {"id": "y"}
    assert without(value, ("nothing", "here")) == value
    assert value["a"]["b"] == 1


def test_a_port_that_differs_from_the_default_is_set() -> None:
    wanted = {"gateway": {"port": 18790}}
    assert due(wanted, {"gateway": {"port": 18789}}) == wanted
    assert due({"gateway": {"port": 18789}}, {"gateway": {"port": 18790}}) == {}


# What happens over several runs


def deployed(text: str, version: str = NEW, book: str | None = None, **changes: Any) -> Snapshot:
    """The Mac after a run on a Mac with this openclaw.json and ledger."""
    snapshot = replace(
        equipped(version), config=file(CONFIG, text), owned=file(LEDGER, book or None)
    )
    files = wish.plan(snapshot, settings(**changes), TEMPLATES, lambda: TOKEN).files
    known = ledger.record(ownership.read_ledger(snapshot.owned), files)
    after = {change.path: change.after.decode() for change in files}
    return replace(
        snapshot,
        config=file(CONFIG, after.get(CONFIG, text)),
        owned=file(LEDGER, ledger.dumps(known)),
    )


def again(snapshot: Snapshot, text: str | None = None, **changes: Any) -> Snapshot:
    """The Mac after one more run; `text`: openclaw.json was edited to this in between."""
    version = snapshot.openclaw or NEW
    return deployed(text or snapshot.config.text or "", version, snapshot.owned.text, **changes)


def undone(snapshot: Snapshot) -> str | None:
    book = ownership.read_ledger(snapshot.owned)
    return ledger.undo(snapshot.config.text or "", book.documents[CONFIG]).text


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_second_run_wants_nothing(version: str) -> None:
    once = deployed(USER, version)
    wanted = wish.plan(once, settings(), TEMPLATES, lambda: "other")
    assert [change for change in wanted.files if change.path == CONFIG] == []
    assert wanted.notes == []


ONE = ({"id": "gpt-oss:20b"},)


@pytest.mark.parametrize("text", [USER, "", "{}", "// only a comment\n{ }\n"])
@pytest.mark.parametrize("version", [OLD, NEW])
def test_what_is_undone_is_what_was_there(text: str, version: str) -> None:
    snapshot = deployed(text, version)
    for changes in ({"models": ONE, "fallbacks": ()}, {"context_window": 65536}, {}):
        snapshot = again(snapshot, **changes)
        assert (undone(snapshot) or "") == text


def test_a_model_that_is_no_longer_wanted_goes() -> None:
    snapshot = again(deployed(USER), models=ONE, fallbacks=())
    config = json5.loads(snapshot.config.text or "")
    assert [m["id"] for m in config["models"]["providers"]["ollama"]["models"]] == ["gpt-oss:20b"]
    defaults = config["agents"]["defaults"]
    assert defaults["model"]["fallbacks"] == []
    # The user's former model stays selectable, though only because of our list.
    assert set(defaults["models"]) == {"ollama/gpt-oss:20b", "zai/glm"}


def test_fallbacks_that_the_user_adds_stay_and_ours_that_go_go() -> None:
    once = deployed(USER)
    config = json5.loads(once.config.text or "")
    config["agents"]["defaults"]["model"]["fallbacks"].append("zai/glm")
    # As `openclaw config set` would leave it: plain JSON, no comments.
    text = json.dumps(config)
    after = again(once, text, models=ONE, fallbacks=())
    config = json5.loads(after.config.text or "")
    assert config["agents"]["defaults"]["model"]["fallbacks"] == ["zai/glm"]


def edited(snapshot: Snapshot) -> str:
    text = snapshot.config.text or ""
    changed = text.replace("http://127.0.0.1:11434", "http://10.0.0.9:11434")
    assert changed != text
    return changed


def replan(snapshot: Snapshot, text: str, *, asked: bool = True, **changes: Any) -> wish.Wanted:
    now = replace(snapshot, config=file(CONFIG, text))
    return wish.plan(now, settings(**changes), TEMPLATES, lambda: TOKEN, asked=asked)


def test_a_key_changed_by_hand_is_written_again_and_said() -> None:
    once = deployed(USER)
    wanted = replan(once, edited(once))
    (change,) = wanted.files
    assert change.after == once.config.content
    said = "models.providers.ollama.baseUrl was changed by hand since clawfleet wrote it"
    assert wanted.notes == [f"{said}: written again (config_conflict: ours)"]
    assert wanted.notes[0] in change.reasons


def test_a_key_changed_by_hand_is_left_where_that_is_wished() -> None:
    once = deployed(USER)
    wanted = replan(once, edited(once), config_conflict="theirs")
    assert wanted.files == []
    assert "left as it is" in wanted.notes[0]


def test_a_key_taken_out_by_hand_is_drift_too() -> None:
    once = deployed(USER)
    config = json5.loads(once.config.text or "")
    del config["agents"]["defaults"]["model"]["fallbacks"]
    wanted = replan(once, json.dumps(config), config_conflict="theirs")
    assert any("fallbacks was taken out by hand" in note for note in wanted.notes)
    for change in wanted.files:
        assert "fallbacks" not in json5.loads(change.after.decode())["agents"]["defaults"]["model"]


def test_asking_needs_somebody_to_ask() -> None:
    once = deployed(USER)
    wanted = replan(once, edited(once), config_conflict="ask-in-diff")
    assert len(wanted.files) == 1
    assert "going on writes it again" in wanted.notes[0]
    with pytest.raises(Trouble) as stopped:
        replan(once, edited(once), config_conflict="ask-in-diff", asked=False)
    assert "baseUrl was changed by hand" in stopped.value.found
    assert "config_conflict=ours" in stopped.value.fix


def test_what_is_only_filled_in_is_the_users_from_then_on() -> None:
    once = deployed("")
    text = (once.config.text or "").replace("18789", "18888").replace(TOKEN, "another-token-123")
    wanted = replan(once, text)
    assert (wanted.files, wanted.notes) == ([], [])


def test_a_ledger_that_cannot_be_read_stops_the_mac() -> None:
    snapshot = replace(equipped(NEW), owned=file(LEDGER, "{"))
    with pytest.raises(Trouble) as stopped:
        wish.plan(snapshot, settings(), TEMPLATES, lambda: TOKEN)
    assert stopped.value.found.startswith(f"{LEDGER} can't be read")


def test_a_file_that_was_moved_behind_a_link_is_still_the_one_we_wrote() -> None:
    once = deployed(USER)
    target = f"{CONFIG.rpartition('/')[0]}/dotfiles/openclaw.json"
    moved = replace(once, config=replace(once.config, link=target))
    assert list(ownership.ledger_of(moved).documents) == [target]
    assert ownership.elsewhere(moved) == []
    assert wish.plan(moved, settings(), TEMPLATES, lambda: "other").files == []
    # Both are there: the link's target has a record of its own.
    book = ownership.ledger_of(once)
    both = ledger.Ledger({**book.documents, target: ledger.Document((), "", absent=True)})
    known = replace(moved, owned=file(LEDGER, ledger.dumps(both)))
    assert ownership.ledger_of(known) == both


def test_a_file_of_another_agent_is_not_forgotten() -> None:
    once = deployed(USER, OLD)
    other = once.auth.path.replace("/main/", "/work/")
    elsewhere = ownership.elsewhere(replace(once, auth=file(other)))
    assert elsewhere == [once.auth.path]


def test_a_ledger_that_cannot_be_read_is_not_taken_for_none() -> None:
    with pytest.raises(Trouble) as stopped:
        ownership.read_ledger(replace(file(LEDGER), trouble="not readable by this user"))
    trouble_is_useful(stopped.value, LEDGER, "not readable")
