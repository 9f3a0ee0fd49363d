# %% [markdown]
# # A live run from Python
#
# A run writes its run folder as it goes, and any program may read that folder meanwhile, this notebook too. Here a
# simulated living specimen stands before a simulated camera; for your microscope only the source changes.

# %%
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dblink_live as dbl
from dblink_live.errors import StoreError

try:
    from IPython.display import display
except ImportError:  # as a script: only the last picture is kept
    display = None

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
RUN = Path("live.run")

# %% [markdown]
# ## Start it
#
# `dbl.run` returns when the run is over. In a thread of its own it leaves the notebook free.

# %%
source = "sim:filaments?fps=25&frames=400&size=32"  # or "mm:core?config=MyScope.cfg&exposure_ms=20", "ndtiff:D:/data"
live_run = threading.Thread(target=dbl.run, args=(source, RUN))
live_run.start()

# %% [markdown]
# ## Watch it
#
# `open_run` opens the folder for reading. Every access sees what is committed at that moment, and never makes the run
# wait. In Jupyter the figure below is redrawn in place.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
handle = display(figure, display_id=True) if display else None
shown = 0
while True:
    is_over = not live_run.is_alive()
    try:
        with dbl.open_run(RUN) as run:
            live, counts = run.live, run.counts
            n = len(live) if live is not None else 0
            if n > shown and live is not None and counts is not None:
                shown = n
                left.imshow(counts[max(0, n - 25) : n].sum(0), cmap="inferno")
                left.set_title("plain sum of 25 windows")
                right.imshow(live[n - 1], cmap="inferno")
                right.set_title(f"reconstruction, window {n}")
                if handle:
                    handle.update(figure)
    except StoreError:
        pass  # the run folder is not there yet
    if is_over:
        break
    live_run.join(0.3)
figure.savefig(PICTURES / "live.png", dpi=110)

# %% [markdown]
# ## Afterwards
#
# The ledger says what became of every frame. What is committed can be read as arrays, whatever happens to the process.

# %%
with dbl.open_run(RUN) as run:
    print(f"{run.status}: {len(run.live)} pictures")
    for segment, ledger in run.ledger.items():
        print(f"segment {segment}: {ledger}")
    video = run.live[:] * run.live.value_scale
assert np.isfinite(video).all()
