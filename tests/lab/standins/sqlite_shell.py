"""``sqlite3``: the shell that comes with macOS, as far as scripts call it.

``sqlite3 [-readonly] [-batch] [-line] [-init FILE] [-cmd COMMAND] DATABASE SQL``, the database
also as a ``file:`` address. Output as of the real one: values joined by ``|``, or with ``-line``
one ``name = value`` a line, names aligned.
"""

from __future__ import annotations

import sqlite3
import sys

from tests.lab.standins.here import complain

_FLAGS = ("readonly", "batch", "line", "list", "noheader")


def shown(cursor: sqlite3.Cursor, *, lines: bool) -> str:
    """The rows of one statement as text."""
    names = [column[0] for column in cursor.description or ()]
    rows = [["" if value is None else str(value) for value in row] for row in cursor]
    if not lines:
        return "".join("|".join(row) + "\n" for row in rows)
    # Not narrower than five columns (shell.c, MODE_Line).
    width = max([5, *(len(name) for name in names)])
    blocks = (
        "".join(f"{name:>{width}} = {value}\n" for name, value in zip(names, row, strict=True))
        for row in rows
    )
    return "\n".join(blocks)


def main(argv: list[str]) -> int:
    """Exit code 1 for an error of SQLite or of the call."""
    flags, words, plain = set[str](), list(argv), list[str]()
    patience = 0.0
    while words:
        word = words.pop(0)
        name = word.lstrip("-")
        if not word.startswith("-") or plain:
            plain.append(word)
        elif name in ("init", "cmd") and words:
            value = words.pop(0)
            if name == "cmd" and value.startswith(".timeout "):
                patience = int(value.split()[1]) / 1000
            elif name == "cmd":
                complain(f"sqlite3: not known here: -cmd {value}")
                return 1
        elif name in _FLAGS:
            flags.add(name)
        else:
            complain(f"sqlite3: Error: unknown option: {word}")
            complain("Use -help for a list of options.")
            return 1
    if len(plain) != 2:
        complain("sqlite3: only DATABASE SQL is known here")
        return 1
    address = plain[0]
    if not address.startswith("file:"):  # the real one takes both, too
        address = plain[0]
    if not address.startswith("file:"):
        address = "file:" + address.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    if "readonly" in flags:
        address += ("&" if "?" in address else "?") + "mode=ro"
    try:
        found = sqlite3.connect(address, uri=True, isolation_level=None, timeout=patience)
        sys.stdout.write(shown(found.execute(plain[1]), lines="line" in flags))
        found.close()
    except sqlite3.Error as error:
        # The words in front of it differ between releases of the real one.
        complain(f"Error: in prepare, {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
