"""Training of localizer networks."""
