"""Where the keys of providers come from, and the check that no key itself stands in a setting."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict

from clawfleet.redact import is_secret_key, looks_secret

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "anthropic": "ANTHROPIC_API_KEY",
        "cerebras": "CEREBRAS_API_KEY",
        "google": "GEMINI_API_KEY",
        "groq": "GROQ_API_KEY",
        "litellm": "LITELLM_API_KEY",
        "minimax": "MINIMAX_API_KEY",
        "mistral": "MISTRAL_API_KEY",
        "moonshot": "MOONSHOT_API_KEY",
        "openai": "OPENAI_API_KEY",
        "opencode": "OPENCODE_API_KEY",
        "openrouter": "OPENROUTER_API_KEY",
        "synthetic": "SYNTHETIC_API_KEY",
        "venice": "VENICE_API_KEY",
        "vercel-ai-gateway": "AI_GATEWAY_API_KEY",
        "xai": "XAI_API_KEY",
        "xiaomi": "XIAOMI_API_KEY",
        "zai": "ZAI_API_KEY",
    }
)
"""Provider -> the variable in which OpenClaw itself, from 2026.2.12 on, looks for its key."""

EXAMPLES = (
    "{env: ZAI_API_KEY}, {file: ~/.config/clawfleet/zai.key} or "
    "{command: [op, read, 'op://Private/zai/key']}"
)
HIDDEN = "‹hidden›"

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# As OpenClaw's own references to the environment want it.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_PASSWORDS = re.compile(r"pass(word|wd|phrase)?$")
# Names of models and machines, which may look like anything.
_NAMES = re.compile(r"models|primary|fallbacks|other_providers|(ssh|ansible)\w*_host(name)?")


class KeySource(BaseModel):
    """Where one provider's key is read from on the control machine: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None
    variable: str | None = None
    """Name of the environment variable on the Mac; None: the one in `VARIABLES`."""

    def __str__(self) -> str:
        if self.env:
            return f"the environment variable {self.env}"
        if self.file:
            return f"the file {self.file}"
        return f"the command `{shlex.join(self.command or ())}`"


def parse(value: Any) -> dict[str, KeySource]:
    """The setting `provider_keys`; ValueError, in whose text no value stands, when it is none."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of providers, such as {{zai: {_first()}}}")
    sources: dict[str, KeySource] = {}
    taken: dict[str, str] = {}
    for provider, source in value.items():
        if not isinstance(provider, str) or not _PROVIDER.fullmatch(provider):
            raise ValueError(
                "a name in it is no provider's (small letters, digits, and . _ - between them)"
            )
        if provider == "ollama":
            raise ValueError("ollama: a local Ollama checks no key; take it out")
        parsed = source if isinstance(source, KeySource) else _source(provider, source)
        variable = parsed.variable or VARIABLES.get(provider)
        if variable is None:
            raise ValueError(
                f"{provider}: OpenClaw has no variable of its own for this provider; expected "
                f"one beside where the key comes from, such as variable: {_suggested(provider)}"
            )
        if variable in taken:
            raise ValueError(f"{provider} and {taken[variable]} share the variable {variable}")
        taken[variable] = provider
        sources[provider] = parsed
    return sources


def _first() -> str:
    return EXAMPLES.partition("}")[0] + "}"


def _suggested(provider: str) -> str:
    name = re.sub(r"[^A-Z0-9]", "_", provider.upper())
    return f"{name if name[0].isalpha() else f'P{name}'}_API_KEY"


def _source(provider: str, value: Any) -> KeySource:
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{provider}: expected where the key comes from, and never the key itself: {EXAMPLES}"
        )
    if unknown := [key for key in value if key not in KeySource.model_fields]:
        shown = _shown(_name(unknown[0]))
        raise ValueError(
            f"{provider}: {shown} is not valid here. Valid are: env, file or command, and variable"
        )
    given = {key: part for key, part in value.items() if part is not None}
    ways = [key for key in ("env", "file", "command") if key in given]
    if len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        raise ValueError(f"{provider}: expected one of env, file and command, found {found}")
    for key, wanted in (("env", "ZAI_API_KEY"), ("variable", _suggested(provider))):
        # What does not fit is not shown: it may be the key.
        if key in given and not (isinstance(given[key], str) and _VARIABLE.fullmatch(given[key])):
            raise ValueError(
                f"{provider}: {key} is not a name of an environment variable in capital letters, "
                f"such as {wanted}"
            )
    _check_variable(provider, given.get("variable"))
    file = given.get("file")
    if file is not None and not (isinstance(file, str) and "/" in file and file.isprintable()):
        raise ValueError(
            f"{provider}: file is not a path with a / in it, such as ~/.config/clawfleet/zai.key"
        )
    if "command" in given:
        given["command"] = _words(provider, given["command"])
    return KeySource(**given)


def _check_variable(provider: str, name: str | None) -> None:
    # By its name every diff and log tells that its value is to be hidden.
    if name and (not is_secret_key((name,)) or name.startswith("OPENCLAW_")):
        raise ValueError(
            f"{provider}: variable {name}: expected a name that says what it holds and is not "
            f"OpenClaw's own, such as {_suggested(provider)}"
        )


def _words(provider: str, value: Any) -> tuple[str, ...]:
    words = tuple(value) if isinstance(value, list | tuple) else ()
    if not words or not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError(
            f"{provider}: command is not a list of words, such as "
            "[op, read, 'op://Private/zai/key'] (no shell reads it)"
        )
    if not words[0] or looks_secret(" ".join(words)):
        raise ValueError(
            f"{provider}: command holds something that looks like a key; expected a command "
            "that prints it"
        )
    return words


def literals(data: Mapping[Any, Any]) -> Iterator[str]:
    """What of a host's data is a key or a password itself, one sentence for each; no value."""
    for key, value in data.items():
        name = _name(key)
        if looks_secret(name):
            yield "a name in it looks like a key"
        if _PASSWORDS.search(name.lower()) and value not in (None, ""):
            yield f"{_shown(name)} is a password in the place of a setting"
        elif not _NAMES.fullmatch(name):
            yield from _found(value, (name,))


def _found(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    where = ".".join(map(_shown, path))
    if isinstance(value, Mapping):
        for key, part in value.items():
            if looks_secret(_name(key)):
                yield f"{where}: a name in it looks like a key"
            yield from _found(part, (*path, _name(key)))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _found(part, (*path, str(index)))
    elif isinstance(value, str) and looks_secret(value):
        yield f"{where} looks like a key, or like an address with a password in it"
    elif len(path) > 1 and path[0] != "provider_keys" and _is_secret(path, value):
        yield f"{where} is a secret by its name"


def _is_secret(path: tuple[str, ...], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return False
    amount = isinstance(value, int) or value.isdecimal()
    return is_secret_key(path) and not (amount and path[-1].lower().endswith("tokens"))


def _name(key: Any) -> str:
    # A number of thousands of digits can't be printed.
    return key if isinstance(key, str) else type(key).__name__


def _shown(name: str) -> str:
    return HIDDEN if looks_secret(name) else name
