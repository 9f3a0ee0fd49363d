"""Commit windows in a thread, so that the live loop does not wait for the disk.

Jobs are committed strictly in the order in which they were submitted. For those that are ready together the thread
first waits for their array data, then stores their localizations in one transaction, then their rows in another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dblink_live.latency import MAX_COMMITS_IN_FLIGHT
from dblink_live.store.arrays import PendingWrite
from dblink_live.store.filesystem import store_error
from dblink_live.store.journal import Journal
from dblink_live.store.localizations import LocalizationWriter, PackedLocalizations

_WAKE_S = 0.5  # On Windows a wait without a limit cannot be interrupted by Ctrl-C.


@dataclass(frozen=True)
class CommitTask:
    """Something to enter in the journal once what it names is on disk."""

    enter: Callable[[Journal], None]
    data: PendingWrite | None = None
    localizations: PackedLocalizations | None = None


class Committer:
    """Commits jobs in order, in a thread of its own.

    The first failure stops it: later jobs are dropped, never committed out of order, and every further call raises the
    `StoreError`.
    """

    def __init__(self, folder: Path, journal: Journal, localizations: LocalizationWriter) -> None:
        self._folder = folder
        self._journal = journal
        self._localizations = localizations
        self._jobs: deque[CommitTask] = deque()
        self._n_busy = 0
        self._is_closing = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        # A daemon: an owner that forgets to close must not keep the process alive; what was committed is safe anyway.
        self._thread = threading.Thread(target=self._run, name="store-committer", daemon=True)
        self._thread.start()

    def submit(self, job: CommitTask) -> None:
        """Queue a job; wait while `MAX_COMMITS_IN_FLIGHT` others are under way."""
        with self._changed:
            self._wait_until(lambda: len(self._jobs) + self._n_busy < MAX_COMMITS_IN_FLIGHT)
            self._jobs.append(job)
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until all that was submitted is committed."""
        with self._changed:
            self._wait_until(lambda: not self._jobs and self._n_busy == 0)

    def close(self) -> None:
        """Commit what is left unless something failed, and end the thread. Does not raise."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while self._error is None and not condition():
            self._changed.wait(_WAKE_S)
        if self._error is not None:
            raise store_error(self._error, self._folder, "committing a window") from self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_closing)
                if not self._jobs:
                    return
                batch = list(self._jobs)
                self._jobs.clear()
                self._n_busy = len(batch)
            error = self._commit(batch)
            with self._changed:
                self._n_busy = 0
                self._error = error
                self._changed.notify_all()
                if error is not None:
                    return

    def _commit(self, batch: list[CommitTask]) -> BaseException | None:
        """Commit as many jobs of ``batch`` as are good, in order; return what stopped it."""
        error: BaseException | None = None
        ready: list[CommitTask] = []
        for job in batch:
            try:
                if job.data is not None:
                    job.data.result()
            except Exception as failure:
                error = failure
                break
            ready.append(job)
        try:
            self._localizations.write([job.localizations for job in ready if job.localizations is not None])
            with self._journal.transaction():
                for job in ready:
                    job.enter(self._journal)
        except Exception as failure:
            error = error or failure
        return error
