"""What is said about data and network before any work."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from cytoripple._errors import GeneMatchError
from cytoripple.grn.modulators import ModulatorIndex
from cytoripple.grn.overlap import overlap_report
from cytoripple.io.network import Network, as_network, read_network
from tests.conftest import real_file


def network(rows: list[tuple[str, str, str]]) -> Network:
    table = pd.DataFrame(rows, columns=["source", "target", "edge_type"])
    return as_network(table.assign(weight=0.5))


MOUSE = network(
    [
        ("Sox2", "Vim", "grn"),
        ("Sox2", "Actb", "grn"),
        ("Myc", "Myc", "grn"),
        ("Myc", "Gone", "grn"),
        ("Tgfb1", "Tgfbr1", "lr"),
        ("Wnt5a", "Fzd5", "lr"),
        ("Tgfb1", "Sox2", "nichenet"),
    ]
)
GENES = ["Sox2", "Vim", "Myc", "Tgfb1", "Tgfbr1", "ACTB", "Gm1"]


def test_counts_are_those_of_the_edges_that_can_be_used() -> None:
    report = overlap_report(MOUSE, GENES)
    assert (report.n_genes, report.n_known) == (7, 5)
    assert (report.tf.kept, report.tf.total) == (2, 4)
    assert (report.lr.kept, report.lr.total) == (1, 2)
    assert (report.tfl.kept, report.tfl.total) == (1, 1)
    assert report.case_pairs == (("ACTB", "Actb"),)
    # Myc regulates itself alone, which explains nothing.
    assert report.without_regulators == ("Sox2", "Myc", "Tgfb1", "Tgfbr1", "ACTB", "Gm1")
    # The only pair cannot explain its own two genes.
    assert report.without_modulators == ("Tgfb1", "Tgfbr1")


@pytest.mark.parametrize("rows", [slice(0, 4), slice(0, 5), slice(0, 7)])
def test_targets_without_modulators_are_those_training_leaves_out(rows: slice) -> None:
    edges = [(a, b, "grn") for a, b in zip(MOUSE.tf["source"], MOUSE.tf["target"], strict=True)]
    edges += [(a, b, "lr") for a, b in zip(MOUSE.lr["ligand"], MOUSE.lr["receptor"], strict=True)]
    some = network(edges[rows])
    index = ModulatorIndex(some, GENES)
    orphans = tuple(gene for gene in GENES if len(index.of(gene)) == 0)
    assert overlap_report(some, GENES).without_modulators == orphans


def test_the_text_is_short_and_names_what_misses() -> None:
    lines = overlap_report(MOUSE, GENES, targets=["Vim", "Myc", "Tgfb1"]).text().splitlines()
    assert lines == [
        "network  data frame",
        "genes    5 of 7 (71 %) are known to it",
        "edges    2 of 4 TF edges, 1 of 2 ligand-receptor pairs, 1 of 1 ligand-TF edges",
        "targets  1 of 3 (33 %) have a regulator, without: Myc, Tgfb1",
        "         1 have no modulator at all and are not trained",
        "case     1 names agree only when case is ignored: ACTB/Actb",
    ]


def test_the_report_can_be_written_as_json() -> None:
    stored = json.loads(json.dumps(overlap_report(MOUSE, GENES).to_dict()))
    assert stored["tf"] == {"total": 4, "kept": 2}
    assert stored["case_pairs"] == [["ACTB", "Actb"]]


def test_ligands_without_a_class_are_counted_only_beside_classed_ones() -> None:
    classed = Network(
        MOUSE.tf, MOUSE.lr.assign(signaling=["Secreted Signaling", None]), MOUSE.tfl, None, "test", ""
    )
    genes = [*GENES, "Wnt5a", "Fzd5"]
    assert overlap_report(classed, genes).n_unclassed_ligands == 1
    assert "1 have no signaling class" in overlap_report(classed, genes).text()
    assert overlap_report(MOUSE, genes).n_unclassed_ligands == 0


def test_names_of_the_other_species_are_an_error_with_the_line_to_type() -> None:
    with pytest.raises(GeneMatchError, match="5 names agree once case is ignored") as caught:
        overlap_report(MOUSE, ["SOX2", "VIM", "MYC", "TGFB1", "TGFBR1"])
    assert "read_network(species='human')" in str(caught.value)
    assert "adata.var_names.str.capitalize()" in str(caught.value)


def test_ensembl_names_are_an_error_with_the_line_to_type() -> None:
    genes = [f"ENSMUSG{position:011d}" for position in range(20)] + ["ENSG00000141510.18"]
    with pytest.raises(GeneMatchError, match=r"Ensembl identifiers.*adata\.var_names ="):
        overlap_report(MOUSE, genes)


def test_few_genes_with_ensembl_names_are_only_told() -> None:
    report = overlap_report(MOUSE, [*GENES, "ENSG00000141510"])
    assert report.ensembl_names == ("ENSG00000141510",)
    assert "1 look like Ensembl identifiers: ENSG00000141510" in report.text()


def test_fewer_than_a_twentieth_of_the_targets_is_too_few() -> None:
    tf_only = network([("Sox2", "Vim", "grn")])
    genes = ["Sox2", "Vim", *(f"Gm{i}" for i in range(18))]
    assert overlap_report(tf_only, genes).n_with_regulators == 1
    with pytest.raises(GeneMatchError, match="only 1 of 21 targets have a modulator"):
        overlap_report(tf_only, [*genes, "Gm18"])
    with pytest.raises(GeneMatchError, match="no edge of the network has both genes among the 1 "):
        overlap_report(tf_only, ["Sox2"])


@pytest.mark.parametrize(
    ("tissue", "edges", "tf", "regulated", "lr", "tfl"),
    [
        ("mob.h5ad", "mouse_network.parquet", 1_323_673, 15_056, 1_199, 2_175),
        ("her2st_A1.h5ad", "human_network.parquet", 327_328, 13_897, 1_144, 1_946),
        ("prostate_visium.h5ad", "human_network.parquet", 3_815, 961, 104, 6),
    ],
)
def test_real_tissues_have_the_published_overlap(
    tissue: str, edges: str, tf: int, regulated: int, lr: int, tfl: int
) -> None:
    import anndata

    genes = anndata.read_h5ad(real_file(tissue), backed="r").var_names
    report = overlap_report(read_network(real_file(f"networks/{edges}")), genes)
    assert (report.tf.kept, report.n_with_regulators, report.lr.kept, report.tfl.kept) == (
        tf,
        regulated,
        lr,
        tfl,
    )


def test_the_network_of_another_species_is_refused_on_real_data() -> None:
    import anndata

    genes = anndata.read_h5ad(real_file("her2st_A1.h5ad"), backed="r").var_names
    mouse = read_network(real_file("networks/mouse_network_dorothea.parquet"))
    with pytest.raises(GeneMatchError, match=r"take the network of the other species"):
        overlap_report(mouse, genes)
