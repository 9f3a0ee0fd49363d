"""The live line from source to run folder and viewer, and the runs composed of it."""
