"""Drift: imposed shifts found again in videos, tables and beads, and taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

from dblink_live.analysis.drift.cross_correlation import redundant_cross_correlation
from dblink_live.analysis.drift.drift import Drift, corrected_table, corrected_video, drift_of_video
from dblink_live.analysis.drift.fiducials import find_fiducials, track_fiducials
from dblink_live.errors import AnalysisError, CalibrationError, ConfigError
from dblink_live.types import Localizations, empty_localizations

PITCH_NM = 40.0
PIXEL_NM = 100.0
N_WINDOWS = 12
N_FRAMES = 2000


def imposed_shift() -> np.ndarray:
    """[T, 2] in pixels: a walk of about 5 px, 0 at first."""
    steps = np.random.default_rng(0).normal(0.3, 0.5, size=(N_WINDOWS, 2))
    return np.cumsum(steps, axis=0) - steps[0]


def moving_video(noise: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    scene = gaussian_filter((rng.random((96, 112)) > 0.985).astype(float), 1.0)
    scene /= scene.max()
    video = [np.fft.ifft2(fourier_shift(np.fft.fft2(scene), shift)).real for shift in imposed_shift()]
    return np.stack(video) + noise * rng.normal(size=(N_WINDOWS, *scene.shape))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_imposed_drift_of_a_video_is_found_to_a_tenth_of_a_pixel(noise: float) -> None:
    drift = drift_of_video(moving_video(noise), PITCH_NM)
    found = np.stack([drift.y_nm, drift.x_nm], axis=1) / PITCH_NM
    np.testing.assert_allclose(found, imposed_shift(), atol=0.1)
    assert drift.max_nm == pytest.approx(PITCH_NM * np.hypot(*imposed_shift().T).max(), abs=0.1 * PITCH_NM)


def test_a_corrected_video_stands_still() -> None:
    video = moving_video(0.0)
    corrected = corrected_video(video, drift_of_video(video, PITCH_NM), PITCH_NM)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    before, after = (np.corrcoef(shown[inner].reshape(N_WINDOWS, -1))[0, -1] for shown in (video, corrected))
    # What is left is the blur of linear interpolation.
    assert after > 0.97 > before


def test_empty_pictures_are_bridged() -> None:
    video = moving_video(0.0)
    video[4] = 0.0
    drift = drift_of_video(video, PITCH_NM)
    assert 4.0 not in drift.time
    (y,), (x,) = drift.at([4])
    near = imposed_shift()[[3, 5]] * PITCH_NM
    # A monotone curve between its neighbours.
    assert near[:, 0].min() - 4 <= y <= near[:, 0].max() + 4
    assert near[:, 1].min() - 4 <= x <= near[:, 1].max() + 4


def test_pictures_that_look_like_another_sample_are_bridged() -> None:
    video = moving_video(0.0)
    video[4] = video[4][::-1, ::-1]
    drift = drift_of_video(video, PITCH_NM)
    assert 4.0 not in drift.time
    assert drift.max_nm == pytest.approx(PITCH_NM * np.hypot(*imposed_shift().T).max(), abs=0.1 * PITCH_NM)
    with pytest.raises(AnalysisError, match="look like the first"):
        drift_of_video(np.stack([video[0], video[4]]), PITCH_NM)


def true_path(frame: np.ndarray) -> np.ndarray:
    """[N, 2] in nm, smooth, 0 at frame 0."""
    part = frame / N_FRAMES
    return np.stack([300.0 * part**2, 150.0 * np.sin(2.5 * part)], axis=1)


def drifting_table(per_frame: int = 12) -> Localizations:
    """Blinking molecules on 100 fixed sites, localized to 12 nm, that drift, and a tenth as many false ones."""
    rng = np.random.default_rng(2)
    n = N_FRAMES * per_frame
    sites = rng.uniform(500, 3500, size=(100, 2))
    frame = np.repeat(np.arange(N_FRAMES), per_frame)
    points = sites[rng.integers(len(sites), size=n)] + rng.normal(0, 12, size=(n, 2)) + true_path(frame)
    is_false = rng.random(n) < 0.1
    points[is_false] = rng.uniform(0, 4000, size=(np.count_nonzero(is_false), 2))
    return to_table(frame, points)


def to_table(frame: np.ndarray, points_nm: np.ndarray) -> Localizations:
    table = empty_localizations(len(frame))
    table["frame"] = frame
    table["y"], table["x"] = (points_nm / PIXEL_NM - 0.5).T
    return table


def test_imposed_drift_of_a_table_is_found_by_redundant_cross_correlation() -> None:
    drift = redundant_cross_correlation(drifting_table(), PIXEL_NM)
    # Each point is the mean over 100 frames; the path is told against the first of them.
    frames = np.arange(N_FRAMES)
    truth = true_path(frames).reshape(20, -1, 2).mean(axis=1)
    found = np.stack([drift.y_nm, drift.x_nm], axis=1)
    # 1,200 points of 12 nm a segment on pixels of 20 nm.
    assert np.hypot(*(found - (truth - truth[0])).T).mean() < 4.0
    table = corrected_table(drifting_table(), drift, PIXEL_NM)
    again = redundant_cross_correlation(table, PIXEL_NM)
    assert again.max_nm < 8.0 < drift.max_nm


def test_pairs_that_contradict_the_rest_are_left_out() -> None:
    table = drifting_table()
    # Two segments show another sample: no pair with them is right.
    elsewhere = (table["frame"] // 100 == 7) | (table["frame"] // 100 == 8)
    table["x"][elsewhere] = 39 - table["x"][elsewhere]
    drift = redundant_cross_correlation(table, PIXEL_NM)
    truth = true_path(np.arange(N_FRAMES)).reshape(20, -1, 2).mean(axis=1)
    error = np.hypot(drift.y_nm - truth[:, 0] + truth[0, 0], drift.x_nm - truth[:, 1] + truth[0, 1])
    sound = np.r_[0:7, 9:20]
    assert error[sound].mean() < 6.0


def beads(n_frames: int = 400, turn_deg: float = 10.0) -> Localizations:
    """Four beads that drift and turn about (4000, 4000) nm, missed in 3 % of the frames, among false localizations."""
    rng = np.random.default_rng(5)
    start = np.array([[2000.0, 2500.0], [2500, 6000], [6000, 2200], [5500, 5800]])
    tables = []
    for frame in range(n_frames):
        angle = np.radians(turn_deg * frame / n_frames)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        now = (start - 4000) @ turn.T + 4000 + 100 * frame / n_frames + rng.normal(0, 5, size=start.shape)
        now = now[rng.random(4) > 0.03]
        false = rng.uniform(0, 8000, size=(3, 2))
        tables.append(to_table(np.full(len(now) + 3, frame), np.concatenate([now, false])))
    return np.concatenate(tables)


def test_beads_are_found_followed_and_tell_drift_and_rotation() -> None:
    table = beads()
    start = find_fiducials(table, PIXEL_NM)
    assert len(start) == 4
    tracks = track_fiducials(table, PIXEL_NM, start)
    # Blocks of 20 frames: the last one's middle is frame 389.5, the first one's 9.5.
    assert tracks.rotation_deg()[-1] == pytest.approx(10.0 * 380 / 400, abs=0.1)
    # Beads that lie evenly about the centre drift as it does, but for the little that turning moves their mean.
    centre = np.array([4000.0, 4125.0])
    angle = np.radians(9.5)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = turn @ (centre - 4000) - (centre - 4000) + 95.0
    drift = tracks.drift()
    assert np.hypot(drift.y_nm[-1] - expected[0], drift.x_nm[-1] - expected[1]) < 5.0


def test_the_real_bead_is_followed(shared_data: Path) -> None:
    """One TetraSpeck bead over 10,000 frames (palm-siever): its own trajectory is the truth."""
    path = shared_data / "tab_bead_drift" / "TetraSpeck bead drift example 30ms frame.RapidStorm.txt"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    x_nm, y_nm, frame = np.loadtxt(path, usecols=(0, 1, 2)).T
    table = to_table(frame.astype(int), np.stack([y_nm, x_nm], axis=1))
    blocks = frame.astype(int) // 500
    truth = np.array([[np.median(axis[blocks == k]) for axis in (y_nm, x_nm)] for k in range(20)])
    truth -= truth[0]
    by_bead = track_fiducials(table, PIXEL_NM, [[y_nm[0], x_nm[0]]], block_frames=500).drift()
    by_correlation = redundant_cross_correlation(table, PIXEL_NM, pitch_nm=2.0, max_shift_nm=100.0)
    # A fiducial's place is the block's median itself. Correlation finds it to a tenth of a pixel of 2 nm, or better.
    for drift, tolerance_nm in ((by_bead, 0.01), (by_correlation, 0.2)):
        assert np.hypot(drift.y_nm - truth[:, 0], drift.x_nm - truth[:, 1]).mean() < tolerance_nm
    assert 15.0 < by_bead.max_nm < 35.0


def test_a_path_of_one_point_stands_still() -> None:
    drift = Drift(np.array([5.0]), np.array([1.0]), np.array([2.0]))
    y, x = drift.at([0, 5, 9])
    assert (y.tolist(), x.tolist()) == ([1.0] * 3, [2.0] * 3)
    assert drift.max_nm == 0.0


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        pytest.param(np.zeros((4, 32, 32)), AnalysisError, "found 0 of 4", id="all zero"),
        pytest.param(np.eye(32)[None], AnalysisError, "found 1 of 1", id="one window"),
        pytest.param(np.full((2, 32, 32), np.nan), AnalysisError, "NaN", id="NaN"),
        pytest.param(np.zeros((32, 32)), ConfigError, "T, H, W", id="a picture"),
    ],
)
def test_videos_without_a_path_are_refused(video: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        drift_of_video(video, PITCH_NM)


def test_tables_without_a_path_are_refused() -> None:
    one = drifting_table()[:5]
    with pytest.raises(AnalysisError, match="empty"):
        redundant_cross_correlation(empty_localizations(), PIXEL_NM)
    with pytest.raises(AnalysisError, match="all in one"):
        redundant_cross_correlation(one, PIXEL_NM)
    with pytest.raises(CalibrationError, match="pixel size"):
        redundant_cross_correlation(one, 0.0)
    with pytest.raises(AnalysisError, match="found none"):
        track_fiducials(one, PIXEL_NM, [[1e6, 1e6]])
    assert len(find_fiducials(drifting_table(1), PIXEL_NM)) == 0
    assert len(corrected_table(empty_localizations(), Drift(*np.zeros((3, 1))), PIXEL_NM)) == 0


def test_dense_structure_is_no_bead() -> None:
    rng = np.random.default_rng(0)
    n_frames, per_frame = 200, 30
    table = empty_localizations(n_frames * (per_frame + 1))
    table["frame"] = np.repeat(np.arange(n_frames), per_frame + 1)
    # In every frame some of 30 molecules lie within 200 nm of nearly any place of 1.6 x 0.5 um, and one is a bead.
    table["x"], table["y"] = rng.uniform(2, 12, len(table)), rng.uniform(2, 5, len(table))
    is_bead = np.arange(len(table)) % (per_frame + 1) == 0
    table["x"][is_bead], table["y"][is_bead] = 15.0, 10.0
    found = find_fiducials(table, 160.0)
    np.testing.assert_allclose(found, [[10.5 * 160, 15.5 * 160]], atol=1.0)


def test_segments_that_contradict_each_other_have_no_drift() -> None:
    rng = np.random.default_rng(0)
    table = empty_localizations(2000)
    table["frame"] = np.repeat(np.arange(200), 10)
    # Anywhere, never twice at one place: every pair of segments fits best at a shift of its own.
    table["x"], table["y"] = rng.uniform(0, 40, 2000), rng.uniform(0, 40, 2000)
    with pytest.raises(AnalysisError, match="take longer segments"):
        redundant_cross_correlation(table, 100.0)
