"""Verbs that look: view, verify."""
