"""Modulators, radii and design columns of the golden tissue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import anndata
import numpy as np
import pytest
from numpy.typing import NDArray

from cytoripple.grn.design import design_matrix, sent_ligands
from cytoripple.grn.modulators import ModulatorIndex, Modulators
from cytoripple.io.network import Network, read_network
from tests.conftest import golden_root

FOLDER = golden_root() / "training"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden set in {FOLDER}")


@dataclass(frozen=True)
class Golden:
    """The golden tissue with what is expected of it."""

    names: tuple[str, ...]
    expression: NDArray[np.float64]
    xy: NDArray[np.float64]
    network: Network
    design: dict[str, NDArray[Any]]
    expected: dict[str, Any]

    def index(self, **settings: Any) -> ModulatorIndex:
        return ModulatorIndex(
            self.network, self.names, tf_ligand_cutoff=self.expected["tf_ligand_cutoff"], **settings
        )

    def radii(self, index: ModulatorIndex) -> dict[str, float]:
        return index.radii(self.expected["radius"], self.expected["contact_distance"])

    def received(self, index: ModulatorIndex) -> NDArray[np.float64]:
        """Every cell's mean over all cells of the ligand, weighted by the Gaussian of the distance."""
        sent = sent_ligands(
            self.expression, self.names, index.ligands, min_expression=self.expected["min_expression"]
        )
        squared = ((self.xy[:, None, :] - self.xy[None, :, :]) ** 2).sum(axis=2)
        radii = self.radii(index)
        columns = [
            np.exp(-squared / (2 * radii[ligand] ** 2)) @ amount
            for ligand, amount in zip(index.ligands, sent.T, strict=True)
        ]
        return self.expected["scale_factor"] / len(self.xy) * np.stack(columns, axis=1)


@cache
def golden() -> Golden:
    adata = anndata.read_h5ad(FOLDER / "tissue_input.h5ad")
    expected = json.loads((FOLDER / "tissue_expected.json").read_text())
    layer = adata.layers["imputed_count"]
    with np.load(FOLDER / "tissue_design.npz") as stored:
        design = {name: stored[name] for name in stored.files}
    return Golden(
        names=tuple(adata.var_names),
        expression=np.asarray(layer if isinstance(layer, np.ndarray) else layer.toarray(), np.float64),
        xy=np.asarray(adata.obsm["spatial"], dtype=np.float64)[:, :2],
        network=read_network(FOLDER / f"{expected['species']}_network.parquet"),
        design=design,
        expected=expected,
    )


def cases() -> list[str]:
    if not FOLDER.is_dir():
        return []
    with np.load(FOLDER / "tissue_design.npz") as stored:
        return [name.removesuffix("__X") for name in stored.files if name.endswith("__X")]


def modulators_of(case: str) -> tuple[ModulatorIndex, Modulators]:
    """Modulators of a case; a name that ends in ``_extra`` has the extra lists of the set."""
    tissue = golden()
    settings = {}
    if case.endswith("_extra"):
        settings["extra_modulators"] = tissue.expected["extra_modulators"]
        settings["extra_lr"] = [tuple(pair) for pair in tissue.expected["extra_lr"]]
    index = tissue.index(**settings)
    return index, index.of(case.removesuffix("_extra"))


def test_the_set_has_cases() -> None:
    """An empty list of cases would make every other test pass."""
    assert cases()


@pytest.mark.parametrize("case", cases())
def test_columns_have_the_golden_names_groups_and_order(case: str) -> None:
    _, modulators = modulators_of(case)
    stored = golden().design
    assert list(modulators.names) == stored[f"{case}__columns"].tolist()
    np.testing.assert_array_equal(modulators.groups, stored[f"{case}__groups"])


@pytest.mark.parametrize("case", cases())
def test_columns_have_the_golden_values(case: str) -> None:
    tissue = golden()
    index, modulators = modulators_of(case)
    design, names, _, y = design_matrix(
        modulators,
        tissue.expression,
        tissue.names,
        tissue.received(index),
        index.ligands,
        min_expression=tissue.expected["min_expression"],
    )
    expected = tissue.design[f"{case}__X"]
    assert len(names) == expected.shape[1]
    np.testing.assert_allclose(design, expected, rtol=1e-12)
    if f"{case}__y" in tissue.design:
        np.testing.assert_array_equal(y, tissue.design[f"{case}__y"])


def test_received_ligands_have_the_golden_names_radii_and_values() -> None:
    tissue = golden()
    index = tissue.index()
    stored = [str(name) for name in tissue.design["received_ligand_names"]]
    assert sorted(index.ligands) == sorted(stored)
    radii = tissue.radii(index)
    assert [radii[name] for name in stored] == tissue.design["received_ligand_radius"].tolist()
    order = [index.ligands.index(name) for name in stored]
    np.testing.assert_allclose(
        tissue.received(index)[:, order], tissue.design["received_ligands"], rtol=1e-12
    )


def test_every_gene_has_the_golden_number_of_modulators() -> None:
    tissue = golden()
    index = tissue.index()
    counts = {
        gene: {
            "n_tf": len(found.regulators),
            "n_lr": len(found.lr_pairs),
            "n_tfl": len(found.tfl_pairs),
        }
        for gene in tissue.expected["n_modulators"]
        for found in [index.of(gene)]
    }
    assert counts == tissue.expected["n_modulators"]


def test_orphans_are_the_golden_ones_when_only_regulators_are_used() -> None:
    tissue = golden()
    index = tissue.index(use_lr=False, use_tfl=False)
    orphans = [gene for gene in tissue.names if len(index.of(gene)) == 0]
    assert sorted(orphans) == sorted(tissue.expected["orphans_tf_only"])
    assert index.ligands == ()


def test_extra_modulators_that_take_part_already_are_dropped() -> None:
    tissue = golden()
    for case in (name for name in cases() if name.endswith("_extra")):
        _, modulators = modulators_of(case)
        taken = {gene for pair in (*modulators.lr_pairs, *modulators.tfl_pairs) for gene in pair}
        taken.update(modulators.regulators)
        wanted = [gene for gene in tissue.expected["extra_modulators"] if gene not in taken]
        assert list(modulators.extra) == wanted
