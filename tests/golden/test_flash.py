"""The published deconvolution method, stage by stage, on every golden set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from cytoripple.deconv.flash import FlashFit, flash_deconvolve
from cytoripple.deconv.flash.genes import (
    dispersion_score,
    gene_moments,
    pick_variable,
    select_genes,
    select_markers,
)
from cytoripple.deconv.flash.graph import spatial_graph
from cytoripple.deconv.flash.leverage import leverage_scores
from cytoripple.deconv.flash.sketch import count_sketch, draw_hashes
from cytoripple.deconv.flash.transform import transform_counts, transform_signatures
from cytoripple.deconv.flash.weights import expected_weights
from tests.conftest import golden_root


@dataclass(frozen=True)
class Golden:
    """One set: its arrays and the parameters of every run."""

    data: Any
    facts: dict[str, Any]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.asarray(self.data[name])

    def csr(self, prefix: str, n_columns: int) -> sparse.csr_matrix[np.float64]:
        arrays = tuple(self[f"{prefix}_{part}"] for part in ("data", "indices", "indptr"))
        return sparse.csr_matrix(arrays, shape=(len(arrays[2]) - 1, n_columns))

    @property
    def counts(self) -> sparse.csr_matrix[np.float64]:
        return self.csr("Y", int(self["Y_shape"][1]))

    @property
    def runs(self) -> list[str]:
        return [name for name, entry in self.facts.items() if "summary" in entry and "params" in entry]

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.facts["expected_auto"]["params"])

    def run(self, name: str, **more: Any) -> FlashFit:
        return flash_deconvolve(self.counts, self["X"], self["coords"], **(self.facts[name]["params"] | more))


def sets() -> list[Path]:
    """Every file of stage values, whatever its name."""
    found = golden_root().glob("**/*.npz")
    return sorted(path for path in found if path.with_suffix(".json").exists() and _has_stages(path))


def _has_stages(path: Path) -> bool:
    with np.load(path) as data:
        return {"hvg_idx", "ex_G", "expected_tight_prop"} <= set(data.files)


@pytest.fixture(params=sets(), ids=lambda path: path.stem, scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(np.load(request.param), json.loads(request.param.with_suffix(".json").read_text()))


def close(found: Any, expected: Any, *, rtol: float = 1e-10, atol: float = 0.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def same_matrix(found: Any, expected: sparse.csr_matrix[np.float64], rtol: float = 1e-10) -> None:
    found = sparse.csr_matrix(found)
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    close(found.data, expected.data, rtol=rtol)


def test_there_is_a_golden_set() -> None:
    assert sets()


def test_variable_genes(golden: Golden) -> None:
    moments = gene_moments(golden.counts)
    close(moments.mean, golden["hvg_mean"])
    close(moments.variance, golden["hvg_var"], atol=1e-13)
    score = dispersion_score(moments)
    close(score, golden["hvg_score"], rtol=0, atol=1e-8)
    valid = (moments.mean >= 0.0125) & (moments.mean <= 3.0) & (score >= 0.5)
    assert valid.sum() == golden["hvg_n_valid"]
    np.testing.assert_array_equal(pick_variable(moments, len(golden["hvg_idx"])), golden["hvg_idx"])
    np.testing.assert_array_equal(pick_variable(moments, 25), golden["hvg_idx_top25"])


def test_markers_and_their_union(golden: Golden) -> None:
    n = golden.params["n_markers_per_type"]
    indices, types = select_markers(golden["X"], n)
    np.testing.assert_array_equal(indices, golden["marker_idx"])
    np.testing.assert_array_equal(types, golden["marker_type"])
    for method in ("ratio", "specificity"):
        other = select_markers(golden["X"], n, method)[0]  # type: ignore[arg-type]
        np.testing.assert_array_equal(other, golden[f"marker_idx_{method}"])
    moments = gene_moments(golden.counts)
    chosen = select_genes(moments, golden["X"], n_hvg=golden.params["n_hvg"], n_markers_per_type=n)
    np.testing.assert_array_equal(chosen, golden["gene_idx"])


def test_leverage(golden: Golden) -> None:
    close(leverage_scores(golden["X"][:, golden["gene_idx"]]), golden["leverage"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["log_cpm", "pearson", "raw"])
def test_preprocessing(golden: Golden, kind: str) -> None:
    genes = golden["gene_idx"]
    counts = golden.counts[:, genes]
    mean = np.asarray(counts.mean(axis=0)).ravel()
    expected = golden.csr(f"pre_{kind}_Y", len(genes))
    same_matrix(transform_counts(counts, kind, mean), expected)
    close(transform_counts(counts.toarray(), kind, mean), expected.toarray(), atol=1e-15)
    close(transform_signatures(golden["X"][:, genes], kind), golden[f"pre_{kind}_X"])


def test_count_sketch_with_given_and_drawn_hashes(golden: Golden) -> None:
    width = golden.params["sketch_dim"]
    drawn = draw_hashes(len(golden["gene_idx"]), width, int(golden["cs_seed"]))
    np.testing.assert_array_equal(drawn[0], golden["cs_bucket"])
    np.testing.assert_array_equal(drawn[1], golden["cs_sign"])
    sketch = count_sketch(golden["leverage"], width, golden["cs_bucket"], golden["cs_sign"])
    close(sketch.value, golden["cs_value"])
    genes = len(golden["gene_idx"])
    close(sketch.apply(golden.csr("pre_log_cpm_Y", genes)), golden["cs_Yrepr"], atol=1e-12)
    close(sketch.apply(golden["pre_log_cpm_X"]), golden["cs_Xrepr"], atol=1e-12)


def test_folded_sketch_equals_the_sketched_product(golden: Golden) -> None:
    fit = golden.run("countsketch_auto", hashes=(golden["cs_bucket"], golden["cs_sign"]))
    close(fit.problem.h, golden["cs_Yrepr"] @ golden["cs_Xrepr"].T, rtol=1e-10, atol=1e-10)
    close(fit.problem.norms, (golden["cs_Yrepr"] ** 2).sum(axis=1))


def test_expected_weights(golden: Golden) -> None:
    width, leverage = golden.params["sketch_dim"], golden["leverage"]
    close(expected_weights(leverage, width), golden["w_expected"], rtol=1e-9)
    close(expected_weights(leverage, 1), golden["w_expected_d1"], rtol=1e-9)
    uniform = np.full(leverage.size, 1.0 / leverage.size)
    close(expected_weights(uniform, width), golden["w_expected_uniform"], rtol=1e-9)


def test_projection(golden: Golden) -> None:
    fit = golden.run("expected_auto", max_iter=0)
    close(fit.representation.signatures, golden["ex_Xrepr"])
    close(fit.problem.gram, golden["ex_G"])
    close(fit.problem.h, golden["ex_H_NxK"])
    rows = fit.representation.rows(golden.counts)
    close(rows @ golden["ex_Xrepr"].T, golden["ex_H_NxK"])
    close(np.asarray(rows.power(2).sum(axis=1)).ravel(), fit.problem.norms)


def test_graphs(golden: Golden) -> None:
    coords, n = golden["coords"], len(golden["coords"])
    k = golden.params.get("k_neighbors", 6)
    same_matrix(spatial_graph(coords, k=k), golden.csr("graph_knn", n))
    radius = float(golden["radius"])
    same_matrix(spatial_graph(coords, "radius", radius=radius), golden.csr("graph_radius", n))
    same_matrix(spatial_graph(coords, "grid"), golden.csr("graph_grid", n))


def test_graph_of_a_lattice_with_duplicates(golden: Golden) -> None:
    if "lattice" not in golden.data:
        pytest.skip("this set has no lattice")
    points = golden["lattice"]
    same_matrix(spatial_graph(points, k=6), golden.csr("lattice_knn6", len(points)))
    n = len(golden["lattice_grid_indptr"]) - 1
    same_matrix(spatial_graph(points[:n], "grid"), golden.csr("lattice_grid", n))


@pytest.mark.parametrize("iterations", [1, 3])
def test_first_iterations(golden: Golden, iterations: int) -> None:
    fit = golden.run("expected_auto", max_iter=iterations)
    close(fit.beta, golden[f"ex_beta_iter{iterations}"], rtol=0, atol=1e-9)
    assert fit.solution.n_iterations == iterations


def test_every_run(golden: Golden) -> None:
    """Each run of the file: lambda, iterations, convergence, objective, abundances and proportions."""
    assert golden.runs
    for name in golden.runs:
        fit, entry = golden.run(name), golden.facts[name]
        expected = entry["summary"]
        for key, value in fit.summary().items():
            if isinstance(value, float):
                tolerance = 1e-12 if key == "lambda_spatial" else 1e-9
                assert value == pytest.approx(expected[key], rel=tolerance), (name, key)
            else:
                assert value == expected[key], (name, key)
        close(fit.beta, golden[f"{name}_beta"], rtol=0, atol=1e-7)
        close(fit.proportions, golden[f"{name}_prop"], rtol=0, atol=1e-7)
        assert fit.solution.final_change == pytest.approx(entry["final_change"], rel=1e-4)


def test_version_0_1_6_is_the_sketched_run_of_100_iterations(golden: Golden) -> None:
    params = golden.facts["countsketch_auto_it100"]["params"]
    params = {key: value for key, value in params.items() if key not in ("max_iter", "gene_weighting")}
    fit = flash_deconvolve(golden.counts, golden["X"], golden["coords"], version="0.1.6", **params)
    close(fit.beta, golden["countsketch_auto_it100_beta"], rtol=0, atol=1e-7)


def test_version_0_1_1_differs_where_it_should(golden: Golden) -> None:
    """Fixed lambda of 5000, absolute sparsity, doubled spatial term in the reported objective."""
    params = golden.facts["countsketch_lam5000_it25"]["params"]
    params = {key: value for key, value in params.items() if key not in ("lambda_spatial", "gene_weighting")}
    arrays = golden.counts, golden["X"], golden["coords"]
    fit = flash_deconvolve(*arrays, version="0.1.1", **params)
    assert fit.problem.lambda_ == 5000 and fit.problem.rho == fit.settings.rho_sparsity
    rough = fit.problem.roughness(fit.beta)
    assert fit.objective == pytest.approx(fit.solution.objective + 2500 * rough)
    relative = flash_deconvolve(*arrays, **golden.facts["countsketch_lam5000_it25"]["params"])
    assert np.abs(fit.beta - relative.beta).max() < 0.1
    assert not np.array_equal(fit.beta, relative.beta)


def test_the_faster_solver_reaches_the_tight_optimum(golden: Golden) -> None:
    fit = golden.run("expected_auto", solver="sor", tol=1e-12)
    assert fit.solution.converged and fit.solution.kkt_residual <= 1e-12
    close(fit.proportions, golden["expected_tight_prop"], rtol=0, atol=1e-6)
    tight = golden.facts["expected_tight"]["summary"]["final_objective"]
    assert fit.objective <= tight * (1 + 1e-9)


def test_jacobi_with_a_tight_tolerance_reaches_it_too(golden: Golden) -> None:
    fit = golden.run("expected_tight")
    close(fit.proportions, golden["expected_tight_prop"], rtol=0, atol=1e-6)


def test_the_faster_solver_converges_where_the_published_one_stops(golden: Golden) -> None:
    """25 iterations at lambda 5000 are far from the optimum."""
    given = golden.facts["countsketch_lam5000_it25"]["params"] | {"max_iter": 1000}
    arrays = golden.counts, golden["X"], golden["coords"]
    fit = flash_deconvolve(*arrays, solver="sor", **given)
    published = golden.facts["countsketch_lam5000_it25"]["summary"]
    assert not published["converged"]
    assert fit.solution.converged and fit.solution.kkt_residual <= 1e-6
    assert fit.objective < published["final_objective"]
