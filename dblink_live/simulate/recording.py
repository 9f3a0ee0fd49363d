"""Localization maps of a moving specimen whose labels are fluorophores: each molecule rides on its place.

What a localizer would report: the true place at that moment, displaced by an error that its photons and the background
give it; the same molecule again and again while it is on; clumps of label beside the structure, which blink as all
do; and single false positives. Molecules that overlap in a frame are all found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.maps.binning import count_per_window
from dblink_live.simulate.fluorophores import Fluorophores, Sightings, sightings
from dblink_live.simulate.motion import Points
from dblink_live.simulate.precision import localization_error_nm
from dblink_live.simulate.specimen import Specimen
from dblink_live.simulate.structures.labelling import Labelling
from dblink_live.simulate.structures.raster import Mask

_MOMENTS = 5
"""Frames of a recording at which structure is looked for: some of it may grow or come in later."""
_PROBES = 2048
_SMALLEST_SHARE = 1e-3
"""Of the structure in view: with less of it, labels would be drawn by the million for what is never seen."""


@dataclass(frozen=True)
class Recording:
    """Timing of the frames."""

    n_windows: int
    window_frames: int
    first_frame: float
    """Of the specimen's own time."""
    frame_ms: float

    @property
    def n_frames(self) -> int:
        return self.n_windows * self.window_frames

    @property
    def moments(self) -> npt.NDArray[np.float64]:
        """Some frames spread over the recording, the first one first."""
        return self.first_frame + np.linspace(0.0, self.n_frames - 1, _MOMENTS)


def fluorophore_counts(
    specimen: Specimen,
    recording: Recording,
    fluorophores: Fluorophores,
    labelling: Labelling,
    is_seen: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """Maps [T, H, W] of localizations; ``is_seen`` [T * window_frames] says which frames were not lost."""
    shares = draw_labels(specimen, recording, fluorophores, labelling, rng)
    on_structure = sightings(fluorophores, len(shares), recording.n_frames, recording.frame_ms, rng)
    clumped = _draw_clumps(specimen, fluorophores, rng)
    on_clumps = sightings(fluorophores, len(clumped), recording.n_frames, recording.frame_ms, rng)
    places = np.concatenate([
        _displaced(_places_of(specimen, recording, shares, on_structure), on_structure, fluorophores, rng),
        _displaced(clumped[on_clumps.molecule], on_clumps, fluorophores, rng),
    ])  # fmt: skip
    frames = np.concatenate([on_structure.frame, on_clumps.frame])
    false_places, false_frames = _false_positives(specimen, recording, fluorophores, rng)
    return _counted(
        specimen, recording, np.concatenate([places, false_places]), np.concatenate([frames, false_frames]), is_seen
    )


def draw_labels(
    specimen: Specimen,
    recording: Recording,
    fluorophores: Fluorophores,
    labelling: Labelling,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Shares [M, 3] (`Specimen.place`) of the labels of a specimen, also of those outside its field."""
    n_labels = fluorophores.labels_per_um2 * _structure_um2(specimen, recording, rng)
    candidates = rng.random((int(rng.poisson(n_labels * labelling.oversampling)), 3))
    places = _resting_places(specimen, recording, candidates)
    chosen: npt.NDArray[np.float64] = candidates[labelling.choose(places, rng)]
    return chosen


def _structure_um2(specimen: Specimen, recording: Recording, rng: np.random.Generator) -> float:
    """Area of the whole structure: of what is in view, over its share of all places."""
    pixels = shares = 0.0
    probes = rng.random((_PROBES, 3))
    for moment in recording.moments:
        pixels += float(specimen.mask_at(moment).sum())
        shares += float(_in_field(specimen, specimen.place(probes, moment)).sum()) / _PROBES
    if shares < _SMALLEST_SHARE * _MOMENTS:
        return 0.0
    return pixels / shares * specimen.grid.pitch_nm**2 * 1e-6


def _in_field(specimen: Specimen, places_nm: Points) -> Mask:
    within = (places_nm - np.asarray(specimen.grid.origin_nm)) / specimen.grid.pitch_nm
    inside: Mask = ((within >= 0) & (within < np.asarray(specimen.grid.shape))).all(axis=1)
    return inside


def _resting_places(specimen: Specimen, recording: Recording, shares: npt.NDArray[np.float64]) -> Points:
    """[N, 2] where each label is when the recording starts, or when its place first exists; elsewhere at the origin."""
    places = np.full((len(shares), 2), np.nan)
    for moment in recording.moments:
        missing = np.flatnonzero(np.isnan(places[:, 0]))
        if not len(missing):
            break
        places[missing] = specimen.place(shares[missing], moment)
    places[np.isnan(places)] = 0.0
    return places


def _places_of(specimen: Specimen, recording: Recording, shares: npt.NDArray[np.float64], seen: Sightings) -> Points:
    """True places [L, 2] at the middle of each frame, NaN where the place is not there: linear within a window."""
    places = np.full((len(seen.frame), 2), np.nan)
    bounds = np.searchsorted(seen.frame, np.arange(recording.n_windows + 1) * recording.window_frames)
    for window in range(recording.n_windows):
        here = slice(bounds[window], bounds[window + 1])
        if here.start == here.stop:
            continue
        start = window * recording.window_frames
        of_these = shares[seen.molecule[here]]
        before = specimen.place(of_these, recording.first_frame + start)
        after = specimen.place(of_these, recording.first_frame + start + recording.window_frames)
        part = (seen.frame[here, None] + 0.5 - start) / recording.window_frames
        places[here] = before + part * (after - before)
    return places


def _displaced(places_nm: Points, seen: Sightings, fluorophores: Fluorophores, rng: np.random.Generator) -> Points:
    """Places [L, 2] as localized."""
    error = localization_error_nm(
        seen.photons,
        fluorophores.background_e,
        fluorophores.psf_sigma_nm,
        fluorophores.camera_pixel_nm,
        2.0 if fluorophores.is_emccd else 1.0,
    )
    localized: Points = places_nm + error[:, None] * rng.standard_normal(places_nm.shape)
    return localized


def _field_nm(specimen: Specimen) -> npt.NDArray[np.float64]:
    return np.array(specimen.grid.shape, np.float64) * specimen.grid.pitch_nm


def _draw_clumps(specimen: Specimen, fluorophores: Fluorophores, rng: np.random.Generator) -> Points:
    """Places [C, 2] of the labels of all clumps in the field."""
    field = _field_nm(specimen)
    n_clumps = int(rng.poisson(fluorophores.clusters_per_um2 * field.prod() * 1e-6))
    centres = np.asarray(specimen.grid.origin_nm) + rng.uniform(0.0, field, size=(n_clumps, 2))
    labels = np.repeat(centres, rng.poisson(fluorophores.labels_per_cluster, size=n_clumps), axis=0)
    return labels + fluorophores.cluster_radius_nm * rng.standard_normal(labels.shape)


def _false_positives(
    specimen: Specimen, recording: Recording, fluorophores: Fluorophores, rng: np.random.Generator
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Places [F, 2] and frames [F]."""
    field = _field_nm(specimen)
    n_false = int(rng.poisson(fluorophores.false_per_um2 * field.prod() * 1e-6 * recording.n_frames))
    places = np.asarray(specimen.grid.origin_nm) + rng.uniform(0.0, field, size=(n_false, 2))
    return places, rng.integers(0, recording.n_frames, size=n_false)


def _counted(
    specimen: Specimen,
    recording: Recording,
    places_nm: Points,
    frames: npt.NDArray[np.int64],
    is_seen: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint16]:
    kept = is_seen[frames] & _in_field(specimen, places_nm)
    at = (places_nm[kept] - np.asarray(specimen.grid.origin_nm)) / specimen.grid.pitch_nm
    rows, cols = at.astype(np.int64).T
    windows = frames[kept] // recording.window_frames
    return count_per_window(windows, rows, cols, recording.n_windows, specimen.grid.shape)
