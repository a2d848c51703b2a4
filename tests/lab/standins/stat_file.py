"""``stat``: BSD's, with ``-f FORMAT``; GNU's options are refused as a Mac refuses them."""

from __future__ import annotations

import os
import re
import stat
import sys
import time

from tests.lab.standins.here import complain, mac, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

_USAGE = "usage: stat [-FLnq] [-f format | -l | -r | -s | -x] [-t timefmt] [file|handle ...]"
_PLAIN = '%d %i %Sp %l %Su %Sg %r %z "%Sa" "%Sm" "%Sc" "%SB" %k %b %#Xf %N'
_TOKEN = re.compile(r"%([#+\-0 ]*)(\d*)(?:\.(\d+))?([DOUXFS]?)([HML]?)([diplugramcBzbkfvNTYZnt%@])")
_KINDS = {
    stat.S_IFREG: ("", "Regular File"),
    stat.S_IFDIR: ("/", "Directory"),
    stat.S_IFLNK: ("@", "Symbolic Link"),
    stat.S_IFIFO: ("|", "Fifo File"),
    stat.S_IFSOCK: ("=", "Socket"),
    stat.S_IFCHR: ("", "Character Device"),
    stat.S_IFBLK: ("", "Block Device"),
}


def user_name(spec: MacSpec, uid: int) -> str:
    """Name of a user on that Mac."""
    return {0: "root", spec.uid: spec.user, 65534: "root"}.get(uid, str(uid))


def group_name(spec: MacSpec, gid: int) -> str:
    """Name of a group on that Mac."""
    known = {0: "wheel", 80: "admin", 65534: "wheel", spec.gid: "staff"}
    return known.get(gid, str(gid))


def console_owner(spec: MacSpec) -> int:
    """Uid of who is logged in at the screen; 0 = nobody. launchd's stand-in keeps it in a file."""
    default = spec.uid if spec.gui_login else 0
    return int(state(spec, "console-uid", str(default)))


class Entry:
    """One file and its values by the letters of a format."""

    def __init__(self, spec: MacSpec, path: str, follow: bool, times: str) -> None:
        self.spec, self.path, self.times = spec, path, times
        self.info = os.stat(path) if follow else os.lstat(path)
        self.uid = console_owner(spec) if path == "/dev/console" else self.info.st_uid

    def mode(self, text: bool, part: str) -> str:
        """Letter ``p``: the type with all bits, or a part of it."""
        mode = self.info.st_mode
        if text:
            letters = stat.filemode(mode)
            return {"H": letters[0:4], "M": letters[4:7], "L": letters[7:10]}.get(part, letters)
        value = {"H": mode >> 12, "M": (mode >> 9) & 7, "L": mode & 0o777}.get(part, mode)
        return f"{value:o}"

    def moment(self, seconds: float, text: bool) -> str:
        """Letters ``a m c B``: seconds since 1970, or as the time format says."""
        return time.strftime(self.times, time.localtime(seconds)) if text else str(int(seconds))

    def value(self, letter: str, text: bool, part: str) -> str:
        """What one letter stands for."""
        info = self.info
        if letter == "p":
            return self.mode(text, part)
        if letter in "amcB":
            moments = {"a": info.st_atime, "m": info.st_mtime, "c": info.st_ctime}
            return self.moment(moments.get(letter, info.st_ctime), text)
        if letter == "u":
            return user_name(self.spec, self.uid) if text else str(self.uid)
        if letter == "g":
            gid = info.st_gid
            return group_name(self.spec, gid) if text else str(gid)
        if letter == "T":
            return _KINDS.get(stat.S_IFMT(info.st_mode), ("", ""))[1 if part == "H" else 0]
        if letter == "Y":
            link = os.readlink(self.path) if stat.S_ISLNK(info.st_mode) else ""
            return f" -> {link}" if text and link else link
        plain = {
            "z": info.st_size,
            "Z": info.st_size,
            "d": info.st_dev,
            "i": info.st_ino,
            "l": info.st_nlink,
            "k": info.st_blksize,
            "b": info.st_blocks,
            "r": info.st_rdev,
            "f": 0,
            "v": 0,
        }
        return self.path if letter == "N" else str(plain.get(letter, 0))

    def text(self, form: str) -> str:
        """The format with everything filled in."""

        def fill(match: re.Match[str]) -> str:
            flags, width, _, kind, part, letter = match.groups()
            if letter in "nt%@":
                return {"n": "\n", "t": "\t", "%": "%", "@": "1"}[letter]
            value = self.value(letter, kind == "S", part)
            if kind == "X":
                value = f"{'0x' if '#' in flags else ''}{int(value):x}"
            elif kind == "D" and letter == "p":
                value = str(int(value, 8))
            elif "#" in flags and letter == "p":
                value = "0" + value
            return value.ljust(int(width or 0)) if "-" in flags else value.rjust(int(width or 0))

        return _TOKEN.sub(fill, form)


def main(argv: list[str]) -> int:
    """Exit code: 1 when a file is missing or an option is not BSD's."""
    form, follow, newline, quiet, times = _PLAIN, False, True, False, "%b %e %T %Y"
    words = list(argv)
    while words and words[0].startswith("-") and len(words[0]) > 1:
        option = words.pop(0)
        if option == "--":
            break
        rest = option[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            if letter in "ft":
                if not rest and not words:
                    complain(f"stat: option requires an argument -- {letter}\n{_USAGE}")
                    return 1
                value, rest = rest or words.pop(0), ""
                form, times = (value, times) if letter == "f" else (form, value)
            elif letter in "Lnq":
                follow, newline = follow or letter == "L", newline and letter != "n"
                quiet = quiet or letter == "q"
            elif letter in "lF":
                form = "%Sp %l %Su %Sg %Z %Sm %N%SY"
            else:
                complain(f"stat: illegal option -- {letter}\n{_USAGE}")
                return 1
    spec, status = mac(), 0
    for path in words:
        try:
            entry = Entry(spec, path, follow, times)
        except OSError as error:
            if not quiet:
                complain(f"stat: {path}: stat: {error.strerror}")
            status = 1
            continue
        sys.stdout.write(entry.text(form) + ("\n" if newline else ""))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
