"""Rows of text: separated by commas, semicolons, tabs, bars or spaces, with a line of names above them or without."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.encoding import encoding_of, iter_lines

_DELIMITERS = ("\t", ";", "|", ",")
"""In the order in which they are looked for: a comma may be a decimal sign between the others."""
_COMMENTS = ("#", "%", "//")
_UNKNOWN = frozenset(("", "na", "n/a", "#n/a", "none", "null", "nan", "-nan", "nil", "-", "--", "1.#qnan", "-1.#ind"))
"""What stands in a cell, in lower case, whose value is unknown."""
_SEP = re.compile(r'"?sep=(?P<delimiter>.)"?', re.IGNORECASE)
_FACT = re.compile(r"[A-Za-z][^:]*:\s")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_SAMPLE_ROWS = 200
_ROWS_PER_BLOCK = 50_000


@dataclass(frozen=True)
class TextLines:
    """A text file whose layout is known: encoding, delimiter, decimal sign and names."""

    path: Path
    encoding: str
    delimiter: str | None
    """None where columns are separated by spaces."""
    has_decimal_comma: bool
    names: tuple[str, ...]
    """The fields of the first line: names of columns, or the numbers of the first row."""
    has_names: bool
    first_row: int
    """Number of the line, from 1, from which rows are read."""
    n_spare: int = 0
    """Empty fields at the end of each row, behind those that have a name."""

    @property
    def layout(self) -> str:
        """Return the layout in words: comma-separated text, UTF-16, decimal commas."""
        name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", None: "space"}.get(self.delimiter, "character")
        encoding = "" if self.encoding.startswith("utf-8") else f", {self.encoding.upper()}"
        return f"{name}-separated text{encoding}{', decimal commas' if self.has_decimal_comma else ''}"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the line and the fields of each row.

        Raises
        ------
        SourceError
            A row is longer or shorter than the first line, as the last is in a file that was cut short.
        """
        has_ended = False
        for number, line in _content_lines(self.path, self.encoding):
            if number < self.first_row:
                continue
            if has_ended:
                self._refuse_row(line, number)
                continue
            # Zeiss writes facts of the rendered picture behind a zero byte.
            line, zero, rest = line.partition("\0")
            fields = split(line, self.delimiter, self.path, number)
            if any(field.strip() for field in fields) and not _is_fact(line, self.delimiter):
                yield number, self._checked(fields, number)
            if zero:
                has_ended = True
                self._refuse_row(rest, number)

    def _refuse_row(self, line: str, number: int) -> None:
        """Raise `SourceError` where ``line``, which stands behind the table's end, is a row of it."""
        if len(line.split(self.delimiter)) >= len(self.names) and not _is_fact(line, self.delimiter):
            raise SourceError(
                f"expected the end of the table behind the zero byte in {self.path}, found a further row in line "
                f"{number}; the file is damaged: copy it again"
            )

    def read(
        self, numbers: Sequence[int], texts: Sequence[int] = (), required: Sequence[int] = ()
    ) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Return columns of numbers [rows, len(numbers)], columns of text, and the line of each row.

        Parameters
        ----------
        numbers, texts
            Places of the columns, from 0.
        required
            Those of ``numbers`` in which no cell may be unknown; elsewhere empty cells are NaN.

        Raises
        ------
        SourceError
            A cell is no number, or a required one is empty; the line and the column are named.
        """
        values, words, lines = [np.zeros((0, len(numbers)))], [], [np.zeros(0, np.int64)]
        for block in _batched(self.rows()):
            cells = [fields for _, fields in block]
            at = np.array([number for number, _ in block], np.int64)
            values.append(np.stack([self._numbers(cells, at, i, i in required) for i in numbers], axis=1))
            words.append([[fields[i].strip() for fields in cells] for i in texts])
            lines.append(at)
        columns = [_label_column([cell for block in words for cell in block[i]]) for i in range(len(texts))]
        return np.concatenate(values), columns, np.concatenate(lines)

    def _checked(self, fields: list[str], number: int) -> list[str]:
        expected = len(self.names) + self.n_spare
        if len(fields) == expected:
            return fields
        hint = "the file was cut short or damaged: export it again"
        if self.delimiter == "," and len(fields) > expected:
            hint = "with decimal commas or text in it, export it with semicolons or decimal points"
        raise SourceError(
            f"expected {len(self.names)} values per row in {self.path}, found {len(fields)} in line {number}; {hint}"
        )

    def _numbers(
        self, cells: list[list[str]], lines: npt.NDArray[np.int64], index: int, is_required: bool
    ) -> npt.NDArray[np.float64]:
        column = [fields[index] for fields in cells]
        try:
            if not self.has_decimal_comma:
                return np.array(column, np.float64)
        except ValueError:
            pass
        return np.array(
            [self._number(cell, int(line), index, is_required) for cell, line in zip(column, lines, strict=True)]
        )

    def _number(self, cell: str, line: int, index: int, is_required: bool) -> float:
        text = cell.strip()
        is_unknown = text.casefold() in _UNKNOWN
        if is_unknown and not is_required:
            return np.nan
        # Beside decimal commas, a point separates thousands.
        if not is_unknown and is_number(text, self.has_decimal_comma) and not (self.has_decimal_comma and "." in text):
            return float(text.replace(",", "."))
        sign = "decimal commas" if self.has_decimal_comma else "decimal points"
        raise SourceError(
            f"expected a number in line {line}, column {index + 1} of {self.path}, found {text!r}; "
            f"export the table again, with {sign} and without thousands separators"
        )


def open_text(path: Path) -> TextLines:
    """Find out how a text file is laid out.

    Raises
    ------
    SourceError
        It holds no line of names or numbers, or its numbers may have decimal commas or thousands separators.
    """
    encoding = encoding_of(path)
    lines = list(itertools.islice(_content_lines(path, encoding), _SAMPLE_ROWS))
    commented = _last_comment(path, encoding)
    delimiter: str | None = None
    if lines and (stated := _SEP.fullmatch(lines[0][1].strip())):
        delimiter = stated["delimiter"]
        lines = lines[1:]
    if not lines:
        return TextLines(path, encoding, delimiter or ",", False, (), True, 1)
    first_number, first = lines[0]
    first = _unwrapped(first)
    lines = [(first_number, first), *itertools.takewhile(lambda numbered: "\0" not in numbered[1], lines[1:])]
    if delimiter is None:
        delimiter = _delimiter_of([line for _, line in lines])
    names = split(first, delimiter, path, first_number)
    has_names = not all(is_number(name, delimiter != ",") for name in names)
    first_row = first_number + 1 if has_names else first_number
    if not has_names and commented is not None:
        above = [name.strip() for name in split(commented, delimiter, path, first_number)]
        if len(above) == len(names) and not any(is_number(name) for name in above):
            names, has_names = above, True
    body = [
        split(line, delimiter, path, number)
        for number, line in lines
        if number >= first_row and not _is_fact(line, delimiter)
    ]
    names, n_spare = _without_spare(names, body)
    return TextLines(
        path=path,
        encoding=encoding,
        delimiter=delimiter,
        has_decimal_comma=delimiter != "," and _has_decimal_comma(body, path),
        names=tuple(name.strip() for name in names),
        has_names=has_names,
        first_row=first_row,
        n_spare=n_spare,
    )


def split(line: str, delimiter: str | None, path: Path, number: int) -> list[str]:
    """Return the fields of a line.

    Raises
    ------
    SourceError
        It cannot be understood.
    """
    if delimiter is None:
        return line.split()
    if '"' not in line:
        return line.split(delimiter)
    try:
        fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        # A spreadsheet that took the row for text quotes it once more, as a whole.
        return next(csv.reader(fields, delimiter=delimiter)) if len(fields) == 1 and delimiter in fields[0] else fields
    except csv.Error as error:
        raise SourceError(
            f"expected values in line {number} of {path}, found {line[:80]!r}: {error}; export the table again"
        ) from error


def is_number(text: str, has_decimal_comma: bool = False) -> bool:
    """Return whether a cell holds a number; with decimal commas, a point may not stand beside a comma."""
    if has_decimal_comma and "," in text:
        if "." in text or text.count(",") > 1:
            return False
        text = text.replace(",", ".")
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _content_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines that are neither empty nor comments."""
    for number, line in iter_lines(path, encoding):
        stripped = line.strip(" \r\ufeff")
        if stripped.strip("\t") and not stripped.startswith(_COMMENTS):
            yield number, stripped


def _last_comment(path: Path, encoding: str) -> str | None:
    """The comment just above the first other line, which may hold the names of the columns."""
    last = None
    for _, line in iter_lines(path, encoding):
        stripped = line.strip(" \r\ufeff")
        if stripped and not stripped.startswith(_COMMENTS):
            break
        if stripped:
            last = stripped.lstrip("#%/ ")
    return last


def _unwrapped(line: str) -> str:
    """A spreadsheet that took the header for text quotes it once more, as a whole."""
    try:
        fields = next(csv.reader([line]), [])
    except csv.Error:
        return line
    is_wrapped = len(fields) == 1 and line.startswith('"') and any(sign in fields[0] for sign in _DELIMITERS)
    return fields[0] if is_wrapped else line


def _is_fact(line: str, delimiter: str | None) -> bool:
    """Whether a line states something of the file (``VoxelSizeX : 0.1 mum``) and is no row."""
    return _FACT.match(line) is not None and (delimiter is None or delimiter not in line)


def _delimiter_of(lines: list[str]) -> str | None:
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines[:2]]
    for delimiter in _DELIMITERS:
        if all(delimiter in line for line in bare):
            return delimiter
    if len(lines) > 1 and len(lines[0].split()) == len(lines[1].split()) > 2:
        return None
    return next((delimiter for delimiter in _DELIMITERS if delimiter in bare[0]), ",")


def _without_spare(names: list[str], body: list[list[str]]) -> tuple[list[str], int]:
    """Names without those that are empty at the end, and how many empty fields rows have there."""
    n = len(names)
    while n > 1 and not names[n - 1].strip():
        n -= 1
    longest = max((len(fields) for fields in body), default=len(names))
    is_spare = longest > n and all(len(fields) == longest for fields in body)
    if is_spare and not any(field.strip() for fields in body for field in fields[n:]):
        return names[:n], longest - n
    return names, 0


def _has_decimal_comma(body: Iterable[list[str]], path: Path) -> bool:
    with_comma = [cell.strip() for fields in body for cell in fields if "," in cell]
    numeric = [cell for cell in with_comma if is_number(cell, has_decimal_comma=True) or _THOUSANDS.match(cell)]
    if numeric and all(_THOUSANDS.fullmatch(cell) for cell in numeric):
        raise SourceError(
            f"expected numbers of one meaning in {path}, found {numeric[0]}, which may be "
            f"{numeric[0].replace(',', '.')} or {numeric[0].replace(',', '')}; export it with decimal points"
        )
    return bool(numeric)


def _batched(rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    while block := list(itertools.islice(rows, _ROWS_PER_BLOCK)):
        yield block


def _label_column(cells: list[str]) -> npt.NDArray[Any]:
    """Numbers where all cells are, else text."""
    try:
        return np.array(cells, np.float64)
    except ValueError:
        return np.array(cells, np.str_)
