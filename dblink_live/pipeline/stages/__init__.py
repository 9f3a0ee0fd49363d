"""The stages of a live run, one file each: localize, bin, reconstruct, store, publish."""
