"""Run folders of dblink_live in napari: a reader, and a panel that follows a run while it goes on.

Only the store and the wire of dblink_live are used. Nothing here imports torch, and nothing writes into a run.
"""
