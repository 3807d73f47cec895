"""A small tissue with labels, a gene, and the record of a perturbation."""

from __future__ import annotations

from collections.abc import Iterator

import anndata
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")


@pytest.fixture
def tissue(rng: np.random.Generator) -> anndata.AnnData:
    """Twenty by ten spots, two layers of cells, three genes; the gene Src knocked out in the left part."""
    side = np.stack(np.meshgrid(np.arange(20.0), np.arange(10.0)), axis=-1).reshape(-1, 2) * 100
    names = [f"spot{i}" for i in range(len(side))]
    expression = rng.gamma(2.0, 1.0, (len(side), 3))
    adata = anndata.AnnData(
        expression,
        obs=pd.DataFrame({"cell_type": np.where(side[:, 0] < 500, "left", "right")}, index=names),
        var=pd.DataFrame(index=["Src", "H2-K1", "Near"]),
    )
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    adata.obs["depth"] = expression.sum(axis=1)
    adata.obsm["spatial"] = side
    adata.uns["spatial_units"] = "um"
    source = side[:, 0] < 300
    delta = np.zeros_like(expression)
    delta[source, 0] = -expression[source, 0]
    delta[:, 2] = np.exp(-np.maximum(side[:, 0] - 200, 0) / 400)
    adata.layers["perturbation"] = expression + delta
    adata.layers["perturbation_delta"] = delta
    adata.uns["perturbation"] = {
        "targets": np.array(["Src"], dtype=object),
        "values": np.array([0.0]),
        "cells": np.array(names, dtype=object)[source],
        "cluster_key": "cell_type",
        "layer": "X",
        "spatial_key": "spatial",
    }
    return adata


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    """Close what a test drew, so that figures do not pile up."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
