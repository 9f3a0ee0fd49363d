"""One module per table format. Each registers itself as ``FORMAT``."""
