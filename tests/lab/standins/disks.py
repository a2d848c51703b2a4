"""``df`` with the columns of a Mac; ``MacSpec.disk_free`` decides what is available."""

from __future__ import annotations

import os
import sys

from tests.lab.standins.here import complain, mac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

_USAGE = "usage: df [--libxo] [-b | -g | -H | -h | -k | -m | -P] [-acIilnY] [-t type] [-T type]\n"
_USAGE += "          [file | filesystem ...]"
_BLOCKS = {"k": 1024, "m": 1 << 20, "g": 1 << 30, "b": 512}
_NAMES = {512: "512-blocks", 1024: "1024-blocks", 1 << 20: "1M-blocks", 1 << 30: "1G-blocks"}


def row(spec: MacSpec, path: str, block: int) -> list[str]:
    """Device, total, used, available, percent, inodes used, free, percent, place."""
    place = "/" if os.path.realpath(path) in ("/", "/System") else "/System/Volumes/Data"
    device = "/dev/disk3s1s1" if place == "/" else "/dev/disk3s5"
    values = os.statvfs(path)
    available = spec.disk_free if spec.disk_free is not None else values.f_bavail * values.f_frsize
    used = (values.f_blocks - values.f_bfree) * values.f_frsize
    inodes = values.f_files - values.f_ffree
    return [
        device,
        str((used + available) // block),
        str(used // block),
        str(available // block),
        f"{-(-100 * used // (used + available or 1))}%",
        str(inodes),
        str(values.f_ffree),
        f"{100 * inodes // (values.f_files or 1)}%",
        place,
    ]


def table(rows: list[list[str]], blocks: str, inodes: bool) -> str:
    """The lines that df prints; widths as in FreeBSD's df.c, from which Apple's comes."""
    heads = ["Filesystem", blocks, "Used", "Available"]
    wide = [max(len(head), *(len(line[i]) for line in rows)) for i, head in enumerate(heads)]
    width_used = max([7, *(len(line[5]) for line in rows)])
    width_free = max([5, *(len(line[6]) for line in rows)])
    text = heads[0].ljust(wide[0])
    text += "".join(f" {head:>{wide[i]}}" for i, head in enumerate(heads) if i) + " Capacity"
    if inodes:
        text += f" {'iused':>{width_used - 2}} {'ifree':>{width_free}} %iused"
    text += "  Mounted on\n"
    for line in rows:
        text += line[0].ljust(wide[0]) + "".join(f" {line[i]:>{wide[i]}}" for i in (1, 2, 3))
        text += f" {line[4]:>6}"
        if inodes:
            text += f" {line[5]:>{width_used}} {line[6]:>{width_free}} {line[7]:>5} "
        else:
            text += "  "
        text += f"  {line[8]}\n"
    return text


def human(line: list[str]) -> list[str]:
    """The same line with sizes as ``-h`` shows them: 233Gi."""
    sizes = []
    for value in line[1:4]:
        number, unit = float(value), "Bi"
        for unit in ("Bi", "Ki", "Mi", "Gi", "Ti"):
            if number < 1000 or unit == "Ti":
                break
            number /= 1024
        sizes.append(f"{number:.0f}{unit}" if number >= 10 else f"{number:.1f}{unit}")
    return [line[0], *sizes, *line[4:]]


def main(argv: list[str]) -> int:
    """Exit code: 1 when a path is missing, 64 for an option df has not."""
    block, posix, paths, sizes = 512, False, [], False
    for index, word in enumerate(argv):
        if word == "--" or not word.startswith("-") or word == "-":
            paths = argv[index + (word == "--") :]
            break
        for letter in word[1:]:
            if letter in _BLOCKS:
                block = _BLOCKS[letter]
            elif letter in "hH":
                sizes = True
            elif letter in "Pacilny":
                posix = posix or letter == "P"
            else:
                complain(f"df: illegal option -- {letter}\n{_USAGE}")
                return 64
    spec, rows, status = mac(), [], 0
    for path in paths or ["/", spec.home]:
        if not os.path.exists(path):
            complain(f"df: {path}: No such file or directory")
            status = 1
            continue
        line = row(spec, path, 1 if sizes else block)
        rows.append(human(line) if sizes else line)
    if rows:
        sys.stdout.write(table(rows, "Size" if sizes else _NAMES[block], inodes=not posix))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
