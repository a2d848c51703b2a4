from __future__ import annotations

import json

import pytest

from clawfleet import proof
from clawfleet.proof import Check, Latency, Stream, Turn, answer, turn


def event(**message: object) -> str:
    return json.dumps({"model": "m", "message": {"role": "assistant", **message}, "done": False})


def end(**more: object) -> str:
    return json.dumps({"message": {"content": ""}, "done": True, "done_reason": "stop", **more})


def read(*lines: str) -> Stream:
    stream = Stream()
    for second, line in enumerate(lines):
        stream.take(float(second), line)
    return stream


def test_the_first_token_is_the_first_that_says_something() -> None:
    stream = read(
        event(content=""),
        "",
        event(content="", thinking="Hm"),
        event(content="Paris"),
        event(content="."),
        end(eval_count=12, load_duration=2_500_000_000),
    )
    assert (stream.first, stream.last, stream.tokens) == (2.0, 4.0, 12)
    assert (stream.text, stream.reasoning, stream.done) == ("Paris.", "Hm", True)
    assert (stream.load, stream.error) == (2.5, None)


@pytest.mark.parametrize(
    ("lines", "first", "done", "error"),
    [
        ([], None, False, None),
        ([end()], None, True, None),
        ([event(content="x")], 0.0, False, None),
        ([event(content="", tool_calls=[{"function": {"name": "f"}}])], 0.0, False, None),
        (['{"error": "runner died"}'], None, False, "runner died"),
        (['{"message": null, "done": false}'], None, False, None),
        (['{"response": "", "done": true, "eval_count": 0}'], None, True, None),
    ],
)
def test_streams_that_end_early(
    lines: list[str], first: float | None, done: bool, error: str | None
) -> None:
    stream = read(*lines)
    assert (stream.first, stream.done) == (first, done)
    assert (stream.error is None) is (error is None)
    assert (error or "") in (stream.error or "")
    assert (stream.tokens, stream.load) == (None, None)


def said(text: str | None, model: str = "gpt-oss:20b", provider: str = "ollama") -> str:
    payloads = [] if text is None else [{"text": text, "mediaUrl": None}]
    meta = {"durationMs": 5, "agentMeta": {"provider": provider, "model": model}}
    return json.dumps(
        {"runId": "1", "status": "ok", "result": {"payloads": payloads, "meta": meta}}, indent=2
    )


LOG = "12:00:01 [plugins] loaded {3}\n(node:7) ExperimentalWarning: SQLite {x}\n"


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [
        (said("Paris."), 0, Turn(True, "ollama/gpt-oss:20b", "Paris.", "")),
        (said("Paris.", "glm", "zai"), 0, Turn(True, "zai/glm", "Paris.", "")),
        (LOG + said("Paris."), 0, Turn(True, "ollama/gpt-oss:20b", "Paris.", "")),
        (said("Paris.") + "\n" + LOG, 0, Turn(True, "ollama/gpt-oss:20b", "Paris.", "")),
        (said("Paris."), 1, Turn(False, "ollama/gpt-oss:20b", "Paris.", "exit code 1")),
        (said(""), 0, Turn(False, "ollama/gpt-oss:20b", "", "exit code 0, no text in the answer")),
        (
            said(None),
            0,
            Turn(False, "ollama/gpt-oss:20b", "", "exit code 0, no text in the answer"),
        ),
        ("", 124, Turn(False, None, "", "exit code 124: no output")),
        ("boom\nlast words", 1, Turn(False, None, "", "exit code 1: last words")),
        ("{broken", 1, Turn(False, None, "", "exit code 1: {broken")),
    ],
)
def test_a_turn(output: str, code: int, expected: Turn) -> None:
    assert turn(output, code) == expected


# Texts of failed turns as OpenClaw gave them, those of 2026.2.x with exit code 0.
FAILED = [
    "HTTP 404: model 'gpt-oss:20b' not found",
    "Connection error.",
    "fetch failed",
    'Ollama API error 404: {"error": "model \'gpt-oss:20b\' not found"}',
    'Ollama API error 500: {"error": "llama runner process has terminated"}',
    "Context overflow: prompt too large for the model. Try /reset (or /new) to start a fresh "
    "session, or use a larger-context model.",
    "LLM request timed out.",
    "LLM request failed: network connection error.",
    "⚠️ ollama/gpt-oss:20b request failed (provider internal error, HTTP 500).",
]


@pytest.mark.parametrize("text", FAILED)
def test_an_error_as_the_answer_is_a_failed_turn(text: str) -> None:
    result = turn(said(text), 0)
    assert not result.ok
    assert result.why == text


def test_an_error_flag_is_a_failed_turn() -> None:
    document = {"result": {"payloads": [{"text": "The model was not found.", "isError": True}]}}
    assert not turn(json.dumps(document), 0).ok


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('log {x}\n{"a": 1}\nlog', {"a": 1}),
        ('{not json}\n{\n  "a": {"b": 1}\n}\n{"c": 2}', {"a": {"b": 1}}),
        ("[1]", {}),
        ("", {}),
        ("{", {}),
    ],
)
def test_the_answer_in_what_a_command_printed(output: str, expected: dict[str, object]) -> None:
    assert answer(output) == expected


def test_the_report_is_json() -> None:
    checks = [Check("ollama", True, "version 1", 0.1), Check("gateway", False, "x", 0.2, "do y")]
    latency = Latency("gpt-oss:20b", 12.5, 99.0, 7, 32768, 0.4)
    data = proof.as_data(checks, [latency])
    assert data["ok"] is False
    document = proof.document(run="r", when="w", macs={"mini": data}, versions={"clawfleet": "1"})
    loaded = json.loads(json.dumps(document))
    assert loaded["schema"] == proof.SCHEMA
    assert loaded["clawfleet"] == "1"
    assert loaded["macs"]["mini"]["latency"][0]["ttft_ms"] == 12.5
    assert loaded["macs"]["mini"]["checks"][1]["fix"] == "do y"


def test_rows_name_what_fixes_a_failed_layer() -> None:
    checks = [
        Check("ollama", True, "fine", 0.1, "unused"),
        Check("gateway", False, "x", 0.2, "do y"),
    ]
    trouble = {"found": "no brew", "expected": "brew", "fix": "install it"}
    macs = {"a": proof.as_data(checks, []), "b": {"trouble": trouble}, "c": {}}
    assert list(proof.rows(macs)) == [
        ("a", "ok", "ollama", "fine"),
        ("a", "failed", "gateway", "x\nto fix: do y"),
        ("b", "failed", "stopped", "no brew\nto fix: install it"),
    ]
