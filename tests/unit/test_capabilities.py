"""The table of capabilities against what was measured, version by version."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet.capabilities import (
    CHANGES,
    MEASURED,
    Capabilities,
    Version,
    capabilities,
    wanted_shape,
)

ROOT = Path(__file__).resolve().parents[2]
SURVEY: dict[str, dict[str, Any]] = json.loads(
    (ROOT / "tests/unit/data/openclaw-survey.json").read_text()
)
ENGINES: dict[str, str] = json.loads((ROOT / "tests/unit/data/openclaw-engines.json").read_text())
# One version wants npm's registry at its first turn (see the document) and answered none.
ANSWERED = [v for v, found in SURVEY.items() if found["turns"]["v1, apiKey"]["answered"]]


def can(version: str) -> Capabilities:
    return capabilities(Version.parse(version))


def observed(found: dict[str, Any]) -> dict[str, object]:
    """The survey's answers in the words of Capabilities; what no turn could tell is left out."""
    accepts, turns, agent = found["accepts"], found["turns"], found["launch agent"]
    out: dict[str, object] = {
        "native_api": accepts['api: "ollama"'],
        "models_required": not accepts["no models"],
        "provider_timeout": accepts["timeoutSeconds"],
        "model_params": accepts["models[].params.num_ctx"],
        "model_context_tokens": accepts["models[].contextTokens"],
        "auth_file_blocks": found["models status beside auth-profiles.json"]["wants migration"],
        "validate_command": tuple(found["validation"]["command"]),
        "config_patch": found["commands"]["config patch"],
        "strict_json": found["commands"]["config set --strict-json"],
        "secret_references": accepts["apiKey: secret reference"],
        "node": found["engines"],
        "service_env": agent["environment"],
        "token_in_plist": agent["token in plist"],
        "health_json": found["health"]["/healthz"] == "json",
        "stop_needs_force": agent["stop wants --force"],
    }
    if not turns["v1, apiKey"]["answered"]:
        return out
    profile = turns["auth profile"]
    read = profile["answered"] and profile["auth"] == "Bearer from-profile"
    out["auth_store"] = "file" if read else "sqlite"
    out["session_store"] = turns["v1, apiKey"]["sessions"]
    out["openai_num_ctx"] = turns["v1, apiKey"]["num_ctx"] == 65536
    if "native, apiKey" in turns:
        out["native_sends_context_window"] = turns["native, apiKey"]["num_ctx"] == 65536
    return out


@pytest.mark.parametrize("version", SURVEY)
def test_the_table_says_what_was_measured(version: str) -> None:
    caps = can(version)
    measured = observed(SURVEY[version])
    assert {name: getattr(caps, name) for name in measured} == measured
    assert not caps.assumed
    assert caps.warning == ""


@pytest.mark.parametrize("version", SURVEY)
def test_the_shape_uses_only_what_the_version_accepts(version: str) -> None:
    shape, found = wanted_shape(can(version)), SURVEY[version]
    accepts = found["accepts"]
    assert accepts[f'api: "{shape.api}"']
    assert (shape.base_url_suffix == "/v1") is (shape.api == "openai-completions")
    if shape.num_ctx == "params":
        assert accepts["models[].params.num_ctx"]
    if shape.timeout_path == ("models", "providers", "ollama", "timeoutSeconds"):
        assert accepts["timeoutSeconds"]
    else:
        assert shape.timeout_path == ("agents", "defaults", "timeoutSeconds")
        assert accepts["agents.defaults.timeoutSeconds"]
    if shape.credential == "auth-profiles":
        assert accepts["auth.profiles"]
        assert not found["models status beside auth-profiles.json"]["wants migration"]
    else:
        assert accepts["apiKey: text"]


@pytest.mark.parametrize("version", ANSWERED)
def test_with_the_shape_a_turn_was_answered_and_its_num_ctx_arrived(version: str) -> None:
    shape, turns = wanted_shape(can(version)), SURVEY[version]["turns"]
    way = {
        "params": turns.get("params.num_ctx"),
        "context_window": turns["native, apiKey" if shape.api == "ollama" else "v1, apiKey"],
        "server": {"num_ctx": None, "answered": True},
    }[shape.num_ctx]
    assert way is not None
    assert way["answered"]
    assert (
        way["num_ctx"] == {"params": 24576, "context_window": 65536, "server": None}[shape.num_ctx]
    )
    if "contextTokens" in turns:
        assert turns["contextTokens"]["answered"] is (shape.least_window <= 32768)
    if shape.credential == "auth-profiles":
        assert turns["auth profile"]["answered"]


@pytest.mark.parametrize("version", SURVEY)
def test_the_validator_told_good_from_bad_and_a_state_folder_kept_it_from_writing(
    version: str,
) -> None:
    found = SURVEY[version]
    assert found["validation"]["refuses"]
    assert not found["accepts"]["unknown key"]
    assert found["validation"]["writes"]["OPENCLAW_STATE_DIR"] == []


@pytest.mark.parametrize("version", SURVEY)
def test_every_choice_has_a_reason(version: str) -> None:
    shape = wanted_shape(can(version))
    names = {item.name for item in fields(shape)} - {"reasons"}
    assert set(shape.reasons) == names
    assert all(shape.reasons.values())


def test_nearly_all_answered() -> None:
    assert len(SURVEY) - len(ANSWERED) <= 1


def test_both_ends_of_the_range_were_measured() -> None:
    versions = sorted(map(Version.parse, SURVEY))
    assert (versions[0], versions[-1]) == MEASURED


@pytest.mark.parametrize("version", ENGINES)
def test_the_node_of_every_release_is_what_npm_says(version: str) -> None:
    caps = can(version)
    assert caps.node == ENGINES[version]
    assert caps.node_formula == ("node@22" if ">=22" in caps.node else "node@24")


def test_every_other_change_is_between_two_measured_neighbours() -> None:
    """A boundary is known only where the version itself and one before it were run."""
    measured = sorted(map(Version.parse, SURVEY))
    for change in CHANGES:
        if change.field in ("node", "node_formula"):
            continue
        since = Version.parse(change.since)
        assert since in measured, change
        assert measured.index(since) > 0, change
    sinces = [Version.parse(change.since) for change in CHANGES]
    assert sinces == sorted(sinces)


def test_the_document_is_what_the_results_say() -> None:
    command = [sys.executable, str(ROOT / "script/survey-openclaw"), "--document"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ROOT / "docs/openclaw-versions.md").read_text() == done.stdout


@pytest.mark.parametrize(
    ("version", "nearest", "word"),
    [
        ("2026.2.9", "2026.2.12", "older"),
        ("2026.2.12-beta.1", "2026.2.12", "older"),
        ("2026.9.6-1", "2026.9.6", "newer"),
        ("2027.1.0", "2026.9.6", "newer"),
    ],
)
def test_outside_the_range_the_nearest_is_assumed(version: str, nearest: str, word: str) -> None:
    caps, known = can(version), can(nearest)
    assert caps.assumed
    assert str(caps.version) == version
    assert f"{word} than" in caps.warning
    assert f"openclaw@{nearest}" in caps.warning
    names = {item.name for item in fields(caps)} - {"version", "assumed", "warning"}
    assert {n: getattr(caps, n) for n in names} == {n: getattr(known, n) for n in names}


def test_versions_in_between_get_what_the_last_boundary_before_them_gave() -> None:
    assert not can("2026.2.15").native_api
    assert not can("2026.2.17-beta.1").native_api
    assert can("2026.2.17-1").native_api
    assert not can("2026.2.15").assumed


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2026.2.17", Version(2026, 2, 17)),
        ("2026.2.17\n", Version(2026, 2, 17)),
        ("OpenClaw 2026.9.6 (eb377ac)", Version(2026, 9, 6)),
        ("v2026.5.7-beta.1", Version(2026, 5, 7, "beta", 1)),
        ("2026.7.1-2", Version(2026, 7, 1, None, 2)),
        ("2026.7.1-alpha.3", Version(2026, 7, 1, "alpha", 3)),
    ],
)
def test_parse(text: str, version: Version) -> None:
    assert Version.parse(text) == version


@pytest.mark.parametrize(
    "text", ["", "latest", "2026.2", "2026.2.17.1", "2026.2.17-rc.1", "2026.2.x", "node v22.1.0"]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="not an OpenClaw version"):
        Version.parse(text)


def test_corrections_come_after_and_prereleases_before_the_release() -> None:
    order = ["2026.7.1-alpha.9", "2026.7.1-beta.2", "2026.7.1-beta.10", "2026.7.1", "2026.7.1-2"]
    order = ["2026.6.35", *order, "2026.7.33", "2026.10.1"]
    assert [str(version) for version in sorted(map(Version.parse, reversed(order)))] == order


versions = st.builds(
    Version,
    year=st.integers(2025, 2030),
    month=st.integers(1, 12),
    patch=st.integers(0, 99),
    stage=st.sampled_from([None, "alpha", "beta"]),
    number=st.integers(1, 20),
)


@given(versions)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(versions, versions)
def test_the_order_agrees_with_equality(one: Version, other: Version) -> None:
    assert (one < other) + (other < one) + (one == other) == 1
    assert (one <= other) is not (other < one)


@given(versions)
def test_no_version_is_without_a_complete_shape(version: Version) -> None:
    caps = capabilities(version)
    shape = wanted_shape(caps)
    assert caps.assumed is bool(caps.warning)
    assert caps.native_api or shape.num_ctx != "context_window" or caps.openai_num_ctx
