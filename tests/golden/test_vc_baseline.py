"""The mean baseline against every golden set that has one."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cytoripple.vc import baselines
from tests.conftest import golden_root

SETS = sorted(path.parent for path in golden_root().glob("**/baseline_mean.npz"))


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_global_mean_row_and_its_effect(folder):
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "baseline_mean.npz") as wanted:
        obs = pd.DataFrame(
            {"target_gene": inputs["labels"]}, index=np.arange(len(inputs["labels"])).astype(str)
        )
        real = AnnData(inputs["real"], obs=obs, var=pd.DataFrame(index=inputs["genes"]))
        stream = baselines.global_mean(real)
        np.testing.assert_allclose(baselines.global_mean_row(real), wanted["mean_row"], atol=1e-6, rtol=0)
        delta = baselines.global_mean_row(real, as_delta=True)
        np.testing.assert_allclose(delta, wanted["delta_row"], atol=1e-6, rtol=0)
        first = next(iter(stream))
        np.testing.assert_allclose(first.expression[0], wanted["mean_row"], atol=1e-6, rtol=0)
        counts = dict(zip(wanted["counts_names"].tolist(), wanted["counts"].tolist(), strict=True))
        assert {label: n for (label, _), n in stream.counts.items()} == counts


def test_there_is_a_golden_set():
    if not SETS:
        pytest.skip(f"no baseline_mean.npz under {golden_root()}")
