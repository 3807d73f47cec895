"""Propagation by re-evaluation: agreement with the model evaluated anew, and properties it must have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cytoripple._errors import InputError
from cytoripple.kernels.ligands import ReceivedPlan
from cytoripple.kernels.perturb import CYTORIPPLE, RegulatoryModel, TargetModel
from tests.core.test_perturb import Case, everywhere, random_case
from tests.oracles import perturb as oracle

NONE = np.zeros(0, dtype=np.int64)


def reevaluate(case: Case, genes, desired, cells, *, samples=None, **options):
    plan = ReceivedPlan(case.xy, radius=30.0, kernel=case.kernel, method="direct", samples=samples)
    return case.model.reevaluate(
        case.x,
        np.array(genes),
        np.array(desired, dtype=np.float64),
        cells,
        signals=[(plan, case.positions)],
        lr_ligands=case.lr,
        tfl_ligands=case.tfl,
        **options,
    )


def expected(case: Case, genes, desired, cells, *, factor=1.0, **options):
    plan = ReceivedPlan(case.xy, radius=30.0, kernel=case.kernel, method="direct")

    def receive(senders):
        out = np.zeros_like(senders)
        out[:, case.positions] = plan.apply(senders[:, case.positions], scale=factor)
        return out

    return oracle.reevaluate(
        case.targets, case.ligand_genes, case.x, genes, np.array(desired, dtype=np.float64), cells,
        receive=receive, lr=case.lr, tfl=case.tfl, **options,
    )  # fmt: skip


def chain(n: int = 60, genes: int = 6, seed: int = 0, size: float = 0.15) -> tuple[Case, np.ndarray]:
    """Genes that follow each other through TF terms only, and the matrix of their coefficients."""
    rng = np.random.default_rng(seed)
    A = rng.normal(0, size, (genes, genes))
    A[0] = 0.0
    targets = [
        TargetModel(
            gene,
            np.append(1.0, A[gene])[None, :],
            np.column_stack([np.zeros(genes), np.arange(genes), np.full(genes, -1)]).astype(np.int64),
            np.zeros(n, dtype=np.int64),
        )
        for gene in range(1, genes)
    ]
    x = rng.uniform(4.0, 6.0, (n, genes))
    x[0], x[1] = 0.0, 10.0  # so that no value is clipped in between
    flags = NONE > 0
    return Case(x, rng.random((n, 2)), targets, NONE, flags, flags, NONE), A


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rounds=st.integers(0, 5),
    fixed=st.booleans(),
    scale=st.sampled_from([1.0, -2.0]),
    minimum=st.sampled_from([1e-9, 0.7]),
    masked=st.booleans(),
    tolerance=st.sampled_from([0.0, 1e-3, 0.3]),
    silenced=st.booleans(),
)
def test_random_models_agree_with_the_whole_model_evaluated_anew(
    seed, rounds, fixed, scale, minimum, masked, tolerance, silenced
) -> None:
    """Joint perturbation of parts of the tissue; thresholds, mask, per-cell betas and missing members."""
    case, rng = random_case(seed), np.random.default_rng(seed + 1)
    genes = rng.permutation(case.x.shape[1])[:2]
    desired = [0.0, float(case.x.max() * rng.choice([0.3, 2.0]))]
    cells = rng.random((len(case.x), 2)) < 0.6
    mask = rng.random(case.x.shape) < 0.8 if masked else None
    allowed = [{0, 2, 5} if t % 2 else None for t in range(6)] if silenced else None
    found = reevaluate(
        case, genes, desired, cells, n_propagation=rounds, to_fixed_point=fixed, scale_factor=3.0,
        beta_scale_factor=scale, min_expression=minimum, mask=mask, tolerance=tolerance,
        allowed_tfs=allowed,
    )  # fmt: skip
    state, done, change = expected(
        case, genes, desired, cells, rounds=30 if fixed else rounds, share=0.7 if fixed else 1.0, factor=3.0,
        scale=scale, minimum=minimum, mask=mask, tolerance=tolerance, allowed=allowed,
    )  # fmt: skip
    np.testing.assert_allclose(found.simulated, state, rtol=0, atol=1e-10 * (1 + np.abs(state).max()))
    assert found.rounds == done
    assert found.converged == (done > 0 and change < tolerance)
    if done:
        assert found.largest_change == pytest.approx(change, rel=1e-6, abs=1e-10)


def test_the_fixed_point_of_a_linear_model_is_the_closed_form() -> None:
    """Without products the change is (I - A)^-1 times the change of the perturbed gene."""
    case, A = chain()
    found = reevaluate(case, [0], [5.2], everywhere(case), to_fixed_point=True, tolerance=1e-9)
    free = np.arange(1, 6)
    step = 5.2 - case.x[:, :1]
    change = step @ A[free, :1].T @ np.linalg.inv(np.eye(5) - A[np.ix_(free, free)]).T
    inside = ((case.x[:, 1:] + change > 0) & (case.x[:, 1:] + change < 10)).all(axis=1)
    assert inside.sum() > 50
    np.testing.assert_allclose((found.simulated - case.x)[inside, 1:], change[inside], rtol=0, atol=3e-8)
    assert found.converged
    assert 2 < found.rounds < 30


def test_a_model_without_a_fixed_point_says_so() -> None:
    """A gene that represses itself twice over swings between its bounds."""
    column = np.array([[0, 0, -1], [0, 1, -1]])
    target = TargetModel(1, np.array([[0.0, 1.0, -9.0]]), column, np.zeros(20, dtype=np.int64))
    x = np.random.default_rng(0).uniform(1, 2, (20, 2))
    flags = NONE > 0
    case = Case(x, x, [target], NONE, flags, flags, NONE)
    found = reevaluate(case, [0], [1.5], everywhere(case), to_fixed_point=True)
    assert (found.rounds, found.converged) == (30, False)
    assert found.largest_change > 0.1


def test_infinitesimal_changes_agree_with_the_derivatives_after_one_round() -> None:
    """For genes with one role: a gene that is a ligand and a TF acts twice here, and once in derivatives."""
    compared = 0
    for seed in range(8):
        case = random_case(seed)
        x = case.x + 0.5
        x[0], x[1] = 0.2, 20.0  # room on both sides, so that nothing is clipped
        case = replace(case, x=x)
        ligands = set(case.ligand_genes.tolist())
        partners = {
            second if kind in (1, 2) else first
            for target in case.targets
            for kind, first, second in target.columns.tolist()
        }
        for gene in sorted((ligands ^ partners) - {-1}):
            cells, size = np.arange(90)[:, None] == 7, 1e-6
            value = [x[7, gene] + size]
            one = reevaluate(case, [gene], value, cells, n_propagation=1).simulated - x
            linear = case.perturb([gene], value, cells, rules=CYTORIPPLE, n_propagation=1)[1]
            np.testing.assert_allclose(one / size, linear / size, rtol=1e-5, atol=1e-7)
            compared += (linear != 0).sum() > 1
    assert compared > 20


def test_products_saturate_where_derivatives_do_not() -> None:
    """The knock-out of ligand and receptor at once takes away the product once."""
    target = TargetModel(2, np.array([[0.0, 0.5]]), np.array([[1, 0, 1]]), np.zeros(30, dtype=np.int64))
    x = np.random.default_rng(0).uniform(1, 2, (30, 3))
    x[:, 2] += 5.0
    flags = np.array([True])
    case = Case(x, x[:, :2], [target], np.array([0]), flags, ~flags, np.array([0]))
    plan = ReceivedPlan(x[:, :2], radius=30.0, kernel=case.kernel, method="direct")
    product = 0.5 * plan.apply(x[:, :1])[:, 0] * x[:, 1]
    found = reevaluate(case, [0, 1], [0.0, 0.0], everywhere(case, 2)).simulated
    np.testing.assert_allclose(found[:, 2], x[:, 2] - product, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fixed", [False, True])
def test_no_change_is_exactly_no_change(fixed: bool) -> None:
    """A gene set to the value it has everywhere moves nothing, not even values outside the range."""
    case = random_case(5)
    x = case.x.copy()
    x[:, 4], x[3, 2] = 1.75, -1e-12
    found = reevaluate(replace(case, x=x), [4], [1.75], everywhere(case), to_fixed_point=fixed)
    np.testing.assert_array_equal(found.simulated, x)
    assert (found.rounds, found.largest_change, found.converged) == (1, 0.0, True)


def test_a_gene_in_no_model_moves_only_itself() -> None:
    case = random_case(7)
    gene = case.x.shape[1] - 1
    found = reevaluate(case, [gene], [9.0], everywhere(case)).simulated
    assert (found[:, gene] == 9.0).all()
    np.testing.assert_array_equal(np.delete(found, gene, 1), np.delete(case.x, gene, 1))


def test_zero_rounds_only_set_the_targets() -> None:
    case, cells = random_case(8), np.random.default_rng(0).random((90, 2)) < 0.5
    found = reevaluate(case, [1, 6], [0.0, 4.0], cells, n_propagation=0)
    state = case.x.copy()
    state[cells[:, 0], 1], state[cells[:, 1], 6] = 0.0, 4.0
    np.testing.assert_array_equal(found.simulated, state)
    assert (found.rounds, found.largest_change, found.converged) == (0, 0.0, False)


def test_values_stay_in_their_range_and_requested_values_in_force() -> None:
    """From 0 to the observed maximum; above it only where a value is requested."""
    case = random_case(16)
    strong = [replace(t, betas=20.0 * t.betas) for t in case.targets]
    gene = int(case.targets[2].columns[0, 1])
    for value in (0.0, 50.0):
        found = reevaluate(replace(case, targets=strong), [gene], [value], everywhere(case)).simulated
        assert (found[:, gene] == value).all()
        others = np.delete(np.arange(14), gene)
        assert (found[:, others] >= 0).all()
        assert (found[:, others] <= case.x.max(axis=0)[others]).all()
        assert (found[:, others] == case.x.max(axis=0)[others]).sum() > (case.x == case.x.max(axis=0)).sum()


def test_samples_are_isolated() -> None:
    """Every gene is perturbed in one sample; the other one notices only when they are one tissue."""
    case = random_case(9)
    samples = (np.arange(90) >= 45).astype(np.int64)
    cells, genes = np.tile(np.arange(90)[:, None] < 45, 14), np.arange(14)
    found = reevaluate(case, genes, np.full(14, 8.0), cells, samples=samples).simulated
    np.testing.assert_array_equal(found[45:], case.x[45:])
    assert (reevaluate(case, genes, np.full(14, 8.0), cells).simulated[45:] != case.x[45:]).any()


def test_permuting_cells_and_genes_permutes_the_result() -> None:
    case, rng = random_case(12), np.random.default_rng(2)
    cells, genes = rng.permutation(90), rng.permutation(14)
    place = np.append(np.argsort(genes), -1)  # -1 stays -1

    def renamed(target: TargetModel) -> TargetModel:
        columns = target.columns.copy()
        tf = (columns[:, 0] == 0) | (columns[:, 0] == 3)
        columns[tf, 1], columns[~tf, 2] = place[columns[tf, 1]], place[columns[~tf, 2]]
        return replace(target, gene=int(place[target.gene]), columns=columns, rows=target.rows[cells])

    moved = replace(
        case,
        x=case.x[np.ix_(cells, genes)],
        xy=case.xy[cells],
        targets=[renamed(t) for t in case.targets],
        ligand_genes=place[case.ligand_genes],
    )
    gene, scope = int(case.ligand_genes[1]), np.arange(90)[:, None] < 50
    once = reevaluate(case, [gene], [7.0], scope).simulated
    other = reevaluate(moved, [int(place[gene])], [7.0], scope[cells]).simulated
    np.testing.assert_allclose(other, once[np.ix_(cells, genes)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(masked: bool) -> None:
    case, rng = random_case(14, n=900, genes=40), np.random.default_rng(3)
    cells, gene = rng.random((900, 1)) < 0.5, int(case.ligand_genes[1])
    mask = rng.random(case.x.shape) < 0.9 if masked else None
    one, two, eight = (
        reevaluate(case, [gene], [3.0], cells, to_fixed_point=True, mask=mask, threads=t) for t in (1, 2, 8)
    )
    assert (one.simulated != case.x).sum() > 900
    for other in (two, eight):
        np.testing.assert_array_equal(one.simulated, other.simulated)
        assert (one.rounds, one.largest_change) == (other.rounds, other.largest_change)


def test_an_error_in_the_progress_stops_the_work() -> None:
    case = random_case(17, n=6000, genes=30)
    strong = replace(case, targets=[replace(t, betas=3.0 * t.betas) for t in case.targets])

    def note(done: int, total: int) -> None:
        raise RuntimeError(f"{done <= total}")

    gene = int(case.ligand_genes[2])
    with pytest.raises(RuntimeError, match="True"):
        for _ in range(200):  # the callback is called from 50 ms on
            reevaluate(
                strong, [gene], [9.0], everywhere(case), to_fixed_point=True, tolerance=0.0, progress=note
            )


BAD = [
    ({"genes": [99]}, "targets"),
    ({"genes": [1, 1], "desired": [0.0, 1.0], "m": 2}, "targets: 1 twice"),
    ({"desired": [np.nan]}, "desired"),
    ({"n_propagation": -1}, "n_propagation is -1"),
    ({"n_propagation": 1.5}, "n_propagation is 1.5"),
    ({"tolerance": -1.0}, "tolerance is -1"),
    ({"tolerance": np.nan}, "tolerance is NaN"),
    ({"min_expression": -1.0}, "min_expression is -1"),
    ({"beta_scale_factor": np.inf}, "beta_scale_factor is inf"),
    ({"mask": np.ones((3, 3), dtype=bool)}, "mask"),
    ({"allowed_tfs": [None]}, "allowed_tfs: 1 lists, expected 6"),
    ({"scale_factor": np.nan}, "scale_factor is NaN"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    change, case = dict(change), random_case(18)
    genes, desired, m = change.pop("genes", [1]), change.pop("desired", [0.0]), change.pop("m", 1)
    with pytest.raises(InputError, match=message):
        reevaluate(case, genes, desired, np.ones((90, m), dtype=bool), **change)


def test_a_model_may_have_no_ligands() -> None:
    case, A = chain(genes=2)
    model = RegulatoryModel(case.targets, n_genes=2, ligand_genes=NONE)
    found = model.reevaluate(
        case.x, [0], [5.0], everywhere(case), signals=[], lr_ligands=NONE > 0, tfl_ligands=NONE > 0,
        n_propagation=1,
    )  # fmt: skip
    change = np.clip(case.x[:, 1] + A[1, 0] * (5.0 - case.x[:, 0]), 0, 10)
    np.testing.assert_allclose(found.simulated[:, 1], change, rtol=0, atol=1e-12)
