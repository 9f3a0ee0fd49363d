"""Resolution, drift, trust and comparison of what was reconstructed."""
