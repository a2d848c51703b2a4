"""One key, one file: what a Mac's files become with `provider_keys`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet import credentials, dotenv, environment, json5, ledger, merge, wish
from clawfleet.credentials import Secret, Wanted
from clawfleet.diff import unified
from clawfleet.key_sources import KeySource
from clawfleet.plan import FileChange, Trouble
from clawfleet.snapshot import Snapshot
from tests.unit.factory import (
    HOME,
    NEW,
    OLD,
    equipped,
    file,
    plist,
    settings,
    trouble_is_useful,
    with_file,
)

KEY = "5ecret-zai-0f1e2d3c4b5a"
SOURCE = {"env": "ANYTHING"}
REFERENCE = {"source": "env", "provider": "default", "id": "ZAI_API_KEY"}
APIKEY = ("models", "providers", "zai", "apiKey")


def mac(config: str = "{}", *, version: str = NEW, env: str | None = None) -> Snapshot:
    snapshot = equipped(version)
    if env is not None:
        snapshot = with_file(snapshot, "dotenv", file(snapshot.dotenv.path, env))
    return with_file(snapshot, "config", file(snapshot.config.path, config))


def with_key(value: str) -> str:
    return f"{{ models: {{ providers: {{ zai: {{ apiKey: {value}, models: [] }} }} }} }}"


def plan(snapshot: Snapshot, keys: dict[str, Any] | None = None, key: str = KEY) -> Wanted:
    sources = {"zai": SOURCE} if keys is None else keys
    resolved = {
        provider: Secret(f"{key}{'' if provider == 'zai' else provider}") for provider in sources
    }
    return credentials.plan(snapshot, settings(provider_keys=sources), resolved)


def reference(wanted: Wanted, provider: str = "zai") -> Any:
    return wanted.config.get("models", {}).get("providers", {}).get(provider, {}).get("apiKey")


def only(wanted: Wanted) -> FileChange:
    (change,) = wanted.files
    return change


def test_nothing_wished_nothing_done() -> None:
    snapshot = mac(with_key("'5ecret'"), env="ZAI_API_KEY=5ecret\n")
    assert plan(snapshot, {}) == Wanted((), {}, {}, (), ())


def test_the_key_lies_in_one_file() -> None:
    wanted = plan(mac(with_key("'5ecret'"), env="A=1\n"))
    change = only(wanted)
    assert change.path == f"{HOME}/.openclaw/.env"
    assert change.after.decode() == f"A=1\nZAI_API_KEY='{KEY}' # clawfleet\n"
    assert change.mode == "600"
    assert reference(wanted) == REFERENCE
    assert wanted.variables == ("ZAI_API_KEY",)
    assert KEY not in f"{wanted.config} {wanted.notes} {change.reasons}"


@pytest.mark.parametrize(
    ("version", "keys", "expected"),
    [
        (NEW, {"zai": SOURCE}, REFERENCE),
        ("2026.2.26", {"zai": SOURCE}, REFERENCE),
        (OLD, {"zai": SOURCE}, "ZAI_API_KEY"),
        ("2026.2.12", {"zai": SOURCE}, "ZAI_API_KEY"),
        (OLD, {"zai": {**SOURCE, "variable": "MY_KEY"}}, "${MY_KEY}"),
        (NEW, {"zai": {**SOURCE, "variable": "MY_KEY"}}, REFERENCE | {"id": "MY_KEY"}),
    ],
)
def test_the_reference_is_what_the_version_can_read(
    version: str, keys: dict[str, Any], expected: Any
) -> None:
    for before in ("'5ecret'", "''"):
        assert reference(plan(mac(with_key(before), version=version), keys)) == expected


def test_a_provider_that_openclaw_does_not_know_has_a_variable_of_its_own() -> None:
    keys = {"mycorp": {**SOURCE, "variable": "MYCORP_API_KEY"}}
    config = with_key("'x'").replace("zai", "mycorp")
    assert reference(plan(mac(config, version=OLD), keys), "mycorp") == "${MYCORP_API_KEY}"
    wanted = plan(mac(version=NEW), keys)
    assert wanted.config == {}
    assert wanted.notes == (
        "models.providers has no mycorp: nothing reads MYCORP_API_KEY on this Mac",
    )


def test_a_provider_of_openclaws_own_needs_only_the_variable() -> None:
    wanted = plan(mac())
    assert wanted.config == {}
    assert wanted.notes == ()
    assert dotenv.values(only(wanted).after.decode()) == {"ZAI_API_KEY": KEY}


@pytest.mark.parametrize(
    ("theirs", "name"),
    [
        ("'${ZAI_API_KEY}'", "ZAI_API_KEY"),
        ("'${THEIR_KEY}'", "THEIR_KEY"),
        ("{ source: 'env', provider: 'default', id: 'THEIR_KEY' }", "THEIR_KEY"),
    ],
)
def test_the_users_own_reference_stays_and_gets_the_key(theirs: str, name: str) -> None:
    wanted = plan(mac(with_key(theirs)))
    assert wanted.config == {}
    assert dotenv.values(only(wanted).after.decode()) == {name: KEY}


@pytest.mark.parametrize(
    "theirs",
    [
        "{ source: 'exec', provider: 'vault', id: 'zai' }",
        "'Bearer ${A} ${B}'",
        "'${NAME_THAT_SAYS_NOTHING}'",
    ],
)
def test_a_reference_to_another_place_stays(theirs: str) -> None:
    wanted = plan(mac(with_key(theirs)))
    assert wanted.config == {}
    assert wanted.notes == (
        "models.providers.zai.apiKey is a reference of the user's own; it stays",
    )


def test_two_keys_for_one_variable_are_refused() -> None:
    config = "{ models: { providers: { zai: { apiKey: '${OPENAI_API_KEY}' }, openai: {} } } }"
    with pytest.raises(Trouble) as caught:
        plan(mac(config), {"openai": SOURCE, "zai": SOURCE})
    trouble_is_useful(caught.value, "models.providers.zai.apiKey", "OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ("{ defaults: { env: 'mine' } }", REFERENCE | {"provider": "mine"}),
        ("{ providers: { default: { source: 'env' } } }", REFERENCE),
        ("{ providers: { default: { source: 'env', allowlist: ['ZAI_API_KEY'] } } }", REFERENCE),
        ("{ providers: { default: { source: 'env', allowlist: ['X'] } } }", "${ZAI_API_KEY}"),
        ("{ providers: { default: { source: 'file', path: '/x' } } }", "${ZAI_API_KEY}"),
    ],
)
def test_the_users_own_rules_for_references_hold(secrets: str, expected: Any) -> None:
    config = with_key("'x'").replace("{ models", f"{{ secrets: {secrets}, models", 1)
    assert reference(plan(mac(config))) == expected


def written(snapshot: Snapshot, wanted: Wanted) -> Snapshot:
    """The Mac after the run, its ledger included."""
    changes = list(wanted.files)
    edits = [merge.Set((key,), value) for key, value in wanted.config.items()]
    merged = merge.apply(snapshot.config.text or "", edits)
    changes.append(FileChange(snapshot.config, merged.text.encode(), merged=tuple(merged.changes)))
    book = ledger.record(ledger.loads(snapshot.owned.text), changes)
    for change in changes:
        name = {".env": "dotenv", "openclaw.json": "config"}.get(change.path.rpartition("/")[2])
        content = None if change.gone else change.after
        new = file(change.path, content, mode=change.mode)
        snapshot = with_file(snapshot, name or "service_env", new)
    owned = file(f"{HOME}/.clawfleet/owned.json", ledger.dumps(book))
    return replace(snapshot, owned=owned)


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("env", [None, "A=1\n", "ZAI_API_KEY=old # mine\n"])
def test_a_second_run_changes_nothing(version: str, env: str | None) -> None:
    snapshot = written(
        mac(with_key("'x'"), version=version, env=env),
        plan(mac(with_key("'x'"), version=version, env=env)),
    )
    again = plan(snapshot)
    assert again.files == ()
    assert json5.loads(snapshot.config.text or "")["models"]["providers"]["zai"]["apiKey"] == (
        reference(again)
    )


def test_a_newer_openclaw_gets_its_own_kind_of_reference() -> None:
    snapshot = written(mac(with_key("'x'"), version=OLD), plan(mac(with_key("'x'"), version=OLD)))
    assert "apiKey: 'ZAI_API_KEY'" in (snapshot.config.text or "")
    assert reference(plan(replace(snapshot, openclaw=NEW))) == REFERENCE


def test_our_own_reference_follows_the_variable() -> None:
    snapshot = written(mac(with_key("'x'")), plan(mac(with_key("'x'"))))
    wanted = plan(snapshot, {"zai": {**SOURCE, "variable": "MY_ZAI_KEY"}})
    assert reference(wanted) == REFERENCE | {"id": "MY_ZAI_KEY"}
    assert dotenv.values(only(wanted).after.decode()) == {"MY_ZAI_KEY": KEY}


@pytest.mark.parametrize("env", [None, "A=1\n", "ZAI_API_KEY=old # mine\n"])
def test_a_key_that_is_no_longer_wanted_goes(env: str | None) -> None:
    before = mac("{}", env=env)
    snapshot = written(before, plan(before))
    change = only(plan(snapshot, {}))
    assert change.gone is (env is None)
    assert change.after.decode() == (env or "")
    assert "ZAI_API_KEY: no longer in provider_keys" in change.reasons
    assert plan(written(snapshot, plan(snapshot, {})), {}).files == ()


def test_a_new_key_replaces_the_old_one_in_place() -> None:
    snapshot = written(mac(env="A=1\n"), plan(mac(env="A=1\n")))
    change = only(plan(snapshot, key="5ecret-new-key"))
    assert change.after.decode() == "A=1\nZAI_API_KEY='5ecret-new-key' # clawfleet\n"


def test_a_diff_shows_that_a_key_changes_and_not_which() -> None:
    snapshot = written(mac(), plan(mac()))
    change = only(plan(snapshot, key="5ecret-new-key"))
    lines = unified(".env", snapshot.dotenv.text, change.after.decode(), salt="x")
    out, into = (line for line in lines if line[1:].startswith("ZAI_API_KEY"))
    assert out[1:] != into[1:]
    assert "‹secret" in out
    assert "‹secret" in into
    assert "5ecret" not in "".join(lines)


def test_the_secrets_of_the_file_are_known_for_every_text() -> None:
    snapshot = written(mac(), plan(mac()))
    assert KEY in wish.secrets_in(snapshot)


def test_a_stale_copy_in_the_services_environment_goes() -> None:
    text = "# Generated\nexport HOME='/Users/mac'\nexport ZAI_API_KEY='{}'\nexport B='1'\n"
    snapshot = mac(env=f"ZAI_API_KEY={KEY}\n")
    copy = with_file(snapshot, "service_env", file(snapshot.service_env.path, text.format(KEY)))
    assert plan(copy).files == (), "OpenClaw's copy of the same key is its own"
    stale = with_file(snapshot, "service_env", file(snapshot.service_env.path, text.format("old")))
    change = only(plan(stale))
    assert change.path.endswith("/ai.openclaw.gateway.env")
    assert change.after.decode() == "# Generated\nexport HOME='/Users/mac'\nexport B='1'\n"


def test_who_else_sets_the_variable_is_named() -> None:
    snapshot = replace(
        mac(env=f"ZAI_API_KEY={KEY}\n"),
        gui_environment={"ZAI_API_KEY": "5ecret"},
        plist=file(f"{HOME}/Library/LaunchAgents/x.plist", plist({"ZAI_API_KEY": "5ecret"})),
    )
    first, second = plan(snapshot).notes
    assert "x.plist sets ZAI_API_KEY too" in first
    assert "launchctl unsetenv ZAI_API_KEY" in second
    assert "5ecret" not in first + second


@pytest.mark.parametrize(("before", "after"), [("644", "600"), ("600", "600"), ("400", "400")])
def test_the_file_is_private(before: str, after: str) -> None:
    snapshot = mac()
    snapshot = with_file(snapshot, "dotenv", file(snapshot.dotenv.path, "A=1\n", mode=before))
    assert only(plan(snapshot)).mode == after
    same = file(snapshot.dotenv.path, f"ZAI_API_KEY={KEY}\n", mode=before)
    files = plan(with_file(snapshot, "dotenv", same)).files
    assert [change.mode for change in files] == ([after] if before != after else [])
    for change in files:
        assert change.after == same.content
        assert "its mode is 644" in change.reasons[-1]


PROFILES = """{ version: 1, profiles: {
  'zai:default': { type: 'api_key', provider: 'zai', key: '5ecret' },
  'zai:empty': { type: 'api_key', provider: 'zai', key: '' },
  'zai:reference': { type: 'api_key', provider: 'zai', keyRef: { source: 'env', id: 'A' } },
  'zai:oauth': { type: 'oauth', provider: 'zai', access: '5ecret' },
  'openai:default': { type: 'api_key', provider: 'openai', key: '5ecret' },
} }"""


def test_a_key_in_a_profile_would_win_and_is_emptied() -> None:
    snapshot = mac(with_key("'x'"), version=OLD)
    snapshot = with_file(snapshot, "auth", file(snapshot.auth.path, PROFILES))
    wanted = plan(snapshot)
    emptied = {"zai:default": {"key": ""}, "zai:empty": {"key": ""}}
    assert wanted.profiles == {"profiles": emptied}
    assert [note.split()[2] for note in wanted.notes] == ["zai:reference", "zai:oauth"]
    assert plan(snapshot, {}).profiles == {}
    assert plan(replace(snapshot, openclaw=NEW)).profiles == {}, "which does not read the file"


def test_bytes_that_are_no_text_stay() -> None:
    snapshot = mac()
    content = b"A=\xff\xfe\n"
    snapshot = with_file(snapshot, "dotenv", file(snapshot.dotenv.path, content))
    assert only(plan(snapshot)).after.startswith(content)


def test_a_link_out_of_the_folder_is_not_followed() -> None:
    snapshot = mac()
    linked = replace(file(snapshot.dotenv.path, "A=1\n"), link="/etc/env")
    with pytest.raises(Trouble):
        plan(with_file(snapshot, "dotenv", linked))


def test_proxies_go_out_of_the_same_file() -> None:
    snapshot = mac(env="http_proxy=http://127.0.0.1:9\nA=1\n")
    snapshot = written(snapshot, plan(snapshot))
    (change,) = environment.plan(snapshot, settings()).files
    assert change.after.decode() == f"A=1\nZAI_API_KEY='{KEY}' # clawfleet\n"
    after = with_file(snapshot, "dotenv", file(change.path, change.after, mode=change.mode))
    assert plan(after).files == ()


def test_a_plan_shows_no_secret_when_printed() -> None:
    resolved = {"zai": Secret(KEY)}
    assert KEY not in repr(resolved)
    assert KEY not in repr(KeySource(env="A"))


def test_a_key_that_ours_took_the_place_of_is_known_too() -> None:
    snapshot = written(mac(), plan(mac()))
    documents = {
        snapshot.config.path: ledger.Document(
            (ledger.Record(("profiles", "zai:default", "key"), "set", "", "'the-former-key'"),)
        )
    }
    lines = {snapshot.dotenv.path: ledger.Lines("OLD_TOKEN=the-former-token\n", "")}
    book = ledger.dumps(ledger.Ledger(documents, lines))
    config = file(snapshot.config.path, "{ x: { apiKey: 'ZAI_API_KEY' } }")
    known = replace(snapshot, owned=file("/o", book), config=config)
    found = wish.secrets_in(known)
    assert {"the-former-key", "the-former-token"} <= found
    assert "ZAI_API_KEY" not in found, "the name of a variable is shown"
    assert wish.secrets_in(replace(known, owned=file("/o", "{"))), "whatever the ledger is"
