"""Names of Ollama models, normalised as Ollama does (types/model/name.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class Name:
    """``[host/][namespace/]model[:tag]`` with its defaults filled in."""

    host: str
    namespace: str
    model: str
    tag: str
    scheme: str = ""
    """``http`` or ``https`` where the text named one; it is no part of the name."""

    @property
    def short(self) -> str:
        """As Ollama shows it: the tag always, host and namespace only where not the default."""
        text = f"{self.model}:{self.tag}"
        if (self.host, self.namespace) == (DEFAULT_HOST, DEFAULT_NAMESPACE):
            return text
        text = f"{self.namespace}/{text}"
        return text if self.host == DEFAULT_HOST else f"{self.host}/{text}"

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """The four folders and file below ``manifests/``."""
        return (self.host, self.namespace, self.model, self.tag)


def parse(text: str) -> Name | None:
    """The name that `text` means, or None where Ollama answers "invalid model name"."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    path, _, last = rest.rpartition("/")
    model, _, tag = last.partition(":")
    host, _, namespace = path.rpartition("/")
    name = Name(
        host or DEFAULT_HOST,
        namespace or DEFAULT_NAMESPACE,
        model,
        tag or DEFAULT_TAG,
        scheme,
    )
    valid = (
        _HOST.fullmatch(name.host)
        and _NAMESPACE.fullmatch(name.namespace)
        and _PART.fullmatch(name.model)
        and _PART.fullmatch(name.tag)
        and not last.endswith(":")
        and not rest.startswith("/")
    )
    return name if valid else None
