"""Environment variables in the texts from which a gateway starts: lines, and XML plists.

Every byte that is not of a variable named here stays as it is.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from clawfleet import dotenv
from clawfleet.snapshot import PROXY_VARIABLES

_ASSIGNMENT = re.compile(rf"^\s*(?:export\s+)?({'|'.join(PROXY_VARIABLES)})\s*=")
_PLIST_KEY = re.compile(
    rf"[ \t]*<key>\s*({'|'.join(PROXY_VARIABLES)})\s*</key>\s*"
    r"(?:<string>[^<]*</string>|<string\s*/>)[ \t]*\r?\n?"
)
_ENVIRONMENT = re.compile(
    r"<key>\s*EnvironmentVariables\s*</key>\s*<dict>(?P<body>.*?)[ \t]*</dict>",
    re.DOTALL,
)


def without_lines(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` without assignments of proxy variables, and the names that were taken out."""
    kept, names = [], []
    for line in re.split(r"(?<=\n)", text):
        match = _ASSIGNMENT.match(line)
        if match:
            names.append(match.group(1))
        else:
            kept.append(line)
    return "".join(kept), tuple(names)


def without_assignments(text: str) -> tuple[str, tuple[str, ...]]:
    """The same for ~/.openclaw/.env, as OpenClaw reads it: ``NAME: value`` is one there, and a line
    inside a value in quotes is none."""
    names = tuple(name for name in dotenv.values(text) if name in PROXY_VARIABLES)
    for name in names:
        text = dotenv.without(text, name)
    return text, names


def without_keys(plist: str) -> tuple[str, tuple[str, ...]]:
    """An XML plist without proxy variables in any dictionary, every other byte as it was."""
    names = tuple(m.group(1) for m in _PLIST_KEY.finditer(plist))
    return _PLIST_KEY.sub("", plist), names


def with_lines(text: str, values: Mapping[str, str], *, export: bool = False) -> str:
    """`text` in which each variable has its value: in the line that counts, else in a new one."""
    for name, value in values.items():
        text = dotenv.put(text, name, value, mark="", export=export)
    return text


def in_plist(plist: str) -> dict[str, str]:
    """The EnvironmentVariables of an XML plist; {} where it has none or can't be read."""
    try:
        loaded: Any = plistlib.loads(plist.encode("utf-8", "surrogateescape"))
        found = loaded.get("EnvironmentVariables", {})
        return {str(name): str(value) for name, value in found.items()}
    except Exception:  # plistlib lets expat's and its own errors through
        return {}


def with_keys(plist: str, values: Mapping[str, str]) -> str | None:
    """An XML plist in whose EnvironmentVariables each variable has its value; None where that
    dictionary is not there, or is written in a way in which it is not found."""
    found = _ENVIRONMENT.search(plist)
    if found is None:
        return None
    body = found["body"]
    indent = re.search(r"\n([ \t]*)<key>", body)
    newline = "\r\n" if "\r\n" in found[0] else "\n"
    for name, value in values.items():
        string = f"<string>{escape(value)}</string>"
        known = re.compile(rf"(<key>\s*{name}\s*</key>\s*)(?:<string>[^<]*</string>|<string\s*/>)")
        if known.search(body):
            body = known.sub(lambda m, s=string: m[1] + s, body)
        else:
            start = f"{newline}{indent[1]}" if indent else ""
            body = body.rstrip() + f"{start}<key>{name}</key>{start}{string}"
    tail = re.search(r"\s*$", found["body"])
    body += tail[0] if tail and not body.endswith(tail[0]) else ""
    text = plist[: found.start("body")] + body + plist[found.end("body") :]
    expected = in_plist(plist) | dict(values)
    return text if in_plist(text) == expected else None
