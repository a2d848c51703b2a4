"""``base64``: one unbroken line, files by ``-i``."""

from __future__ import annotations

import base64
import binascii
import sys

from tests.lab.standins.here import complain

_USAGE = "Usage:\tbase64 [-Ddh] [-b num] [-i in_file] [-o out_file]"


def main(argv: list[str]) -> int:
    """Exit code: 1 for what cannot be decoded or read, 64 for a wrong option."""
    words, decode, source, target, width = list(argv), False, "-", "-", 0
    while words:
        word = words.pop(0)
        if word in ("-d", "-D", "--decode"):
            decode = True
        elif word in ("-i", "--input", "-o", "--output", "-b", "--break") and words:
            value = words.pop(0)
            if word in ("-i", "--input"):
                source = value
            elif word in ("-o", "--output"):
                target = value
            else:
                width = int(value)
        elif word.startswith("-") and word != "-":
            complain(f"base64: invalid option -- {word.lstrip('-')[:1]}\n{_USAGE}")
            return 64
        else:
            complain(f"base64: invalid argument {word}\n{_USAGE}")
            return 64
    try:
        if source == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(source, "rb") as file:
                content = file.read()
        if decode:
            result = base64.b64decode(b"".join(content.split()), validate=True)
        else:
            result = wrapped(base64.b64encode(content), width)
    except OSError as error:
        complain(f"base64: {source}: {error.strerror}")
        return 1
    except binascii.Error:
        complain("base64: stdin: (null): error decoding base64 input stream")
        return 1
    if target == "-":
        sys.stdout.buffer.write(result)
        return 0
    with open(target, "wb") as file:
        file.write(result)
    return 0


def wrapped(text: bytes, width: int) -> bytes:
    """The text in lines of that width, 0 = one line; nothing for nothing."""
    if not text:
        return b""
    step = width or len(text)
    return b"".join(text[at : at + step] + b"\n" for at in range(0, len(text), step))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
