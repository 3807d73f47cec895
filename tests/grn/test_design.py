"""Design columns: masks, thresholds and sparse input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cytoripple._errors import GeneMatchError, InputError
from cytoripple.grn.design import design_matrix, sent_ligands
from cytoripple.grn.modulators import Modulators

GENES = ["T1", "L1", "L2", "R1", "G1", "E1"]
MODULATORS = Modulators(
    "G1", regulators=("T1",), lr_pairs=(("L1", "R1"), ("L2", "R1")), tfl_pairs=(("L1", "T1"),), extra=("E1",)
)


@pytest.fixture
def expression(rng: np.random.Generator) -> np.ndarray:
    values = rng.uniform(-0.5, 1.0, size=(12, len(GENES)))
    return np.where(rng.random(values.shape) < 0.3, 0.0, values)


def test_each_column_is_its_product(expression: np.ndarray, rng: np.random.Generator) -> None:
    received, raw = rng.random((12, 2)), rng.random((12, 2))
    mask = rng.random(expression.shape) < 0.5
    design, names, groups, y = design_matrix(
        MODULATORS, expression, GENES, received, ["L1", "L2"], received_tfl=raw, mask=mask
    )
    tf, receptor, extra = expression[:, 0], expression[:, 3], expression[:, 5]
    receptor = np.where(receptor > 1e-9, receptor, 0.0) * mask[:, 3]
    assert names == ("T1", "L1$R1", "L2$R1", "L1#T1", "E1")
    assert groups.tolist() == [0, 1, 1, 2, 3]
    np.testing.assert_array_equal(
        design,
        np.stack([tf, received[:, 0] * receptor, received[:, 1] * receptor, raw[:, 0] * tf, extra], axis=1),
    )
    np.testing.assert_array_equal(y, expression[:, 4])


def test_without_a_threshold_receptors_are_taken_as_they_are(expression: np.ndarray) -> None:
    design, *_ = design_matrix(
        MODULATORS, expression, GENES, np.ones((12, 2)), ["L1", "L2"], min_expression=-np.inf
    )
    np.testing.assert_array_equal(design[:, 1], expression[:, 3])


def test_sparse_expression_gives_the_same_bits(expression: np.ndarray, rng: np.random.Generator) -> None:
    received = rng.random((12, 2))
    dense = design_matrix(MODULATORS, expression, GENES, received, ["L1", "L2"])
    sparse = design_matrix(MODULATORS, csr_matrix(expression), GENES, received, ["L1", "L2"])
    np.testing.assert_array_equal(dense[0], sparse[0])
    np.testing.assert_array_equal(dense[3], sparse[3])


def test_cells_send_only_what_is_expressed_and_not_masked(
    expression: np.ndarray, rng: np.random.Generator
) -> None:
    mask = rng.random(expression.shape) < 0.5
    amount = expression[:, [2, 1]]
    plain = np.where(amount > 1e-9, amount, 0.0)
    np.testing.assert_array_equal(sent_ligands(expression, GENES, ["L2", "L1"]), plain)
    masked = sent_ligands(expression, GENES, ["L2", "L1"], mask=mask)
    np.testing.assert_array_equal(masked, plain * mask[:, [2, 1]])


def test_shapes_and_names_that_do_not_fit_are_refused(expression: np.ndarray) -> None:
    signals = np.ones((12, 2))
    with pytest.raises(InputError, match=r"received has shape \(12, 2\), expected .*\(12, 1\)"):
        design_matrix(MODULATORS, expression, GENES, signals, ["L1"])
    with pytest.raises(InputError, match="mask has shape"):
        design_matrix(MODULATORS, expression, GENES, signals, ["L1", "L2"], mask=np.ones((2, 2), bool))
    with pytest.raises(GeneMatchError, match="'L2', a modulator of 'G1'"):
        design_matrix(MODULATORS, expression, GENES, signals, ["L1", "L3"])
    with pytest.raises(GeneMatchError, match="'L9' is not among the 6 genes"):
        sent_ligands(expression, GENES, ["L9"])
