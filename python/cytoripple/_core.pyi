"""Native kernels. The public, documented entrance is `cytoripple.kernels`."""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEBUG_BUILD",
    "CoreError",
    "Expectation",
    "FirstModel",
    "ReceivedPlan",
    "RegulatoryModel",
    "SpotFit",
    "WeightedRows",
    "__version__",
    "check_design",
    "deconv_profile_sums",
    "deconv_sums",
    "effect_distances",
    "energy_distances",
    "fit_batch",
    "fit_joint",
    "flash_graph",
    "flash_jacobi",
    "flash_moments",
    "flash_nearest_distance",
    "flash_project",
    "flash_quality",
    "flash_sor",
    "gather_rows",
    "group_sums",
    "joint_sparse_group_lasso",
    "joint_validation_errors",
    "log_poisson_variance",
    "merge_genes",
    "nearest_neighbors",
    "neighbor_graph",
    "rank_sums",
    "ripple_steady_state",
    "sparse_group_lasso",
    "validation_errors",
]

__version__: str
DEBUG_BUILD: bool

class CoreError(Exception): ...

# --- neighbors
def nearest_neighbors(
    points: NDArray[np.float64],
    k: int,
    groups: NDArray[np.int64] | None = None,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest other cells inside groups: indices and distances, cells x k."""

# --- lasso

def sparse_group_lasso(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: NDArray[np.int64],
    group_reg: NDArray[np.float64],
    scale_reg: str,
    l1_reg: float,
    fit_intercept: bool,
    tol: float,
    solver: str,
    max_iter: int | None,
    warm_start: NDArray[np.float64] | None,
    *,
    threads: int = 0,
) -> tuple[NDArray[np.float64], float, float, float, int, bool, str, float, NDArray[np.float64]]:
    """Coefficients, intercept, objective, gap, iterations, converged, rule, KKT residual, lambda_max."""

def check_design(design: object) -> None:
    """Raise when an array of the design has a wrong shape or a value that cannot be used."""

def fit_batch(
    design: object,
    batch: object,
    penalty: tuple[float, float],
    scale_reg: str,
    standardize: bool,
    tol: float,
    solver: str,
    max_iter: int | None,
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Fits of all targets in all clusters, by the names of `cytoripple.kernels.training.BatchFit`."""

def validation_errors(
    design: object,
    batch: object,
    kappas: NDArray[np.float64],
    l1_share: float,
    tol: float,
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> NDArray[np.float64]:
    """Squared errors of held-out cells, targets x multipliers."""

# joint

def joint_sparse_group_lasso(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    types: NDArray[np.int64],
    n_types: int,
    kappa: float,
    l1_share: float,
    noise: tuple[NDArray[np.float64], NDArray[np.int64]] | None,
    tol: float,
    max_iter: int | None,
    *,
    threads: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float, int, bool, float]:
    """Coefficients (types x columns), intercepts, gap, objective, sweeps, converged, lambda_max."""

def fit_joint(
    design: object,
    batch: object,
    kappa: float,
    path: Sequence[float],
    shares: tuple[float, float],
    noise_variance: NDArray[np.float32] | None,
    tol: float,
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Joint fits of all targets, by the names of `cytoripple.kernels.training.BatchFit`."""

def joint_validation_errors(
    design: object,
    batch: object,
    kappas: NDArray[np.float64],
    l1_share: float,
    tol: float,
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> NDArray[np.float64]:
    """Squared errors of held-out cells of joint fits, targets x multipliers."""

def log_poisson_variance(
    means: NDArray[np.float64], factors: NDArray[np.float64], *, threads: int = 0
) -> NDArray[np.float32]:
    """Variance of ``log1p(factor * count)`` for Poisson counts of each mean, cells x genes."""

# ligand

@final
class ReceivedPlan:
    """Received ligands on fixed coordinates, reusable for every expression."""

    def __new__(
        cls,
        xy: NDArray[np.float64],
        *,
        radius: float,
        kernel: str,
        method: str,
        rtol: float,
        factor: float,
        cutoff: float | None = None,
        samples: NDArray[np.int64] | None = None,
        n_ligands: int = 50,
        threads: int = 0,
    ) -> ReceivedPlan: ...
    def apply(
        self,
        ligands: NDArray[np.float64],
        *,
        scale: float = 1.0,
        threads: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.float64]:
        """Received amount of each ligand at each cell (cells x ligands)."""
    @property
    def method(self) -> str: ...
    @property
    def error_bound(self) -> float: ...
    @property
    def n_cells(self) -> int: ...

# perturbation

@final
class RegulatoryModel:
    def __new__(
        cls,
        n_genes: int,
        ligand_genes: NDArray[np.int64],
        maps: Sequence[NDArray[np.int64]],
        targets: Sequence[tuple[int, NDArray[np.float64], NDArray[np.int64], int]],
    ) -> RegulatoryModel: ...
    def splash(
        self,
        target: int,
        expression: NDArray[np.float64],
        received: NDArray[np.float64],
        received_tfl: NDArray[np.float64],
        modulators: NDArray[np.int64],
        beta_scale_factor: float,
        beta_cap: float | None,
        min_expression: float,
        allowed_tfs: Sequence[NDArray[np.int64] | None] | None,
        threads: int,
    ) -> NDArray[np.float64]: ...
    def perturb(
        self,
        expression: NDArray[np.float64],
        targets: Sequence[int],
        desired: Sequence[float],
        cells: NDArray[np.bool_],
        signals: Sequence[tuple[ReceivedPlan, NDArray[np.int64]]],
        scale_factor: float,
        lr_ligands: Sequence[bool],
        tfl_ligands: Sequence[bool],
        rules: tuple[str, str, str, bool, float],
        n_propagation: int,
        beta_scale_factor: float,
        beta_cap: float | None,
        mask: NDArray[np.bool_] | None,
        allowed_tfs: Sequence[NDArray[np.int64] | None] | None,
        plain: bool,
        threads: int,
        progress: Callable[[int, int], object] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def reevaluate(
        self,
        expression: NDArray[np.float64],
        targets: Sequence[int],
        desired: Sequence[float],
        cells: NDArray[np.bool_],
        signals: Sequence[tuple[ReceivedPlan, NDArray[np.int64]]],
        scale_factor: float,
        lr_ligands: Sequence[bool],
        tfl_ligands: Sequence[bool],
        rounds: tuple[int, float, float],
        min_expression: float,
        beta_scale_factor: float,
        mask: NDArray[np.bool_] | None,
        allowed_tfs: Sequence[NDArray[np.int64] | None] | None,
        threads: int,
        progress: Callable[[int, int], object] | None,
    ) -> tuple[NDArray[np.float64], int, float, bool]: ...

# benchmark tissue

def ripple_steady_state(
    cells: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
    tf: tuple[NDArray[np.int64], NDArray[np.float64]],
    lr: tuple[NDArray[np.int64], NDArray[np.float64]],
    tfl: tuple[NDArray[np.int64], NDArray[np.float64]],
    plans: Sequence[tuple[ReceivedPlan, NDArray[np.int64], float]],
    start: NDArray[np.float64],
    held: tuple[int, float, NDArray[np.bool_]] | None,
    *,
    threads: int = 0,
) -> NDArray[np.float64]:
    """Steady state, cells x genes. `cells`: type, base input and variation per cell, gene per ligand."""

# --- deconvolution

_Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]

def deconv_sums(
    rows: _Rows, genes: int, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, int, float, tuple[int, float] | None]:
    """Depths, gene totals, stored entries, entries with a fraction, the largest, the first unusable one."""

def deconv_profile_sums(
    rows: _Rows, kinds: NDArray[np.int64], types: int, genes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Add up counts, shares of the cell, and squares of those by type (types x genes)."""

def neighbor_graph(
    points: NDArray[np.float64],
    section: NDArray[np.int64],
    k: int,
    removed: NDArray[np.bool_],
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and neighbors of the symmetric graph of nearest neighbors inside sections."""

def merge_genes(
    points: NDArray[np.float64], weights: NDArray[np.float64], groups: int, threads: int
) -> NDArray[np.int64]:
    """Group of every gene by weighted k-means."""

@final
class FirstModel:
    """Weighted profiles for the first fit."""

    def __new__(cls, profiles: NDArray[np.float64], weights: NDArray[np.float64]) -> FirstModel: ...
    def fit(self, rows: _Rows, threads: int) -> NDArray[np.float32]: ...

@final
class Expectation:
    """What a fit expects of every gene, for residuals and stability."""

    def __new__(
        cls,
        rates: NDArray[np.float64],
        background: NDArray[np.float64],
        weights: NDArray[np.float64],
        marked: NDArray[np.int64],
    ) -> Expectation: ...
    def misfit(
        self, rows: _Rows, shares: NDArray[np.float32], threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    def stability(
        self,
        rows: _Rows,
        shares: NDArray[np.float32],
        alpha: NDArray[np.float64],
        spread: NDArray[np.float64],
        kappa: float,
        threads: int,
    ) -> NDArray[np.float32]: ...

@final
class WeightedRows:
    """Weighted counts of a block by merged gene."""

    @property
    def bytes(self) -> int: ...

@final
class SpotFit:
    """Shares of all spots while they are fitted."""

    def __new__(
        cls,
        rates: NDArray[np.float64],
        background: NDArray[np.float64],
        merged: NDArray[np.int64],
        weights: NDArray[np.float64],
        start: NDArray[np.float32],
        section: NDArray[np.uint32],
        counted: NDArray[np.bool_],
        graph: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
        kappa: float,
        steps: int,
        tolerance: float,
        colored: bool,
    ) -> SpotFit: ...
    def weigh(self, rows: _Rows, threads: int) -> WeightedRows: ...
    def sweep(self, rows: WeightedRows, spots: NDArray[np.int64], threads: int) -> float: ...
    def shares(self) -> NDArray[np.float32]: ...
    def alphas(self, spots: NDArray[np.int64]) -> NDArray[np.float64]: ...

# published deconvolution

_Values = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int32] | NDArray[np.int64]
_Positions = tuple[NDArray[np.int32], NDArray[np.int32]] | tuple[NDArray[np.int64], NDArray[np.int64]]
_FlashProblem = tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], float, float
]

def flash_moments(
    data: _Values,
    positions: _Positions,
    sums: NDArray[np.float64],
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Add spots to the sums per gene: of log-CP10k, its square, and counts (3 x genes)."""

def flash_project(
    data: _Values,
    positions: _Positions,
    column: NDArray[np.int64],
    map: NDArray[np.float64],
    weight: NDArray[np.float64],
    *,
    factor: NDArray[np.float64] | None,
    bucket: NDArray[np.int64] | None,
    width: int,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spots times represented reference (spots x types), and squared lengths of represented spots."""

def flash_graph(
    points: NDArray[np.float64],
    *,
    k: int | None = None,
    radius: float | None = None,
    threads: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Row starts and neighbors of the graph of nearest neighbors, or of all pairs within a radius."""

def flash_nearest_distance(points: NDArray[np.float64], *, threads: int = 0) -> NDArray[np.float64]:
    """Distance of every point to its nearest other."""

def flash_jacobi(
    problem: _FlashProblem,
    start: NDArray[np.float64],
    max_iter: int,
    tol: float,
    *,
    trace: bool = False,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[NDArray[np.float64], int, float, bool, list[float]]:
    """Abundances, iterations, last change, whether it converged, recorded objectives."""

def flash_sor(
    problem: _FlashProblem,
    beta: NDArray[np.float64],
    max_sweeps: int,
    tol: float,
    *,
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[int, float, bool, float, int]:
    """Solve in place: sweeps, residual, whether it converged, overshoot, colors."""

def flash_quality(
    problem: _FlashProblem, beta: NDArray[np.float64], *, threads: int = 0
) -> tuple[float, float]:
    """Objective without the constant, and residual of the optimality conditions."""

# --- row store

def gather_rows(
    indptr: NDArray[np.int32] | NDArray[np.int64],
    indices: NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.int32] | NDArray[np.int64],
    data: NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.float32] | NDArray[np.float64],
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    n_columns: int,
    colmap: NDArray[np.int32] | None = None,
    target: float | None = None,
    threads: int = 0,
) -> None:
    """Write rows of a CSR matrix into `out` (rows x columns), mapped; counts normalized to `target`."""

# --- screens: an expression matrix is (values,) or (by_columns, width, starts, indices, data)

def rank_sums(
    expression: tuple[Any, ...],
    codes: NDArray[np.int64],
    n_groups: int,
    *,
    rest: bool,
    tie_correct: bool,
    continuity: bool,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Statistic, standardized score and p-value of the Mann-Whitney test, groups x genes."""

def group_sums(
    expression: tuple[Any, ...],
    codes: NDArray[np.int64],
    n_groups: int,
    *,
    transform: str,
    threads: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.uint64]]:
    """Sum values and tell whether they vary (groups x genes); cells per group."""

def energy_distances(
    expression: tuple[Any, ...],
    codes: NDArray[np.int64],
    n_groups: int,
    *,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Energy distance of every group but the first to the first."""

def effect_distances(
    predicted: NDArray[np.float64],
    measured: NDArray[np.float64],
    skip: NDArray[np.int64],
    *,
    metric: str,
    threads: int = 0,
) -> NDArray[np.float64]:
    """Distance of every predicted effect (rows) to every measured effect (columns)."""
