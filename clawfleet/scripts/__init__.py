"""The sh scripts that change a Mac, each sent over stdin with its values in front."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load(name: str) -> str:
    """The text of one script of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")
