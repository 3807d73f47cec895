"""Propagation of perturbations: agreement with the written-down loop, and properties it must have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cytoripple._errors import InputError
from cytoripple.kernels.ligands import ReceivedPlan
from cytoripple.kernels.perturb import (
    CYTORIPPLE,
    PYTHON,
    RUST,
    PropagationRules,
    RegulatoryModel,
    TargetModel,
)
from tests.oracles import perturb as oracle

RULES = [PYTHON, RUST, CYTORIPPLE]


@dataclass(frozen=True)
class Case:
    """A random tissue with models."""

    x: np.ndarray
    xy: np.ndarray
    targets: list[TargetModel]
    ligand_genes: np.ndarray
    lr: np.ndarray
    tfl: np.ndarray
    positions: np.ndarray
    kernel: str = "gaussian_truncated"

    @property
    def model(self) -> RegulatoryModel:
        return RegulatoryModel(self.targets, n_genes=self.x.shape[1], ligand_genes=self.ligand_genes)

    def perturb(self, genes, desired, cells, *, rules=CYTORIPPLE, n_propagation=3, **options):
        plan = ReceivedPlan(self.xy, radius=30.0, kernel=self.kernel, method="direct")
        return self.model.perturb(
            self.x,
            np.array(genes),
            np.array(desired, dtype=np.float64),
            cells,
            signals=[(plan, self.positions)],
            lr_ligands=self.lr,
            tfl_ligands=self.tfl,
            rules=rules,
            n_propagation=n_propagation,
            **options,
        )

    def expected(self, genes, desired, cells, *, rules=CYTORIPPLE, n_propagation=3, factor=1.0, **options):
        plan = ReceivedPlan(self.xy, radius=30.0, kernel=self.kernel, method="direct")

        def receive(senders):
            out = np.zeros_like(senders)
            out[:, self.positions] = plan.apply(senders[:, self.positions], scale=factor)
            return out

        return oracle.perturb(
            self.targets,
            self.ligand_genes,
            self.x,
            genes,
            np.array(desired, dtype=np.float64),
            cells,
            receive=receive,
            lr=self.lr,
            tfl=self.tfl,
            rules=rules,
            n_propagation=n_propagation,
            **options,
        )


def random_case(seed: int, *, n: int = 90, genes: int = 14, per_cell: int = 1, clusters: int = 3) -> Case:
    """Draw a tissue; the last gene is in no model, and ligand 0 travels under no plan."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (n, genes)) * (rng.random((n, genes)) < 0.7)
    ligand_genes = rng.permutation(genes - 1)[:5]
    cluster = rng.integers(0, clusters, n)
    targets = []
    for i, gene in enumerate(rng.permutation(genes - 1)[:6]):
        columns = [(0, rng.integers(-1, genes - 1), -1), (3, rng.integers(0, genes - 1), -1)]
        columns += [(1, rng.integers(-1, 5), rng.integers(-1, genes - 1)) for _ in range(3)]
        columns += [(2, rng.integers(-1, 5), rng.integers(-1, genes - 1)) for _ in range(2)]
        columns = columns[: rng.integers(1, 8)]
        rows = rng.permutation(n) if i < per_cell else np.where(cluster == 2, -1 if i % 2 else 2, cluster)
        betas = rng.normal(0, 0.3, (n if i < per_cell else clusters, 1 + len(columns)))
        targets.append(
            TargetModel(int(gene), betas, np.array(columns, dtype=np.int64), rows.astype(np.int64))
        )
    kinds = {(kind, ligand) for t in targets for kind, ligand, _ in t.columns.tolist() if kind in (1, 2)}
    lr = np.array([(1, ligand) in kinds for ligand in range(5)])
    tfl = np.array([(2, ligand) in kinds for ligand in range(5)])
    lr |= ~(lr | tfl)
    return Case(x, rng.uniform(0, 100, (n, 2)), targets, ligand_genes, lr, tfl, np.arange(1, 5))


def everywhere(case: Case, m: int = 1) -> np.ndarray:
    return np.ones((len(case.x), m), dtype=bool)


def agree(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * (1 + np.abs(other).max()))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rules=st.sampled_from(RULES),
    steps=st.integers(0, 4),
    cap=st.sampled_from([None, 0.05, 0.5, 50.0]),
    scale=st.sampled_from([1.0, -2.0]),
    masked=st.booleans(),
    method=st.sampled_from(["auto", "plain"]),
)
def test_random_models_agree_with_the_written_loop(seed, rules, steps, cap, scale, masked, method) -> None:
    """Joint perturbation of parts of the tissue, with cap, mask, per-cell betas and missing members."""
    case, rng = random_case(seed), np.random.default_rng(seed + 1)
    genes = rng.permutation(case.x.shape[1])[:2]
    desired = [0.0, float(case.x.max() * rng.choice([0.3, 2.0]))]
    cells = rng.random((len(case.x), 2)) < 0.6
    mask = rng.random(case.x.shape) < 0.8 if masked else None
    found = case.perturb(
        genes, desired, cells, rules=rules, n_propagation=steps, scale_factor=3.0, beta_scale_factor=scale,
        beta_cap=cap, mask=mask, method=method,
    )  # fmt: skip
    expected = case.expected(
        genes, desired, cells, rules=rules, n_propagation=steps, factor=3.0, scale=scale, cap=cap, mask=mask
    )
    agree(found, expected)


@pytest.mark.parametrize("cap", [None, 0.2])
def test_allowed_tfs_silence_the_other_tfs_only(cap: float | None) -> None:
    """A list per target acts on TF terms, in both entrances."""
    case = random_case(3)
    allowed = [np.array([g], dtype=np.int64) if i % 2 else None for i, g in enumerate([0, 2, 0, 5, 1, 3])]
    sets = [None if a is None else set(a.tolist()) for a in allowed]
    genes = [int(case.targets[1].columns[1, 1]) if len(case.targets[1].columns) > 1 else 0]
    found = case.perturb(genes, [5.0], everywhere(case), beta_cap=cap, allowed_tfs=allowed)
    agree(found, case.expected(genes, [5.0], everywhere(case), cap=cap, allowed=sets))
    tables = np.random.default_rng(0).random((2, len(case.x), 5))
    for t, target in enumerate(case.targets):
        one = case.model.splash(
            t, case.x, *tables, modulators=np.arange(case.x.shape[1]), beta_cap=cap, allowed_tfs=allowed
        )
        E = np.where(case.x > 1e-9, case.x, 0.0)
        agree([one], [oracle.splash(target, case.ligand_genes, E, *tables, cap=cap, allowed=sets[t])])


@pytest.mark.parametrize("rules", RULES)
def test_no_change_is_exactly_no_change(rules: PropagationRules) -> None:
    """A gene set to the value it has everywhere moves nothing, not even values outside the clip range."""
    case = random_case(5)
    x = case.x.copy()
    x[:, 4], x[3, 2] = 1.75, -1e-12
    simulated, delta = replace(case, x=x).perturb([4], [1.75], everywhere(case), rules=rules)
    assert (delta == 0).all()
    np.testing.assert_array_equal(simulated, x)


def test_a_gene_in_no_model_moves_only_itself() -> None:
    case = random_case(7)
    gene = case.x.shape[1] - 1
    simulated, _ = case.perturb([gene], [9.0], everywhere(case))
    assert (simulated[:, gene] == 9.0).all()
    np.testing.assert_array_equal(np.delete(simulated, gene, 1), np.delete(case.x, gene, 1))


def test_zero_steps_only_set_the_targets() -> None:
    case, cells = random_case(8), np.random.default_rng(0).random((90, 2)) < 0.5
    simulated, delta = case.perturb([1, 6], [0.0, 4.0], cells, n_propagation=0)
    expected = case.x.copy()
    expected[cells[:, 0], 1], expected[cells[:, 1], 6] = 0.0, 4.0
    np.testing.assert_array_equal(simulated, expected)
    np.testing.assert_array_equal(delta[:, 1], np.where(cells[:, 0], -case.x[:, 1], 0.0))


def test_outside_the_scope_cells_change_through_ligands_only() -> None:
    """A perturbed half moves cells of the other half only if they are within reach of a ligand."""
    case = random_case(9)
    xy = case.xy.copy()
    xy[45:, 0] += 1000.0
    cells = np.arange(90)[:, None] < 45
    simulated, _ = replace(case, xy=xy).perturb([int(case.ligand_genes[2])], [8.0], cells)
    np.testing.assert_array_equal(simulated[45:], case.x[45:])
    near, _ = case.perturb([int(case.ligand_genes[2])], [8.0], cells)
    assert (near[45:] != case.x[45:]).any()


def test_permuting_cells_permutes_the_result() -> None:
    case, order = random_case(11), np.random.default_rng(1).permutation(90)
    moved = replace(
        case,
        x=case.x[order],
        xy=case.xy[order],
        targets=[replace(t, rows=t.rows[order]) for t in case.targets],
    )
    gene, cells = int(case.targets[2].columns[0, 1]), np.arange(90)[:, None] < 30
    agree(moved.perturb([gene], [7.0], cells[order]), [a[order] for a in case.perturb([gene], [7.0], cells)])


def test_permuting_genes_permutes_the_result() -> None:
    case, order = random_case(12), np.random.default_rng(2).permutation(14)
    place = np.append(np.argsort(order), -1)  # -1 stays -1

    def renamed(target: TargetModel) -> TargetModel:
        columns = target.columns.copy()
        tf = (columns[:, 0] == 0) | (columns[:, 0] == 3)
        columns[tf, 1], columns[~tf, 2] = place[columns[tf, 1]], place[columns[~tf, 2]]
        return replace(target, gene=int(place[target.gene]), columns=columns)

    moved = replace(
        case,
        x=case.x[:, order],
        targets=[renamed(t) for t in case.targets],
        ligand_genes=place[case.ligand_genes],
    )
    gene = int(case.ligand_genes[1])
    once = case.perturb([gene], [7.0], everywhere(case))
    agree(moved.perturb([int(place[gene])], [7.0], everywhere(case)), [a[:, order] for a in once])


def test_cluster_rows_and_their_copies_per_cell_agree() -> None:
    case = random_case(13, per_cell=0)
    copies = [
        replace(t, betas=np.where(t.rows[:, None] >= 0, t.betas[t.rows], 0.0), rows=np.arange(90))
        for t in case.targets
    ]
    gene = int(case.ligand_genes[3])
    agree(
        replace(case, targets=copies).perturb([gene], [6.0], everywhere(case)),
        case.perturb([gene], [6.0], everywhere(case)),
    )


@pytest.mark.parametrize("cap", [None, 0.3])
def test_bits_do_not_depend_on_the_number_of_threads(cap: float | None) -> None:
    case = random_case(14, n=900, genes=40)
    cells = np.random.default_rng(3).random((900, 1)) < 0.5
    gene = int(case.ligand_genes[1])
    one, two, eight = (case.perturb([gene], [3.0], cells, beta_cap=cap, threads=t) for t in (1, 2, 8))
    for first, second, third in zip(one, two, eight, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)
    tables = np.random.default_rng(0).random((2, 900, 5))
    slopes = [
        case.model.splash(1, case.x, *tables, modulators=np.arange(40), beta_cap=cap, threads=t)
        for t in (1, 3)
    ]
    np.testing.assert_array_equal(*slopes)


def test_many_features_and_targets_agree_with_the_plain_path() -> None:
    """More features than one pass of the product holds, targets that do not fill a panel."""
    rng = np.random.default_rng(15)
    n, genes = 300, 700
    targets = [
        TargetModel(
            t,
            rng.normal(0, 0.02, (2, 601)),
            np.column_stack([np.zeros(600), rng.permutation(genes)[:600], np.full(600, -1)]).astype(np.int64),
            np.arange(n) % 2,
        )
        for t in range(0, 700, 10)
    ] + [
        TargetModel(
            t,
            rng.normal(0, 0.02, (2, 301)),
            np.column_stack([np.ones(300), rng.integers(0, 5, 300), rng.permutation(genes)[:300]]).astype(
                np.int64
            ),
            np.arange(n) % 2,
        )
        for t in range(5, 700, 10)
    ]
    flags = np.arange(5) >= 0
    x = rng.gamma(2.0, 1.0, (n, genes))
    case = Case(x, rng.uniform(0, 100, (n, 2)), targets, np.arange(5) * 10, flags, ~flags, np.arange(5))
    cells = everywhere(case, genes // 2)
    chosen, levels = np.arange(0, genes, 2), np.full(genes // 2, 1.5)
    fast = case.perturb(chosen, levels, cells, n_propagation=2)
    agree(fast, case.perturb(chosen, levels, cells, n_propagation=2, method="plain"))
    assert np.abs(fast[1][:, 5]).max() > 0


def test_many_features_with_betas_per_cell_agree_with_the_plain_path() -> None:
    """More features than one pass holds, next to targets whose betas are shared."""
    rng = np.random.default_rng(21)
    n, genes = 120, 320

    def target(gene: int, rows: np.ndarray) -> TargetModel:
        columns = np.column_stack([np.zeros(300), rng.permutation(genes)[:300], np.full(300, -1)])
        return TargetModel(gene, rng.normal(0, 0.05, (rows.max() + 1, 301)), columns.astype(np.int64), rows)

    own = [target(gene, rng.permutation(n)) for gene in range(0, 300, 2)]
    shared = [target(gene, np.where(np.arange(n) < 50, -1, 0)) for gene in range(1, 300, 2)]
    none = np.zeros(0, dtype=np.int64)
    case = Case(
        rng.gamma(2.0, 1.0, (n, genes)), rng.random((n, 2)), own + shared, none, none > 0, none > 0, none
    )
    chosen, cells = np.arange(300), everywhere(case, 300)
    fast = case.perturb(chosen, np.full(300, 1.5), cells, n_propagation=2, rules=RUST)
    agree(fast, case.perturb(chosen, np.full(300, 1.5), cells, n_propagation=2, rules=RUST, method="plain"))


def test_a_requested_value_stays_in_force_under_the_own_rules() -> None:
    """Above the observed range and below the observed minimum alike."""
    case = random_case(16)
    x = case.x + 0.5
    for value in (0.0, 50.0):
        _, delta = replace(case, x=x).perturb([2], [value], everywhere(case))
        np.testing.assert_array_equal(delta[:, 2], value - x[:, 2])
    _, delta = replace(case, x=x).perturb([2], [0.0], everywhere(case), rules=PYTHON)
    np.testing.assert_allclose(x[:, 2] + delta[:, 2], x[:, 2].min(), rtol=0, atol=1e-12)


def test_progress_reaches_the_total_and_an_error_in_it_stops_the_work() -> None:
    case = random_case(17, n=6000, genes=30)
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        seen.append((done, total))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        for _ in range(200):  # the callback is called from 50 ms on
            case.perturb([1], [9.0], everywhere(case), n_propagation=50, progress=note)
    assert 0 <= seen[0][0] <= seen[0][1]


BAD = [
    ({"genes": [99]}, "targets"),
    ({"genes": [1, 1], "desired": [0.0, 1.0], "m": 2}, "targets: 1 twice"),
    ({"desired": [np.nan]}, "desired"),
    ({"desired": [0.0, 1.0]}, "desired"),
    ({"n_propagation": -1}, "n_propagation is -1"),
    ({"beta_cap": 0.0}, "beta_cap is 0"),
    ({"beta_scale_factor": np.inf}, "beta_scale_factor is inf"),
    ({"mask": np.ones((3, 3), dtype=bool)}, "mask"),
    ({"mask": np.ones((90, 14))}, "mask has dtype float64"),
    ({"allowed_tfs": [None]}, "allowed_tfs: 1 lists, expected 6"),
    ({"method": "fast"}, "method is 'fast'"),
    ({"rules": PropagationRules("late", "nonzero", "observed", False)}, "lr_source is late"),  # type: ignore[arg-type]
    ({"x": np.full((90, 14), np.nan)}, "expression"),
    ({"x": np.ones((80, 14))}, "expression"),
    ({"positions": np.array([1, 1])}, "positions of the signals: 1 twice"),
    ({"lr": np.ones(2, dtype=bool)}, "lr_ligands"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    change = dict(change)
    case = random_case(18)
    case = replace(case, **{key: change.pop(key) for key in ("x", "positions", "lr") if key in change})
    genes, desired, m = change.pop("genes", [1]), change.pop("desired", [0.0]), change.pop("m", 1)
    with pytest.raises(InputError, match=message):
        case.perturb(genes, desired, np.ones((90, m), dtype=bool), **change)


BAD_MODELS = [
    ({"gene": 14}, "genes of the targets"),
    ({"columns": np.array([[0, 14, -1]])}, "gene of a column"),
    ({"columns": np.array([[1, 5, 0]])}, "ligand of a column"),
    ({"columns": np.array([[2, 0, -2]])}, "receptor or regulator of a column"),
    ({"columns": np.array([[7, 0, 0]])}, "kind of a column is 7"),
    ({"columns": np.array([[0.5, 0, 0]])}, "whole numbers"),
    ({"betas": np.array([[0.0, np.inf]])}, "betas"),
    ({"betas": np.zeros((1, 3))}, "betas and columns"),
    ({"rows": np.full(90, 1)}, "rows of a target"),
    ({"rows": np.zeros(80, dtype=np.int64)}, "rows"),
]


@pytest.mark.parametrize(("change", "message"), BAD_MODELS, ids=[message for _, message in BAD_MODELS])
def test_bad_models_are_refused(change: dict, message: str) -> None:
    good = TargetModel(0, np.zeros((1, 2)), np.array([[0, 3, -1]]), np.zeros(90, dtype=np.int64))
    other = replace(good, gene=1)
    with pytest.raises(InputError, match=message):
        RegulatoryModel([other, replace(good, **change)], n_genes=14, ligand_genes=np.arange(5))
    with pytest.raises(InputError, match="targets is empty"):
        RegulatoryModel([], n_genes=14, ligand_genes=np.arange(5))
    with pytest.raises(InputError, match="0 twice"):
        RegulatoryModel([good, good], n_genes=14, ligand_genes=np.arange(5))


def test_presets_are_found_by_name() -> None:
    assert [PropagationRules.preset(name) for name in ("python", "rust", "cytoripple")] == RULES
    with pytest.raises(InputError, match="nearest: 'python'"):
        PropagationRules.preset("pyhton")
