"""Modulators of a target: which, and in which order."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.grn.design import column_table
from cytoripple.grn.lists import parse_gene_list, parse_lr_list
from cytoripple.grn.modulators import ModulatorIndex
from cytoripple.grn.priors import read_tf_priors
from cytoripple.io.network import Network, as_network
from tests.oracles import modulators as oracle

GENES = ["T1", "T2", "L1", "L2", "L3", "R1", "R2", "G1", "G2"]

SECRETED, CONTACT = "Secreted Signaling", "Cell-Cell Contact"


def table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Edge list from (source, target, edge type, weight, signaling)."""
    frame = pd.DataFrame(rows, columns=["source", "target", "edge_type", "weight", "signaling"])
    return frame.astype({"weight": float, "signaling": object})


def small() -> Network:
    return as_network(
        table(
            [
                ("T2", "G1", "grn", 1, None),
                ("T1", "G1", "grn", 1, None),
                ("G1", "G1", "grn", 1, None),
                ("T2", "G1", "grn", 1, None),
                ("T1", "L1", "grn", 1, None),
                ("Absent", "G1", "grn", 1, None),
                ("L2", "R1", "lr", None, SECRETED),
                ("L1", "R1", "lr", None, CONTACT),
                ("L1", "R2", "lr", None, SECRETED),
                ("L2", "R1", "lr", None, CONTACT),
                ("L3", "Absent", "lr", None, SECRETED),
                ("L1", "T1", "nichenet", 0.3, None),
                ("L2", "T1", "nichenet", 0.9, None),
                ("L3", "T1", "nichenet", 0.99, None),
                ("L1", "T2", "nichenet", 0.15, None),
                ("L2", "T2", "nichenet", 0.16, None),
            ]
        )
    )


def index(**settings: Any) -> ModulatorIndex:
    return ModulatorIndex(small(), GENES, **settings)


def test_columns_follow_the_order_of_the_database() -> None:
    found = index().of("G1")
    assert found.names == ("T2", "T1", "L2$R1", "L1$R1", "L1$R2", "L2#T2", "L2#T1", "L1#T1")
    assert found.groups.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert len(found) == 8


def test_a_target_never_explains_itself() -> None:
    found = index().of("R1")
    assert found.lr_pairs == (("L1", "R2"),)
    assert index().of("L1").lr_pairs == (("L2", "R1"),)


def test_targets_outside_the_pairs_share_them() -> None:
    """Fifteen thousand targets with a thousand pairs each fit in memory only when the pairs are shared."""
    made = index()
    assert made.of("G1").lr_pairs is made.of("G2").lr_pairs


def test_an_unknown_target_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(GeneMatchError, match="nearest: 'G1'"):
        index().of("g1")


def test_a_gene_without_anything_has_no_modulators() -> None:
    assert len(index(use_lr=False).of("G2")) == 0


def test_the_cap_takes_the_most_expressed_ligands_left() -> None:
    means = {"L1": 1.0, "L2": 2.0}
    capped = index(max_ligands=1, mean_expression=means)
    assert capped.of("G1").lr_pairs == (("L2", "R1"),)
    assert capped.of("G1").tfl_pairs == (("L2", "T2"), ("L2", "T1"))
    # The target is the winning ligand: the next one moves up.
    assert capped.of("L2").lr_pairs == (("L1", "R1"), ("L1", "R2"))
    assert capped.ligands == ("L2", "L1")


def test_equal_means_keep_the_order_of_the_database() -> None:
    capped = index(max_ligands=1, mean_expression={"L1": 1.0, "L2": 1.0})
    assert {ligand for ligand, _ in capped.of("G1").lr_pairs} == {"L2"}


def test_ligand_tf_pairs_stay_when_their_regulators_or_ligands_are_masked() -> None:
    expected = (("L2", "T2"), ("L2", "T1"), ("L1", "T1"))
    assert index(use_tf=False).of("G1").tfl_pairs == expected
    assert index(use_lr=False).of("G1").tfl_pairs == expected
    assert index(use_tf=False).of("G1").regulators == ()
    assert index(use_lr=False).of("G1").lr_pairs == ()
    assert index(use_tfl=False).of("G1").tfl_pairs == ()


def test_ligands_that_no_column_uses_are_not_listed() -> None:
    assert index().ligands == ("L2", "L1")
    assert index(use_lr=False, tf_ligand_cutoff=0.5).ligands == ("L2",)
    assert index(use_lr=False, use_tfl=False).ligands == ()


def test_only_the_five_heaviest_ligands_of_a_regulator_are_used() -> None:
    ligands = [f"L{i}" for i in range(8)]
    weights = [0.5, 0.9, 0.5, 0.7, 0.2, 0.5, 0.15, 0.5]
    rows: list[tuple[Any, ...]] = [("T1", "G1", "grn", 1, None)]
    rows += [(ligand, "R1", "lr", None, None) for ligand in ligands]
    rows += [(ligand, "T1", "nichenet", w, None) for ligand, w in zip(ligands, weights, strict=True)]
    found = ModulatorIndex(as_network(table(rows)), ["T1", "G1", "R1", *ligands]).of("G1")
    assert [ligand for ligand, _ in found.tfl_pairs] == ["L1", "L3", "L0", "L2", "L5"]


def test_equal_edges_of_a_long_list_keep_the_order_of_the_database(rng: np.random.Generator) -> None:
    """Short lists stay in order under any sort; a long one tells a stable sort from others."""
    ligands = [f"L{i}" for i in rng.permutation(300)]
    tfs = [f"T{i}" for i in rng.permutation(300)]
    rows: list[tuple[Any, ...]] = [(tf, gene, "grn", 1, None) for tf in tfs for gene in ("G1", "G2", "G3")]
    rows += [(ligand, "R1", "lr", None, None) for ligand in ligands]
    rows += [(ligand, "T0", "nichenet", 0.2 + 0.1 * (i % 2), None) for i, ligand in enumerate(ligands)]
    found = ModulatorIndex(as_network(table(rows)), [*tfs, "G1", "G2", "G3", "R1", *ligands]).of("G2")
    assert list(found.regulators) == tfs
    assert [ligand for ligand, _ in found.tfl_pairs] == ligands[1:10:2]


def test_pairs_whose_tf_regulates_the_ligand_can_be_left_out() -> None:
    """T1 regulates L1, so the column L1#T1 would explain the target by a loop."""
    assert index(tfl_exclude_ligand_regulators=True).of("G1").tfl_pairs == (("L2", "T2"), ("L2", "T1"))


def test_radius_follows_the_first_measured_row_of_the_ligand() -> None:
    assert index().radii(200.0, 50.0) == {"L2": 200.0, "L1": 50.0}


def test_without_signaling_classes_every_ligand_has_the_radius() -> None:
    network = small()
    plain = Network(network.tf, network.lr.assign(signaling=None), network.tfl, None, "test", "")
    assert set(ModulatorIndex(plain, GENES).radii(200.0, 50.0).values()) == {200.0}


def test_extra_pairs_come_last_and_are_secreted(caplog: pytest.LogCaptureFixture) -> None:
    extra = [("L3", "R1"), ("L1", "R1"), ("L3", "Nowhere"), ("L1", "G1")]
    with caplog.at_level(logging.WARNING):
        made = index(extra_lr=extra)
    assert "L3$Nowhere" in caplog.text
    assert made.of("G2").lr_pairs == (
        ("L2", "R1"),
        ("L1", "R1"),
        ("L1", "R2"),
        ("L3", "R1"),
        ("L1", "G1"),
    )
    assert made.of("G1").lr_pairs[-1] == ("L3", "R1")
    assert made.radii(200.0, 50.0) == {"L2": 200.0, "L1": 50.0, "L3": 200.0}
    # L3 acts on T1 with 0.99, but is no ligand of the database's pairs here.
    assert ("L3", "T1") not in made.of("G1").tfl_pairs
    assert index(extra_lr=extra, use_lr=False).of("G1").lr_pairs == ()


def test_extra_modulators_that_take_part_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = index(extra_modulators=["G2", "L1", "T1", "G1", "R2", "g2"])
    assert "g2; nearest: 'G2'" in caplog.text
    assert made.of("G1").extra == ("G2",)
    assert made.of("G2").extra == ("T1", "G1")


PRIORS = pd.DataFrame(
    {
        "source": ["T1", "T1", "G2", "G1", "Absent", "", "T1"],
        "target": ["G1", "G1", "G1", "G1", "G1", "G1", "R1"],
        "cell_type": ["A", "B", "B", "A", "A", "B", None],
        "note": range(7),
    }
)


def test_priors_replace_the_regulators_and_name_them_per_cell_type() -> None:
    found = index(tf_priors=PRIORS).of("G1")
    assert found.regulators == ("T1", "G2")
    assert found.tfl_pairs == (("L2", "T1"), ("L1", "T1"))
    assert found.allowed_tfs == {"A": frozenset({"T1"}), "B": frozenset({"T1", "G2"})}


def test_priors_leave_other_targets_alone() -> None:
    found = index(tf_priors=PRIORS).of("L1")
    assert found.regulators == ("T1",)
    assert found.allowed_tfs is None
    assert index(tf_priors=PRIORS, use_tf=False).of("G1").allowed_tfs is None


def test_priors_are_read_from_feather(tmp_path: Path) -> None:
    path = tmp_path / "priors.feather"
    PRIORS.to_feather(path)
    assert list(read_tf_priors(path).columns) == ["source", "target", "cell_type"]
    PRIORS.drop(columns="cell_type").to_feather(path)
    with pytest.raises(InputError, match="no column cell_type"):
        read_tf_priors(path)
    path.write_bytes(b"ARROW1 but no more")
    with pytest.raises(InputError, match="cannot be read"):
        read_tf_priors(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_tf_priors(tmp_path / "nothing.feather")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_ligands": 0, "mean_expression": {}}, "max_ligands is 0"),
        ({"max_ligands": 3}, "needs mean_expression"),
        ({"max_ligands": 3, "mean_expression": {"L1": 1.0}}, "lacks 1 ligands, e.g. L2"),
        ({"tf_ligand_cutoff": float("nan")}, "tf_ligand_cutoff is nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        index(**settings)


def test_positions_of_columns_follow_the_names() -> None:
    made = index(extra_modulators=["G2"])
    genes = {name: position for position, name in enumerate(GENES)}
    rows = column_table(made.of("G1"), genes, {"L2": 0, "L1": 1})
    assert rows.dtype == np.int64
    assert rows.tolist() == [
        [0, 1, -1],
        [0, 0, -1],
        [1, 0, 5],
        [1, 1, 5],
        [1, 1, 6],
        [2, 0, 1],
        [2, 0, 0],
        [2, 1, 0],
        [3, 8, -1],
    ]
    assert column_table(index(use_lr=False).of("G2"), genes, {}).shape == (0, 3)
    with pytest.raises(GeneMatchError, match="'L1', a modulator of 'G1'"):
        column_table(made.of("G1"), genes, {"L2": 0})


names = st.sampled_from([*GENES, "Absent"])
edges = st.tuples(
    names, names, st.sampled_from(["grn", "lr", "nichenet"]), st.sampled_from([0.1, 0.2, 0.3]), st.none()
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(edges, max_size=60),
    target=st.sampled_from(GENES),
    use=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cap=st.none() | st.integers(1, 4),
    extra=st.lists(names, max_size=4),
    extra_lr=st.lists(st.tuples(names, names), max_size=4),
)
def test_modulators_agree_with_the_rules_row_by_row(
    rows: list[tuple[Any, ...]],
    target: str,
    use: tuple[bool, bool, bool],
    cap: int | None,
    extra: list[str],
    extra_lr: list[tuple[str, str]],
) -> None:
    """Any network, any settings: the shared pools give what reading every row for this target gives."""
    frame = table(rows)
    means = {name: float(len(name) + position % 3) for position, name in enumerate(GENES)}
    use_tf, use_lr, use_tfl = use
    made = ModulatorIndex(
        as_network(frame),
        GENES,
        max_ligands=cap,
        mean_expression=means,
        use_tf=use_tf,
        use_lr=use_lr,
        use_tfl=use_tfl,
        extra_modulators=extra,
        extra_lr=extra_lr,
    )
    found = made.of(target)
    expected = oracle.modulators(
        frame,
        GENES,
        target,
        cutoff=0.15,
        max_ligands=cap,
        means=means,
        use_tf=use_tf,
        use_lr=use_lr,
        use_tfl=use_tfl,
        extra=extra,
        extra_lr=extra_lr,
    )
    assert (found.regulators, found.lr_pairs, found.tfl_pairs, found.extra) == tuple(map(tuple, expected))
    assert {ligand for ligand, _ in (*found.lr_pairs, *found.tfl_pairs)} <= set(made.ligands)
    assert set(made.radii(2.0, 1.0)) == set(made.ligands)


def test_lists_merge_settings_then_file_then_command_line(tmp_path: Path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("# markers\nB, C # two\n\nA\n")
    assert parse_gene_list(toml=["A", "D"], file=path, cli="E, B,,") == ("A", "D", "B", "C", "E")
    path.write_text("L3$R3\nL4,R4  # contact\nL5$R5,L6$R6\n")
    assert parse_lr_list(toml=["L1,R1"], file=path, cli="L1$R1,L2$R2") == (
        ("L1", "R1"),
        ("L3", "R3"),
        ("L4", "R4"),
        ("L5", "R5"),
        ("L6", "R6"),
        ("L2", "R2"),
    )
    assert parse_lr_list(cli="L1,R1;L2,R2") == (("L1", "R1"), ("L2", "R2"))
    with pytest.raises(InputError, match="'L1' is not a ligand-receptor pair"):
        parse_lr_list(cli="L1")
    with pytest.raises(InputError, match="cannot read the list"):
        parse_gene_list(file=tmp_path / "nothing.txt")


def test_a_target_of_a_large_network_takes_well_under_a_millisecond(rng: np.random.Generator) -> None:
    """CPU time of 2 000 targets with 100 regulators and 1 000 pairs each; the bound has room to spare."""
    genes = np.array([f"G{i}" for i in range(4000)])
    tf = pd.DataFrame({"source": genes[rng.integers(0, 500, 200_000)]})
    tf["target"] = genes[rng.integers(0, 2000, 200_000)]
    lr = pd.DataFrame({"ligand": genes[rng.integers(3000, 3400, 1000)], "receptor": genes[3000:4000]})
    tfl = pd.DataFrame({"ligand": genes[rng.integers(3000, 3400, 3000)]})
    tfl["tf"], tfl["weight"] = genes[rng.integers(0, 500, 3000)], rng.uniform(size=3000)
    made = ModulatorIndex(Network(tf, lr.assign(signaling=None), tfl, None, "test", ""), genes)
    start = time.process_time()
    columns = sum(len(made.of(gene)) for gene in genes[:2000])
    assert columns > 2_000_000
    assert time.process_time() - start < 10.0
