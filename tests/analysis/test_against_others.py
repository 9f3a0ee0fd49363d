"""Resolution beside other programs on the same three images: NanoPyx and Picasso.

Neither is needed by this package, and both bring much of their own, so they are an extra that only developers install:
``pip install -e .[compare]``. Without them these tests are skipped. docs/how-to/analysis.md has the figures.
"""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dblink_live.analysis.rendering import render
from dblink_live.analysis.resolution.decorrelation import decorrelation_analysis
from dblink_live.analysis.resolution.frc import fourier_ring_correlation, split_blocks
from dblink_live.types import Grid, Localizations, Shape, empty_localizations

PITCH_NM = 20.0
PIXEL_NM = 100.0
N_FRAMES = 200
PER_FRAME = 200
FIELD_NM = 5120.0
SPREADS_NM = (15.0, 20.0, 30.0)
TOLERANCE = 0.05


def table(spread_nm: float) -> Localizations:
    """200 localizations per frame anywhere on 40 lines, each to ``spread_nm``."""
    rng = np.random.default_rng(3)
    n = N_FRAMES * PER_FRAME
    ends = rng.uniform(500, FIELD_NM - 500, size=(2, 40, 2))
    line, along = rng.integers(40, size=n), rng.random(size=(n, 1))
    points = ends[0, line] * (1 - along) + ends[1, line] * along + rng.normal(0, spread_nm, size=(n, 2))
    rows = empty_localizations(n)
    rows["frame"] = np.repeat(np.arange(N_FRAMES), PER_FRAME)
    rows["y"], rows["x"] = (points / PIXEL_NM - 0.5).T
    rows["lpx"] = rows["lpy"] = spread_nm / PIXEL_NM
    rows["photons"] = 1000.0
    return rows


def halves(spread_nm: float) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of alternating blocks of frames."""
    grid = Grid(PITCH_NM, Shape(256, 256))
    even, odd = (render(half, PIXEL_NM, grid) for half in split_blocks(table(spread_nm), 10))
    return even, odd


def pictures(spread_nm: float) -> list[np.ndarray]:
    """Their sum, rendered with the usual blur, in five draws of white noise."""
    whole = gaussian_filter(np.add(*halves(spread_nm)).astype(float), 1.5)
    rng = np.random.default_rng(0)
    return [whole + 0.3 * whole.std() * rng.normal(size=whole.shape) for _ in range(5)]


def quietly(name: str) -> ModuleType:
    """An optional package, whose import warns of OpenCL devices and compilers that are not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed: pip install -e .[compare]")


@pytest.mark.parametrize("spread_nm", SPREADS_NM)
@pytest.mark.filterwarnings("ignore")
def test_frc_agrees_with_nanopyx(spread_nm: float) -> None:
    module = quietly("nanopyx.core.analysis.frc")
    even, odd = halves(spread_nm)
    theirs = module.FIRECalculator(pixel_size=PITCH_NM, units="nm")
    theirs.calculate_fire_number(even, odd)
    ours = fourier_ring_correlation(even, odd, PITCH_NM).resolution_nm()
    print(f"FRC of {spread_nm:g} nm: ours {ours:.1f}, NanoPyx {theirs.fire_number:.1f}")
    assert ours == pytest.approx(theirs.fire_number, rel=TOLERANCE)


@pytest.mark.parametrize("spread_nm", SPREADS_NM)
@pytest.mark.filterwarnings("ignore")
def test_decorrelation_agrees_with_nanopyx(spread_nm: float) -> None:
    module = quietly("nanopyx.core.analysis.decorr")
    ours, theirs = [], []
    for image in pictures(spread_nm):
        other = module.DecorrAnalysis(pixel_size=PITCH_NM, units="nm")
        other.run_analysis(image.astype(np.float32))
        theirs.append(other.resolution)
        ours.append(decorrelation_analysis(image, PITCH_NM).resolution_nm)
    print(f"decorrelation of {spread_nm:g} nm: ours {np.round(ours, 1)}, NanoPyx {np.round(theirs, 1)}")
    # The top of a decorrelation curve is flat: one draw of noise moves its maximum by up to a tenth, in either program.
    assert np.median(ours) == pytest.approx(np.median(theirs), rel=TOLERANCE)


@pytest.mark.parametrize("spread_nm", SPREADS_NM)
@pytest.mark.filterwarnings("ignore")
def test_frc_agrees_with_picasso(spread_nm: float) -> None:
    postprocess = quietly("picasso.postprocess")
    pandas = quietly("pandas")
    rows = table(spread_nm)
    side = int(FIELD_NM / PIXEL_NM) + 1
    info = [{"Pixelsize": PIXEL_NM, "Width": side, "Height": side, "Frames": N_FRAMES}]
    frame, field = pandas.DataFrame(rows), ((0, 0), (side, side))
    ours, theirs = [], []
    # Its halves are drawn at random, its pixels are half its estimate of the precision: 143 a side at the coarsest. The
    # same two pictures are taken here, of three draws.
    for seed in range(3):
        found = postprocess.frc(frame, info, field, random_seed=seed)
        one, other = found["images"]
        pitch_nm = 1 / (one.shape[0] * found["frequencies"][1])
        ours.append(fourier_ring_correlation(one, other, pitch_nm).resolution_nm())
        theirs.append(found["resolution"])
    print(f"FRC of {spread_nm:g} nm: ours {np.round(ours, 1)}, Picasso {np.round(theirs, 1)}")
    assert np.median(ours) == pytest.approx(np.median(theirs), rel=TOLERANCE)
