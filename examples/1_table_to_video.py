# %% [markdown]
# # From a table to a video you trust
#
# You have a localization table and want to see what moved. This takes about two minutes: read the table, count its
# molecules into short windows, let the network turn the windows into a video, and look at how much of it the data
# support.
#
# The table is STORM of *E. coli* with a labelled membrane protein: 9,202 molecules in a field of 7 um.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dblink_live as dbl

DATA, PICTURES = Path("data"), Path("pictures")
PICTURES.mkdir(exist_ok=True)

table = dbl.read_localizations(DATA / "ecoli_storm.csv", pixel_size_nm=160)
print(f"{len(table):,} molecules in {table['frame'].max() + 1:,} frames, field {table.field()} px")

# %% [markdown]
# ## Windows
#
# A *window* is a short run of camera frames; all molecules of one window are counted on a fine grid. The shipped
# networks expect pixels of 40 nm, so a camera pixel of 160 nm is divided by 4.
#
# A longer window holds more molecules and blurs more motion. As a start, choose it so that a structure of interest
# gets a molecule every few hundred nanometres.

# %%
counts = dbl.bin_localizations(table, table.field(), pixel_size_nm=160, scale=4, window=32)
per_window = counts.sum() / len(counts)
print(f"{len(counts)} windows of {counts.shape[1]} x {counts.shape[2]} pixels, {per_window:.0f} molecules per window")

# %% [markdown]
# ## The video
#
# `lookahead="full"` lets every picture see all windows, earlier and later ones. A live run cannot wait for that and
# sees eight later windows instead.

# %%
model = dbl.load_model("filaments")
video = dbl.reconstruct(counts, model, lookahead="full")

middle = len(video) // 2
panels = {
    "one window": counts[middle],
    "sum of 9 windows": counts[middle - 4 : middle + 5].sum(0),
    "reconstruction of the same moment": video[middle],
    "sum of everything": counts.sum(0, dtype=np.int64),
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis, (title, picture) in zip(axes, panels.items(), strict=True):
    axis.imshow(picture, cmap="inferno", vmax=np.quantile(picture, 0.995) or 1, extent=(0, 7.04, 7.04, 0))
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("um")
figure.savefig(PICTURES / "ecoli_video.png", dpi=110)

# %% [markdown]
# One window holds only points; the reconstruction of the same moment shows outlines, with gaps where molecules are
# sparse. The sum of everything is the conventional picture of this fixed sample: compare with it what the network
# drew. Where the two disagree, believe the sum.
#
# ## How much of it do the data support?
#
# Two numbers say most. *Supported*: the share of the drawn pixels that have molecules nearby. *Left out*: the share of
# the molecules that lie on nothing that was drawn.

# %%
from dblink_live.analysis.trust.support import left_out_fraction, supported_fraction  # noqa: E402

supported = supported_fraction(video, counts, model.threshold)
left_out = left_out_fraction(video, counts, model.threshold)
print(f"supported {supported:.0%}, left out {left_out:.0%}")
assert supported > 0.9
assert left_out < 0.2

# %% [markdown]
# Almost everything drawn has molecules beside it, and few molecules are left out: this prior fits this sample. The
# [next page](wrong_sample.md) shows a sample that it does not fit.
#
# ## Take it home
#
# The same from the command line, with a report that can be mailed and a run folder that `view`, `analyze` and `export`
# open:
#
# ```console
# dblink-live report data/ecoli_storm.csv --pixel-size-nm 160 --window 32 --out ecoli.run
# ```
