"""Fluorophores: on-times, off-times, bleaching and photon budgets are those that their parameters state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dblink_live.errors import ConfigError
from dblink_live.simulate import Fluorophores
from dblink_live.simulate.fluorophores import sightings, switch
from dblink_live.simulate.precision import localization_error_nm

PLAIN = Fluorophores(mean_on_ms=50.0, mean_off_s=1.0, switching_cycles=5.0, brightness_spread=0.0, min_photons=1.0)


def test_on_times_and_cycles_have_their_means() -> None:
    n = 4000
    on = switch(PLAIN, n, 1000.0, np.random.default_rng(0))
    # 1000 s are long beyond 5 cycles of 1 s: every molecule has bleached. 20,000 exponential times know their mean to
    # 0.7 %; 4000 geometric numbers of standard deviation sqrt(20) to 1.4 %.
    assert (on.stop_s - on.start_s).mean() == pytest.approx(0.05, rel=0.03)
    assert len(on.molecule) / n == pytest.approx(5.0, rel=0.06)
    # Exponential: the standard deviation is the mean.
    assert (on.stop_s - on.start_s).std() == pytest.approx(0.05, rel=0.05)


def test_dark_times_have_their_mean() -> None:
    on = switch(replace(PLAIN, switching_cycles=1e9), 50, 200.0, np.random.default_rng(1))
    order = np.lexsort((on.start_s, on.molecule))
    molecule, start, stop = on.molecule[order], on.start_s[order], on.stop_s[order]
    same = molecule[1:] == molecule[:-1]
    dark = (start[1:] - stop[:-1])[same]
    # Some 9,500 exponential times know their mean to 1 %; those cut by the end of 200 s shorten it by 0.5 %.
    assert dark.mean() == pytest.approx(1.0, rel=0.04)
    assert (dark > 0).all()
    # In the steady state the share of molecules that are on is the duty cycle at every moment, also at the start.
    moments = np.linspace(0.0, 199.0, 2000)
    on_now = [((start <= moment) & (stop > moment)).sum() / 50 for moment in moments]
    assert np.mean(on_now) == pytest.approx(PLAIN.duty_cycle, rel=0.06)


def test_bleaching_thins_the_population() -> None:
    fluorophores = replace(PLAIN, switching_cycles=2.0)
    seen = sightings(fluorophores, 4000, 400, 20.0, np.random.default_rng(2))
    early, late = ((seen.frame >= low) & (seen.frame < low + 50) for low in (0, 350))
    # A bleaching rate of 1 / (2 x 1.05 s): 7 s later, 4 % are left.
    assert late.sum() < 0.1 * early.sum()
    assert late.sum() > 0


def test_a_molecule_gives_its_photon_budget() -> None:
    fluorophores = replace(PLAIN, photons_per_event=1000.0)
    seen = sightings(fluorophores, 2000, 5000, 20.0, np.random.default_rng(3))
    # 100 s see them all bleach. A sum over geometrically many exponential numbers is one itself: 2000 know it to 2.2 %.
    assert seen.photons.sum() / 2000 == pytest.approx(fluorophores.photon_budget, rel=0.08)
    assert fluorophores.photon_budget == 5000.0


def test_a_molecule_is_seen_in_consecutive_frames() -> None:
    seen = sightings(replace(PLAIN, mean_off_s=40.0), 4000, 2000, 20.0, np.random.default_rng(4))
    pairs = set(zip(seen.molecule.tolist(), seen.frame.tolist(), strict=True))
    again = np.mean([(molecule, frame + 1) in pairs for molecule, frame in pairs])
    # An on-time of 2.5 frames touches 3.5 of them on average and 2.5 pairs of neighbours.
    assert again == pytest.approx(2.5 / 3.5, abs=0.03)
    assert (np.diff(seen.frame) >= 0).all()
    # One frame of light at most.
    assert seen.photons.max() < 20.0 / 50.0 * 3000.0 + 6 * 1200**0.5


def test_faint_molecules_are_not_found() -> None:
    bright = sightings(replace(PLAIN, min_photons=600.0), 2000, 500, 20.0, np.random.default_rng(5))
    every = sightings(PLAIN, 2000, 500, 20.0, np.random.default_rng(5))
    assert bright.photons.min() >= 600.0
    assert len(bright.photons) == (every.photons >= 600.0).sum()


def test_no_molecules_give_no_sightings() -> None:
    assert len(sightings(PLAIN, 0, 100, 20.0, np.random.default_rng(0)).frame) == 0


def mortensen_nm(photons: float, background: float, sigma_nm: float, pixel_nm: float) -> float:
    """Equation for maximum likelihood of Mortensen et al. (2010), its integral summed numerically."""
    widened = sigma_nm**2 + pixel_nm**2 / 12
    tau = 2 * np.pi * widened * background / (photons * pixel_nm**2)
    # Substituting t = u^4 tames the logarithm at 0.
    u = (np.arange(200_000) + 0.5) / 200_000
    integral = np.mean(4 * np.log(u) / (1 + u**4 / tau) * 4 * u**3)
    return float(np.sqrt(widened / photons / (1 + integral)))


@pytest.mark.parametrize("photons", [200.0, 1000.0, 5000.0])
@pytest.mark.parametrize("background", [1.0, 20.0, 200.0])
def test_the_localization_error_is_that_of_mortensen(photons: float, background: float) -> None:
    error = localization_error_nm(np.array([photons]), background, 140.0, 100.0)
    # The closed form of Rieger & Stallinga follows the integral within a few percent.
    assert error[0] == pytest.approx(mortensen_nm(photons, background, 140.0, 100.0), rel=0.04)
    emccd = localization_error_nm(np.array([photons]), background, 140.0, 100.0, excess_noise_factor=2.0)
    assert emccd[0] == pytest.approx(2**0.5 * error[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"mean_on_ms": 0.0}, "mean_on_ms of 0.01 or more, found 0.0", id="no on-time"),
        pytest.param({"switching_cycles": 0.5}, "switching_cycles of 1 or more", id="half a cycle"),
        pytest.param({"labels_per_um2": -1.0}, "labels_per_um2 of 0 or more, found -1", id="negative labels"),
        pytest.param({"photons_per_event": float("nan")}, "photons_per_event", id="nan photons"),
    ],
)
def test_impossible_fluorophores_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PLAIN, **change)  # type: ignore[arg-type]
