"""The recorded camera frames of a run."""
