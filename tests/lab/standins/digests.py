"""``shasum`` and ``md5``."""

from __future__ import annotations

import hashlib
import os
import sys

from tests.lab.standins.here import complain


def digest(kind: str, path: str) -> str:
    """Hex digest of a file, or of standard input for ``-``; OSError when it cannot be read."""
    value = hashlib.new(kind)
    if path == "-":
        value.update(sys.stdin.buffer.read())
        return value.hexdigest()
    if os.path.isdir(path):
        raise IsADirectoryError(21, "Is a directory")
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            value.update(part)
    return value.hexdigest()


def shasum(argv: list[str]) -> int:
    """``shasum [-a BITS] [-b] [-c] [FILE...]``; 1 when a file is missing or differs."""
    words, kind, check = list(argv), "sha1", False
    while words and words[0].startswith("-") and words[0] != "-":
        option = words.pop(0)
        if option == "--":
            break
        if option in ("-a", "--algorithm"):
            kind = "sha" + words.pop(0)
        elif option.startswith("-a"):
            kind = "sha" + option[2:]
        elif option in ("-c", "--check"):
            check = True
        elif option not in ("-b", "-t", "-p", "-s", "-q", "--status", "--binary"):
            complain(f"Unknown option: {option.lstrip('-')}\nType shasum -h for help")
            return 1
    status = 0
    for path in words or ["-"]:
        try:
            if check:
                status |= verify(kind, path)
            else:
                sys.stdout.write(f"{digest(kind, path)}  {path}\n")
        except OSError as error:
            complain(f"shasum: {path}: {error.strerror}")
            status = 1
    return status


def verify(kind: str, path: str) -> int:
    """The lines ``HASH  FILE`` of a list, each compared; 1 when one differs."""
    if path == "-":
        lines = sys.stdin.read().splitlines()
    else:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    failed = 0
    for line in lines:
        wanted, _, name = line.partition(" ")
        name = name[1:] if name[:1] in (" ", "*") else name
        same = digest(kind, name) == wanted
        sys.stdout.write(f"{name}: {'OK' if same else 'FAILED'}\n")
        failed += not same
    if failed:
        complain(f"shasum: WARNING: {failed} computed checksum did NOT match")
    return 1 if failed else 0


def md5(argv: list[str]) -> int:
    """``md5 [-q] [-r] [-s TEXT] [FILE...]``; 1 when a file is missing."""
    words, quiet, reverse, status = list(argv), False, False, 0
    while words and words[0].startswith("-") and words[0] != "-":
        option = words.pop(0)
        if option == "-s":
            text = words.pop(0)
            value = hashlib.md5(text.encode()).hexdigest()
            sys.stdout.write(f"{value}\n" if quiet else f'MD5 ("{text}") = {value}\n')
            return 0
        quiet, reverse = quiet or option == "-q", reverse or option == "-r"
        if option not in ("-q", "-r", "--"):
            complain(f"md5: illegal option -- {option[1:2]}")
            complain("usage: md5 [-bctnpqrwx] [-s string] [file ...]")
            return 1
    for path in words or ["-"]:
        try:
            value = digest("md5", path)
        except OSError as error:
            complain(f"md5: {path}: {error.strerror}")
            status = 1
            continue
        shown = f"{value} {path}" if reverse else f"MD5 ({path}) = {value}"
        sys.stdout.write((value if quiet or not words else shown) + "\n")
    return status


def main(argv: list[str]) -> int:
    """Which of the two it is, the name says under which it was called."""
    called = os.path.basename(os.environ.get("CLAWFLEET_LAB_ARGV0", "shasum"))
    return md5(argv) if called == "md5" else shasum(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
