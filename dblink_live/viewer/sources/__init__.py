"""Where the viewer's pictures come from: the wire of a live run, or a run folder."""
