"""Verbs that set a microscope up: doctor, calibrate, models, keys."""
