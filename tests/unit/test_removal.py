from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clawfleet import environment, ledger, ownership, removal, wish
from clawfleet.plan import FileChange, Trouble
from clawfleet.snapshot import File, Model, Snapshot
from tests.unit.factory import HOME, NEW, OLD, TEMPLATES, TOKEN, file, healthy, settings

NO_MAC = healthy()
LEDGER = f"{HOME}/.clawfleet/owned.json"
CONFIG = f"{HOME}/.openclaw/openclaw.json"
AUTH = f"{HOME}/.openclaw/agents/main/agent/auth-profiles.json"
ENV = f"{HOME}/.openclaw/.env"
OWN = "{ // mine\n  gateway: { mode: 'local', auth: { mode: 'token', token: 'a-token-123' } },\n}\n"


def with_files(snapshot: Snapshot, files: list[FileChange]) -> Snapshot:
    """The Mac once the files are written, with its ledger."""
    book = ledger.record(ownership.read_ledger(snapshot.owned), files)
    fields = ("config", "auth", "dotenv", "service_env", "plist", "ollama_env", "brew_env")
    new: dict[str, File] = {"owned": file(LEDGER, ledger.dumps(book))}
    for change in files:
        for field in fields:
            found: File = getattr(snapshot, field)
            if found.path == change.path:
                new[field] = file(found.path, change.after, mode=change.mode)
    return replace(snapshot, **new)  # type: ignore[arg-type]


def deployed(version: str = OLD, **more: Any) -> tuple[Snapshot, Snapshot]:
    """A Mac with the user's own config and proxies, and the same Mac after a run."""
    before = replace(
        healthy(version),
        config=file(CONFIG, OWN, mode="644"),
        auth=file(AUTH),
        dotenv=file(ENV, "# mine\nhttp_proxy=http://p\nA=1\n"),
        plist=replace(healthy(version).plist, content=b"<plist/>"),
        owned=file(LEDGER),
        **more,
    )
    after = with_files(before, wish.plan(before, settings(), TEMPLATES, lambda: TOKEN).files)
    return before, with_files(after, list(environment.plan(after, settings()).files))


def changes(plan: removal.Removal) -> dict[str, FileChange]:
    return {change.path: change for change in plan.files}


def test_the_users_bytes_come_back() -> None:
    _, after = deployed()
    assert after.config.text != OWN
    found = changes(removal.plan(after, settings()))
    assert found[CONFIG].after.decode() == OWN
    assert found[ENV].after == b"# mine\nhttp_proxy=http://p\nA=1\n"
    assert found[AUTH].gone
    assert found[LEDGER].gone
    assert set(found) == {CONFIG, ENV, AUTH, LEDGER}


def test_what_openclaw_notes_about_our_credential_goes_with_it() -> None:
    _, after = deployed()
    noted = json.loads(after.auth.text or "")
    noted["lastGood"] = {"ollama": "ollama:default"}
    noted["usageStats"] = {"ollama:default": {"lastUsed": 1}}
    after = replace(after, auth=file(AUTH, json.dumps(noted, indent=2)))
    assert changes(removal.plan(after, settings()))[AUTH].gone
    noted["profiles"]["zai:default"] = {"type": "api_key", "provider": "zai", "key": "k"}
    noted["lastGood"]["zai"] = "zai:default"
    after = replace(after, auth=file(AUTH, json.dumps(noted, indent=2)))
    change = changes(removal.plan(after, settings()))[AUTH]
    assert not change.gone
    left = json.loads(change.after)
    assert left["profiles"] == {"zai:default": noted["profiles"]["zai:default"]}
    assert left["lastGood"] == {"zai": "zai:default"}
    assert "usageStats" not in left


def test_a_value_changed_by_hand_stays_and_is_noted() -> None:
    _, after = deployed(NEW)
    text = (after.config.text or "").replace("http://127.0.0.1:11434", "http://10.0.0.9:11434")
    plan = removal.plan(replace(after, config=file(CONFIG, text)), settings())
    assert "http://10.0.0.9:11434" in changes(plan)[CONFIG].after.decode()
    assert any("baseUrl was changed by hand since: it stays" in note for note in plan.notes)


def test_a_gateway_that_was_here_stays_and_one_of_ours_goes() -> None:
    _, after = deployed()
    plan = removal.plan(after, settings())
    assert not plan.agent
    assert after.plist.path not in changes(plan)
    ours = removal.plan(replace(after, installed=("gateway",)), settings())
    assert ours.agent
    assert changes(ours)[after.plist.path].gone


def test_nothing_of_ours_nothing_to_do() -> None:
    before, _ = deployed()
    plan = removal.plan(before, settings())
    assert (plan.files, plan.steps, plan.notes) == ([], [], [])


def test_a_broken_file_stops_the_mac() -> None:
    _, after = deployed()
    with pytest.raises(Trouble) as stopped:
        removal.plan(replace(after, config=file(CONFIG, "{ a: , }")), settings())
    assert stopped.value.found.startswith(f"{CONFIG} line 1, column 6")


INSTALLED = ("homebrew", "formula ollama", "model tiny", "model gpt-oss:20b", "openclaw npm")
THERE = (Model("tiny:latest", "", 1), Model("gpt-oss:20b", "", 1), Model("mine:1b", "", 1))


def titles(plan: removal.Removal) -> list[str]:
    return [step.title for step in (*plan.models, *plan.steps)]


def test_what_was_installed_stays_unless_asked() -> None:
    _, after = deployed(installed=INSTALLED, models=THERE)
    plan = removal.plan(after, settings())
    assert titles(plan) == []
    assert plan.notes == [f"stays installed: {', '.join(INSTALLED)}"]


def test_only_models_that_we_pulled_and_that_are_there_go() -> None:
    _, after = deployed(installed=INSTALLED, models=THERE[:1] + THERE[2:])
    plan = removal.plan(after, settings(remove_models=True))
    assert titles(plan) == ["remove the model tiny"]
    assert "mine:1b" not in plan.models[0].script


def test_a_model_that_the_users_own_config_names_stays() -> None:
    _, after = deployed(NEW, installed=INSTALLED, models=THERE)
    text = (after.config.text or "").replace("// mine", "// mine: ollama/tiny, for jokes")
    plan = removal.plan(replace(after, config=file(CONFIG, text)), settings(remove_models=True))
    assert titles(plan) == ["remove the model gpt-oss:20b"]
    assert "tiny stays: your own config names it" in plan.notes


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ("formula ollama", "brew uninstall --formula ollama"),
        ("cask ollama-app", "brew uninstall --cask ollama-app"),
    ],
)
def test_an_ollama_of_ours_goes_where_that_is_asked(installed: str, expected: str) -> None:
    _, after = deployed(installed=(installed,))
    (step,) = removal.plan(after, settings(remove_ollama=True)).steps
    assert step.show == expected
    assert "--zap" not in step.script
    assert removal.plan(replace(after, installed=()), settings(remove_ollama=True)).steps == []


def test_a_model_that_the_user_names_stays_though_nothing_else_is_left_to_do() -> None:
    before, _ = deployed(installed=INSTALLED, models=THERE)
    wished = settings(remove_models=True)
    for text, left in {
        "{ agents: { defaults: { model: { primary: 'ollama/tiny' } } } }": ["gpt-oss:20b"],
        '{ "models": [{ "id": "gpt-oss:20b" }] }': ["tiny"],
        "{ a: 'ollama/tiny:latest', b: 'ollama/gpt-oss:20b-cloud' }": ["gpt-oss:20b"],
    }.items():
        plan = removal.plan(replace(before, config=file(CONFIG, text)), wished)
        assert plan.gateway == []
        assert titles(plan) == [f"remove the model {name}" for name in left]


def test_what_goes_is_not_said_to_stay() -> None:
    _, after = deployed(installed=("cask ollama-app", "model tiny", "homebrew"))
    plan = removal.plan(after, settings(remove_ollama=True, remove_models=True))
    assert "stays installed: homebrew" in plan.notes


def test_a_former_agents_file_is_cleaned_too() -> None:
    _, after = deployed()
    other = replace(after, auth=file(AUTH.replace("/main/", "/work/")), also=(after.auth,))
    assert changes(removal.plan(other, settings()))[AUTH].gone


def test_no_proxy_goes_from_every_place_and_the_domain() -> None:
    wished = settings(proxies="bypass")
    value = "127.0.0.1,localhost,::1"
    profile, brew = f"{HOME}/.zshrc", f"{NO_MAC.brew}/etc/homebrew/brew.env"
    own = {
        "dotenv": "http_proxy=http://p\nNO_PROXY=corp\n",
        "brew_env": "https_proxy=http://p\n",
    }
    before = replace(
        healthy(OLD),
        dotenv=file(ENV, own["dotenv"]),
        brew_env=file(brew, own["brew_env"], mode="644"),
        owned=file(LEDGER),
        domain_set=file(f"{HOME}/.clawfleet/domain", f"NO_PROXY\t\t{value}\n"),
        gui_environment={"NO_PROXY": value},
        shell_proxies=("~/.zshrc",),
        also=(file(profile, "export http_proxy=x\n", mode="644"),),
    )
    plan = environment.plan(before, settings(proxies="bypass", proxies_in_profiles=True))
    assert len(plan.files) == 2
    assert len(plan.other) == 2
    after = with_files(before, [*plan.files, *plan.other])
    line = next(c.after for c in plan.other if c.path == profile)
    after = replace(after, also=(file(profile, line, mode="644"),))
    removed = removal.plan(after, wished)
    found = changes(removed)
    assert found[ENV].after.decode() == own["dotenv"]
    assert found[before.plist.path].after == before.plist.content
    assert found[brew].after.decode() == own["brew_env"]
    assert found[profile].after == b"export http_proxy=x\n"
    # Shells and Homebrew read these: no gateway is restarted for them.
    assert {change.path for change in removed.gateway} == {ENV, before.plist.path}
    assert found[f"{HOME}/.clawfleet/domain"].gone
    assert [step.title for step in removed.domain] == ["unset NO_PROXY in gui/501 again"]
