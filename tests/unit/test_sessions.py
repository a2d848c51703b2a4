from __future__ import annotations

from typing import Any

import pytest

from clawfleet import sessions
from clawfleet.capabilities import Version, capabilities
from clawfleet.sessions import Forget, Session, overflowing, plan
from tests.unit.factory import NEW, OLD, healthy, settings

# As OpenClaw 2026.2.17 wrote it after two turns, its snapshot of skills left out.
STORE: dict[str, Any] = {
    "agent:main:main": {
        "sessionId": "6860f5dd-e915-4383-ad6d-91828ca516f8",
        "updatedAt": 1795396376270,
        "systemSent": True,
        "abortedLastRun": False,
        "chatType": "direct",
        "deliveryContext": {"channel": "whatsapp"},
        "modelProvider": "ollama",
        "model": "gpt-oss:20b",
        "contextTokens": 131072,
        "inputTokens": 91000,
        "outputTokens": 8,
        "totalTokens": 91000,
        "totalTokensFresh": True,
    },
    "agent:main:telegram:7": {
        "sessionId": "a",
        "totalTokens": 91000,
        "totalTokensFresh": True,
        "providerOverride": "zai",
        "modelOverride": "glm-4.5-air",
    },
    "agent:main:old": {"sessionId": "b", "totalTokens": 91000, "totalTokensFresh": False},
    "agent:main:new": {"sessionId": "c"},
}
CONFIG: dict[str, Any] = {
    "models": {
        "providers": {
            "ollama": {"models": [{"id": "gpt-oss:20b", "contextWindow": 32768}]},
            "zai": {"models": [{"id": "glm-4.5-air", "contextWindow": 131072}]},
        }
    },
    "agents": {"defaults": {"model": {"primary": "ollama/gpt-oss:20b"}}},
}
TOO_LONG = "session agent:main:main holds 91,000 tokens, the window is 32,768: it will overflow"


def test_the_counts_that_openclaw_keeps() -> None:
    assert sessions.sessions(STORE) == (
        Session("agent:main:main", 91000),
        Session("agent:main:telegram:7", 91000, "zai/glm-4.5-air"),
        Session("agent:main:old", None),
        Session("agent:main:new", None),
    )


@pytest.mark.parametrize("store", [[], "x", None, {"a": 1}])
def test_anything_else_is_refused(store: Any) -> None:
    with pytest.raises(ValueError, match="no object"):
        sessions.sessions(store)


def test_only_what_can_not_fit_its_own_model_is_found() -> None:
    over = overflowing(sessions.sessions(STORE), CONFIG)
    assert [str(o) for o in over] == [TOO_LONG]
    fits = Session("agent:main:main", 32767)
    assert overflowing((fits, Session("x", 32768)), CONFIG)[0].key == "x"
    assert overflowing((Session("x", 10**9),), {}) == ()
    assert overflowing((Session("x", 10**9, "gone/model"),), CONFIG) == ()
    plain = {**CONFIG, "agents": {"defaults": {"model": "ollama/gpt-oss:20b"}}}
    assert overflowing((Session("x", 40000),), plain)[0].window == 32768


@pytest.mark.parametrize(
    ("wish", "version", "forget"),
    [
        (False, OLD, Forget(notes=("told",))),
        (False, NEW, Forget(notes=("told",))),
        ("when-needed", OLD, Forget(("agent:main:main",))),
        ("when-needed", NEW, Forget(("agent:main:main",))),
        (True, OLD, Forget(whole=True)),
        (True, NEW, Forget(tuple(STORE))),
    ],
)
def test_what_is_forgotten(wish: bool | str, version: str, forget: Forget) -> None:
    caps = capabilities(Version.parse(version))
    found = plan(sessions.sessions(STORE), CONFIG, settings(reset_sessions=wish), caps)
    assert (found.keys, found.whole) == (forget.keys, forget.whole)
    assert bool(found.reasons) == bool(wish)
    assert len(found.notes) == len(forget.notes)
    for note in found.notes:
        assert note.startswith(TOO_LONG)
        assert "--data reset_sessions=when-needed" in note


def test_nothing_too_long_is_nothing_to_do() -> None:
    short = (Session("agent:main:main", 5),)
    for wish in (False, "when-needed"):
        caps = capabilities(Version.parse(OLD))
        assert plan(short, CONFIG, settings(reset_sessions=wish), caps) == Forget()


def test_where_nothing_could_be_read_the_main_one_is_forgotten_in_a_database() -> None:
    caps = capabilities(Version.parse(NEW))
    wished = settings(reset_sessions=True, agent="ops")
    assert plan((), {}, wished, caps).keys == ("agent:ops:main",)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_key_is_one_word_of_sh(version: str) -> None:
    caps = capabilities(Version.parse(version))
    key = 'agent:main:it\'s "$(touch pwned)"'
    script = sessions.once_well(settings(reset_sessions="when-needed"), caps, (key,))
    assert "'\"'\"'s" in script
    assert '\\"$(touch pwned)\\"' in script
    copied = sessions.while_stopped(
        healthy(version), settings(reset_sessions="when-needed"), caps, (key,)
    )
    assert "also " in copied
    assert "printf" not in copied


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("wish", [False, "when-needed"])
def test_nothing_is_copied_where_nothing_is_forgotten(version: str, wish: bool | str) -> None:
    caps = capabilities(Version.parse(version))
    wished = settings(reset_sessions=wish)
    assert sessions.while_stopped(healthy(version), wished, caps, ()) == ":"
    assert sessions.once_well(wished, caps, ()) == ""
