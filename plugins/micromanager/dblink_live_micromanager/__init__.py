"""dblink_live beside your own pycromanager script: three lines to add."""

from dblink_live_micromanager.hook import LiveHook

__all__ = ["LiveHook"]
