"""Other programs' localizers under the interface of ours: Picasso's two fits, and 3D-DAOSTORM of sdt-python.

They are looked for when they are asked for; who is not installed is named and left out. picassosr comes with the extra
``compare``; sdt-python is in none, and is best installed into an environment of its own:

    python -m venv compare && compare/bin/pip install -c constraints.txt -e . picassosr sdt-python

Settings are as their documentation advises: Picasso with a box of 7 pixels and a threshold of the net gradient that
noise hardly reaches, 3D-DAOSTORM with its fixed width and a threshold of five times the noise. What noise is, they are
told by the frames themselves. Picasso is told offset and gain, of a map its mean, and no read noise.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dblink_live.errors import PluginError
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

Localize = Callable[[FrameArray], Localizations]
BOX_PX = 7
"""Of Picasso: side of the square that is looked at and fitted."""
NET_GRADIENT_NOISES = 60.0
"""Threshold of Picasso's net gradient in standard deviations of a pixel: about five of the net gradient's own."""
THRESHOLD_NOISES = 5.0
"""Threshold of 3D-DAOSTORM, the height of a spot."""


class Factory(Protocol):
    """Makes a localizer for frames of a camera."""

    def __call__(self, camera: Camera, psf_sigma_px: float | None = None) -> Localize: ...


def localizers_by_name(names: list[str], *, apart: bool = False) -> dict[str, Factory]:
    """Those of ``names`` that are installed; the others are said on standard error.

    ``apart`` tells ours that there is a frame missing before each, so that they can use none of those before.
    """
    found: dict[str, Factory] = {}
    for name in names:
        try:
            found[name] = RIVALS[name]() if name in RIVALS else _ours(name, 2 if apart else 1)
        except (ImportError, PluginError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def _ours(name: str, step: int) -> Factory:
    factory = get_localizer_factory(name)

    def make(camera: Camera, psf_sigma_px: float | None = None) -> Localize:
        localizer = factory(camera, psf_sigma_px=psf_sigma_px)

        def localize(frames: FrameArray) -> Localizations:
            found = localizer.localize(frames, step * np.arange(len(frames), dtype=np.int64))
            found["frame"] //= step
            return found

        return localize

    return make


def pixel_noise(frames: FrameArray) -> float:
    """Median noise of a pixel in counts, from second differences, which spots hardly have."""
    seen = frames[:20].astype(np.float64)
    second = seen[:, 2:] - 2 * seen[:, 1:-1] + seen[:, :-2]
    both = second[:, :, 2:] - 2 * second[:, :, 1:-1] + second[:, :, :-2]
    return 1.4826 * float(np.median(np.abs(both))) / 6.0


def _picasso(method: str) -> Factory:
    from picasso import localize as picasso

    def make(camera: Camera, psf_sigma_px: float | None = None) -> Localize:
        facts = {
            "Baseline": float(np.mean(camera.offset_adu)),
            "Sensitivity": float(np.mean(camera.electrons_per_adu)),
            "Gain": camera.em_gain,
            "Qe": 1.0,
            "Pixelsize": camera.pixel_size_nm,
        }

        def localize(frames: FrameArray) -> Localizations:
            least = NET_GRADIENT_NOISES * pixel_noise(frames)
            spots = picasso.identify(frames, least, BOX_PX, return_info=False)
            # It asks for a movie that is read from a file, and takes an array for one under this type.
            movie = frames.view(np.memmap)
            table, _ = picasso.fit(
                movie, camera_info=facts, identifications=spots, box=BOX_PX, fitting_method=method, multiprocess=True
            )
            found = empty_localizations(len(table))
            for column in ("frame", "x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy"):
                found[column] = table[column]
            return found[np.argsort(found["frame"], kind="stable")]

        return localize

    return make


def _daostorm() -> Factory:
    from sdt.loc import daostorm_3d

    def make(camera: Camera, psf_sigma_px: float | None = None) -> Localize:
        sigma_px = psf_sigma_px or 1.1

        def localize(frames: FrameArray) -> Localizations:
            threshold = THRESHOLD_NOISES * pixel_noise(frames)
            tables = []
            for number, frame in enumerate(frames):
                counts = np.clip(frame - np.asarray(camera.offset_adu, np.float64), 0.0, None)
                peaks = daostorm_3d.locate(counts, sigma_px, "2dfixed", threshold)
                found = empty_localizations(len(peaks))
                found["frame"] = number
                found["x"], found["y"] = peaks["x"], peaks["y"]
                found["photons"] = (
                    2 * math.pi * sigma_px**2 * peaks["signal"] * float(np.mean(camera.electrons_per_adu))
                )
                tables.append(found)
            return np.concatenate(tables) if tables else empty_localizations()

        return localize

    return make


RIVALS: dict[str, Callable[[], Factory]] = {
    "picasso-mle": lambda: _picasso("gaussmle-spherical"),
    "picasso-lq": lambda: _picasso("gausslq"),
    "daostorm": _daostorm,
}
"""Who is not ours, imported when asked for."""
