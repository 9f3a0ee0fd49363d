"""Training: clips from simulators, losses, the loop, threshold calibration."""
