"""Recorded stacks in files: TIFF, Zarr and Picasso's raw movies."""
