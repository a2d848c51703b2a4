"""Changes as data: what a deploy would do to one Mac, before anything becomes a command.

The dry run prints these, the operations turn them into commands, the report names them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from clawfleet.edits import Change
from clawfleet.snapshot import File, Snapshot


class Trouble(Exception):
    """Why this Mac can't go on: what was found, what was expected, and the command that fixes it.

    Which Mac it is, the caller adds.
    """

    def __init__(self, found: str, *, expected: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.fix = fix

    def lines(self) -> list[str]:
        """For a person; further lines of what was found are indented below the first."""
        found = self.found.splitlines() or [""]
        return [
            f"found:    {found[0]}",
            *(f"          {line}" for line in found[1:]),
            f"expected: {self.expected}",
            f"to fix:   {self.fix}",
        ]


DAEMONS = "/Library/LaunchDaemons"
"""launchd's folder for what is started without a login: root's, and readable by everybody."""


def is_roots(path: str) -> bool:
    """Whether a file that we write has to be root's: one in that folder itself, as
    scripts/owners.sh asks as well."""
    return path.startswith(f"{DAEMONS}/") and "/" not in path.removeprefix(f"{DAEMONS}/")


@dataclass(frozen=True)
class Step:
    """One sh script that changes a Mac."""

    title: str
    """What a person reads: ``install Homebrew``."""
    reason: str
    script: str
    """Sent over stdin, so that it stands in no argument list."""
    fix: str
    """What a person can run when it fails."""
    timeout: int = 900
    """Seconds."""
    show: str = ""
    """The command as a person would type it, for the dry run; empty: only the title."""
    installs: str = ""
    """What the Mac then has from us, such as ``formula ollama``; remembered there."""
    keeps: bool = False
    """The script keeps copies in this run's backup: ``commit.head`` has to stand in front of it."""


@dataclass(frozen=True)
class FileChange:
    """New bytes for one file on a Mac."""

    file: File
    """As it was read; its hash is compared again on the Mac before the new bytes replace it."""
    after: bytes
    mode: str = "600"
    reasons: tuple[str, ...] = ()
    merged: tuple[Change, ...] | None = None
    """What was changed in a JSON5 document, for the ledger; None: a text of lines."""
    gone: bool = False
    """The file is taken away; `after` is empty then."""

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def same(self) -> bool:
        return self.file.content == (None if self.gone else self.after)


def guard(file: File, snapshot: Snapshot) -> File:
    """The file that a change has to replace: a link's own target, so that the link stays.

    Trouble unless it is this user's file in this user's folders, where nobody else may exchange
    it, and in truth where its path says: OpenClaw's files in ~/.openclaw (which may itself be a
    link), the others in the home folder. What lies elsewhere by its path, as in Homebrew's prefix,
    has only its owner checked: Homebrew lets the group of administrators write there.
    """
    if file.trouble:
        raise Trouble(
            f"{file.path} is {file.trouble}",
            expected="a file that this user can read and write",
            fix=f"on the Mac: ls -ld {quote(file.path)}",
        )
    if is_roots(file.path):
        return _guard_of_root(file)
    path = file.link or file.path
    folder = file.folder or path.rpartition("/")[0]
    root = _root(file, snapshot)
    if root and folder != root and not folder.startswith(f"{root}/"):
        raise _elsewhere(file, folder, root)
    _is_own(path, file.uid, snapshot)
    while found := snapshot.folders.get(folder):
        _is_own(folder, found.uid, snapshot)
        # The mode of ~/.openclaw itself is mended, not refused.
        if root and folder not in (root, snapshot.state_folder) and int(found.mode, 8) & 0o022:
            raise Trouble(
                f"others may exchange what is in {folder} (mode {found.mode})",
                expected=f"a folder that only {snapshot.user} may write into",
                fix=f"on the Mac: chmod go-w {quote(folder)}",
            )
        if not root or folder == root:
            break
        folder = folder.rpartition("/")[0]
    return replace(file, path=path)


def _root(file: File, snapshot: Snapshot) -> str | None:
    """The folder that a file may not leave, by what its path says."""
    home = snapshot.home_folder or snapshot.home
    state = f"{snapshot.home}/.openclaw"
    if not file.path.startswith(f"{snapshot.home}/"):
        return None
    if not file.path.startswith(f"{state}/"):
        return home
    if snapshot.state_folder or not file.folder:
        return snapshot.state_folder or snapshot.state_link or state
    return home  # there is no ~/.openclaw yet


def _guard_of_root(file: File) -> File:
    if file.link:
        raise Trouble(
            f"{file.path} is a link to {file.link}",
            expected="a plist of root's: launchd takes nothing else for a daemon",
            fix=f"on the Mac: sudo rm {quote(file.path)}",
        )
    if file.uid not in (None, 0):
        raise Trouble(
            f"{file.path} belongs to the user with the id {file.uid}",
            expected="root: launchd takes nothing else for a daemon",
            fix=f"on the Mac: sudo chown root:wheel {quote(file.path)}",
        )
    return file


def _is_own(path: str, uid: int | None, snapshot: Snapshot) -> None:
    if uid not in (None, snapshot.uid):
        raise Trouble(
            f"{path} belongs to the user with the id {uid}",
            expected=f"the Mac's own user {snapshot.user} (id {snapshot.uid})",
            fix=f"on the Mac: sudo chown {quote(snapshot.user)} {quote(path)}",
        )


def _elsewhere(file: File, folder: str, root: str) -> Trouble:
    if file.link:
        new = quote(f"{file.path}.new")
        return Trouble(
            f"{file.path} is a link to {file.link}",
            expected=f"a file in {root}/",
            fix="on the Mac, put the file itself in the link's place: "
            f"cp {quote(file.link)} {new} && mv {new} {quote(file.path)}",
        )
    return Trouble(
        f"{file.path} lies in {folder}, as a folder on the way is a link",
        expected=f"a file in {root}/",
        fix="on the Mac, put the folder itself in the link's place; "
        f"ls -ld {quote(file.path.rpartition('/')[0])} and the folders above show the link",
    )


def quote(value: str) -> str:
    """A value as one word of sh."""
    return shlex.quote(value)
