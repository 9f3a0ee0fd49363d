"""Maximum-likelihood fit of a pixel-integrated Gaussian to many spots.

The model (`psf`) is fitted by Fisher scoring with Levenberg-Marquardt damping (Smith et al.,
Nature Methods 2010; Laurence & Chromy, Nature Methods 2010). The inverse of the Fisher information at the solution is
the Cramer-Rao bound, reported as precision.

On a CPU spots are fitted one after the other (`fit_compiled`), on an accelerator many at once (`fit_batched`): the same
steps, and the same answer but for rounding (`docs/decisions/0008-compiled-localization.md`).

Shapes: K spots, S side of a region in pixels.
"""

from __future__ import annotations

from torch import Tensor

from dblink_live.localization.gaussian.fit_batched import fit_batched
from dblink_live.localization.gaussian.fit_compiled import fit_compiled
from dblink_live.localization.gaussian.fit_terms import Fits
from dblink_live.localization.gaussian.psf import Width
from dblink_live.localization.gaussian.regions import Regions


def fit_spots(regions: Regions, chosen: Tensor, psf_sigma_px: float, width: Width, light: Tensor | None = None) -> Fits:
    """Fit one Gaussian to each of the ``chosen`` [K] of the ``regions``.

    Parameters
    ----------
    regions
        Squares of pixels whose variance is their mean plus the read variance.
    psf_sigma_px
        Width to start from, or to keep where ``width`` is fixed.
    width
        What to do about the width.
    light
        [S, S, K] (y, x) of the pixels' photons that are other molecules'.
    """
    fit = fit_compiled if chosen.device.type == "cpu" else fit_batched
    return fit(regions, chosen, light, psf_sigma_px, width)
