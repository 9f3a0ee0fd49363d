"""The plan of a tubular network such as the peripheral endoplasmic reticulum: junctions, tubules and how they connect.

The corners of a Voronoi tessellation join three edges each, as nearly all junctions of the reticulum join three
tubules, and its cells are the polygons that one sees. Some edges are left out, which joins polygons, and the corners
are drawn towards their neighbours, as membrane tension does: Lin et al. (Biophysical Journal 107, 763, 2014) show
that the reticulum is close to such a network of least length. Across some polygons a further tubule spans from side to
side: its ends can slide along those sides, and it can grow and retract.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.motion import Points

_Indices = npt.NDArray[np.int64]

_SCATTER = 0.42
"""By how much of the spacing the middle of a polygon may lie off a square lattice: nearly a whole cell, to and fro."""
_TENSION_STEPS = 3
"""Times that each junction moves half-way to the middle of its neighbours."""


@dataclass(frozen=True)
class TubulePlan:
    """Junctions [J] and the tubules between them [E]; side tubules [S] span from one of these to another."""

    junctions_nm: Points
    """[J, 2] (y, x) at rest."""
    ends: _Indices
    """[E, 2] the two junctions of each tubule."""
    hosts: _Indices
    """[S, 2] the two tubules between which each side tubule spans."""

    def degrees(self) -> _Indices:
        """[J] tubules that meet at each junction, without side tubules."""
        return np.bincount(self.ends.ravel(), minlength=len(self.junctions_nm))


def draw_plan(
    rng: np.random.Generator,
    field_nm: tuple[float, float],
    margin_nm: float,
    spacing_nm: float,
    open_share: float,
    side_share: float,
) -> TubulePlan:
    """A network that covers a field and ``margin_nm`` around it.

    Parameters
    ----------
    spacing_nm
        Mean distance between the middles of neighbouring polygons.
    open_share
        Share of the edges that are left out, where that leaves no loose end.
    side_share
        Share of the polygons that a side tubule spans.
    """
    middles = _scattered_middles(rng, field_nm, margin_nm, spacing_nm)
    triangles = triangulate(middles)
    junctions = _circumcentres(middles, triangles)[0]
    ends, polygons = _dual_edges(triangles, len(middles))
    # Beyond the outermost middles the tessellation opens towards infinity: keep to where it is regular.
    reach = margin_nm + 0.5 * spacing_nm
    outside = np.maximum(-junctions, junctions - np.asarray(field_nm)).max(axis=1)
    is_near = outside < reach
    kept = is_near[ends].all(axis=1)
    ends, polygons = ends[kept], polygons[kept]
    kept = _opened(rng, ends, len(junctions), open_share)
    ends, polygons = ends[kept], polygons[kept]
    junctions = _under_tension(junctions, ends)
    hosts = np.array(list(_side_hosts(rng, ends, polygons, len(middles), side_share)), np.int64).reshape(-1, 2)
    used, renumbered = np.unique(ends, return_inverse=True)
    return TubulePlan(junctions[used], renumbered.reshape(-1, 2), hosts)


def triangulate(points: Points) -> _Indices:
    """Delaunay triangles [M, 3] of ``points`` [N, 2], by inserting them one by one (Bowyer, Watson, 1981).

    Each point replaces the triangles whose circumscribed circle holds it by a fan around itself.
    """
    n_points = len(points)
    middle, span = points.mean(axis=0), 1.0 + float(np.ptp(points, axis=0).max())
    # A triangle around everything, far enough that it hardly bends the border of the tessellation.
    outer = middle + 50.0 * span * np.array([[-1.0, -1.0], [3.0, -1.0], [-1.0, 3.0]])
    at = np.concatenate([points, outer])
    triangles = np.array([[n_points, n_points + 1, n_points + 2]])
    centres, squared_radii = _circumcentres(at, triangles)
    for number in range(n_points):
        holds = ((centres - at[number]) ** 2).sum(axis=1) < squared_radii
        sides = np.sort(triangles[holds][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        # The sides that only one of the replaced triangles has are the rim of the hole.
        codes, counts = np.unique(sides[:, 0] * len(at) + sides[:, 1], return_counts=True)
        rim = codes[counts == 1]
        fan = np.column_stack([rim // len(at), rim % len(at), np.full(len(rim), number)])
        fan_centres, fan_squared = _circumcentres(at, fan)
        triangles = np.concatenate([triangles[~holds], fan])
        centres = np.concatenate([centres[~holds], fan_centres])
        squared_radii = np.concatenate([squared_radii[~holds], fan_squared])
    inner: _Indices = triangles[(triangles < n_points).all(axis=1)]
    return inner


def _circumcentres(points: Points, triangles: _Indices) -> tuple[Points, npt.NDArray[np.float64]]:
    """Centres [M, 2] and squared radii [M] of the circles through the corners of ``triangles`` [M, 3]."""
    corner = points[triangles[:, 0]]
    b, c = points[triangles[:, 1]] - corner, points[triangles[:, 2]] - corner
    twice_area = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    bb, cc = (b**2).sum(axis=1), (c**2).sum(axis=1)
    away = np.stack([c[:, 1] * bb - b[:, 1] * cc, b[:, 0] * cc - c[:, 0] * bb], axis=1) / twice_area[:, None]
    return corner + away, (away**2).sum(axis=1)


def _scattered_middles(
    rng: np.random.Generator, field_nm: tuple[float, float], margin_nm: float, spacing_nm: float
) -> Points:
    # Two more rows all around: the outermost polygons are not whole.
    axes = [np.arange(-margin_nm - 2 * spacing_nm, side + margin_nm + 2 * spacing_nm, spacing_nm) for side in field_nm]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    # The lattice itself lies anywhere, so that no place of the field is special.
    shift = rng.uniform(0.0, spacing_nm, size=2)
    scattered: Points = lattice + shift + spacing_nm * rng.uniform(-_SCATTER, _SCATTER, size=lattice.shape)
    return scattered


def _dual_edges(triangles: _Indices, n_points: int) -> tuple[_Indices, _Indices]:
    """Edges of the tessellation: the two triangles [E, 2] that share a side, and the two points [E, 2] of that side."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(triangles)), 3)
    code = sides[:, 0] * n_points + sides[:, 1]
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(code[order][1:] == code[order][:-1])
    a, b = order[first], order[first + 1]
    return np.stack([owner[a], owner[b]], axis=1), sides[a]


def _opened(rng: np.random.Generator, ends: _Indices, n_junctions: int, share: float) -> npt.NDArray[np.bool_]:
    """Choose the edges to keep when ``share`` of them are removed, each between two junctions that still join three."""
    degree = np.bincount(ends.ravel(), minlength=n_junctions)
    kept = np.ones(len(ends), bool)
    for edge in rng.permutation(len(ends))[: round(share * len(ends))]:
        if (degree[ends[edge]] == 3).all():
            kept[edge] = False
            degree[ends[edge]] -= 1
    return kept


def _under_tension(junctions: Points, ends: _Indices) -> Points:
    both = np.concatenate([ends, ends[:, ::-1]])
    degree = np.bincount(both[:, 0], minlength=len(junctions))
    # The rim of the network is held where it is.
    free = degree > 1
    for _ in range(_TENSION_STEPS):
        pulled = np.zeros_like(junctions)
        np.add.at(pulled, both[:, 0], junctions[both[:, 1]])
        junctions = np.where(free[:, None], 0.5 * junctions + 0.5 * pulled / np.maximum(degree, 1)[:, None], junctions)
    return junctions


def _side_hosts(
    rng: np.random.Generator, ends: _Indices, polygons: _Indices, n_polygons: int, share: float
) -> Iterator[tuple[int, int]]:
    """Pairs of tubules on either side of some polygons, which do not meet."""
    spanned = np.flatnonzero(rng.random(n_polygons) < share)
    for polygon in spanned:
        around = np.flatnonzero((polygons == polygon).any(axis=1))
        if not len(around):
            continue
        first = int(rng.choice(around))
        across = around[~np.isin(ends[around], ends[first]).any(axis=1)]
        if len(across):
            yield first, int(rng.choice(across))
