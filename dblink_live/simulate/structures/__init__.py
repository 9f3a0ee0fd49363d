"""Structures to simulate: filaments, mitochondria, the endoplasmic reticulum."""
