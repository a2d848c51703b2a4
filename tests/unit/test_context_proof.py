from __future__ import annotations

import json
from typing import Any

import pytest

from clawfleet.context_proof import (
    LARGE,
    MARGIN,
    SMALL,
    Proof,
    Scale,
    is_whole,
    refuses,
    request,
    running,
)


@pytest.mark.parametrize(("base", "each"), [(70, 1.0), (3, 1.25), (120.5, 2.0), (0, 0.75)])
@pytest.mark.parametrize("promised", [4096, 32768, 131072])
def test_a_prompt_just_under_and_one_just_over(base: float, each: float, promised: int) -> None:
    def tokens(words: int) -> int:
        return round(base + words * each)

    scale = Scale.of(tokens(SMALL), tokens(LARGE))
    under, over = tokens(scale.under(promised)), tokens(scale.over(promised))
    # What was reckoned from 1000 words is off by a thousandth at most.
    slack = 2 + promised // 1000
    assert promised - MARGIN - slack <= under < promised
    assert promised < over <= promised + MARGIN + slack
    assert abs(scale.tokens(scale.under(promised)) - under) <= slack


@pytest.mark.parametrize(("small", "large"), [(100, 100), (200, 100), (0, 0)])
def test_more_words_that_are_no_more_tokens_are_no_scale(small: int, large: int) -> None:
    with pytest.raises(ValueError, match="words are"):
        Scale.of(small, large)


def test_a_request_names_the_context_where_openclaw_does() -> None:
    body = request("m", 3, 32768)
    assert body["options"] == {"num_predict": 1, "num_ctx": 32768}
    assert body["messages"][0]["content"].split() == ["word"] * 3
    assert "truncate" not in body
    assert "num_ctx" not in request("m", 3, None)["options"]
    whole = request("m", 3, None, whole=True)
    assert whole["truncate"] is False
    assert "shift" not in whole  # another one than before loads the model again


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, "the input length exceeds the context length", True),
        (400, "the prompt is longer than the context length currently available to the", True),
        (400, "request (9 tokens) exceeds the available context size (4 tokens), try", True),
        (400, "model is required", False),
        (500, "the input length exceeds the context length", False),
        (200, "the context length of the Seven Years' War", False),
    ],
)
def test_a_refusal(status: int, text: str, expected: bool) -> None:
    assert refuses(status, json.dumps({"error": text})) is expected


@pytest.mark.parametrize(
    ("read", "sent", "expected"),
    # 4096 of 32736: v0.16.1; 16386 of 32736: half of it, as later ones keep
    [
        (32736, 32736, True),
        (32738, 32736, True),
        (32600, 32736, True),
        (4096, 32736, False),
        (16386, 32736, False),
        (0, 32736, False),
    ],
)
def test_what_was_dropped_is_seen(read: int, sent: int, expected: bool) -> None:
    assert is_whole(read, sent) is expected


PS: dict[str, Any] = {
    "models": [
        {"name": "a:latest", "size": 10, "size_vram": 10, "context_length": 8192},
        {"name": "B:1", "size": 10, "size_vram": 9, "context_length": 4096},
        {"name": "old:latest", "size": 10, "size_vram": 0},
        "nonsense",
    ]
}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("a", (8192, 1.0)),
        ("b:1", (4096, 0.9)),
        ("old", (None, 0.0)),
        ("absent", (None, None)),
    ],
)
def test_what_is_in_memory(model: str, expected: tuple[int | None, float | None]) -> None:
    assert running(PS, model) == expected
    assert running({}, model) == (None, None)


def test_a_proof_as_a_person_reads_it() -> None:
    whole = Proof("m", 32768, 32768, 1.0, 32736, 32800)
    assert whole.text("x") == "context 32768 served; 32736 tokens read whole; 32800 refused"
    again = Proof("m", 32768, 32768, 0.9, None, 32800, 12.34, "gpt-oss:20b")
    assert again.text("nothing changed") == (
        "context 32768 served; 32800 refused; a full one not sent again (nothing changed); "
        "10 % of it not on the GPU: slow; loaded in 12.3 s in the place of gpt-oss:20b"
    )
    more = Proof("m", 32768, 32768, None, 32736, None)
    assert more.text("") == (
        "context 32768 served; 32736 tokens read whole; more is answered whole, too"
    )
