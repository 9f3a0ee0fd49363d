"""The reference of the Python interface: which names stand on which page; mkdocstrings writes them from docstrings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial

import dblink_live

ROOMS = {
    "analysis": "Resolution, drift, trust and comparison of what was reconstructed.",
    "localization": "Finding molecules in camera frames.",
    "models": "Networks, checkpoints and the streaming engine.",
    "simulate": "Specimens, blinking and cameras whose truth is known.",
    "sources": "Where camera frames come from.",
    "store": "Run folders: written, read and verified.",
    "tables": "Localization tables.",
    "train": "Training of networks.",
}
"""Packages of the reference beside `dblink_live` itself. The others are no interface: they may change."""

MODULES = {
    "analysis": (
        "analysis.metrics",
        "analysis.resolution.frc",
        "analysis.resolution.decorrelation",
        "analysis.drift.drift",
        "analysis.drift.cross_correlation",
        "analysis.drift.fiducials",
        "analysis.trust.consistency",
        "analysis.trust.support",
    ),
    "types": ("types", "interfaces"),
    "configuration": ("config",),
    "errors": ("errors",),
}
"""Pages that show modules whole."""

TITLES = {
    "types": "Types and protocols",
    "configuration": "Configuration in Python",
    "errors": "Errors",
}


def pages() -> dict[str, Callable[[], str]]:
    """Return the address of each page of the Python reference, and what writes it."""
    rooms = {name: text for name, text in ROOMS.items() if name not in MODULES}
    return {
        "reference/api/index.md": _face,
        **{f"reference/api/{name}.md": partial(_room, name, text) for name, text in rooms.items()},
        **{f"reference/api/{name}.md": partial(_modules, name) for name in MODULES},
    }


def _face() -> str:
    public = {name: getattr(dblink_live, name) for name in dblink_live.__all__}
    names = [name for name, found in public.items() if inspect.isclass(found) or inspect.isfunction(found)]
    head = (
        "# `import dblink_live as dbl`\n\n"
        "What scripts and notebooks use. Names are imported when they are first used, so that a program that only\n"
        "reads tables never loads torch. Every example on this page is run by the test suite.\n"
    )
    links = "\n".join(f"- [{room}]({room}.md): {text}" for room, text in ROOMS.items())
    extra = "\n".join(f"- [{title}]({name}.md)" for name, title in TITLES.items())
    shown = "\n".join(f"::: {_home(name)}\n    options:\n      heading_level: 3\n" for name in names)
    return f"{head}\n## Names\n\n{shown}\n## More\n\n{links}\n{extra}\n"


def _home(name: str) -> str:
    """Where the object behind a public name is defined: the address that mkdocstrings reads."""
    found = getattr(dblink_live, name)
    return f"{found.__module__}.{found.__qualname__}"


def _room(name: str, text: str) -> str:
    module = importlib.import_module(f"dblink_live.{name}")
    names = sorted(set(module.__all__) - set(dblink_live.__all__))
    members = "\n".join(f"        - {member}" for member in names)
    return (
        f"# dblink_live.{name}\n\n{text}\n\n::: dblink_live.{name}\n    options:\n      show_root_heading: false\n"
        f"      show_root_toc_entry: false\n      members:\n{members}\n"
    )


def _modules(name: str) -> str:
    title = TITLES.get(name, f"dblink_live.{name}")
    # A name of the face has its place there: two places for one object are a warning.
    filters = ["!^_", *(f"!^{public}$" for public in dblink_live.__all__)]
    options = f"    options:\n      heading_level: 2\n      filters: {filters}\n"
    shown = "\n".join(f"::: dblink_live.{module}\n{options}" for module in MODULES[name])
    return f"# {title}\n\n{ROOMS.get(name, '')}\n\n{shown}"
