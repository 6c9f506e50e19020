"""Conversations in a file: they outlive the server. One machine, any number of gateways."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping

from wavemill.pipeline.config import ConfigError

TABLES = """
create table if not exists talks (id text primary key, changed_at real not null);
create table if not exists items (
    talk text not null, name text not null, content blob not null, primary key (talk, name)
) without rowid;
create index if not exists talks_by_age on talks (changed_at);
"""
BUSY_SECONDS = 30  # that another gateway may write


class SqliteStore:
    """One connection, and a lock around it."""

    def __init__(self, path: str, kept_seconds: float) -> None:
        """Open or make the file; raises ConfigError."""
        self._kept, self._lock = kept_seconds, threading.Lock()
        try:
            self._database = sqlite3.connect(
                path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=normal")
            self._database.executescript(TABLES)
        except sqlite3.Error as error:
            raise ConfigError(f"store: {path}: {error}") from None

    def read(self, conversation: str) -> dict[str, bytes]:
        with self._lock:
            rows = self._database.execute(
                "select name, content from items join talks on id = talk "
                "where talk = ? and changed_at >= ?",
                (conversation, time.time() - self._kept),
            ).fetchall()
        return dict(rows)

    def write(self, conversation: str, changed: Mapping[str, bytes | None]) -> None:
        now = time.time()
        with self._lock, self._database as database:
            database.execute("begin immediate")
            database.execute("insert or replace into talks values (?, ?)", (conversation, now))
            for name, content in changed.items():
                if content is None:
                    database.execute(
                        "delete from items where talk = ? and name = ?", (conversation, name)
                    )
                else:
                    database.execute(
                        "insert or replace into items values (?, ?, ?)",
                        (conversation, name, content),
                    )
            old = (now - self._kept,)
            database.execute(
                "delete from items where talk in (select id from talks where changed_at < ?)", old
            )
            database.execute("delete from talks where changed_at < ?", old)
