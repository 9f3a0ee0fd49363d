"""Training of reconstruction networks."""
