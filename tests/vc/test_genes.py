"""Symbols find their Ensembl ids in any of five tables, and nothing is guessed."""

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cytoripple as ct
from cytoripple._errors import FileError, GeneMatchError, InputError
from cytoripple.vc._gene_tables import ensembl_id
from cytoripple.vc.genes import GeneResolver, gene_map

A, B, C, D = (f"ENSG{number:011d}" for number in (115415, 2, 3, 4))
HGNC = (
    "hgnc_id\tsymbol\talias_symbol\tprev_symbol\tensembl_gene_id\n"
    f"HGNC:1\tSTAT1\tISGF-3|STAT91\t\t{A}\n"
    f"HGNC:2\tNEW2\tSHARED\tOLD2|TWICE\t{B}\n"
    f"HGNC:3\tNEW3\tSHARED|OLD2\tTWICE\t{C}\n"
    "HGNC:4\tNOID\t\t\t\n"
)
GTF = (
    "#!genome-build GRCh38\n"
    f'1\tHAVANA\tgene\t1\t9\t.\t+\t.\tgene_id "{A}.20"; gene_type "protein_coding"; gene_name "STAT1";\n'
    f'1\tHAVANA\texon\t1\t9\t.\t+\t.\tgene_id "{B}.1"; gene_name "EXON";\n'
    f'Y\tHAVANA\tgene\t1\t9\t.\t+\t.\tgene_id "{D}.1_PAR_Y"; gene_name "SHOX";\n'
)


def write(path, text):
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            file.write(text)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hgnc.txt", HGNC),
        ("hgnc.txt.gz", HGNC),
        ("genes.gtf", GTF),
        ("genes.gtf.gz", GTF),
        ("annotation.txt", GTF),
        ("features.tsv.gz", f"{A}\tSTAT1\tGene Expression\n{B}\tNEW2\tGene Expression\n"),
        ("two.csv", f"symbol,ensembl_id\nSTAT1,{A}\n"),
    ],
)
def test_kinds_of_tables_are_recognized(tmp_path, name, text):
    resolver = GeneResolver(write(tmp_path / name, text))
    assert resolver.resolve(["STAT1"]).ids == (A,)


def test_a_dataset_can_be_the_table(tmp_path):
    adata, _ = ct.datasets.simulate_screen(10, 2, 5, 20)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    for source in (tmp_path / "screen.h5ad", adata.var):
        found = GeneResolver(source).resolve(adata.var_names)
        assert found.ids == tuple(adata.var["gene_id"])
        assert found.report()["by_symbol"] == 20
    turned = adata.var.reset_index(names="gene_name").set_index("gene_id")
    assert GeneResolver(turned).resolve(["G003"]).ids == (adata.var.loc["G003", "gene_id"],)


def test_order_of_resolution(tmp_path):
    resolver = GeneResolver(write(tmp_path / "hgnc.txt", HGNC))
    names = ["STAT1", "STAT91", "OLD2", "TWICE", "SHARED", "NOID", "What", f"{D}.7"]
    found = resolver.resolve(names)
    assert found.ids == (A, A, B, "", "", "", "", D)
    assert found.how == (
        "symbol",
        "alias",
        "prev",
        "ambiguous",
        "ambiguous",
        "unresolved",
        "unresolved",
        "id",
    )
    assert found.candidates == {"TWICE": (B, C), "SHARED": (B, C)}
    report = {"by_id": 1, "by_symbol": 1, "by_prev": 1, "by_alias": 1, "ambiguous": 2, "unresolved": 2}
    assert found.report() == report | {"duplicates": 1}


def test_the_first_table_decides(tmp_path):
    first = write(tmp_path / "first.csv", f"symbol,ensembl_id\nSTAT1,{D}\n")
    hgnc = write(tmp_path / "hgnc.txt", HGNC)
    assert GeneResolver(first, hgnc).resolve(["STAT1", "NEW2"]).ids == (D, B)
    assert GeneResolver(hgnc, first).resolve(["STAT1"]).ids == (A,)


def test_ids_of_the_dataset_win():
    found = GeneResolver().resolve(["STAT1", "X"], ids=[f"{C}.3", "not an id"])
    assert found.ids == (C, "")
    with pytest.raises(InputError, match="one each"):
        GeneResolver().resolve(["STAT1"], ids=[A, B])


def test_only_ids_lose_their_version():
    assert ensembl_id("RP11-34P13.7") is None
    assert ensembl_id(f"{A}.20") == A
    assert ensembl_id(f"{A}.1_PAR_Y") == f"{A}_PAR_Y"
    assert ensembl_id("ENSMUSG00000051951.5") == "ENSMUSG00000051951"


def test_labels_go_through_the_same_table(tmp_path):
    resolver = GeneResolver(write(tmp_path / "hgnc.txt", HGNC))
    ids = resolver.resolve_labels(["non-targeting", "STAT91", "STAT1", "What"], "non-targeting")
    assert ids.tolist() == ["non-targeting", A, A, ""]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("other.txt", "hello world\n", "starts with 'hello world'"),
        ("empty.csv", "symbol,ensembl_id\n", "names no Ensembl gene id"),
        ("broken.csv.gz", None, "cannot be read to its end"),
    ],
)
def test_other_files_are_refused(tmp_path, name, text, says):
    path = tmp_path / name
    if text is None:
        whole = gzip.compress(HGNC.encode() * 100)
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_text(text)
    with pytest.raises(FileError, match=says):
        GeneResolver(path)


def test_missing_table_and_var_without_ids(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        GeneResolver(tmp_path / "none.gtf")
    with pytest.raises(FileError, match="column of Ensembl ids"):
        GeneResolver(pd.DataFrame({"chromosome": ["1"]}, index=["STAT1"]))


def test_duplicates_are_added_or_the_larger_is_kept():
    found = GeneResolver().resolve([A, B, f"{A}.2", "x"])
    x = np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 1.0, 1.0]])
    summed = gene_map(found, [C, A, B])
    np.testing.assert_array_equal(summed.lift(x), [[0, 5, 2], [0, 1, 0]])
    np.testing.assert_array_equal(summed.lift(sparse.csr_matrix(x)), summed.lift(x))
    kept = gene_map(found, [C, A, B], duplicates="larger_mean", means=x.mean(0))
    np.testing.assert_array_equal(kept.lift(x), [[0, 4, 2], [0, 1, 0]])
    assert kept.colmap.tolist() == [-1, 2, 1, -1]
    assert summed.present_mask.tolist() == [False, True, True]
    assert summed.stats["duplicates"] == 1
    assert summed.stats["coverage"] == pytest.approx(2 / 3)


def test_maps_that_cannot_be_made():
    found = GeneResolver().resolve([A, B])
    with pytest.raises(GeneMatchError, match="none of the 2 columns"):
        gene_map(found, [C])
    with pytest.raises(InputError, match="twice"):
        gene_map(found, [A, A])
    with pytest.raises(InputError, match="means is needed"):
        gene_map(found, [A], duplicates="larger_mean")
    with pytest.raises(InputError, match="expected 2 columns"):
        gene_map(found, [A]).lift(np.zeros((1, 3)))
