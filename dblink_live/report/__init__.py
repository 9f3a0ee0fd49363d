"""The report of a run: one HTML file that says what was done and why its pictures should be believed."""

from dblink_live.report.write import ReportSummary, write_report

__all__ = ["ReportSummary", "write_report"]
