"""The full bidirectional pass over a run that has ended, into the same run, in bounded memory."""

from dblink_live.refine.session import Refinement, RefineSettings, RefineSummary, open_refinement

__all__ = ["RefineSettings", "RefineSummary", "Refinement", "open_refinement"]
