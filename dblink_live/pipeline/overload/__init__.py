"""What a live run does when it is too much for the machine: forecast, degradation, live region."""
