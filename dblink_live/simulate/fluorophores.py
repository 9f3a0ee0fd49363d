"""Fluorophores that switch on, stay on for several frames, switch off and bleach at last: many at once.

A molecule is a Markov chain in continuous time: dark, on, and bleached for good. Times in both states are exponential;
at the end of each on-state it bleaches with probability ``1 / switching_cycles``, so its budget of photons is geometric
with mean ``photons_per_event x switching_cycles``. The defaults are round numbers near those that Dempsey et al.
(Nature Methods 8, 1027, 2011) measured for Alexa 647: thousands of photons a switching event, some 26 events before
it bleaches, and a duty cycle of about 0.001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.simulate.checks import require

_Values = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fluorophores:
    """Labels of a specimen and the light they give. Photons are photo-electrons."""

    labels_per_um2: float = 1200.0
    """Molecules a square micrometre of structure: 115 a micrometre of a filament 96 nm wide."""
    mean_on_ms: float = 50.0
    """Mean time in the on-state."""
    mean_off_s: float = 40.0
    """Mean time in the dark state."""
    switching_cycles: float = 26.0
    """Mean number of on-states before bleaching; 1 bleaches at the first."""
    photons_per_event: float = 3000.0
    """Mean photons of an on-state."""
    brightness_spread: float = 0.4
    """Standard deviation of the logarithm of the brightness, from molecule to molecule."""
    min_photons: float = 150.0
    """A molecule with fewer photons in a frame is not found in it."""
    background_e: float = 20.0
    """Photons of background a camera pixel and frame."""
    psf_sigma_nm: float = 140.0
    camera_pixel_nm: float = 100.0
    is_emccd: bool = False
    """The electron-multiplying register's excess noise doubles the variance of positions."""
    false_per_um2: float = 0.08
    """False positives a square micrometre and frame, seen once: 2 per frame in the field of the released simulator."""
    clusters_per_um2: float = 0.1
    """Clumps of label that stick where no structure is, and stand still."""
    labels_per_cluster: float = 6.0
    """Mean of a Poisson distribution."""
    cluster_radius_nm: float = 60.0
    """Standard deviation of a clump along each axis."""

    def __post_init__(self) -> None:
        for name in (
            "labels_per_um2",
            "brightness_spread",
            "background_e",
            "false_per_um2",
            "clusters_per_um2",
            "labels_per_cluster",
            "cluster_radius_nm",
        ):
            require(name, getattr(self, name), 0.0)
        for name, low in (
            ("mean_on_ms", 0.01),
            ("mean_off_s", 0.01),
            ("switching_cycles", 1.0),
            ("photons_per_event", 1.0),
            ("min_photons", 1.0),
            ("psf_sigma_nm", 1.0),
            ("camera_pixel_nm", 1.0),
        ):
            require(name, getattr(self, name), low)

    @property
    def duty_cycle(self) -> float:
        """Share of the time that a molecule is on until it bleaches."""
        mean_on_s = self.mean_on_ms / 1000.0
        return mean_on_s / (mean_on_s + self.mean_off_s)

    @property
    def photon_budget(self) -> float:
        """Mean photons of a molecule until it bleaches."""
        return self.photons_per_event * self.switching_cycles


@dataclass(frozen=True)
class OnStates:
    """Every on-state of a population, in no particular order."""

    molecule: _Indices
    """[E] number of the molecule."""
    start_s: _Values
    """[E]"""
    stop_s: _Values
    """[E]; may lie beyond the end of the recording."""


@dataclass(frozen=True)
class Sightings:
    """Molecules found in frames, in the order of the frames."""

    molecule: _Indices
    """[L] number of the molecule."""
    frame: _Indices
    """[L]"""
    photons: _Values
    """[L] detected in that frame."""


def switch(fluorophores: Fluorophores, n_molecules: int, duration_s: float, rng: np.random.Generator) -> OnStates:
    """On-states of ``n_molecules`` that begin before ``duration_s``; at 0 none has bleached yet.

    All molecules take their n-th step together, so the cost is one pass a switching cycle, not a loop over molecules.
    """
    molecule = np.arange(n_molecules)
    ended = np.zeros(n_molecules)
    # In its steady state: who is on at the start has, without memory, a whole mean on-time before it.
    waits = rng.exponential(fluorophores.mean_off_s, size=n_molecules)
    waits[rng.random(n_molecules) < fluorophores.duty_cycle] = 0.0
    molecules, starts, stops = [molecule[:0]], [ended[:0]], [ended[:0]]
    while len(molecule):
        start = ended + waits
        in_time = start < duration_s
        molecule, start = molecule[in_time], start[in_time]
        stop = start + rng.exponential(fluorophores.mean_on_ms / 1000.0, size=len(molecule))
        molecules.append(molecule)
        starts.append(start)
        stops.append(stop)
        survives = rng.random(len(molecule)) >= 1.0 / fluorophores.switching_cycles
        molecule, ended = molecule[survives], stop[survives]
        waits = rng.exponential(fluorophores.mean_off_s, size=len(molecule))
    return OnStates(np.concatenate(molecules), np.concatenate(starts), np.concatenate(stops))


def sightings(
    fluorophores: Fluorophores, n_molecules: int, n_frames: int, frame_ms: float, rng: np.random.Generator
) -> Sightings:
    """Return the frames, of ``n_frames``, in which each of ``n_molecules`` is bright enough to be found.

    An on-state begins and ends within frames; the first and the last of them get their share of its photons.
    """
    frame_s = frame_ms / 1000.0
    on = switch(fluorophores, n_molecules, n_frames * frame_s, rng)
    starts, stops = on.start_s / frame_s, on.stop_s / frame_s
    first = np.floor(starts).astype(np.int64)
    n_touched = np.minimum(np.floor(stops).astype(np.int64), n_frames - 1) - first + 1
    state = np.repeat(np.arange(len(first)), n_touched)
    frame = first[state] + np.arange(len(state)) - np.repeat(np.cumsum(n_touched) - n_touched, n_touched)
    lit = np.minimum(stops[state], frame + 1) - np.maximum(starts[state], frame)
    molecule = on.molecule[state]
    spread = fluorophores.brightness_spread
    brightness = rng.lognormal(-0.5 * spread**2, spread, size=n_molecules)
    per_frame = fluorophores.photons_per_event * frame_ms / fluorophores.mean_on_ms
    photons = rng.poisson(per_frame * brightness[molecule] * lit).astype(np.float64)
    found = np.flatnonzero(photons >= fluorophores.min_photons)
    found = found[np.argsort(frame[found], kind="stable")]
    return Sightings(molecule[found], frame[found], photons[found])
