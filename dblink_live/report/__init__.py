"""The report of a run: one HTML file with what was done, and how far its pictures can be trusted."""

from dblink_live.report.write import ReportSummary, write_report

__all__ = ["ReportSummary", "write_report"]
