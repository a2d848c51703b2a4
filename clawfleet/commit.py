"""The script that puts new files in place on a Mac: compare, back up, write beside, check, move.

Together with ``scripts/gateway.sh`` it makes a change of what the gateway reads a transaction:
``~/.clawfleet/unfinished`` names the run from before the first move until the gateway was seen
well with the new files, or the old ones are back. A run that finds the file goes on in the
backup of the run that was cut off, so that its failure gives the state before both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Literal

from clawfleet.plan import FileChange, is_roots, quote
from clawfleet.scripts import load

KEPT = 10
"""Newest backup folders that stay."""

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
"""The name of a run, and of its backup."""

STOPPED = "clawfleet:gateway-stopped"
"""What the script prints once it has opened the transaction: from then on the gateway may be
stopped, also where it could not be stopped wholly."""
CHANGED_MEANWHILE = 75
REFUSED_BY_OPENCLAW = 65
NOTHING_TO_RESTORE = 3

Part = Literal["gateway", "other"]


def head(run: str, part: Part) -> str:
    """sh with the functions that keep files in the backup of a run."""
    return f"RUN={run}\nPART={part}\n{load('owners.sh')}{load('commit.sh')}"


def script(
    changes: Sequence[FileChange],
    *,
    run: str,
    validate: str | None = None,
    restart_reasons: Sequence[str] = (),
    port: int | None = None,
    also: Sequence[str] = (),
    part: Part | None = None,
    running: bool = False,
    daemons: bool = False,
) -> str:
    """sh that makes all `changes` or none, with the state before kept in this run's backup.

    `validate` is a command that must accept the file in ``$CANDIDATE`` (the new openclaw.json,
    beside the old one) before it replaces it. `restart_reasons` are left for the gateway in the
    same script, so that a run that dies in between is finished by the next. With `port` the
    gateway there is stopped first, once all else has succeeded: it answers a change of its files
    with a restart of its own. Of the files in `also` a copy is kept. `part` is where the state
    before is kept, where it is not told by `port`. With `running` the gateway goes on: it applies
    just this change by itself, and its process and the length of its logs are noted. `daemons`: it
    is a LaunchDaemon. Exit codes: CHANGED_MEANWHILE, REFUSED_BY_OPENCLAW, 1 for anything else;
    nothing was moved then.
    """
    temporaries = [f"t{index}" for index in range(len(changes))]
    parts = [
        launchd(port, daemons) if port else "",
        head(run, part or ("gateway" if port else "other")),
        "".join(f"{name}=; " for name in temporaries),
        f"trap {quote(_drop(changes))} EXIT\n",
    ]
    for index, change in enumerate(changes):
        parts.append(f"compare {_expected(change)}\n")
        if not change.gone:
            parts.append(_beside(change, index, run))
            if validate and change.path.endswith("/openclaw.json"):
                parts.append(f"CANDIDATE=$t{index}; export CANDIDATE\n{validate} || exit 65\n")
    parts += [
        f"keep {quote(change.path)} {quote(backup_name(change.path))}\n" for change in changes
    ]
    parts += [f"also {quote(path)} {quote(backup_name(path))}\n" for path in also]
    if port:
        parts.append(f"unfinished\necho {STOPPED}\n")
        parts.append(load("mark.sh") if running else 'stop || { say "$why"; exit 1; }\n')
    parts += [f"compare {_expected(change)}\n" for change in changes]
    for index, change in enumerate(changes):
        name = backup_name(change.path)
        kind = "gone" if change.gone else "after"
        source = "/dev/null" if change.gone else f"$t{index}"
        parts.append(f'cat "{source}" > "$B"/{quote(name)}.{kind} || exit 1\n')
    if restart_reasons:
        lines = "\n".join(reason.replace("\n", " ") for reason in restart_reasons)
        parts.append(
            f"cat >> \"$HOME/.clawfleet/restart-needed\" <<'END' || exit 1\n{lines}\nEND\n"
        )
    lines = "".join(
        f"{change.file.sha256 or 'absent'}\t{'-' if change.gone else _temporary(change, run)}"
        f"\t{backup_name(change.path)}\t{change.path}\n"
        for change in changes
    )
    parts.append(f"moving <<'END'\n{lines}END\n")
    for index, change in enumerate(changes):
        path = quote(change.path)
        back = "".join(
            f"put {quote(c.path)} {quote(backup_name(c.path))} {quote(_temporary(c, run))}; "
            for c in changes[:index]
        )
        move = f"rm -f {path}" if change.gone else f'mv -f "$t{index}" {path}'
        move = f"sudo -n {move}" if is_roots(change.path) else move
        expected, name = _expected(change), quote(backup_name(change.path))
        # Compared once more: `sync` may take its time, and an editor does not wait for it.
        parts.append(
            f"same {expected} && due {name} && {move} || "
            f'{{ rm -f "$B/moving"; {back}{_drop(changes)}; compare {expected}; exit 1; }}\n'
        )
    parts.append('rm -f "$B/moving"\n')
    parts.append(f"\nprune {KEPT}\nexit 0\n")
    return "".join(parts)


def resume(run: str, port: int, *, daemons: bool = False) -> str:
    """sh that makes the moves that a run which was cut off had begun and not ended.

    A file that somebody has written since stays as it is. Exit code 0 also where nothing was left.
    """
    return f"{launchd(port, daemons)}{head(run, 'gateway')}{load('resume.sh')}"


def launchd(port: int, daemons: bool) -> str:
    """sh with the functions that stop and start the gateway's job."""
    services = "daemons" if daemons else "agents"
    return f"PORT={port}\nSERVICES={services}\n{load('launchd.sh')}"


def restore(run: str) -> str:
    """sh that puts everything the gateway starts from back as it was before the run.

    Exit codes: 0 it is back, NOTHING_TO_RESTORE when that run had changed nothing of it, 1 when
    something could not be put back.
    """
    return f"RUN={run}\n{load('domain.sh')}{load('owners.sh')}{load('restore.sh')}"


def _expected(change: FileChange) -> str:
    return f"{quote(change.path)} {change.file.sha256 or 'absent'}"


def _temporary(change: FileChange, run: str) -> str:
    return f"{change.path}.clawfleet-{run}"


def _beside(change: FileChange, index: int, run: str) -> str:
    """sh that writes the new content beside the file, for its owner only from the first byte."""
    content = base64.b64encode(change.after).decode()
    if is_roots(change.path):
        return f"""
t{index}={quote(_temporary(change, run))}
sudo -n rm -f {quote(change.path)}.clawfleet-*
sudo -n sh -c 'umask 077; set -C; base64 -d > "$1"' sh "$t{index}" <<'END' || exit 1
{content}
END
sudo -n chmod {change.mode} "$t{index}" || exit 1
"""
    # What a run that was cut off left goes. Without clobber: a link that somebody put at that name
    # is not followed.
    return f"""
mkdir -p {quote(change.path.rsplit("/", 1)[0])} || exit 1
t{index}={quote(_temporary(change, run))}
rm -f {quote(change.path)}.clawfleet-*; set -C
unpack > "$t{index}" <<'END' || exit 1
{content}
END
set +C; chmod {change.mode} "$t{index}" || exit 1
"""


def _drop(changes: Sequence[FileChange]) -> str:
    """sh that takes the temporaries away."""
    own = [f'"$t{n}"' for n, change in enumerate(changes) if not is_roots(change.path)]
    roots = [f'"$t{n}"' for n, change in enumerate(changes) if is_roots(change.path)]
    commands = [f"rm -f {' '.join(own)}"] if own else []
    commands += [f"sudo -n rm -f {' '.join(roots)}"] if roots else []
    return "; ".join(commands) or ":"


def backup_name(path: str) -> str:
    """The name under which a file lies in a backup: ``openclaw-openclaw.json``; of an agent's file
    with the agent's id in front, as each agent has one."""
    folder, _, name = path.rpartition("/")
    agent = re.search(r"/agents/([^/]+)/", path)
    prefix = f"{agent[1]}-" if agent else ""
    return f"{prefix}{folder.rpartition('/')[2].lstrip('.') or 'home'}-{name.lstrip('.')}"
