"""Checks a run's OME-Zarr hierarchy: with yaozarrs, and what yaozarrs lets pass.

Validators differ in what they miss: a missing ``dimension_names`` is only a warning to yaozarrs, and a wrong unit or
scale is none to anyone, for both are well-formed. Those are compared with what the journal says.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from dblink_live.store.hierarchy import AXIS_NAMES, SeriesSpec, list_series, multiscales, read_array, read_group


def check_hierarchy(root: Path, expected: list[SeriesSpec], committed: dict[str, int]) -> list[str]:
    """Return what is wrong with ``run.ome.zarr``, in words.

    Parameters
    ----------
    root
        The ``run.ome.zarr`` folder.
    expected
        The series that the journal knows of.
    committed
        Committed windows per series.
    """
    problems = validate_ome_zarr(root)
    try:
        listed = list_series(root)
    except Exception as error:  # a damaged group fails in as many ways as there are ways to damage it
        return [*problems, f"the list of series in {root / 'OME'} cannot be read: {error}"]
    for spec in expected:
        if spec.name not in listed:
            problems.append(f"series {spec.name}: not listed in {root.name}/OME")
            continue
        try:
            problems += [
                f"series {spec.name}: {text}" for text in _check_series(root, spec, committed.get(spec.name, 0))
            ]
        except Exception as error:
            problems.append(f"series {spec.name}: cannot be read: {error}")
    return problems


def validate_ome_zarr(root: Path) -> list[str]:
    """Return what yaozarrs finds wrong; empty for a valid OME-Zarr."""
    # Imported here: it costs a third of a second, and only `verify` needs it.
    from yaozarrs import validate_zarr_store

    with warnings.catch_warnings():
        # Its recommendations (SHOULD) come as warnings; `_check_series` turns those that matter into problems.
        warnings.simplefilter("ignore")
        try:
            validate_zarr_store(str(root))
        except Exception as error:
            return [f"{root.name} is not a valid OME-Zarr 0.5: {' '.join(str(error).split())}"]
    return []


def _check_series(root: Path, spec: SeriesSpec, n_committed: int) -> list[str]:
    problems = []
    attributes: Any = read_group(root / spec.name).attrs.asdict()
    (found,) = attributes["ome"]["multiscales"]
    levels = found["datasets"]
    (wanted,) = multiscales(spec, len(levels))
    if found["axes"] != wanted["axes"]:
        problems.append(f"expected axes {wanted['axes']}, found {found['axes']}")
    if levels != wanted["datasets"]:
        problems.append(f"expected coordinates {wanted['datasets']}, found {levels}")
    for level in range(len(levels)):
        array = read_array(root / spec.name / str(level))
        names = getattr(array.metadata, "dimension_names", None)
        if names is None or tuple(names) != AXIS_NAMES:
            problems.append(f"level {level}: expected dimension_names {AXIS_NAMES}, found {names}")
        if str(array.dtype) != spec.dtype:
            problems.append(f"level {level}: expected {spec.dtype}, found {array.dtype}")
        if array.shape[1:] != tuple(spec.level_shape(level)):
            problems.append(
                f"level {level}: expected pictures of {tuple(spec.level_shape(level))}, found {array.shape[1:]}"
            )
        if array.shape[0] < n_committed and level == 0:
            problems.append(f"level {level}: expected room for {n_committed} committed windows, found {array.shape[0]}")
    return problems
