"""``defaults``: read, write and delete in property lists."""

from __future__ import annotations

import os
import plistlib
import re
import sys
import time

from tests.lab.standins.here import complain, mac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def file_of(domain: str) -> str:
    """The file of a domain: an absolute path, or a name among the user's preferences."""
    spec = mac()
    if domain.startswith("/"):
        # Where a Mac is a folder, its /Library lies in it.
        inside = spec.root if domain.startswith("/Library/") else ""
        return inside + (domain if domain.endswith(".plist") else domain + ".plist")
    name = ".GlobalPreferences" if domain in ("-g", "NSGlobalDomain", "-globalDomain") else domain
    return f"{spec.home}/Library/Preferences/{name}.plist"


def load(path: str) -> dict[str, Any]:
    """The content; an empty one when there is no such file."""
    try:
        with open(path, "rb") as file:
            content: dict[str, Any] = plistlib.load(file)
    except FileNotFoundError:
        return {}
    return content


def text(value: Any, depth: int = 0, *, top: bool = True) -> str:
    """A value in the old style of property lists, as ``defaults read`` prints it."""
    inside, outside = "    " * (depth + 1), "    " * depth
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, dict):
        pairs = [
            f"{inside}{text(key, top=False)} = {text(value[key], depth + 1, top=False)};\n"
            for key in sorted(value)
        ]
        return "{\n" + "".join(pairs) + outside + "}"
    if isinstance(value, list):
        lines = [inside + text(entry, depth + 1, top=False) for entry in value]
        return "(\n" + ",\n".join(lines) + "\n" + outside + ")"
    if isinstance(value, bytes):
        return f"{{length = {len(value)}, bytes = 0x{value.hex()}}}"
    plain = str(value)
    if top or _PLAIN.fullmatch(plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def missing(message: str) -> int:
    """The time and the message on standard error; exit code 1."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S") + f".000 defaults[{os.getpid()}:1] "
    complain(f"{stamp}\n{message}")
    return 1


def convert(words: list[str]) -> Any:
    """The value after a key of ``defaults write``."""
    kind, rest = (words[0], words[1:]) if words[0].startswith("-") else ("-string", words)
    if kind in ("-bool", "-boolean"):
        return rest[0].lower() in ("yes", "true", "1")
    if kind in ("-int", "-integer"):
        return int(rest[0])
    if kind == "-float":
        return float(rest[0])
    if kind == "-array":
        return rest
    return rest[0]


def main(argv: list[str]) -> int:
    """Exit code 1 for a missing domain or key, 255 for a wrong call."""
    words = [word for word in argv if word not in ("-currentHost", "-app")]
    if len(words) < 2 or words[0] not in ("read", "write", "delete", "read-type"):
        complain("Command line interface to a user's defaults.\nSyntax:\n'defaults' [-currentHost]")
        return 255
    verb, domain, *rest = words
    path = file_of(domain)
    content = load(path)
    if verb == "write":
        content[rest[0]] = convert(rest[1:])
    elif not content:
        return missing(f"Domain {domain} does not exist")
    elif rest and rest[0] not in content:
        return missing(f"The domain/default pair of ({domain}, {rest[0]}) does not exist")
    elif verb == "read":
        sys.stdout.write(text(content[rest[0]] if rest else content) + "\n")
        return 0
    elif verb == "read-type":
        names = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array"}
        sys.stdout.write(f"Type is {names.get(type(content[rest[0]]), 'dictionary')}\n")
        return 0
    elif rest:
        del content[rest[0]]
    else:
        os.unlink(path)
        return 0
    with open(path, "wb") as file:
        plistlib.dump(content, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
