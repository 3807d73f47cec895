"""FlashDeconv on the arrays of a folder; runs in the Python where flashdeconv 0.2.0 is installed."""

import sys
from pathlib import Path

import numpy as np
from flashdeconv import FlashDeconv
from scipy import sparse

folder = Path(sys.argv[1])
counts = sparse.load_npz(folder / "counts.npz").astype(np.float64)
with np.load(folder / "rest.npz") as rest:
    shares = FlashDeconv().fit_transform(counts, rest["means"], rest["coords"])
np.save(folder / "shares.npy", shares)
