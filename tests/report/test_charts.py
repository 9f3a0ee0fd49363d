"""Charts of the report."""

from __future__ import annotations

import math
import re

import numpy as np

from dblink_live.report.charts import MAX_POINTS, Series, line_chart


def test_a_line_breaks_where_nothing_is_known() -> None:
    y = np.array([1.0, 2.0, math.nan, 4.0, 3.0])
    svg = line_chart([Series("a", np.arange(5.0), y)], "time [s]", "share")
    lines = re.findall(r'<polyline class="line0" points="([^"]+)"', svg)
    assert [len(line.split()) for line in lines] == [2, 2]
    assert "nan" not in svg


def test_the_axes_reach_round_numbers_and_higher_values_stand_higher() -> None:
    svg = line_chart([Series("a", np.array([0.0, 10.0]), np.array([0.0, 87.0]))], "x", "y")
    ticks = re.findall(r'text-anchor="end">([^<]+)<', svg)
    assert (ticks[0], ticks[-1]) == ("0", "100")
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in re.findall(r'points="([^"]+)"', svg)[0].split())
    assert x1 > x0
    assert y1 < y0


def test_long_series_are_thinned_within_the_band_of_their_extremes() -> None:
    y = np.zeros(10 * MAX_POINTS)
    y[5] = 9.0
    svg = line_chart([Series("a", np.arange(float(len(y))), y)], "x", "y")
    (line,) = re.findall(r'<polyline class="line0" points="([^"]+)"', svg)
    assert len(line.split()) == MAX_POINTS
    assert "<polygon" in svg


def test_without_a_finite_value_the_chart_says_so_and_labels_are_escaped() -> None:
    assert "no finite value" in line_chart([Series("a", np.arange(2.0), np.full(2, np.nan))], "x", "y")
    lines = [Series("<i>", np.arange(2.0), np.ones(2)), Series("b", np.arange(2.0), np.zeros(2), is_faint=True)]
    svg = line_chart(lines, "<x>", '"y"')
    assert "<i>" not in svg and "<x>" not in svg
    assert "&lt;i&gt;" in svg
