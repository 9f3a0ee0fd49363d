"""The command line: one small module a verb."""

from dblink_live.cli.main import main

__all__ = ["main"]
