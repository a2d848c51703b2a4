"""What Ollama's /api/pull says while it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STALL = 60.0
"""Seconds without a new byte after which a pull is begun again (it resumes where it was). Ollama
v0.16.1 itself waits for ever when a part's first byte does not come."""
TRIES = 4


class PullError(Exception):
    """The pull ended with an error; `again` says whether another try can help."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


@dataclass
class Progress:
    """Bytes of every layer so far; fed with the lines of the answer."""

    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """digest: (completed, total)"""
    status: str = "waiting for the first line"
    done: bool = False

    @property
    def completed(self) -> int:
        return sum(completed for completed, _ in self.layers.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self.layers.values())

    def take(self, event: dict[str, Any]) -> None:
        """One line. PullError for an error in it: Ollama sends these inside HTTP 200, as the first
        line is out before the trouble is known (server/routes.go of v0.16.1)."""
        if "error" in event:
            raise PullError(str(event["error"]), again=_may_pass(str(event["error"])))
        self.status = str(event.get("status", ""))
        if event.get("digest"):
            completed, total = int(event.get("completed", 0)), int(event.get("total", 0))
            self.layers[str(event["digest"])] = (completed, total)
        self.done = self.status == "success"


def _may_pass(message: str) -> bool:
    final = (
        "file does not exist",
        "newer version of Ollama",
        "invalid",
        "unauthorized",
        "no space",
    )
    return not any(word in message for word in final)


def explain(model: str, message: str) -> tuple[str, str]:
    """What was expected and what fixes it, for an error of a pull."""
    if "file does not exist" in message:
        return (
            "a model of the Ollama library (https://ollama.com/library)",
            f"correct {model!r} in `models` of the settings",
        )
    if "invalid model name" in message or "unauthorized" in message:
        return "a model that anybody may pull", f"correct {model!r} in `models` of the settings"
    if "newer version of Ollama" in message:
        return "a server that can run this model", "on the Mac: brew upgrade ollama, then run again"
    if "no space" in message:
        return "room for the model", "make room on that Mac and run again: the pull resumes"
    return (
        'a stream that ends with "success"',
        "run again: the pull resumes where it was; behind a proxy set HTTPS_PROXY for Ollama's "
        "server in ollama_environment",
    )
