"""Verbs for recorded data: refine, reconstruct, localize, convert, analyze, report."""
