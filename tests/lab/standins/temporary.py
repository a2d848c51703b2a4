"""``mktemp``: the X have to be at the end of a template."""

from __future__ import annotations

import os
import random
import string
import sys

from tests.lab.standins.here import complain

_USAGE = "usage: mktemp [-d] [-p tmpdir] [-q] [-t prefix] [-u] template ...\n"
_USAGE += "       mktemp [-d] [-p tmpdir] [-q] [-u] -t prefix"
_LETTERS = string.ascii_letters + string.digits


def make(template: str, folder: bool, unsafe: bool) -> str:
    """Create what the template describes and return its path; OSError when that fails."""
    stem = template.rstrip("X")
    count = len(template) - len(stem)
    for _ in range(100 if count else 1):
        path = stem + "".join(random.choice(_LETTERS) for _ in range(count))
        try:
            if folder:
                os.mkdir(path, 0o700)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            continue
        if unsafe:
            os.rmdir(path) if folder else os.unlink(path)
        return path
    raise FileExistsError(17, "File exists")


def main(argv: list[str]) -> int:
    """Exit code 1 when nothing could be made or an option is unknown."""
    words, folder, quiet, unsafe, prefix = list(argv), False, False, False, ""
    parent = os.environ.get("TMPDIR", "/tmp").rstrip("/") or "/"
    below = ""
    while words and words[0].startswith("-") and len(words[0]) > 1:
        option = words.pop(0)
        if option == "--":
            break
        rest = option[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            if letter in "tp" and (rest or words):
                value, rest = rest or words.pop(0), ""
                prefix, below = (value, below) if letter == "t" else (prefix, value)
            elif letter in "dqu":
                folder, quiet = folder or letter == "d", quiet or letter == "q"
                unsafe = unsafe or letter == "u"
            else:
                complain(f"mktemp: illegal option -- {letter}\n{_USAGE}")
                return 1
    templates = [f"{below}/{word}" if below else word for word in words]
    if prefix or not words:
        templates.append(f"{below or parent}/{prefix or 'tmp'}.XXXXXXXXXX")
    for template in templates:
        try:
            sys.stdout.write(make(template, folder, unsafe) + "\n")
        except OSError as error:
            if not quiet:
                how = "mkdtemp" if folder else "mkstemp"
                complain(f"mktemp: {how} failed on {template}: {error.strerror}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
