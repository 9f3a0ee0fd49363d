"""Maps of fluorophores on a moving structure, evenly labelled or not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import PRESETS, Fluorophores, Labelling, Specimen, VideoParameters, simulate_video
from dblink_live.simulate.motion import RigidMotion
from dblink_live.simulate.precision import localization_error_nm
from dblink_live.simulate.recording import Recording, draw_labels, fluorophore_counts
from dblink_live.simulate.specimen import FilamentSpecimen
from dblink_live.simulate.structures.labelling import smooth_field
from dblink_live.types import Grid, Shape

STILL = RigidMotion((0.0, 0.0), 0.0, (0.0, 0.0))
EVEN = Labelling()
CLEAN = Fluorophores(false_per_um2=0.0, clusters_per_um2=0.0, brightness_spread=0.0)
LINE = np.array([[1000.0, 300.0], [1000.0, 4700.0]])


def line(pitch_nm: float = 40.0, motion: RigidMotion = STILL, width_nm: float = 80.0) -> FilamentSpecimen:
    """4.4 um along x; as wide as two pixels, so that its pixels have its area but for 1 % at the ends."""
    field = Shape(round(2560 / pitch_nm), round(5120 / pitch_nm))
    return FilamentSpecimen(Grid(pitch_nm, field), [LINE], [motion], width_nm)


def counts_of(
    specimen: Specimen, fluorophores: Fluorophores, recording: Recording, labelling: Labelling = EVEN, seed: int = 0
) -> np.ndarray:
    seen = np.ones(recording.n_frames, bool)
    rng = np.random.default_rng(seed)
    return fluorophore_counts(specimen, recording, fluorophores, labelling, seen, rng).astype(np.int64)


def test_labels_have_their_density() -> None:
    recording = Recording(10, 10, 0, 20.0)
    labels = draw_labels(line(), recording, CLEAN, EVEN, np.random.default_rng(0))
    # 4.4 um x 80 nm at 1200 um^-2 are 422 labels, known to 5 %.
    assert len(labels) == pytest.approx(4.4 * 0.080 * 1200, rel=0.15)


def test_the_number_of_localizations_is_what_the_kinetics_say() -> None:
    fluorophores = replace(CLEAN, labels_per_um2=20_000.0, mean_off_s=10.0, min_photons=1.0)
    recording = Recording(50, 10, 0, 20.0)
    counts = counts_of(line(), fluorophores, recording)
    # A molecule switches on once in 10.05 s and is then found in 50 / 20 + 1 frames; in 10 s bleaching takes 1.9 % of
    # that. 7,000 molecules know it to 2 %, their area is known to 2 %.
    molecules = 4.4 * 0.080 * 20_000
    expected = molecules * 10.0 / 10.05 * (2.5 + 1) * 0.981
    assert counts.sum() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("is_emccd", [False, True])
def test_the_scatter_about_a_line_is_the_localization_error(is_emccd: bool) -> None:
    fluorophores = replace(
        CLEAN,
        labels_per_um2=200_000.0,
        mean_on_ms=2000.0,
        mean_off_s=20.0,
        photons_per_event=40_000.0,
        min_photons=300.0,
        is_emccd=is_emccd,
    )
    counts = counts_of(line(10.0, width_nm=10.0), fluorophores, Recording(4, 10, 0, 20.0))
    rows = np.repeat(np.arange(counts.shape[1]), counts.sum(axis=(0, 2))) * 10.0 + 5.0 - 1000.0
    # On-times of 100 frames: nearly every sighting has a whole frame's 400 photons.
    error = float(localization_error_nm(np.array([400.0]), 20.0, 140.0, 100.0, 2.0 if is_emccd else 1.0)[0])
    # The width of 10 nm adds 100 / 12, and binning to 10 nm as much; some 900 sightings know the spread to 3 %.
    assert len(rows) > 500
    assert rows.std() == pytest.approx(math.sqrt(error**2 + 200 / 12), rel=0.1)
    assert rows.mean() == pytest.approx(0.0, abs=4 * error / math.sqrt(len(rows)) + 1.0)


def test_molecules_ride_on_the_structure() -> None:
    moving = line(motion=RigidMotion((1.0, 0.0), 0.0, (0.0, 0.0)))
    fluorophores = replace(CLEAN, labels_per_um2=5000.0, background_e=0.0)
    counts = counts_of(moving, fluorophores, Recording(10, 100, 0, 20.0))
    rows = np.arange(counts.shape[1]) + 0.5
    centres = (counts.sum(axis=2) * rows).sum(axis=1) / counts.sum(axis=(1, 2)) * 40.0
    # 100 nm a window, seen in its middle; some 300 localizations within 30 nm know their mean to 3 nm, and bunched
    # ones to 6.
    np.testing.assert_allclose(centres, 1050.0 + 100.0 * np.arange(10), atol=20.0)


def test_a_molecule_is_counted_again_and_again() -> None:
    recording = Recording(100, 10, 0, 20.0)
    bunched = counts_of(line(), CLEAN, recording)
    single = counts_of(line(), replace(CLEAN, mean_on_ms=1.0, mean_off_s=10.0, photons_per_event=3000.0), recording)
    # Localizations that share their place and window: most of an on-time of 2.5 frames, nearly none of a flash.
    assert bunched[bunched > 0].mean() > 1.5 * single[single > 0].mean()


def test_false_positives_are_uniform_and_clumps_are_not() -> None:
    empty = FilamentSpecimen(Grid(40.0, Shape(128, 128)), [], [STILL])
    recording = Recording(100, 10, 0, 20.0)
    false = counts_of(empty, replace(CLEAN, false_per_um2=0.08), recording)
    # 0.08 x 26.2 um^2 x 1000 frames = 2097, known to 46.
    assert false.sum() == pytest.approx(2097, abs=200)
    summed = false.sum(axis=0)
    assert summed.var() == pytest.approx(summed.mean(), rel=0.1)  # Poisson
    clumps = counts_of(empty, replace(CLEAN, clusters_per_um2=0.3, mean_off_s=5.0), recording).sum(axis=0)
    assert clumps.sum() > 50
    assert clumps.var() > 5 * clumps.mean()


def test_lost_frames_have_no_localizations() -> None:
    recording = Recording(20, 10, 0, 20.0)
    seen = np.arange(200) % 10 < 5
    seen[:10] = False
    fluorophores = replace(CLEAN, labels_per_um2=20_000.0)
    rng = np.random.default_rng(0)
    counts = fluorophore_counts(line(), recording, fluorophores, EVEN, seen, rng)
    whole = counts_of(line(), fluorophores, recording)
    assert counts[0].sum() == 0
    assert (counts <= whole).all()
    assert counts[1:].sum() == pytest.approx(0.5 * whole[1:].sum(), rel=0.15)


def test_an_uneven_field_has_its_mean_spread_and_range() -> None:
    places = np.random.default_rng(0).uniform(0.0, 40_000.0, size=(2000, 2))
    fields = np.stack([smooth_field(places, 500.0, np.random.default_rng(seed)) for seed in range(20)])
    assert fields.mean() == pytest.approx(0.0, abs=0.05)
    assert fields.std() == pytest.approx(1.0, abs=0.05)
    near_and_far = np.array([[0.0, 0.0], [500.0, 0.0], [5000.0, 0.0]])
    draws = np.stack([smooth_field(near_and_far, 500.0, np.random.default_rng(seed)) for seed in range(1500)])
    correlation = np.corrcoef(draws.T)
    # exp(-1/2) one length away, none ten lengths away; 1500 draws know a correlation to 0.026.
    assert correlation[0, 1] == pytest.approx(math.exp(-0.5), abs=0.08)
    assert correlation[0, 2] == pytest.approx(0.0, abs=0.1)


def test_uneven_labels_keep_their_number_and_leave_gaps() -> None:
    grid = Grid(40.0, Shape(256, 256))
    lines = [np.array([[y, 200.0], [y, 10_000.0]]) for y in np.arange(500.0, 10_000.0, 400.0)]
    specimen = FilamentSpecimen(grid, lines, [STILL])
    recording = Recording(2, 10, 0, 20.0)

    sparse = replace(CLEAN, labels_per_um2=300.0)

    def places(labelling: Labelling, seed: int) -> np.ndarray:
        labels = draw_labels(specimen, recording, sparse, labelling, np.random.default_rng(seed))
        return specimen.place(labels, 0)

    def per_um(placed: np.ndarray) -> np.ndarray:
        return np.histogram2d(placed[:, 0], placed[:, 1], bins=(24, 10), range=((300, 9900), (200, 10_000)))[0]

    labellings = (EVEN, Labelling(unevenness=0.8), Labelling(gap_share=0.3, gap_nm=600.0))
    even, uneven, gappy = (np.stack([per_um(places(labelling, seed)) for seed in range(6)]) for labelling in labellings)
    # Patches are some 2.5 correlation lengths wide: 25 a field and 150 in all, of a spread of 90 %, know the mean to
    # 8 %; cutting the density at 4 times the mean costs 2 %.
    assert uneven.mean() == pytest.approx(even.mean(), rel=0.25)
    # 44 patches a field, 264 in all: a share of 0.7 is known to 0.03.
    assert gappy.mean() == pytest.approx(0.7 * even.mean(), rel=0.15)
    for counted in (uneven, gappy):
        assert counted.var() / counted.mean() > 4.0 * even.var() / even.mean()
    assert (gappy == 0).mean() > 0.05
    assert (even == 0).mean() == 0.0


@pytest.mark.parametrize("preset", ["fluorophores", "uneven labelling"])
def test_localizations_of_a_preset_lie_on_its_structure(preset: str) -> None:
    parameters = replace(
        PRESETS[preset], n_windows=40, fluorophores=replace(CLEAN, labels_per_um2=5000.0), missing_share=0.2
    )
    video = simulate_video(parameters, 10)
    grown = np.stack([
        sum(np.roll(mask, (dy, dx), (0, 1)).astype(int) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) > 0
        for mask in video.truth
    ])  # fmt: skip
    # Errors are 7-25 nm, less than a pixel.
    assert video.counts[grown].sum() > 0.98 * video.counts.sum() > 100
    assert video.counts[video.present == 0].sum() == 0
    assert 0.0 < (video.present < 1).mean() < 0.5


def test_density_and_noise_scale_fluorophores() -> None:
    base = VideoParameters(blinking="fluorophores", n_windows=40)
    on, off = replace(base, noise=0.0), replace(base, density=0.0)
    few, many = (simulate_video(replace(on, density=density), 10).counts.sum() for density in (1.0, 4.0))
    assert many == pytest.approx(4.0 * few, rel=0.3)
    quiet, noisy = (simulate_video(replace(off, noise=noise), 10).counts.sum() for noise in (0.0, 2.0))
    assert quiet == 0
    # 4 per frame in 400 frames, and clumps.
    assert noisy >= 1400


def test_labels_sit_also_on_what_grows_later() -> None:
    parameters = replace(
        PRESETS["growing filaments"],
        blinking="fluorophores",
        labelling=Labelling(unevenness=0.5),
        fluorophores=replace(CLEAN, labels_per_um2=5000.0),
        window_frames=50,
        n_windows=40,
    )
    video = simulate_video(parameters, 10)
    grown_later = video.truth[-1] & ~video.truth[0]
    assert grown_later.sum() > 20
    assert video.counts[-10:][:, grown_later].sum() > 0


def test_an_empty_field_can_have_fluorophores() -> None:
    video = simulate_video(VideoParameters(structure="empty", blinking="fluorophores", n_windows=5), 0)
    assert not video.truth.any()
    assert video.counts.sum() > 0


def test_uneven_labelling_needs_molecules() -> None:
    with pytest.raises(ConfigError, match='uneven labelling needs molecules, found blinking "memoryless"'):
        VideoParameters(labelling=Labelling(unevenness=0.5))
    with pytest.raises(ConfigError, match="expected blinking among memoryless, fluorophores, found 'palm'"):
        VideoParameters(blinking="palm")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="gap_share from 0 to 1"):
        Labelling(gap_share=2.0)
