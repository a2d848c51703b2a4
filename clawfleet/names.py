"""Names of Ollama models."""

from __future__ import annotations

import re

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_NAME = re.compile(
    rf"(?:(?:(?P<host>{_PART}(?::\d+)?)/)?(?P<namespace>[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}})/)?"
    rf"(?P<model>{_PART})(?::(?P<tag>{_PART}))?"
)


def normalise(name: str) -> str:
    """The name as ``/api/tags`` shows it: tag always, host and namespace only when not default.

    ``qwen3-coder`` gives ``qwen3-coder:latest``. ValueError for what Ollama would refuse.
    Source: ollama types/model/name.go, DisplayShortest (v0.16.1 and later).
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a model's name ([host/][namespace/]model[:tag])")
    host, namespace = match["host"], match["namespace"]
    short = f"{match['model']}:{match['tag'] or 'latest'}"
    if host and host.lower() != "registry.ollama.ai":
        return f"{host}/{namespace}/{short}"
    if namespace and namespace.lower() != "library":
        return f"{namespace}/{short}"
    return short


def manifest_path(name: str) -> str:
    """Where the manifest of a model lies below Ollama's ``manifests``: HOST/NAMESPACE/MODEL/TAG.

    ``qwen3-coder`` gives ``registry.ollama.ai/library/qwen3-coder/latest``. ValueError as for
    `normalise`. Source: ollama types/model/name.go, Filepath.
    """
    *around, short = normalise(name).split("/")
    namespace = around[-1] if around else "library"
    host = around[0] if len(around) > 1 else "registry.ollama.ai"
    model, _, tag = short.partition(":")
    return f"{host}/{namespace}/{model}/{tag}"


def same(one: str, other: str) -> bool:
    """Whether two names mean one model; Ollama matches existing names without regard to case.

    False where one of them is no model's name at all, as a server may list.
    """
    try:
        return normalise(one).lower() == normalise(other).lower()
    except ValueError:
        return False
