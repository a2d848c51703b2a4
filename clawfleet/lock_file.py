"""models.lock on this machine: where it lies, and how it is read and written."""

from __future__ import annotations

import os
from pathlib import Path

from clawfleet.lock import Lock, parse
from clawfleet.settings import Settings, SettingsError


def path(settings: Settings) -> Path:
    """The file, whether it is there or not: beside hosts.yml."""
    named = os.environ.get("CLAWFLEET_HOSTS")
    folder = Path(named).parent if named else Path(__file__).parents[1]
    return folder / settings.models_lock


def text(settings: Settings) -> str | None:
    """The file's text, None where there is none. SettingsError when it can't be read."""
    file = path(settings)
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{file}: can't be read: {reason}") from None


def read(settings: Settings) -> Lock | None:
    """The lock, None where there is no file. SettingsError for one that can't be used."""
    found = text(settings)
    return None if found is None else parse(found, where=path(settings).name)


def write(settings: Settings, content: str) -> None:
    """Put the file in place whole, or leave it as it was. OSError where that can't be done."""
    file = path(settings)
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_text(content, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
