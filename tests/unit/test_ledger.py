"""The ledger, rule by rule, on an openclaw.json as a user has it."""

from __future__ import annotations

from typing import Any

import pytest

from clawfleet import ledger
from clawfleet.edits import UNKNOWN, Item
from clawfleet.json5 import loads
from clawfleet.ledger import Document, Drift, Record, Undone
from clawfleet.merge import Edit, Remove, Set, Source, apply, create
from tests.unit.ledger_runs import (
    ALIASES,
    GPT,
    MODEL,
    MODELS,
    OLLAMA,
    PHI,
    QWEN,
    USERS,
    deploy,
    paths,
    wanted,
    without_qwen,
)

# --- what is written down ---------------------------------------------------------------------


def test_every_value_that_we_wrote_stands_in_the_ledger_and_no_other() -> None:
    _, known = deploy(USERS, wanted())
    models = wanted()["models"]["providers"]["ollama"]["models"]
    assert known == Document(
        (
            Record((*OLLAMA, "baseUrl"), "add", "http://127.0.0.1:11434"),
            Record((*OLLAMA, "timeoutSeconds"), "set", 300, "0x1E"),
            Record((*MODELS, GPT), "add", models[0]),
            Record((*MODELS, QWEN), "add", models[1]),
            Record(MODEL, "set", wanted()["agents"]["defaults"]["model"], "'zai/glm-4.5-air'"),
            Record((*ALIASES, "ollama/gpt-oss:20b"), "add", {"alias": "GPT"}),
            Record((*ALIASES, "ollama/qwen3-coder"), "add", {}),
            Record(("gateway", "mode"), "add", "local"),
            Record(("gateway", "auth"), "add", {"mode": "token", "token": "s3cret"}),
        )
    )


def test_a_later_run_keeps_what_was_there_before_the_first() -> None:
    text, known = deploy(USERS, wanted())
    other = wanted()
    other["models"]["providers"]["ollama"]["timeoutSeconds"] = 60
    other["models"]["providers"]["ollama"]["models"][0]["contextWindow"] = 65536
    other["agents"]["defaults"]["model"]["primary"] = "ollama/qwen3-coder"
    text, later = deploy(text, other, known)
    assert paths(later) == paths(known)
    found = {one.path: one for one in later.records}
    assert found[(*OLLAMA, "timeoutSeconds")].after == 60
    assert found[(*OLLAMA, "timeoutSeconds")].source == "0x1E"
    assert found[(*MODELS, GPT)].after["contextWindow"] == 65536
    assert found[MODEL].after["primary"] == "ollama/qwen3-coder"
    assert ledger.undo(text, later) == Undone(USERS)


def test_what_is_no_longer_wanted_is_taken_out_below_our_objects_too() -> None:
    text, known = deploy(USERS, wanted())
    assert ledger.stale(text, known, wanted()) == []
    assert {edit.path for edit in ledger.stale(text, known, without_qwen())} == {
        (*MODELS, QWEN),
        (*ALIASES, "ollama/qwen3-coder"),
    }
    text, less = deploy(text, without_qwen(), known)
    assert "qwen" not in text
    assert (text, less) == deploy(USERS, without_qwen())
    assert ledger.undo(text, less) == Undone(USERS)


def test_a_value_that_we_replaced_comes_back_when_ours_is_no_longer_wanted() -> None:
    text, known = deploy(USERS, wanted())
    less = wanted()
    del less["models"]["providers"]["ollama"]["timeoutSeconds"]
    del less["agents"]["defaults"]["model"]
    assert ledger.stale(text, known, less) == [
        Set(MODEL, Source("'zai/glm-4.5-air'"), written=wanted()["agents"]["defaults"]["model"]),
        Set((*OLLAMA, "timeoutSeconds"), Source("0x1E"), written=300),
    ]
    text, later = deploy(text, less, known)
    assert "model: 'zai/glm-4.5-air', // cheap" in text
    assert "timeoutSeconds: 0x1E," in text
    assert not {MODEL, (*OLLAMA, "timeoutSeconds")} & set(paths(later))


def test_a_wish_for_the_users_own_value_gives_his_bytes_back() -> None:
    text, known = deploy(USERS, wanted())
    same = wanted()
    same["models"]["providers"]["ollama"]["timeoutSeconds"] = 30
    text, later = deploy(text, same, known)
    assert "timeoutSeconds: 0x1E," in text
    assert (*OLLAMA, "timeoutSeconds") not in paths(later)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1}, "x"),
        ("x", {"a": 1}),
        ([{"id": "a"}], "x"),
        (["a"], [{"id": "a"}]),
        ([{"id": "a"}], ["a"]),
        (["a"], "x"),
        ([{"n": 1}], [{"n": 2}]),
        (["${KEY}"], ["x"]),
        ("${KEY}", "x"),
        ([{"id": "a"}, {"id": "b"}], []),
    ],
)
@pytest.mark.parametrize("text", ["{ z: 1 }", "{ z: 1, k: 'users' }"])
def test_a_value_of_ours_may_become_any_other(text: str, first: Any, second: Any) -> None:
    once, known = deploy(text, {"k": first})
    twice, later = deploy(once, {"k": second}, known)
    assert loads(twice)["k"] == second
    assert ledger.undo(twice, later) == Undone(text)


# --- what others changed ----------------------------------------------------------------------


def test_what_the_user_has_by_himself() -> None:
    text, known = deploy(USERS, wanted())
    assert ledger.bare(text, known) == loads(USERS)
    assert ledger.bare(text, None) == loads(text)
    assert ledger.bare("", known) == ledger.bare("", None) == {}
    changed = apply(text, [Set(("gateway", "mode"), "remote")]).text
    assert ledger.bare(changed, known)["gateway"] == {"port": 18790, "mode": "remote"}


def test_drift_is_what_we_wrote_and_somebody_changed() -> None:
    text, known = deploy(USERS, wanted())
    assert ledger.drift(text, known, wanted()) == []
    edits: list[Edit] = [
        Set((*OLLAMA, "timeoutSeconds"), 600),
        Set((*MODELS, GPT, "contextWindow"), 8192),
        Set((*MODELS, GPT, "temperature"), 0.2),
        Set((*MODELS, PHI, "name"), "Phi 4"),
        Remove((*ALIASES, "ollama/gpt-oss:20b", "alias")),
        Remove((*MODELS, QWEN)),
        Set((*MODEL, "fallbacks"), ["zai/glm-4.5-air"]),
        Remove(("gateway", "auth")),
    ]
    changed = apply(text, edits).text
    assert ledger.drift(changed, known, wanted()) == [
        Drift((*OLLAMA, "timeoutSeconds"), 300, 600, 300),
        Drift((*MODELS, GPT, "contextWindow"), 32768, 8192, 32768),
        Drift(
            (*MODELS, QWEN),
            wanted()["models"]["providers"]["ollama"]["models"][1],
            UNKNOWN,
            wanted()["models"]["providers"]["ollama"]["models"][1],
        ),
        Drift(
            (*MODEL, "fallbacks"),
            ["ollama/qwen3-coder"],
            ["zai/glm-4.5-air"],
            ["ollama/qwen3-coder"],
        ),
        Drift((*ALIASES, "ollama/gpt-oss:20b", "alias"), "GPT", UNKNOWN, "GPT"),
        Drift(
            ("gateway", "auth"),
            {"mode": "token", "token": "s3cret"},
            UNKNOWN,
            {"mode": "token", "token": "s3cret"},
        ),
    ]


def test_no_drift_where_the_value_is_wanted_now_or_no_longer_wanted_at_all() -> None:
    text, known = deploy("{}", {"a": 1, "b": 1, "c": {"d": 1}, "l": ["x"], "m": [{"id": "x"}]})
    changed = apply(text, [Set((key,), 2) for key in "ab"] + [Set(("l",), ["x", "y"])]).text
    now = {"a": 2, "c": {"d": 1.0}, "l": ["x", "y"], "m": []}
    assert ledger.drift(changed, known, now) == []
    assert ledger.drift("", known, now) == ledger.drift(changed, None, now) == []
    assert ledger.drift("{}", known, {"c": {"d": 2, "e": 3}}) == [
        Drift(("c",), {"d": 1}, UNKNOWN, {"d": 2, "e": 3})
    ]


def test_what_somebody_changed_is_his() -> None:
    text, known = deploy(USERS, wanted())
    changed = text.replace("300", "600").replace("'GPT-OSS'", "'mine'")
    undone = ledger.undo(changed, known)
    assert undone.left == ((*MODELS, GPT, "name"), (*OLLAMA, "timeoutSeconds"))
    value = loads(undone.text or "")
    assert value["models"]["providers"]["ollama"] == {
        "timeoutSeconds": 600,
        "models": [{"id": "phi4", "name": "Phi"}, {"id": "gpt-oss:20b", "name": "mine"}],
    }
    assert not any(edit.path[:4] == (*MODELS,) for edit in ledger.stale(changed, known, wanted()))
    stale = {edit.path for edit in ledger.stale(changed, known, {})}
    assert (*OLLAMA, "timeoutSeconds") not in stale
    assert (*MODELS, GPT, "contextWindow") in stale


def test_what_somebody_put_inside_ours_stays() -> None:
    text, known = deploy(USERS, wanted())
    edits: list[Edit] = [
        Set((*MODELS, GPT, "temperature"), 0.2),
        Set((*MODELS, Item("id", "own")), {"id": "own"}),
        Set((*MODEL, "thinking"), "low"),
        Set((*ALIASES, "ollama/qwen3-coder", "params"), {}),
        Set(("gateway", "auth", "allow"), ["me"]),
    ]
    undone = ledger.undo(apply(text, edits).text, known)
    value, users = loads(undone.text or ""), loads(USERS)
    users["models"]["providers"]["ollama"]["models"] += [
        {"id": "gpt-oss:20b", "temperature": 0.2},
        {"id": "own"},
    ]
    users["agents"]["defaults"]["model"] = {"thinking": "low"}
    users["agents"]["defaults"]["models"]["ollama/qwen3-coder"] = {"params": {}}
    users["gateway"]["auth"] = {"allow": ["me"]}
    assert value == users
    # His string does not come back where his object has come to stand.
    assert undone.left == (MODEL,)


def test_a_file_that_openclaw_has_written_anew_is_compared_by_value() -> None:
    text, known = deploy(USERS, wanted())
    anew = create(loads(text))
    assert ledger.drift(anew, known, wanted()) == []
    assert ledger.stale(anew, known, wanted()) == []
    undone = ledger.undo(anew, known)
    assert loads(undone.text or "") == loads(USERS)
    assert undone.left == ()


def test_elements_that_somebody_put_into_a_flat_list_of_ours_stay() -> None:
    for text, before in (("{ z: 1 }", None), ("{ z: 1, l: ['u'] }", ["u"])):
        once, known = deploy(text, {"l": ["a", *(before or []), "b"]})
        added = once.replace("'b'", "'b', 'mine'").replace('"b"', '"b", "mine"')
        assert loads(ledger.undo(added, known).text or "")["l"] == [*(before or []), "mine"]
        # The next run writes a list of its own, in which the user's element is.
        wish = {"l": ["c", *(before or []), "mine"]}
        later, then = deploy(added, wish, known)
        assert loads(later)["l"] == wish["l"]
        assert loads(ledger.undo(later, then).text or "")["l"] == [*(before or []), "mine"]


def test_such_a_list_inside_an_object_of_ours() -> None:
    once, known = deploy("{ z: 1 }", {"o": {"l": ["a"], "k": 1}})
    added = once.replace('"a"', '"a", // ours\n"mine" /* dear */')
    later, then = deploy(added, {"o": {"l": ["b", "mine"], "k": 1}}, known)
    assert paths(then) == [("o",), ("o", "l")]
    undone = ledger.undo(later, then)
    assert loads(undone.text or "") == {"z": 1, "o": {"l": ["mine"]}}
    assert "/* dear */" in (undone.text or "")
    # Ours goes with the user's own list left, and then nothing of it is claimed.
    last, rest = deploy(later, {"o": {"k": 1}}, then)
    assert loads(last) == {"z": 1, "o": {"l": ["mine"], "k": 1}}
    assert paths(rest) == [("o",)]

    # The user takes it out, and it comes again: his own list of before is still known.
    gone = apply(later, [Remove(("o", "l"))]).text
    again, same = deploy(gone, {"o": {"l": ["c"], "k": 1}}, then)
    assert [(one.path, one.after) for one in same.records] == [
        (("o",), {"k": 1}),
        (("o", "l"), ["c"]),
    ]
    assert loads(ledger.undo(again, same).text or "")["o"] == {"l": ["mine"]}


def test_such_a_list_that_is_no_longer_wanted() -> None:
    once, known = deploy("{ z: 1 }", {"o": {"l": ["${OURS}"], "k": 1}})
    added = once.replace('"${OURS}"', '"${OURS}", "mine"')
    less, rest = deploy(added, {"o": {"k": 1}}, known)
    assert loads(less) == {"z": 1, "o": {"l": ["mine"], "k": 1}}
    assert rest.records == (Record(("o",), "add", {"k": 1}),)
    assert loads(ledger.undo(less, rest).text or "") == {"z": 1, "o": {"l": ["mine"]}}


def test_a_list_whose_elements_we_replaced() -> None:
    text, known = deploy("{ l: ['u'] }", {"l": ["a"]})
    assert loads(ledger.undo("{ l: ['a', 'm', 'u'] }", known).text or "") == {"l": ["m", "u"]}
    assert loads(ledger.undo(text.replace("'a'", "'a', 'm'"), known).text or "") == {
        "l": ["u", "m"]
    }
    assert ledger.undo("{ l: ['m'] }", known) == Undone("{ l: ['m'] }", (("l",),))


def test_a_list_that_somebody_emptied_is_his_but_an_object_of_ours_with_nothing_in_it_goes() -> (
    None
):
    text, known = deploy("{ z: 1, m: 'x' }", {"l": ["a"], "o": {"l": ["a"]}, "m": {"l": ["a"]}})
    emptied = create(loads(text) | {"l": [], "o": {"l": []}, "m": {"l": []}})
    undone = ledger.undo(emptied, known)
    assert loads(undone.text or "") == {"z": 1, "l": [], "m": "x"}
    assert undone.left == (("l",),)
    text, known = deploy("{ m: [{ id: 'u' }] }", {"m": [{"id": "x", "n": {"k": 1}}]})
    assert loads(ledger.undo("{ m: [{ id: 'x', n: {} }] }", known).text or "") == {"m": []}
    text, known = deploy("{ z: 1 }", {"o": {"l": ["a"]}})
    kept = ledger.undo(create(loads(text) | {"o": {"l": [], "mine": 1}}), known)
    assert loads(kept.text or "")["o"] == {"l": [], "mine": 1}


def test_a_key_that_the_user_took_out_is_not_put_back() -> None:
    text, known = deploy(USERS, wanted())
    changed = apply(text, [Remove(MODEL), Remove(("gateway", "mode"))]).text
    undone = ledger.undo(changed, known)
    assert "model" not in loads(undone.text or "")["agents"]["defaults"]
    assert undone.left == (MODEL,)


def test_a_value_of_the_users_that_we_changed_inside_an_object_of_ours() -> None:
    once, known = deploy("{ z: 1 }", {"o": {"a": 1}})
    mine = apply(once, [Set(("o", "u"), 5), Set(("o", "v"), {"w": 1})]).text
    later, then = deploy(mine, {"o": {"a": 1, "u": 6, "v": {"x": 1}}}, known)
    assert [(one.path, one.source) for one in then.records] == [
        (("o",), ""),
        (("o", "u"), "5"),
        (("o", "v", "x"), ""),
    ]
    undone = ledger.undo(later, then)
    assert loads(undone.text or "") == {"z": 1, "o": {"u": 5, "v": {"w": 1}}}
    # Whoever takes the object out takes out what lies below.
    gone = apply(later, [Remove(("o",))]).text
    again, last = deploy(gone, {"o": {"a": 1, "u": 7}}, then)
    assert last.records == (Record(("o",), "add", {"a": 1, "u": 7}),)
    assert ledger.undo(again, last) == Undone(gone)
