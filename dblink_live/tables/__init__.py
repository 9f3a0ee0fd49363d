"""Readers and writers of localization tables."""

from dblink_live.tables.formats import WRITTEN_SUFFIXES, format_of, read_localizations, write_localizations
from dblink_live.tables.table import TABLE_DTYPE, LocalizationTable

__all__ = [
    "TABLE_DTYPE",
    "WRITTEN_SUFFIXES",
    "LocalizationTable",
    "format_of",
    "read_localizations",
    "write_localizations",
]
