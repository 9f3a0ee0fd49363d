"""Decides how a run is refined within a budget of memory: as a whole or in tiles, with which kept states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dblink_live.errors import ConfigError
from dblink_live.models import BidirectionalNetwork, CheckpointPlan, measure_pass, min_plan, plan_checkpoints
from dblink_live.models.streaming import REVERSE_SPAN
from dblink_live.refine.tiles import Tile, cut_into_tiles
from dblink_live.types import Shape

TILE_SIDES = (1024, 512, 256, 128)
"""Tried in this order where the whole field does not fit."""
STORE_BYTES_A_PIXEL = 32
"""A picture as it was computed and as it is stored, those on their way to the disk, and a block of tiles."""


@dataclass(frozen=True)
class Stretch:
    """Windows of one segment that are refined."""

    n_windows: int
    field: Shape


@dataclass(frozen=True)
class TilePlan:
    """One segment's tiles, and the pass over each of them."""

    tiles: tuple[Tile, ...]
    """One that covers the field where it is taken as a whole."""
    checkpoints: CheckpointPlan


def choose_tile(
    network: BidirectionalNetwork,
    stretches: Sequence[Stretch],
    pending: int | None,
    budget_bytes: int,
    n_wanted: int = 1,
) -> int | None:
    """The largest side of tiles with which all ``stretches`` fit; None where they fit without tiles.

    Parameters
    ----------
    pending
        Windows that wait at a time with a bounded lookahead; None for the full pass.
    n_wanted
        Tiles of all stretches together that there should be, one for each worker, or as many as the fields give.

    Raises
    ------
    ConfigError
        Not even the smallest tiles fit.
    """
    fitting = [
        side
        for side in (None, *TILE_SIDES)
        if all(_plan(network, stretch, side, pending, budget_bytes) is not None for stretch in stretches)
    ]
    if not fitting:
        raise _too_little(network, stretches, TILE_SIDES[-1], pending, budget_bytes)
    enough = (side for side in fitting if _count_tiles(network, stretches, side) >= n_wanted)
    return next(enough, max(fitting, key=lambda side: _count_tiles(network, stretches, side)))


def plan_stretch(
    network: BidirectionalNetwork, stretch: Stretch, side: int | None, pending: int | None, budget_bytes: int
) -> TilePlan:
    """Tiles of ``side`` pixels and the pass over each.

    Raises
    ------
    ConfigError
        They do not fit into the budget.
    """
    plan = _plan(network, stretch, side, pending, budget_bytes)
    if plan is None:
        raise _too_little(network, [stretch], side, pending, budget_bytes)
    return TilePlan(_tiles(network, stretch.field, side), plan)


def _tiles(network: BidirectionalNetwork, field: Shape, side: int | None) -> tuple[Tile, ...]:
    whole = max(field)
    return tuple(cut_into_tiles(field, side or whole, network.halo, network.stride))


def _count_tiles(network: BidirectionalNetwork, stretches: Sequence[Stretch], side: int | None) -> int:
    return sum(len(_tiles(network, stretch.field, side)) for stretch in stretches)


def _plan(
    network: BidirectionalNetwork, stretch: Stretch, side: int | None, pending: int | None, budget_bytes: int
) -> CheckpointPlan | None:
    left = budget_bytes - _store_bytes(stretch)
    memory = measure_pass(network, *_largest(network, stretch, side))
    if pending is None:
        return plan_checkpoints(stretch.n_windows, memory, left)
    # Each window that waits holds its counts and forward features; the reverse pass holds a span of its own.
    needed = (pending + REVERSE_SPAN) * memory.window + 2 * memory.state + memory.working
    return CheckpointPlan((pending,), needed) if needed <= left else None


def _largest(network: BidirectionalNetwork, stretch: Stretch, side: int | None) -> Shape:
    shapes = [tile.padded.shape for tile in _tiles(network, stretch.field, side)]
    return max(shapes, key=lambda shape: shape.height * shape.width)


def _store_bytes(stretch: Stretch) -> int:
    return STORE_BYTES_A_PIXEL * stretch.field.height * stretch.field.width


def _too_little(
    network: BidirectionalNetwork,
    stretches: Sequence[Stretch],
    side: int | None,
    pending: int | None,
    budget_bytes: int,
) -> ConfigError:
    def least(stretch: Stretch) -> int:
        memory = measure_pass(network, *_largest(network, stretch, side))
        if pending is None:
            return min_plan(stretch.n_windows, memory).bytes + _store_bytes(stretch)
        needed = (pending + REVERSE_SPAN) * memory.window + 2 * memory.state + memory.working
        return needed + _store_bytes(stretch)

    needed_mb = -(-max(least(stretch) for stretch in stretches) // 1_000_000)
    how = f"in tiles of {side} pixels" if side else "with the field as a whole"
    return ConfigError(
        f"expected at least {needed_mb} MB for this run {how}, found a budget of {budget_bytes // 1_000_000} MB; "
        "give --memory-mb more, or smaller --tile-px"
    )
