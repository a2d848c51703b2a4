"""``xattr``: extended attributes such as the quarantine flag, kept in ``<state>/xattrs.json``."""

from __future__ import annotations

import json
import os
import sys

from tests.lab.standins.here import complain, mac, state

_USAGE = "usage: xattr [-l] [-r] [-s] [-v] [-x] file [file ...]\n"
_USAGE += "       xattr -p [-l] [-r] [-s] [-v] [-x] attr_name file [file ...]\n"
_USAGE += "       xattr -w [-r] [-s] [-x] attr_name attr_value file [file ...]\n"
_USAGE += "       xattr -d [-r] [-s] attr_name file [file ...]\n"
_USAGE += "       xattr -c [-r] [-s] file [file ...]"

Attributes = dict[str, dict[str, str]]


def below(path: str, recursive: bool) -> list[str]:
    """The path itself and, if wanted, all that lies below it."""
    found = [path]
    if recursive:
        for folder, folders, files in os.walk(path):
            found += [f"{folder}/{name}" for name in folders + files]
    return [os.path.abspath(entry) for entry in found]


def apply(action: str, known: Attributes, path: str, name: str, value: str) -> str | None:
    """Change ``known`` for one file; the name that was missing, if one was."""
    own = known.setdefault(path, {})
    if action == "w":
        own[name] = value
    elif action == "c":
        own.clear()
    elif action == "d" and own.pop(name, None) is None:
        return name
    return None


def main(argv: list[str]) -> int:
    """Exit code 1 for a missing file or attribute, 64 for a wrong call."""
    words, flags = list(argv), ""
    while words and words[0].startswith("-"):
        flags += words.pop(0)[1:]
    action = next((letter for letter in flags if letter in "pwdc"), "")
    count = {"p": 1, "d": 1, "w": 2}.get(action, 0)
    if set(flags) - set("pwdclrsvx") or len(words) <= count:
        complain(_USAGE)
        return 64
    name, value = [*words[:count], "", ""][:2]
    spec, status = mac(), 0
    known: Attributes = json.loads(state(spec, "xattrs.json", "{}"))
    for path in words[count:]:
        if not os.path.lexists(path):
            complain(f"xattr: [Errno 2] No such file or directory: '{path}'")
            status = 1
            continue
        if action in ("w", "d", "c"):
            missing = [
                apply(action, known, entry, name, value) for entry in below(path, "r" in flags)
            ]
            if "r" not in flags and missing[0]:
                complain(f"xattr: {path}: No such xattr: {name}")
                status = 1
            continue
        own = known.get(os.path.abspath(path), {})
        if action == "p" and name not in own:
            complain(f"xattr: {path}: No such xattr: {name}")
            status = 1
        for key in [name] if action == "p" and name in own else own if not action else []:
            prefix = f"{path}: " if len(words) - count > 1 else ""
            text = own[key] if action == "p" else f"{key}: {own[key]}" if "l" in flags else key
            sys.stdout.write(f"{prefix}{text}\n")
    if action in ("w", "d", "c"):
        kept = {path: own for path, own in known.items() if own}
        with open(f"{spec.state}/xattrs.json", "w", encoding="utf-8") as file:
            json.dump(kept, file)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
