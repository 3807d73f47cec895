"""Real sections: maps that a biologist would recognize."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import nnls

import cytoripple as ct
from tests.conftest import real_file

SECTIONS = ("A1", "B1", "D1", "G2")


def read(name: str) -> anndata.AnnData:
    return anndata.read_h5ad(real_file(f"{name}.h5ad"))


def learned_table(sections: list[anndata.AnnData], genes: list[str]) -> pd.DataFrame:
    """Profiles of the types, from sections whose proportions another method has estimated."""
    counts = np.vstack([sparse.csr_matrix(one[:, genes].X).toarray() for one in sections])
    shares = pd.concat([one.obsm["stereoscope_major"] for one in sections])
    depth = counts.sum(axis=1, keepdims=True)
    weight = np.sqrt(depth)
    rates = [nnls(shares.to_numpy() * weight, column)[0] for column in (counts / depth * weight).T]
    table = np.stack(rates, axis=1)
    return pd.DataFrame(
        3000 * table / table.sum(axis=1, keepdims=True), index=shares.columns.astype(str), columns=genes
    )


@pytest.mark.parametrize("name", ["A1", "G2"])
def test_t_cells_of_a_tumor_are_where_the_pathologist_saw_immune_infiltrate(name: str) -> None:
    """The profiles come from the sections of three other patients."""
    sections = {one: read(f"her2st_{one}") for one in SECTIONS}
    counted = [pd.Series(np.asarray(s.X.sum(axis=0)).ravel(), s.var_names) for s in sections.values()]
    genes = list(pd.concat(counted, axis=1, join="inner").sum(axis=1).nlargest(3000).index)
    table = learned_table([s for one, s in sections.items() if one != name], genes)
    section = sections[name]
    ct.tl.deconvolve(section, table)
    found = section.obsm["deconvolution"]
    by_region = found["T-cells"].groupby(section.obs["cell_type"].astype(str)).mean()
    assert by_region.idxmax() == "immune infiltrate"
    assert by_region.max() > 2 * found["T-cells"].mean()
    other = section.obsm["stereoscope_major"]
    agreement = {kind: np.corrcoef(found[kind], other[kind])[0, 1] for kind in ("Epithelial", "CAFs")}
    assert min(agreement.values()) > 0.6, agreement


def test_beads_of_the_cerebellum() -> None:
    """Granule cells are the most common; Bergmann glia and Purkinje cells share a layer without them."""
    spots, cells = read("cerebellum_slideseq"), read("cerebellum_ref")
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", kappa=2)
    shares = spots.obsm["deconvolution"]
    assert shares.mean().idxmax() == "Granule"
    layer = shares["Purkinje"] + shares["Bergmann"]
    assert np.corrcoef(layer, shares["Granule"])[0, 1] < -0.3


def patchiness(values: pd.Series, adata: anndata.AnnData) -> float:
    """Moran's I over the six nearest spots."""
    xy, centered = adata.obsm["spatial"], values.to_numpy(dtype=float) - values.mean()
    distance = ((xy[:, None] - xy) ** 2).sum(axis=2)
    near = distance.argsort(axis=1, kind="stable")[:, 1:7]
    return float((centered * centered[near].mean(axis=1)).mean() / (centered**2).mean())


def test_layers_of_the_hippocampus_survive_a_difference_that_all_spots_share(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Least squares finds no CA1, CA3 or dentate cell anywhere; the default does, each in its own layer."""
    spots, cells = read("hippo_visium"), read("hippo_ref")
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", method="fast", key_added="fast")
    layers = ["CA1", "CA3", "Denate"]
    assert (spots.obsm["fast"][layers].to_numpy() < 1e-4).all()
    assert "types got nothing in any spot" in caplog.text and "method='default'" in caplog.text
    caplog.clear()
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type")
    shares = spots.obsm["deconvolution"]
    assert set(layers) <= set(spots.uns["deconvolution"]["lost_types"])
    assert min(patchiness(shares[layer], spots) for layer in [*layers, "Oligodendrocyte"]) > 0.35
    apart = shares[layers].corr().to_numpy()
    assert (apart[np.triu_indices(3, 1)] < 0.1).all(), apart
    hpca = spots[:, ["Hpca"]].to_df()["Hpca"] / np.asarray(spots.X.sum(axis=1)).ravel()
    top = shares["CA1"] > 0.2
    assert hpca[top].mean() > 3 * hpca[~top].mean()
    assert "'Neurogenesis'" in caplog.text and "even share" in caplog.text


def test_spots_outside_of_the_sample_get_lost_types_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gene weights of a large tissue come from a part of its spots; all spots must gain from them."""
    spots, cells = read("hippo_visium"), read("hippo_ref")
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", key_added="all")
    monkeypatch.setattr("cytoripple.deconv.fit.SAMPLE", 150)
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", key_added="sampled")
    for layer in ("CA1", "CA3", "Denate"):
        assert np.corrcoef(spots.obsm["all"][layer], spots.obsm["sampled"][layer])[0, 1] > 0.8, layer


def test_a_tissue_that_fits_its_reference_gives_no_such_warning(caplog: pytest.LogCaptureFixture) -> None:
    spots, cells = read("cerebellum_slideseq"), read("cerebellum_ref")
    ct.tl.deconvolve(spots, cells, cell_type_key="cell_type", kappa=2)
    assert len(spots.uns["deconvolution"]["lost_types"]) == 0
    assert "got nothing" not in caplog.text
