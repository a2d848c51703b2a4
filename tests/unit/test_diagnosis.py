"""One bad Mac for each known trouble: exactly that one is found; on a good Mac none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet import diagnosis
from clawfleet.diagnosis import modes
from clawfleet.diagnosis.document import document
from clawfleet.diagnosis.known import MENDS, Case, Finding
from clawfleet.snapshot import Listener, Process, Snapshot
from clawfleet.symptoms import Symptoms
from tests.unit.bad_macs import ENV, GATEWAY, HOSTS, SILENT, config, good, provider, said
from tests.unit.bad_openclaws import OPENCLAWS
from tests.unit.factory import (
    HOME,
    NEW,
    OLD,
    REPO,
    TOKEN,
    bare,
    file,
    healthy,
    settings,
    with_file,
)

BAD = [*HOSTS, *OPENCLAWS]


def found(
    snapshot: Snapshot, symptoms: Symptoms | None = None, port: int = 18789, **wished: Any
) -> list[Finding]:
    """What is told of a Mac; the two clocks agree."""
    clock = (float(snapshot.now), snapshot.now + 2.0)
    seen = good() if symptoms is None else symptoms
    return diagnosis.diagnose(Case(snapshot, seen, settings(**wished), port, clock))


@pytest.mark.parametrize("version", ["2026.2.12", OLD, "2026.6.6", NEW])
def test_a_good_mac_has_none(version: str) -> None:
    symptoms = good()
    assert found(healthy(version), symptoms) == []
    case = Case(healthy(version), symptoms, settings(), 18789)
    line = diagnosis.well(case, [])
    for word in ("macOS 15.6", "awake", "Ollama 0.32.3", f"OpenClaw {version}", "gateway pid 900"):
        assert word in line


@pytest.mark.parametrize(("name", "snapshot", "symptoms", "wished", "words"), BAD)
def test_exactly_that_trouble_is_found(
    name: str, snapshot: Snapshot, symptoms: Symptoms, wished: dict[str, Any], words: list[str]
) -> None:
    findings = found(snapshot, symptoms, **wished)
    assert [finding.id for finding in findings] == [name], findings
    told = findings[0]
    for part in (told.seen, told.expected, told.fix, told.title):
        assert part.strip()
        assert "None" not in part
        assert TOKEN not in part
    for word in words:
        assert word in f"{told.seen}\n{told.fix}"


def test_what_goes_with_others() -> None:
    """Troubles that never come alone."""
    names = {finding.id for finding in found(bare(), replace(good(), served=(), client=None))}
    assert names == {"no-homebrew", "openclaw-missing"}
    equipped = replace(healthy(), ollama_formula=None, ollama_port=Listener(11434))
    missing = replace(equipped, ollama_server=None)
    assert {f.id for f in found(missing)} == {"ollama-missing"}
    asleep = replace(good(), power={"sleep": 10, "womp": 0})
    assert {f.id for f in found(healthy(), asleep)} == {"sleeps", "no-wake"}
    lan = config(healthy(), lambda c: provider(c).update(baseUrl="http://192.168.1.7:11434"))
    assert {f.id for f in found(lan)} == {"base-url", "local-network"}


@pytest.mark.parametrize(
    ("words", "another"),
    [("", True), (" --port 19000", True), (" run", True), (" call health", False)],
)
def test_a_command_that_speaks_to_the_gateway_is_none(words: str, another: bool) -> None:
    process = Process(7, 1, 9, GATEWAY + words)
    seen = replace(good(), gateways=(*good().gateways, process))
    assert [f.id for f in found(healthy(), seen)] == ["several-gateways"] * another


def test_every_row_of_the_table_has_a_bad_mac() -> None:
    together = {"no-homebrew", "openclaw-missing", "ollama-missing", "no-wake", "local-network"}
    tested = {name for name, *_ in BAD} | together | {"clock"}
    assert tested == {known.id for known in diagnosis.TROUBLES}
    assert len(diagnosis.TROUBLES) == len(tested)  # no name twice


@pytest.mark.parametrize(
    ("mac", "before", "after", "word"),
    [
        (1000, 1000, 1002, ""),
        (1121, 1000, 1002, ""),
        (1200, 1000, 1002, "198 s ahead of"),
        (700, 1000, 1002, "300 s behind"),
    ],
)
def test_the_clock(mac: int, before: float, after: float, word: str) -> None:
    case = Case(replace(healthy(), now=mac), good(), settings(), 18789, (before, after))
    told = [finding.seen for finding in diagnosis.diagnose(case) if finding.id == "clock"]
    assert bool(told) == bool(word)
    assert word in "".join(told)


def test_a_line_from_before_the_gateway_was_started_is_over() -> None:
    text = "Failed to discover Ollama models: fetch failed"
    assert [f.id for f in found(healthy(), said(text, age=3990))] == ["discovery"]
    assert found(healthy(), said(text, age=4100)) == []
    stopped = replace(healthy(), gateway=None, gateway_port=SILENT, gateway_http=0)
    none = {"gateways": ()}
    names = {f.id for f in found(stopped, replace(said(text, age=4100), **none))}  # type: ignore[arg-type]
    assert "discovery" in names
    names = {f.id for f in found(stopped, replace(said(text, age=90000), **none))}  # type: ignore[arg-type]
    assert "discovery" not in names


def test_ollama_that_was_slow_once_and_answers_now_is_no_trouble() -> None:
    slow = said("Failed to discover Ollama models: TimeoutError: aborted due to timeout")
    assert found(healthy(), slow) == []
    silent = replace(healthy(), ollama_server=None)
    assert "discovery" in {f.id for f in found(silent, slow)}
    refused = said("Failed to discover Ollama models: fetch failed").messages
    both = replace(slow, messages=(*slow.messages, *refused))
    assert [f.id for f in found(healthy(), both)] == ["discovery"]


def test_what_can_not_be_looked_at_leaves_the_rest() -> None:
    binary = with_file(healthy(), "plist", file(healthy().plist.path, b"bplist00", mode="644"))
    broken = replace(good(), auto_login=None, unread=("pmset -g custom: exit code 77",))
    told = found(replace(binary, restart_needed=("x",)), broken)
    assert {f.id for f in told} >= {"not-looked-at", "no-automatic-login", "gateway-stale"}
    seen = " ".join(f.seen for f in told)
    assert "pmset -g custom: exit code 77 could not be read" in seen
    assert "proxy could not be looked at" in seen
    assert "binary plist" in seen


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("ollama-down", "ollama"),
        ("ollama-version", "ollama"),
        ("proxy", "environment"),
        ("gateway-not-loaded", "gateway"),
        ("gateway-hangs", "gateway"),
        ("readable-by-others", "modes"),
        ("gateway-port", None),
        ("ollama-port", None),
        ("ollama-twice", None),
        ("models-missing", None),
        ("gateway-disabled", None),
        ("system-daemon", None),
        ("session-too-long", None),
        ("base-url", None),
    ],
)
def test_only_what_is_safe_is_mended(name: str, mend: str | None) -> None:
    snapshot, symptoms, wished = next(row[1:4] for row in BAD if row[0] == name)
    assert [finding.mend for finding in found(snapshot, symptoms, **wished)] == [mend]


def test_a_config_is_mended_only_where_it_was_ours_before() -> None:
    snapshot = next(row[1] for row in BAD if row[0] == "base-url")
    ours = with_file(snapshot, "owned", file(f"{HOME}/.clawfleet/owned.json", "{}"))
    assert [finding.mend for finding in found(ours)] == ["config"]


def test_private_files_are_made_so_by_taking_rights_away() -> None:
    symptoms = replace(good(), folders=(("755", "/Users/a b/.openclaw"),))
    writable = with_file(healthy(), "ollama_env", replace(healthy().ollama_env, mode="666"))
    steps = modes.plan(writable, symptoms)
    assert [step.show for step in steps] == [
        "chmod -R go-rwx '/Users/a b/.openclaw'",
        f"chmod go-rwx {ENV}",
    ]
    assert modes.plan(healthy(), good()) == []


def test_the_page_is_made_of_the_table() -> None:
    page = (REPO / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == document(), "python -m clawfleet.diagnosis > docs/troubleshooting.md"
    for known in diagnosis.TROUBLES:
        assert known.chinese in page
        assert known.words
    # The troubles of the article, by the words it has for them.
    for words in (
        "gateway already running",
        "Context overflow: prompt too large for the model",
        "Failed to discover Ollama models: fetch failed",
        "client/server version mismatch",
        "上下文溢出",
        "网关已在运行",
        "无法发现 Ollama 模型",
        "版本不匹配",
    ):
        assert words in page


def test_every_mend_has_its_step() -> None:
    from clawfleet.operations.diagnose import _STEPS

    assert tuple(_STEPS) == MENDS
