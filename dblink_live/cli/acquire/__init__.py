"""Verbs that acquire: demo, run, resume."""
