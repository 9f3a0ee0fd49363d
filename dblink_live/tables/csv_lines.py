"""Comma-separated numbers with a line of names above them, or without one."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError

MAX_HEADER = 100_000
"""Characters after which a first line without an end is not one of column names."""


@dataclass(frozen=True)
class CsvLines:
    """A file whose rows are known to have one length."""

    path: Path
    first: tuple[str, ...]
    """The fields of the first line."""
    has_names: bool
    """False where the first line holds numbers, as a row does."""
    numbers: npt.NDArray[np.int64]
    """Of each row, its line, counted from 1."""

    def values(self, indices: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """The columns at ``indices``, [rows, len(indices)].

        Raises
        ------
        SourceError
            One of them holds something that is no number; the line and column are named.
        """
        if not len(self.numbers):
            return np.zeros((0, len(indices)))
        skipped = int(self.has_names)
        try:
            return np.loadtxt(
                self.path,
                delimiter=",",
                skiprows=skipped,
                usecols=indices,
                comments=None,
                ndmin=2,
                encoding="utf-8-sig",
                # Spreadsheets quote numbers that they took for text.
                quotechar='"',
            )
        except ValueError as error:
            raise self._not_a_number(indices, error) from error

    def _not_a_number(self, indices: tuple[int, ...], error: ValueError) -> SourceError:
        """Find the line that NumPy stumbled over."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for number, line in enumerate(file, start=1):
                if (number == 1 and self.has_names) or not line.strip():
                    continue
                fields = next(csv.reader([line]), [])
                for index in indices:
                    if not is_number(fields[index]):
                        return SourceError(
                            f"expected a number in line {number}, column {index + 1} of {self.path}, found "
                            f"{fields[index].strip()!r}; export the table again, with decimal points"
                        )
        return SourceError(f"expected numbers in {self.path}, found something else: {error}; export the table again")


def open_csv(path: Path) -> CsvLines:
    """Look at the first line, and check that every row has as many fields.

    Raises
    ------
    SourceError
        A row is longer or shorter than the first line, as the last is in a file that was cut short.
    """
    first = _first_line(path)
    has_names = not first or not all(is_number(name) for name in first)
    return CsvLines(path, first, has_names, _check_lines(path, len(first), has_names))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(MAX_HEADER)
    try:
        names = next(csv.reader([line]), [])
        # A spreadsheet that took the header for text quotes it once more, as a whole.
        if len(names) == 1 and "," in names[0]:
            names = next(csv.reader(names))
    except csv.Error as error:
        raise SourceError(
            f"expected a line of column names in {path}, found {line[:80]!r}: {error}; export the table again"
        ) from error
    return tuple(name.strip() for name in names)


def _check_lines(path: Path, n_columns: int, has_names: bool) -> npt.NDArray[np.int64]:
    """Line numbers (from 1) of the rows."""
    content = np.fromfile(path, np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    if content.size and content[-1] != ord("\n"):
        ends = np.append(ends, content.size)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    # A line that holds a carriage return and nothing else is empty, too.
    is_row = (ends - starts > 1) | ((ends > starts) & (content[np.minimum(starts, content.size - 1)] != ord("\r")))
    is_row[:1] &= not has_names
    commas = np.flatnonzero(content == ord(","))
    n_fields = np.searchsorted(commas, ends) - np.searchsorted(commas, starts) + 1
    wrong = np.flatnonzero(is_row & (n_fields != n_columns))
    if len(wrong):
        at = int(wrong[0])
        raise SourceError(
            f"expected {n_columns} values a row in {path}, found {int(n_fields[at])} in line {at + 1}; "
            "the file was cut short or damaged: export it again"
        )
    return np.flatnonzero(is_row) + 1
