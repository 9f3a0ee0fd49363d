"""The full bidirectional pass over a run that has ended, into the same run, in bounded memory."""

from dblink_live.refine.backfill import Backfill, BackfillSummary
from dblink_live.refine.opening import open_refinement
from dblink_live.refine.session import Refinement, RefineSettings, RefineSummary

__all__ = ["Backfill", "BackfillSummary", "RefineSettings", "RefineSummary", "Refinement", "open_refinement"]
