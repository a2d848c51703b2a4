"""The script that puts new files in place on a Mac: compare, back up, write beside, check, move."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from clawfleet.plan import FileChange, quote
from clawfleet.scripts import load

KEPT = 10
"""Newest backup folders that stay."""

STOPPED = "clawfleet:gateway-stopped"
"""What the script prints once it has stopped the gateway."""
CHANGED_MEANWHILE = 75
REFUSED_BY_OPENCLAW = 65


def script(
    changes: Sequence[FileChange],
    *,
    run: str,
    validate: str | None = None,
    restart_reasons: Sequence[str] = (),
    port: int | None = None,
) -> str:
    """sh that makes all `changes` or none, with the state before kept in this run's backup.

    `validate` is a command that must accept the file in ``$CANDIDATE`` (the new openclaw.json,
    beside the old one) before it replaces it. `restart_reasons` are left for the gateway in the
    same script, so that a run that dies in between is finished by the next. With `port` the
    gateway there is stopped first, once all else has succeeded: it answers a change of its files
    with a restart of its own. Exit codes:
    CHANGED_MEANWHILE, REFUSED_BY_OPENCLAW, 1 for anything else; nothing was moved then.
    """
    names = [f"t{index}" for index in range(len(changes))]
    parts = [
        f"PORT={port}\n{load('launchd.sh')}" if port else "",
        _fill(load("commit.sh"), run),
        "".join(f"{name}=; " for name in names),
        "trap 'rm -f " + " ".join(f'"${name}"' for name in names) + "' EXIT\n",
    ]
    for index, change in enumerate(changes):
        path = quote(change.path)
        folder = quote(change.path.rsplit("/", 1)[0])
        temporary = f"{change.path}.clawfleet-{run}"
        content = base64.b64encode(change.after).decode()
        parts.append(f"""
mkdir -p {folder} || exit 1
compare {path} {change.file.sha256 or "absent"}
t{index}={quote(temporary)}
unpack > "$t{index}" <<'END' || exit 1
{content}
END
chmod {change.mode} "$t{index}" || exit 1
""")
        if validate and change.path.endswith("/openclaw.json"):
            parts.append(f"CANDIDATE=$t{index}; export CANDIDATE\n{validate} || exit 65\n")
    parts.append(f"LIST={'gateway' if port else 'other'}\n")
    for change in changes:
        parts.append(f"keep {quote(change.path)} {quote(_name(change.path))}\n")
    if port:
        parts.append(f'stop || {{ say "$why"; exit 1; }}\necho {STOPPED}\n')
    for change in changes:
        parts.append(f"compare {quote(change.path)} {change.file.sha256 or 'absent'}\n")
    if restart_reasons:
        lines = "\n".join(reason.replace("\n", " ") for reason in restart_reasons)
        parts.append(
            f"cat >> \"$HOME/.clawfleet/restart-needed\" <<'END' || exit 1\n{lines}\nEND\n"
        )
    for index, change in enumerate(changes):
        back = "".join(
            f'put {quote(c.path)} {quote(_name(c.path))} "$t{i}"; '
            for i, c in enumerate(changes[:index])
        )
        parts.append(f'mv -f "$t{index}" {quote(change.path)} || {{ {back}exit 1; }}\n')
    parts.append(f"\nprune {KEPT}\nexit 0\n")
    return "".join(parts)


def restore(run: str) -> str:
    """sh that puts every file that the gateway reads back as it was before the run; exit code 1
    when one fails."""
    return _fill(load("restore.sh"), run)


def _fill(script: str, run: str) -> str:
    return f"RUN={run}\n{script}"


def _name(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder.rpartition('/')[2].lstrip('.') or 'home'}-{name.lstrip('.')}"
