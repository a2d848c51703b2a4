"""What differs between the releases of Ollama that people run."""

from __future__ import annotations

import os
from dataclasses import dataclass

ENV = "OLLAMA_STANDIN_VERSION"
DEFAULT = "0.32.3"


@dataclass(frozen=True)
class Traits:
    """Behaviour of one release; the first release that has each change is named in `traits`."""

    version: str
    context_by_memory: bool
    """Default num_ctx follows the GPU's memory; before, it was 4096 everywhere."""
    app_sets_context: bool
    """Ollama.app overwrites OLLAMA_CONTEXT_LENGTH of its server with its own 4096."""
    keeps_manifest_bytes: bool
    """A pull stores the registry's manifest as it came, so local digest = registry digest."""
    prune_grace: float
    """Seconds for which an unused file in blobs/ survives the prune at start."""
    tags_tell_capabilities: bool
    """/api/tags has capabilities and details.context_length."""
    watchdog_before_first_byte: bool
    """A download that never sends its first byte is tried again instead of hanging for ever.

    The release with this fix is not known; 0.17 is assumed."""
    cuts_to_half: bool
    """A prompt of more than num_ctx - 1 tokens is cut to about half of num_ctx, and one that may
    not be cut is refused by llama-server itself; before, all of num_ctx was kept."""
    app_kills_any_ollama: bool
    """In the fight for the port Ollama.app kills every process named ``ollama``, also a CLI."""


def number(version: str) -> tuple[int, ...]:
    """``0.21.0-rc1`` as ``(0, 21, 0)``."""
    return tuple(int(part) for part in version.partition("-")[0].split("."))


def traits(version: str | None = None) -> Traits:
    """Those of `version`, by default of the one that Homebrew's wrapper put in the environment."""
    version = version or os.environ.get(ENV) or DEFAULT
    current = number(version)
    return Traits(
        version=version,
        context_by_memory=current >= (0, 15, 5),
        app_sets_context=current < (0, 17, 0),
        keeps_manifest_bytes=current >= (0, 19, 0),
        prune_grace=3600.0 if current >= (0, 21, 0) else 0.0,
        tags_tell_capabilities=current >= (0, 30, 0),
        watchdog_before_first_byte=current >= (0, 17, 0),
        cuts_to_half=current >= (0, 30, 0),
        app_kills_any_ollama=current < (0, 17, 0),
    )
