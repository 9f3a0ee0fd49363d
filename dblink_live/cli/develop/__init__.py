"""Verbs for developers: simulate, train, evaluate."""
