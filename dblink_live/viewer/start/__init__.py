"""The start page: choose a source and a sample, see what will happen, and start."""
