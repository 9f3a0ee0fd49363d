"""The databases of a run folder, opened for writing by its one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import StoreError
from dblink_live.store.filesystem import check_local, check_new_run, store_error
from dblink_live.store.journal import Journal, JournalReader, RunFacts
from dblink_live.store.localizations import LocalizationWriter
from dblink_live.store.lock import WriterLock


@dataclass(frozen=True)
class WritableFolder:
    """Resources of a writer; released by `close`."""

    path: Path
    facts: RunFacts
    journal: Journal
    localizations: LocalizationWriter
    lock: WriterLock

    @classmethod
    def create(cls, path: Path, facts: RunFacts) -> WritableFolder:
        """Make the databases of a new run.

        Raises
        ------
        StoreError
            The folder holds something, lies on a network share, or cannot be written.
        """
        check_new_run(path)

        def make_folder() -> None:
            path.mkdir(parents=True, exist_ok=True)

        # The journal comes last: a folder with a journal is a run.
        return cls._open(path, facts, "creating a run", make_folder, lambda: Journal.create(path, facts))

    @classmethod
    def reopen(cls, path: Path) -> WritableFolder:
        """Open those of a run that is there.

        Raises
        ------
        StoreError
            The folder is no run, or another process is writing to it.
        """
        reader = JournalReader(path)
        facts = reader.facts()
        reader.close()
        check_local(path)
        return cls._open(path, facts, "opening a run for writing", None, lambda: Journal.open(path))

    @classmethod
    def _open(
        cls,
        path: Path,
        facts: RunFacts,
        doing: str,
        make_folder: Callable[[], None] | None,
        open_journal: Callable[[], Journal],
    ) -> WritableFolder:
        with ExitStack() as undo:
            try:
                if make_folder is not None:
                    make_folder()
                lock = WriterLock(path)
                undo.callback(lock.release)
                localizations = LocalizationWriter(path, create=make_folder is not None)
                undo.callback(localizations.close)
                journal = open_journal()
            except (OSError, sqlite3.Error, StoreError) as error:
                raise store_error(error, path, doing) from error
            undo.pop_all()
        return cls(path, facts, journal, localizations, lock)

    def close(self) -> None:
        """Close the databases and let others write."""
        for closing in (self.journal.close, self.localizations.close):
            with suppress(sqlite3.Error):
                closing()
        self.lock.release()
