# %% [markdown]
# # Crowded frames
#
# In a live sample many molecules shine at once, and their spots overlap. A fit of single spots then finds few of them;
# the localizer `dense`, a small network, finds most. The stack is the simulated microtubules of Deep-STORM, with some
# 220 molecules in each frame of 6.4 um and a known truth.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import dblink_live as dbl

DATA, PICTURES = Path("data"), Path("pictures")
PICTURES.mkdir(exist_ok=True)

frames = tifffile.imread(DATA / "microtubules.tif")
truth = np.load(DATA / "microtubules_truth.npz")
camera = dbl.Camera(pixel_size_nm=100, offset_adu=100, electrons_per_adu=1)

tables = {name: dbl.localize(frames, camera, localizer=name) for name in ("gaussian", "dense", "auto")}
true_per_frame = len(truth["frame"]) / len(frames)
for name, table in tables.items():
    print(f"{name:9s} {len(table) / len(frames):5.0f} of {true_per_frame:.0f} molecules per frame")

assert len(tables["dense"]) > 2 * len(tables["gaussian"])

# %% [markdown]
# `auto` looks at how crowded the frames are and takes `dense` here; on sparse frames it takes the fit, which is more
# precise there. Ask for it by `--localizer auto`; the default is the fit alone.
#
# ## What it means for the video


# %%
def count(x_nm: np.ndarray, y_nm: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Count molecules on pixels of 40 nm, in windows of 5 frames."""
    maps = np.zeros((20, 160, 160), np.uint16)
    row, column = (np.clip(place // 40, 0, 159).astype(int) for place in (y_nm, x_nm))
    np.add.at(maps, (frame.astype(int) // 5, row, column), 1)
    return maps


counts = {
    name: count((table["x"] + 0.5) * 100, (table["y"] + 0.5) * 100, table["frame"]) for name, table in tables.items()
}
truth_map = count(truth["x_nm"], truth["y_nm"], truth["frame"]).sum(0)

panels = {"mean frame": frames.mean(0), "true molecules, all frames": truth_map}
for name in ("gaussian", "dense"):
    panels[f"{name}: network"] = dbl.reconstruct(counts[name], "filaments")[10]
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis, (title, picture) in zip(axes, panels.items(), strict=True):
    axis.imshow(picture, cmap="inferno", vmax=np.quantile(picture, 0.998), extent=(0, 6.4, 6.4, 0))
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("um")
figure.savefig(PICTURES / "crowded.png", dpi=110)

# %% [markdown]
# From the command line:
#
# ```console
# dblink-live localize data/microtubules.tif --out microtubules.csv --pixel-size-nm 100 --localizer auto
# ```
