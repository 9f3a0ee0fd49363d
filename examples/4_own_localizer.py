# %% [markdown]
# # A localizer of your own
#
# Anything that finds molecules in camera frames can take the place of the built-in localizers. Here it is centroids of
# bright spots, in 30 lines; yours may be a fit in another language, or a network.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile
from scipy import ndimage

import dblink_live as dbl
from dblink_live import registry
from dblink_live.types import LOCALIZATION_DTYPE, Camera, FrameArray, Localizations

DATA, PICTURES = Path("data"), Path("pictures")
PICTURES.mkdir(exist_ok=True)


class Centroids:
    """Centre of mass of every patch of pixels that stands out from the background."""

    name = "centroids"

    def __init__(self, camera: Camera, psf_sigma_px: float | None = None, threshold_sigma: float = 5.0) -> None:
        self.camera = camera
        self.sigma = psf_sigma_px or 1.3
        self.threshold = threshold_sigma

    def localize(self, frames: FrameArray, frame_numbers: np.ndarray) -> Localizations:
        """Localize frames [N, H, W]; the answer does not depend on how many come at a time."""
        found = [self._one(frame, number) for frame, number in zip(frames, frame_numbers, strict=True)]
        return np.concatenate(found) if found else np.zeros(0, LOCALIZATION_DTYPE)

    def _one(self, frame: np.ndarray, number: int) -> Localizations:
        image = frame.astype(float)
        image -= np.median(image)
        smooth = ndimage.gaussian_filter(image, self.sigma)
        noise = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
        patches, n = ndimage.label(smooth > self.threshold * noise)
        rows = np.zeros(n, LOCALIZATION_DTYPE)
        rows["frame"] = number
        if n:
            index = np.arange(1, n + 1)
            rows["y"], rows["x"] = np.transpose(ndimage.center_of_mass(np.clip(smooth, 0, None), patches, index))
            rows["photons"] = ndimage.sum(image, patches, index) * self.camera.electrons_per_adu
            rows["lpx"] = rows["lpy"] = self.sigma / np.sqrt(np.clip(rows["photons"], 1, None))
        return rows


# %% [markdown]
# ## Use it
#
# In a script the class is registered under its name. In a package of your own an entry point does the same for the
# command line and for live runs: see [how to write a localizer](../how-to/plugins.md).

# %%
registry.register_localizer("centroids", Centroids)

frames = tifffile.imread(DATA / "dna_paint.tif")
camera = dbl.Camera(pixel_size_nm=130)
mine = dbl.localize(frames, camera, localizer="centroids")
fit = dbl.localize(frames, camera, localizer="gaussian")
print(f"centroids: {len(mine)} molecules, gaussian: {len(fit)}")

figure, axis = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
axis.imshow(frames.mean(0), cmap="gray")
axis.plot(fit["x"], fit["y"], "o", mfc="none", mec="tab:orange", label="gaussian")
axis.plot(mine["x"], mine["y"], "+", color="tab:cyan", label="centroids")
axis.legend(fontsize=8)
figure.savefig(PICTURES / "own_localizer.png", dpi=110)

# %% [markdown]
# ## Does it do its job?
#
# Two tests say most. One batch must give what many give, because a live run hands over whatever has come. And where
# the truth is known, molecules must lie where they are.

# %%
halves = [dbl.localize(frames[:37], camera, localizer="centroids")]
halves.append(dbl.localize(frames[37:], camera, localizer="centroids", first_frame=37))
assert np.array_equal(np.concatenate(halves), mine)

still = np.full((1, 32, 32), 100, np.uint16)
row, column = np.indices(still.shape[1:])
still[0] += np.rint(400 * np.exp(-((row - 12.3) ** 2 + (column - 20.6) ** 2) / (2 * 1.3**2))).astype(np.uint16)
(one,) = dbl.localize(still, dbl.Camera(pixel_size_nm=100), localizer="centroids")
print(f"true (20.60, 12.30), found ({one['x']:.2f}, {one['y']:.2f})")
assert abs(one["x"] - 20.6) < 0.1
assert abs(one["y"] - 12.3) < 0.1
