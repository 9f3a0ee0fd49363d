"""Everything around the pictures: toolbar, verdict, timeline, status and what can be done after a run."""
