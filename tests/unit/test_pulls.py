from __future__ import annotations

from typing import Any

import pytest

from clawfleet.pulls import Progress, PullError, explain

# A pull as Ollama streams it, shortened.
STREAM: list[dict[str, Any]] = [
    {"status": "pulling manifest"},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000, "completed": 400},
    {"status": "pulling fa6710a93d78", "digest": "sha256:fa", "total": 50, "completed": 50},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000, "completed": 1000},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


def test_a_pull_adds_up_its_layers() -> None:
    progress = Progress()
    seen = []
    for event in STREAM:
        progress.take(event)
        seen.append((progress.completed, progress.total, progress.done))
    assert seen == [
        (0, 0, False),
        (0, 1000, False),
        (400, 1000, False),
        (450, 1050, False),
        (1050, 1050, False),
        (1050, 1050, False),
        (1050, 1050, False),
        (1050, 1050, True),
    ]


def test_a_stream_without_success_is_not_done() -> None:
    progress = Progress()
    for event in STREAM[:-1]:
        progress.take(event)
    assert not progress.done
    assert progress.status == "writing manifest"


ERRORS = [
    ("pull model manifest: file does not exist", False, "correct 'nonsense:1' in `models`"),
    ("pull model manifest: 412: \n\nrequires a newer version of Ollama.", False, "brew upgrade"),
    ("invalid model name", False, "correct 'nonsense:1'"),
    ("write /x: no space left on device", False, "make room"),
    ("unauthorized: access denied", False, "correct 'nonsense:1'"),
    ("max retries exceeded: EOF", True, "run again: the pull resumes"),
    ("digest mismatch, file must be downloaded again: want a, got b", True, "run again"),
    ('Get "https://registry.ollama.ai/v2/": dial tcp: i/o timeout', True, "pull_proxy"),
]


@pytest.mark.parametrize(("message", "again", "fix"), ERRORS)
def test_an_error_inside_the_stream_is_an_error(message: str, again: bool, fix: str) -> None:
    progress = Progress()
    progress.take(STREAM[0])
    with pytest.raises(PullError) as caught:
        progress.take({"error": message})
    assert str(caught.value) == message
    assert caught.value.again is again
    expected, said = explain("nonsense:1", message)
    assert expected
    assert fix in said


@pytest.mark.parametrize(
    "event", [{}, {"status": None}, {"digest": "sha256:e7"}, {"status": "x", "total": 5}]
)
def test_odd_lines_break_nothing(event: dict[str, Any]) -> None:
    progress = Progress()
    progress.take(event)
    assert not progress.done
    assert progress.completed == 0
