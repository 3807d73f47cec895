"""A method of this package on a generated section, in a process of its own.

python benches/deconv_speed/ours.py FOLDER METHOD THREADS [backed]
"""

import hashlib
import importlib
import json
import resource
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

import cytoripple as ct

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import load

folder, method, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
backed = sys.argv[4:] == ["backed"]
if backed:
    from scipy import sparse

    cells = sparse.load_npz(folder / "cells.npz")
    with np.load(folder / "rest.npz") as file:
        rest = {name: file[name] for name in ("labels", "truth")}
    spots = ct.io.read(folder / "spots.h5ad", backed=True)
else:
    counts, rest, cells = load(folder)
    names = pd.DataFrame(index=np.char.add("s", np.arange(counts.shape[0]).astype(str)))
    genes = pd.DataFrame(index=[f"g{at}" for at in range(counts.shape[1])])
    spots = anndata.AnnData(counts, obs=names, var=genes, obsm={"spatial": rest["coords"]})
kinds = pd.DataFrame({"type": np.char.mod("%02d", rest["labels"])})
kinds.index = kinds.index.astype(str)
reference = anndata.AnnData(cells, obs=kinds, var=pd.DataFrame(index=spots.var_names))
# Imports, as the peer is compiled before.
importlib.import_module("cytoripple.deconv.tool")
before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
ct.tl.deconvolve(spots, reference, cell_type_key="type", method=method, threads=threads)
after = resource.getrusage(resource.RUSAGE_SELF)
shares = spots.obsm["deconvolution"].to_numpy()
print(
    json.dumps(
        {
            "user_s": after.ru_utime - before.ru_utime,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "rise_mb": (after.ru_maxrss - before.ru_maxrss) / 1024,
            "rmse": float(np.sqrt(np.mean((shares - rest["truth"]) ** 2))),
            "wall_s": time.perf_counter() - start,
            "peak_mb": after.ru_maxrss / 1024,
            "sha": hashlib.sha256(shares.tobytes()).hexdigest()[:12],
        }
    )
)
