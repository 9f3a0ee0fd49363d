"""Cameras behind Micro-Manager: a core of our own, an acquisition, a preview, a script."""
