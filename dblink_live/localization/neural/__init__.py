"""Localizers by a network: what they share, and the two kinds."""
