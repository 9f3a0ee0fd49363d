"""Localizations binned into maps."""
