"""Frames of a live run: cut into segments, recorded and accounted for."""
