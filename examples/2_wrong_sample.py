# %% [markdown]
# # When not to believe it
#
# A network that has only seen filaments draws filaments. Here it is given DNA-PAINT of DNA origami: isolated spots, a
# real recording by Micro-Manager. This page shows how to notice, before a reviewer does.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import dblink_live as dbl
from dblink_live.analysis.trust.support import left_out_fraction, supported_fraction
from dblink_live.analysis.trust.verdict import Conditions, Light, judge

DATA, PICTURES = Path("data"), Path("pictures")
PICTURES.mkdir(exist_ok=True)

frames = tifffile.imread(DATA / "dna_paint.tif")
camera = dbl.Camera(pixel_size_nm=130)  # offset and gain are not stated: photon numbers are relative
table = dbl.localize(frames, camera)
print(f"{len(frames)} frames of {frames.shape[1]} x {frames.shape[2]} px, {len(table)} molecules")

# %% [markdown]
# ## The picture looks convincing
#
# 130 nm divided by 40 nm is no whole number. That does not matter: molecules have continuous places, and are counted
# on whatever grid the network needs.

# %%
model = dbl.load_model("filaments")
fine = int(frames.shape[1] * 130 // 40)
rows, columns = ((table[axis] + 0.5) * 130 / 40 for axis in ("y", "x"))
counts = np.zeros((len(frames) // 4, fine, fine), np.uint16)
inside = (rows < fine) & (columns < fine) & (table["frame"] < 4 * len(counts))
np.add.at(counts, (table["frame"][inside] // 4, rows[inside].astype(int), columns[inside].astype(int)), 1)

video = dbl.reconstruct(counts, model)
middle = len(video) // 2
panels = {"mean frame": frames.mean(0), "sum of all windows": counts.sum(0), "reconstruction": video[middle]}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for axis, (title, picture) in zip(axes, panels.items(), strict=True):
    axis.imshow(picture, cmap="inferno", vmax=np.quantile(picture, 0.998), extent=(0, 3.9, 3.9, 0))
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("um")
figure.savefig(PICTURES / "wrong_sample.png", dpi=110)

# %% [markdown]
# The right picture has crisp lines. The middle one, which needs no network, has spots. Only one of them is true.
#
# ## The numbers do not

# %%
supported = supported_fraction(video, counts, model.threshold)
left_out = left_out_fraction(video, counts, model.threshold)
print(f"supported {supported:.0%}, left out {left_out:.0%}")

# %% [markdown]
# Most molecules lie on nothing that was drawn: the network takes lone spots for noise, because for filaments they are.
# That is the sign of a wrong prior. Viewer and report put such figures into one verdict:

# %%
verdict = judge(Conditions(frames_seen=len(frames), left_out_share=left_out, unsupported_share=1 - supported))
print(f"{verdict.light}: {verdict.text}")
assert verdict.light == Light.RED

# %% [markdown]
# What to do with such a sample:
#
# - take the plain sum, which is one key away in the viewer and always stored;
# - choose another network (`dblink-live models` lists them);
# - [train one for your structure](train_a_structure.md).
