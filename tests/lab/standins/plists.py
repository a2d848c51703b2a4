"""``plutil``: -lint, -p, -convert, -extract and -replace."""

from __future__ import annotations

import base64
import datetime
import json
import os
import plistlib
import sys

from tests.lab.standins.here import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_USAGE = "plutil: [command_option] [other_options] file...\n"
_USAGE += "The file '-' means stdin\nRunning in Swift mode"
_TYPES = {"-string": str, "-integer": int, "-float": float}


class FailureError(Exception):
    """What plutil says on standard error; its exit code is then 1."""


def load(path: str) -> Any:
    """The content of a property list or JSON file; FailureError in plutil's words."""
    try:
        if path == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
    except OSError:
        raise FailureError(
            f"{path}: file does not exist or is not readable or is not a regular file "
            f'(Error Domain=NSCocoaErrorDomain Code=260 "The file “{os.path.basename(path)}” '
            'couldn’t be opened because there is no such file.")'
        ) from None
    if content[:1] in (b"{", b"["):
        return json.loads(content)
    try:
        return plistlib.loads(content)
    except Exception:
        # plistlib raises whatever its XML parser and its decoders do.
        what = (
            "Encountered unexpected EOF"
            if content.startswith(b"<?xml")
            else ("Unexpected character at line 1")
        )
        name = "<stdin>" if path == "-" else path
        raise FailureError(f"{name}: ({what})") from None


def at(value: Any, key_path: str) -> Any:
    """The value at ``a.b.0``; KeyError when there is none."""
    for key in key_path.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise KeyError(key_path)
    return value


def raw(value: Any) -> str:
    """A value as ``-extract KEY raw`` prints it: containers give their size or their keys."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\n".join(sorted(value))
    if isinstance(value, list):
        return str(len(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{value:f}" if isinstance(value, float) else str(value)


def encode(value: Any, form: str) -> bytes:
    """The value as a file of that format; FailureError for what JSON has not."""
    if form == "json":
        try:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            return text.replace("/", "\\/").encode()  # as Apple's encoder writes it
        except TypeError:
            raise FailureError("invalid object in plist for destination format") from None
    kind = plistlib.FMT_BINARY if form == "binary1" else plistlib.FMT_XML
    return plistlib.dumps(value, fmt=kind, sort_keys=True)


def show(value: Any, depth: int = 0) -> str:
    """A value as ``-p`` prints it."""
    inside, outside = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        lines = [f'{inside}"{key}" => {show(value[key], depth + 1)}\n' for key in sorted(value)]
        return "{\n" + "".join(lines) + outside + "}"
    if isinstance(value, list):
        lines = [f"{inside}{i} => {show(entry, depth + 1)}\n" for i, entry in enumerate(value)]
        return "[\n" + "".join(lines) + outside + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return raw(value)


def store(content: bytes, target: str) -> None:
    """Write to a file, or to standard output for ``-``."""
    if target == "-":
        sys.stdout.buffer.write(content)
        return
    with open(target, "wb") as file:
        file.write(content)


def replace(words: list[str]) -> None:
    """``-replace KEYPATH -TYPE VALUE FILE`` and ``-insert``: in place, as XML."""
    key_path, kind, text, path = words[:4]
    value = load(path)
    holder, _, last = key_path.rpartition(".")
    target = at(value, holder) if holder else value
    if kind == "-bool":
        target[last] = text.upper() in ("YES", "TRUE", "1")
    elif kind in ("-json", "-xml"):
        target[last] = json.loads(text) if kind == "-json" else plistlib.loads(text.encode())
    else:
        target[last] = _TYPES[kind](text)
    store(encode(value, "xml1"), path)


def run(words: list[str]) -> int:
    """One command of plutil; its exit code."""
    command, output = words.pop(0), ""
    if "-o" in words:
        at_ = words.index("-o")
        output = words[at_ + 1]
        del words[at_ : at_ + 2]
    quiet = "-s" in words
    words = [word for word in words if word not in ("-s", "--", "-n")]
    if command == "-lint":
        for path in words:
            load(path)
            if not quiet:
                sys.stdout.write(f"{'<stdin>' if path == '-' else path}: OK\n")
    elif command == "-p":
        sys.stdout.write(show(load(words[0])) + "\n")
    elif command == "-convert":
        for path in words[1:]:
            store(encode(load(path), words[0]), output or path)
    elif command == "-extract":
        key_path, form, path = words[:3]
        try:
            value = at(load(path), key_path)
        except KeyError:
            raise FailureError(
                f"{path}: Could not extract value, error: No value at that key path or invalid "
                f"key path: {key_path}"
            ) from None
        if form == "raw":
            # Without -o a raw value goes to standard output too; other formats replace the file.
            store((raw(value) + "\n").encode(), output or "-")
        else:
            store(encode(value, form), output or path)
    elif command in ("-replace", "-insert"):
        replace(words)
    else:
        complain(f"plutil: unrecognized option: {command}\n{_USAGE}")
        return 1
    return 0


def main(argv: list[str]) -> int:
    """Exit code 1 when the file or the key path is not there, or the call is wrong."""
    if not argv:
        complain(f"No files specified.\n{_USAGE}")
        return 1
    words = argv if argv[0].startswith("-") and argv[0] != "-" else ["-lint", *argv]
    try:
        return run(list(words))
    except FailureError as error:
        complain(str(error))
    except (IndexError, ValueError, KeyError):
        complain(_USAGE)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
