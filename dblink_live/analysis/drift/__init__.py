"""Drift: from tables, from pictures, from beads, and while the run goes on."""
