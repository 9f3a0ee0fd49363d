"""Videos of localization maps: the statistics of the released simulator, and variations of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import PRESETS, VideoParameters, simulate_video
from dblink_live.simulate.blinking import MapBlinking, memoryless_counts
from dblink_live.types import Shape

SHORT = replace(PRESETS["default"], n_windows=20)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_is_determined_by_its_seed(preset: str) -> None:
    parameters = replace(PRESETS[preset], n_windows=5)
    first, again, other = (simulate_video(parameters, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.counts, again.counts)
    assert np.array_equal(first.truth, again.truth)
    assert not np.array_equal(first.counts, other.counts)


def test_lines_cover_two_to_three_percent_of_a_field_and_bands_twice_that() -> None:
    def mean_share(width_nm: float) -> float:
        parameters = replace(SHORT, n_windows=1, width_nm=width_nm)
        return float(np.mean([simulate_video(parameters, seed).truth.mean() for seed in range(60)]))

    # The released simulator's first frames, of lines one pixel wide; later frames have 1.7-1.95 times as many pixels.
    line = mean_share(0.0)
    assert 0.015 < line < 0.035
    assert 1.7 < mean_share(PRESETS["default"].width_nm) / line < 2.05


def test_localizations_stay_within_the_jitter_of_the_structure() -> None:
    mask = np.zeros((64, 64), bool)
    mask[32, 10:50] = True
    blinking = MapBlinking(noise=0.0, cluster_probability=0.0, jitter_px=1)
    counts = memoryless_counts(mask, 2000, blinking, np.random.default_rng(0))
    rows, cols = np.nonzero(counts)
    assert set(rows) == {31, 32, 33}
    assert cols.min() >= 9
    assert cols.max() <= 50
    assert counts.sum() == 2000  # ceil(0.002 x 40 px) = 1 per frame


@pytest.mark.parametrize("density", [0.25, 0.5, 1.0, 2.5])
def test_density_scales_the_mean_number_of_localizations(density: float) -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:30, 20:50] = True
    blinking = MapBlinking(density=density, noise=0.0, cluster_probability=0.0, jitter_px=0)
    n_frames = 4000
    counts = memoryless_counts(mask, n_frames, blinking, np.random.default_rng(0))
    # Binomial rounding of the fractional part: its standard error is below 0.5 / sqrt(4000).
    assert counts.sum() / n_frames == pytest.approx(density, abs=4 * 0.5 / n_frames**0.5)


def test_missing_windows_are_empty_and_say_so() -> None:
    video = simulate_video(replace(SHORT, missing_share=0.5, n_windows=60), 2)
    gone = video.present == 0
    assert 5 < gone.sum() < 45
    assert video.counts[gone].sum() == 0
    assert (video.present[video.counts.sum(axis=(1, 2)) > 0] > 0).all()


def test_faster_presets_move_farther() -> None:
    def displacement(speed: float) -> float:
        video = simulate_video(replace(SHORT, n_windows=200, speed=speed), 5)
        rows = [np.nonzero(frame)[0].mean() for frame in (video.truth[0], video.truth[100])]
        return abs(rows[1] - rows[0])

    assert displacement(0.0) == 0.0
    assert displacement(8.0) > displacement(1.0) > 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"speed": -1.0}, "speed of 0 or more, found -1", id="negative speed"),
        pytest.param({"density": float("nan")}, "density", id="nan density"),
        pytest.param({"structure": "fillaments"}, "fillaments", id="unknown structure"),
        pytest.param({"n_windows": 0}, "at least 1 window", id="no windows"),
        pytest.param({"missing_share": 1.5}, "missing_share from 0 to 1, found 1.5", id="more than all missing"),
        pytest.param({"jitter_px": -1}, "jitter_px of 0 or more, found -1", id="negative jitter"),
        pytest.param({"shape": Shape(0, 8)}, "grid of 1 x 1 pixels or more", id="empty field"),
        pytest.param({"pitch_nm": 0.0}, "grid pitch above 0", id="no pitch"),
    ],
)
def test_impossible_videos_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VideoParameters(**change)  # type: ignore[arg-type]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed of 0 or more, found -3"):
        simulate_video(SHORT, -3)


def test_noise_localizations_average_two_a_frame_and_scale() -> None:
    empty = np.zeros((128, 128), bool)
    rng = np.random.default_rng(0)
    for noise in (0.0, 1.0, 2.5):
        counts = memoryless_counts(empty, 4000, MapBlinking(noise=noise), rng)
        # Uniform in 0-4: mean 2, standard deviation 1.41; 4000 frames know the mean to 0.022.
        assert counts.sum() / 4000 == pytest.approx(2 * noise, abs=0.1 * noise)


def test_clusters_lie_within_five_pixels_and_add_four_fifths() -> None:
    mask = np.zeros((64, 64), bool)
    mask[32, 32] = True
    blinking = MapBlinking(share_per_frame=1.0, noise=0.0, jitter_px=0)
    counts = memoryless_counts(mask, 5000, blinking, np.random.default_rng(0))
    rows, cols = np.nonzero(counts)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (27, 37, 27, 37)
    # One in five adds 1-7, four on average: 1.8 per frame, known to 0.025.
    assert counts.sum() / 5000 == pytest.approx(1.8, abs=0.1)


@pytest.mark.parametrize(
    "change", [{"individual_motion": True}, {"reaches_beyond": True}, {"bending_nm": 150.0}, {"width_nm": 0.0}]
)
def test_a_variation_changes_the_truth_and_stays_determined(change: dict[str, object]) -> None:
    plain = replace(SHORT, speed=8.0)
    varied = replace(plain, **change)  # type: ignore[arg-type]
    first, again = simulate_video(varied, 11), simulate_video(varied, 11)
    assert np.array_equal(first.truth, again.truth)
    assert np.array_equal(first.counts, again.counts)
    assert not np.array_equal(first.truth, simulate_video(plain, 11).truth)


def test_structure_that_reaches_beyond_the_field_replaces_what_leaves() -> None:
    def shares(reaches_beyond: bool) -> list[float]:
        parameters = replace(SHORT, n_windows=40, window_frames=100, speed=8.0, reaches_beyond=reaches_beyond)
        videos = [simulate_video(parameters, seed) for seed in range(8)]
        return [float(np.mean([video.truth[t].mean() for video in videos])) for t in (0, -1)]

    cut_first, cut_last = shares(reaches_beyond=False)
    assert cut_last < 0.9 * cut_first
    first, last = shares(reaches_beyond=True)
    # The field starts anywhere in the movement, so neither end is favoured; eight fields differ by a tenth by chance.
    assert 0.75 < last / first < 1.33


def test_an_empty_field_has_noise_alone() -> None:
    video = simulate_video(replace(SHORT, structure="empty"), 0)
    assert not video.truth.any()
    # 10 frames of 2 noise localizations; 20 windows know the mean to 1.
    assert video.counts.sum(axis=(1, 2)).mean() == pytest.approx(20.0, abs=4.0)
