"""OpenClaw, node and npm lie in no folder of macOS: Homebrew's stand-in installs them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {}
