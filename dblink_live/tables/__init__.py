"""Readers and writers of localization tables."""

from dblink_live.tables.formats import WRITTEN_SUFFIXES, read_localizations, write_localizations
from dblink_live.tables.table import TABLE_DTYPE, LocalizationTable

__all__ = ["TABLE_DTYPE", "WRITTEN_SUFFIXES", "LocalizationTable", "read_localizations", "write_localizations"]
