"""Charts of the report."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

pytest.importorskip("matplotlib", reason="the report's extra is not installed")

from dblink_live.report.charts import MAX_POINTS, Line, draw_lines

SVG = "{http://www.w3.org/2000/svg}"


def paths_of(svg: Markup | None, colour: str) -> list[str]:
    """The outlines of the paths that are stroked in a colour of the page."""
    assert svg is not None
    style = f"stroke: var(--{colour})"
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return [
        path.get("d", "") for path in paths if "fill: none" in path.get("style", "") and style in path.get("style", "")
    ]


def points_of(outline: str) -> np.ndarray:
    """(x, y) of the points of an outline."""
    return np.array(re.findall(r"[ML] (\S+) (\S+)", outline), float)


def test_a_line_breaks_where_nothing_is_known() -> None:
    y = np.array([1.0, 2.0, math.nan, 4.0, 3.0])
    svg = draw_lines([Line("a", np.arange(5.0), y)], "time [s]", "share")
    (outline,) = paths_of(svg, "line0")
    assert (outline.count("M"), outline.count("L")) == (2, 2)
    assert "nan" not in str(svg)


def test_a_point_without_neighbours_is_marked() -> None:
    lines = [np.array([1.0, math.nan, 2.0, math.nan, 1.0]), np.array([1.0, 1.0, 2.0, math.nan, 1.0])]
    marked = [str(draw_lines([Line("a", np.arange(5.0), y)], "x", "y")).count("fill: var(--line0)") for y in lines]
    # Each marker is used once; in the second line only the last point stands alone.
    assert marked[0] == 3 * marked[1]
    assert marked[1] == 1


def test_higher_values_stand_higher_and_zero_is_shown() -> None:
    svg = draw_lines([Line("a", np.array([0.0, 10.0]), np.array([50.0, 87.0]))], "x", "y")
    (outline,) = paths_of(svg, "line0")
    (x0, y0), (x1, y1) = points_of(outline)
    assert x1 > x0
    assert y1 < y0  # downward, as SVG counts
    assert re.search(r">0</text>", str(svg))


def test_long_lines_are_thinned_within_the_band_of_their_extremes() -> None:
    y = np.zeros(10 * MAX_POINTS)
    y[5] = 9.0
    svg = draw_lines([Line("a", np.arange(float(len(y))), y)], "x", "y")
    assert "fill: var(--line0); fill-opacity" in str(svg)
    top = min(y for outline in paths_of(svg, "line0") for _, y in points_of(outline))
    band = re.search(r'<path d="([^"]+)"[^>]*fill-opacity|<path id="[^"]+" d="([^"]+)"', str(svg))
    assert band is not None
    # The band reaches the outlier, ten times as high as the mean of its stretch.
    assert min(y for _, y in points_of(band.group(1) or band.group(2))) < top - 50


def test_without_a_finite_value_there_is_no_chart() -> None:
    assert draw_lines([Line("a", np.arange(2.0), np.full(2, np.nan))], "x", "y") is None
    assert draw_lines([Line("a", np.zeros(0), np.zeros(0))], "x", "y") is None


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_line_that_stands_still_can_be_drawn(value: float) -> None:
    assert paths_of(draw_lines([Line("a", np.arange(3.0), np.full(3, value))], "x", "y"), "line0")


def test_labels_are_escaped_and_no_formulas() -> None:
    lines = [Line("<i>$a$", np.arange(2.0), np.ones(2)), Line("b", np.arange(2.0), np.zeros(2), is_guide=True)]
    svg = str(draw_lines(lines, "<x>", '"y"'))
    assert "<i>" not in svg and "<x>" not in svg
    assert "&lt;i&gt;$a$" in svg
