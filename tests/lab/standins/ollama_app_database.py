"""Ollama.app's settings database: the columns that matter, as its releases make and migrate them.

Source: ollama app/store/database.go (WAL journal; one row with id 1; ``context_length`` defaults to
4096 before 0.17, whose migration to schema 14 makes 4096 a 0; ``auto_update_enabled`` since 15).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.lab.standins.ollama_versions import Traits

OLD_SCHEMA, NEW_SCHEMA = 12, 18


def path(home: str) -> Path:
    """Where the app keeps it."""
    return Path(home) / "Library" / "Application Support" / "Ollama" / "db.sqlite"


def open_(file: Path, traits: Traits) -> sqlite3.Connection:
    """The database, made or migrated as this release does at its start; the caller closes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = sqlite3.connect(file, isolation_level=None, timeout=5)
    found.execute("PRAGMA journal_mode = WAL")
    old = traits.app_sets_context
    columns = """id INTEGER PRIMARY KEY CHECK (id = 1),
        device_id TEXT NOT NULL DEFAULT '',
        expose BOOLEAN NOT NULL DEFAULT 0,
        models TEXT NOT NULL DEFAULT '',
        context_length INTEGER NOT NULL DEFAULT {context}"""
    columns = columns.format(context=4096 if old else 0)
    if not old:
        columns += ", auto_update_enabled BOOLEAN NOT NULL DEFAULT 1"
    schema = OLD_SCHEMA if old else NEW_SCHEMA
    columns += f", schema_version INTEGER NOT NULL DEFAULT {schema}"
    found.execute(f"CREATE TABLE IF NOT EXISTS settings ({columns})")
    found.execute("INSERT OR IGNORE INTO settings (id) VALUES (1)")
    (before,) = found.execute("SELECT schema_version FROM settings").fetchone()
    if before < schema:
        found.execute("UPDATE settings SET context_length = 0 WHERE context_length = 4096")
        column = "auto_update_enabled BOOLEAN NOT NULL DEFAULT 1"
        found.execute(f"ALTER TABLE settings ADD COLUMN {column}")
        found.execute("UPDATE settings SET schema_version = ?", (schema,))
    return found


def settings(found: sqlite3.Connection) -> dict[str, int]:
    """What the server is started with."""
    row = found.execute("SELECT context_length, expose FROM settings WHERE id = 1").fetchone()
    return {"context_length": int(row[0]), "expose": int(row[1])}


def set_context(found: sqlite3.Connection, context: int) -> None:
    """The user moves the slider."""
    found.execute("UPDATE settings SET context_length = ? WHERE id = 1", (context,))
