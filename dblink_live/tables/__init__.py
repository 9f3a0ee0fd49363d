"""Readers and writers of localization tables."""

from dblink_live.tables.formats import (
    describe_read,
    describe_written,
    format_of,
    format_of_content,
    read_localizations,
    table_formats,
    write_localizations,
    written_suffixes,
)
from dblink_live.tables.table import TABLE_DTYPE, LocalizationTable, unknown_rows
from dblink_live.tables.table_format import TableFormat

__all__ = [
    "TABLE_DTYPE",
    "LocalizationTable",
    "TableFormat",
    "describe_read",
    "describe_written",
    "format_of",
    "format_of_content",
    "read_localizations",
    "table_formats",
    "unknown_rows",
    "write_localizations",
    "written_suffixes",
]
