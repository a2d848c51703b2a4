"""What stops a Mac's config from being written; nothing is changed then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import wish
from clawfleet.plan import FileChange, Trouble
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
    with_file,
)

CONFIG = f"{HOME}/.openclaw/openclaw.json"
AUTH = f"{HOME}/.openclaw/agents/main/agent/auth-profiles.json"


def plan(
    snapshot: Snapshot, token: Callable[[], str] | None = None, **changes: Any
) -> list[FileChange]:
    return wish.plan(snapshot, settings(**changes), TEMPLATES, token or (lambda: TOKEN)).files


def with_config(text: str | bytes, version: str = NEW, **more: Any) -> Snapshot:
    return replace(equipped(version), config=file(CONFIG, text, **more))


@pytest.mark.parametrize(
    ("link", "state", "allowed"),
    [
        ("/Users/mac/dotfiles/openclaw.json", None, False),
        ("/Users/mac/.openclaw-old/openclaw.json", None, False),
        ("/Users/mac/.openclaw/configs/main.json", None, True),
        ("/Volumes/x/openclaw/openclaw.json", "/Volumes/x/openclaw", True),
        ("/Users/mac/.openclaw/openclaw.json", "/Volumes/x/openclaw", False),
    ],
)
def test_links(link: str, state: str | None, allowed: bool) -> None:
    snapshot = replace(with_config("{}", link=link), state_link=state)
    if allowed:
        assert plan(snapshot)
        return
    with pytest.raises(Trouble) as caught:
        plan(snapshot)
    trouble_is_useful(caught.value, f"is a link to {link}", f"cp {link} ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ gateway: { mode: 'remote' } }", ["gateway.mode is 'remote'", '"local"', "hosts.yml"]),
        ("{\n  a: 1\n  b: 2\n}", [f"{CONFIG} line 3, column 3", "nothing was changed"]),
        ("{ a: ", ["line 1, column "]),
        ("// only a comment", ["line 1"]),
        ("[]", ["no object", "{ ... }"]),
        ("3", ["no object"]),
        (b"{ a: '\xff' }", ["not UTF-8 (byte 6)", "iconv"]),
        ("{ agents: { $include: './agents.json' } }", ["line 1", "$include", "agents"]),
        ("{ models: { providers: { ollama: { $include: './o.json5' } } } }", ["$include"]),
        ("{ $include: './base.json' }", ["$include"]),
        (
            "{ agents: { defaults: { model: { primary: '${MODEL}' } } } }",
            ["line 1, column 43", "${...}", "agents.defaults.model.primary"],
        ),
        (
            "{ models: { providers: { ollama: { baseUrl: '${URL}' } } } }",
            ["${...}", "models.providers.ollama.baseUrl"],
        ),
        ("{ models: [] }", ["line 1", "models"]),
        ("{ models: { providers: { ollama: { models: { a: 1 } } } } }", ["line 1"]),
        (
            "{ models: { providers: { ollama: { models: [ '${MODELS}' ] } } } }",
            ["models.providers.ollama.models[id=gpt-oss:20b]"],
        ),
    ],
)
def test_what_cannot_be_merged_is_refused(text: str | bytes, words: list[str]) -> None:
    with pytest.raises(Trouble) as caught:
        plan(with_config(text))
    trouble_is_useful(caught.value, *words)


def test_a_malformed_file_of_credentials_is_refused() -> None:
    snapshot = replace(equipped(OLD), auth=file(AUTH, '{"profiles": {"x": {"key": "5ecret" "}}'))
    with pytest.raises(Trouble) as caught:
        plan(snapshot)
    trouble_is_useful(caught.value, f"{AUTH} line 1, column ")
    assert "5ecret" not in "\n".join(caught.value.lines())


def test_credentials_that_the_version_no_longer_reads() -> None:
    snapshot = replace(equipped(NEW), auth=file(AUTH, "{}"))
    with pytest.raises(Trouble) as caught:
        plan(snapshot)
    trouble_is_useful(caught.value, AUTH, NEW, "openclaw doctor --fix")


@pytest.mark.parametrize("trouble", ["not a regular file", "not readable by this user"])
@pytest.mark.parametrize("name", ["config", "auth"])
def test_a_file_that_cannot_be_read_is_not_taken_for_absent(trouble: str, name: str) -> None:
    path = {"config": CONFIG, "auth": AUTH}[name]
    snapshot = with_file(equipped(OLD), name, file(path, trouble=trouble))
    with pytest.raises(Trouble) as caught:
        plan(snapshot)
    trouble_is_useful(caught.value, path, trouble, "ls -l")
