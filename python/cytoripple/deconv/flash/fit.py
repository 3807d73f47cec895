"""The published method from counts to proportions."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cytoripple._errors import InputError, SettingsError
from cytoripple._progress import Progress
from cytoripple.deconv.flash.counts import check_inputs, looks_logarithmic
from cytoripple.deconv.flash.genes import gene_moments, select_genes
from cytoripple.deconv.flash.graph import spatial_graph
from cytoripple.deconv.flash.leverage import leverage_scores
from cytoripple.deconv.flash.representation import Representation, represent_signatures
from cytoripple.deconv.flash.settings import Settings, Solver, VersionName, version_of
from cytoripple.deconv.flash.sketch import CountSketch, count_sketch, draw_hashes
from cytoripple.deconv.flash.solve import Problem, Solution, automatic_lambda, proportions_of, solve
from cytoripple.deconv.flash.weights import expected_weights

Floats = NDArray[np.float64]
Hashes = tuple[ArrayLike, ArrayLike]
_LOG = logging.getLogger(__name__)
_SOR_TOL = 1e-6
_LOGARITHMIC = (
    "Y looks log-normalized (small values with fractions), and would be logged twice: give raw counts, "
    "e.g. layer='counts'"
)


@dataclass(frozen=True)
class FlashFit:
    """Everything a fit found. Holds nothing of the size of the counts."""

    version: str
    solver: str
    settings: Settings
    names: tuple[str, ...]
    X: Floats
    """Types x all genes: the reference as given."""
    representation: Representation
    problem: Problem
    solution: Solution
    proportions: Floats
    """Spots x types, shares of RNA."""
    empty: NDArray[np.bool_]
    """Spots without a count among the chosen genes: their proportions say nothing about them."""

    @property
    def beta(self) -> Floats:
        """Abundances, spots x types."""
        return self.solution.beta

    @property
    def objective(self) -> float:
        """Objective as the version reports it."""
        extra = 0.0
        if version_of(self.version).full_lambda:
            extra = 0.5 * self.problem.lambda_ * self.problem.roughness(self.beta)
        return self.solution.objective + extra

    def info(self) -> dict[str, Any]:
        """Outcome of the solver under the names of the published method, and the residual."""
        out: dict[str, Any] = {
            "converged": self.solution.converged,
            "n_iterations": self.solution.n_iterations,
            "final_objective": self.objective,
            "final_change": self.solution.final_change,
            "kkt_residual": self.solution.kkt_residual,
            "XtX": self.problem.gram,
            "n_neighbors": self.problem.degree(),
        }
        if self.solution.objectives:
            out["objectives"] = self.solution.objectives
        return out

    def summary(self) -> dict[str, Any]:
        """Sizes, settings and outcome, in plain numbers."""
        return {
            "fitted": True,
            "n_spots": self.beta.shape[0],
            "n_cell_types": self.beta.shape[1],
            "n_genes_used": int(self.representation.genes.size),
            "sketch_dim": self.settings.sketch_dim,
            "gene_weighting": self.settings.gene_weighting,
            "representation_dim": self.representation.signatures.shape[1],
            "lambda_spatial": self.problem.lambda_,
            "rho_sparsity": self.settings.rho_sparsity,
            "preprocess_method": self.settings.preprocess,
            "converged": self.solution.converged,
            "n_iterations": self.solution.n_iterations,
            "final_objective": self.objective,
        }


def flash_deconvolve(
    Y: Any,
    X: ArrayLike,
    coords: ArrayLike,
    *,
    version: VersionName = "0.2.0",
    solver: Solver = "jacobi",
    cell_type_names: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = 0,
    hashes: Hashes | None = None,
    genes: ArrayLike | None = None,
    graph: Any = None,
    samples: ArrayLike | None = None,
    start: ArrayLike | None = None,
    allow_logarithms: bool = False,
    verbose: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> FlashFit:
    """Cell-type proportions of spots by graph-regularized non-negative least squares (FlashDeconv).

    Parameters
    ----------
    Y
        Spots x genes counts: CSR, another sparse layout, dense, or a matrix on disk that gives rows
        by slicing (an AnnData opened with ``backed="r"``).
    X
        Types x genes reference: mean counts per type.
    coords
        Spots x dimensions.
    version
        ``"0.1.1"``, ``"0.1.6"`` or ``"0.2.0"``: decides the defaults of `gene_weighting`, `lambda_spatial`
        and `max_iter`, and the details listed in `settings.Version`. Ties follow 0.2.0 always.
    solver
        ``"jacobi"`` iterates as published. ``"sor"`` minimizes the same objective to a residual `tol`
        (default 1e-6) in far fewer sweeps.
    cell_type_names
        Default ``CellType_0``, ...
    random_state
        Seed of the count sketch, or its generator. Without effect on expected weights.
    hashes
        Column and sign of each chosen gene, instead of drawing them.
    genes
        Positions of the genes to use, instead of choosing them.
    graph
        Spots x spots links, symmetric, instead of making them from `coords`; stored zeros are dropped and
        values ignored.
    samples
        Integer per spot: spots of different samples are not linked.
    start
        Spots x types abundances to start from.
    allow_logarithms
        Only warn when `Y` looks log-normalized, as the published method goes on silently. Values are not
        looked at with ``preprocess="raw"``.
    verbose
        Record objectives.
    threads
        0 takes every core; the bits are the same for any number.
    progress
        Observer of the iterations.
    **settings
        Fields of `Settings`: sketch_dim, lambda_spatial, rho_sparsity, n_hvg, n_markers_per_type,
        spatial_method, k_neighbors, radius, max_iter, tol, preprocess, gene_weighting.

    Returns
    -------
    FlashFit with `proportions` (spots x types) and all stages.

    Raises
    ------
    InputError
        Bad counts, reference, names, genes or graph.
    CoordinatesError
        Bad coordinates.
    SettingsError
        Unknown or impossible settings.

    Notes
    -----
    Peak memory beyond `Y` is a few arrays of spots x types: the counts are streamed twice and neither copied
    nor sketched.
    """
    rules = version_of(version)
    chosen = _settings(rules, solver, settings)
    Y, signatures, where = check_inputs(Y, X, coords)
    if chosen.preprocess != "raw" and looks_logarithmic(Y):
        if not allow_logarithms:
            raise InputError(_LOGARITHMIC)
        _LOG.warning(_LOGARITHMIC)
    names = _names(cell_type_names, signatures.shape[0])
    representation = _represent(Y, signatures, chosen, genes, hashes, random_state, threads)
    if graph is None:
        method, k = chosen.spatial_method, chosen.k_neighbors
        adjacency = spatial_graph(where, method, k=k, radius=chosen.radius, samples=samples, threads=threads)
    else:
        adjacency = _given_graph(graph, Y.shape[0])
    h, norms = representation.project(Y, threads=threads)
    problem = _problem(representation.signatures, h, norms, adjacency, chosen, rules.relative_rho)
    solution = solve(
        problem,
        solver=solver,
        max_iter=chosen.max_iter,
        tol=chosen.tol,
        start=_given_start(start, h.shape),
        trace=verbose,
        threads=threads,
        progress=progress,
    )
    if not solution.converged and chosen.max_iter:
        _LOG.warning(
            "the %s solver stopped unconverged after %d iterations (optimality residual %.1e): "
            "raise max_iter or choose solver='sor'",
            solver,
            solution.n_iterations,
            solution.kkt_residual,
        )
    shares = proportions_of(solution.beta, uniform_if_zero=rules.uniform_if_zero)
    empty = norms == 0
    if empty.any():
        _LOG.warning("spots without counts: %d, their proportions come from neighbors", int(empty.sum()))
    return FlashFit(
        version, solver, chosen, names, signatures, representation, problem, solution, shares, empty
    )


def _settings(rules: Any, solver: str, given: dict[str, Any]) -> Settings:
    defaults: dict[str, Any] = {
        "gene_weighting": rules.gene_weighting,
        "lambda_spatial": rules.lambda_spatial,
        "max_iter": rules.max_iter,
    }
    if solver not in ("jacobi", "sor"):
        raise SettingsError(f"solver is {solver!r}: choose 'jacobi' or 'sor'")
    if solver == "sor":
        defaults |= {"tol": _SOR_TOL, "max_iter": 1000}
    unknown = set(given) - set(Settings.__dataclass_fields__)
    if unknown:
        raise TypeError(f"flash_deconvolve has no setting {', '.join(sorted(map(repr, unknown)))}")
    return Settings(**(defaults | {name: value for name, value in given.items() if value is not None}))


def _names(given: ArrayLike | None, n_types: int) -> tuple[str, ...]:
    if given is None:
        return tuple(f"CellType_{kind}" for kind in range(n_types))
    names = tuple(map(str, np.asarray(given).ravel()))
    if len(names) != n_types:
        raise InputError(f"cell_type_names has {len(names)} names but X has {n_types} rows")
    return names


def _represent(
    Y: Any,
    X: Floats,
    settings: Settings,
    genes: ArrayLike | None,
    hashes: Hashes | None,
    random_state: int | np.random.RandomState | None,
    threads: int,
) -> Representation:
    moments = gene_moments(Y, threads=threads)
    if genes is None:
        chosen = select_genes(
            moments, X, n_hvg=settings.n_hvg, n_markers_per_type=settings.n_markers_per_type
        )
    else:
        chosen = np.unique(np.asarray(genes, dtype=np.intp))
        if chosen.size == 0 or chosen[0] < 0 or chosen[-1] >= X.shape[1]:
            raise InputError(f"genes must hold positions from 0 to {X.shape[1] - 1}")
    signatures = np.ascontiguousarray(X[:, chosen])
    leverage = leverage_scores(signatures)
    width = settings.sketch_dim
    basis: Floats | CountSketch
    if settings.gene_weighting == "countsketch":
        bucket, sign = draw_hashes(chosen.size, width, random_state) if hashes is None else hashes
        basis = count_sketch(leverage, width, bucket, sign)
    else:
        basis = expected_weights(leverage, width)
    return Representation(
        genes=chosen,
        n_genes=X.shape[1],
        preprocess=settings.preprocess,
        mean_count=moments.mean_count[chosen],
        leverage=leverage,
        basis=basis,
        signatures=represent_signatures(signatures, settings.preprocess, basis),
    )


def _problem(
    signatures: Floats,
    h: Floats,
    norms: Floats,
    adjacency: sparse.csr_matrix[np.float64],
    settings: Settings,
    relative_rho: bool,
) -> Problem:
    gram = signatures @ signatures.T
    given = settings.lambda_spatial
    lambda_ = automatic_lambda(gram, adjacency) if isinstance(given, str) else float(given)
    rho = settings.rho_sparsity * (float(np.diag(gram).mean()) if relative_rho else 1.0)
    return Problem(np.ascontiguousarray(gram), h, norms, adjacency, lambda_, rho)


def _given_graph(graph: Any, n: int) -> sparse.csr_matrix[np.float64]:
    links = sparse.csr_matrix(graph, dtype=np.float64, copy=True)
    if links.shape != (n, n):
        raise InputError(f"graph has shape {links.shape}: expected {n} x {n}")
    links.setdiag(0)
    links.eliminate_zeros()
    links.sum_duplicates()
    links.data[:] = 1.0
    if abs(links - links.T).nnz:
        raise InputError("graph is not symmetric: give graph.maximum(graph.T)")
    return links


def _given_start(start: ArrayLike | None, shape: tuple[int, ...]) -> Floats | None:
    if start is None:
        return None
    values = np.asarray(start, dtype=np.float64)
    if values.shape != shape or not np.isfinite(values).all():
        raise InputError(f"start has shape {values.shape}: expected finite values, {shape[0]} x {shape[1]}")
    return values
