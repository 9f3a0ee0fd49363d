"""The example of docs/how-to/plugins.md works as it stands there."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dblink_live as dbl
from dblink_live import registry
from dblink_live.interfaces import Localizer
from dblink_live.types import Camera


def test_the_localizer_of_the_page_is_found_by_its_name_and_works(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "docs" / "how-to" / "plugins.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    module: Any = ModuleType("my_package")
    exec(compile(python, "docs/how-to/plugins.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", module)
    named = tomllib.loads(toml)["project"]["entry-points"][registry.LOCALIZERS]
    points = EntryPoints(EntryPoint(name, value, registry.LOCALIZERS) for name, value in named.items())
    monkeypatch.setattr(registry, "entry_points", lambda group: points)

    camera = Camera(pixel_size_nm=100.0)
    assert isinstance(registry.get_localizer_factory("brightest")(camera, psf_sigma_px=None), Localizer)
    frames = np.zeros((2, 8, 9), np.uint16)
    frames[0, 3, 5] = frames[1, 7, 2] = 100
    rows = dbl.localize(frames, camera, localizer="brightest", first_frame=4)
    assert rows[["frame", "x", "y"]].tolist() == [(4, 5.0, 3.0), (5, 2.0, 7.0)]


def test_what_the_page_points_to_is_there(repository: Path) -> None:
    page = repository / "docs" / "how-to" / "plugins.md"
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not (page.parent / link).exists()]
