"""The joint sparse group lasso in plain NumPy: objective, optimality conditions, noise-corrected Grams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR, CAP = 0.05, 0.6


@dataclass
class Joint:
    """Grams (types x p x p) and scaled correlations (p x types) of one problem, with its scales."""

    grams: NDArray[np.float64]
    b: NDArray[np.float64]
    share: NDArray[np.float64]
    sd_x: NDArray[np.float64]
    sd_y: NDArray[np.float64]
    n: int

    def lam(self, kappa: float) -> float:
        return float(kappa * np.sqrt(2 * np.log(max(len(self.b), 2)) / self.n))

    def scaled(self, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variable of the objective, columns x types, for raw coefficients (types x columns)."""
        unit = np.where(self.sd_y > 0, np.sqrt(self.share) / np.where(self.sd_y > 0, self.sd_y, 1), 0)
        return (coef * self.sd_x * unit[:, None]).T

    def gradient(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([g @ v[:, c] for c, g in enumerate(self.grams)], axis=1) - self.b

    def objective(self, v: NDArray[np.float64], kappa: float, a: float) -> float:
        smooth = sum(0.5 * v[:, c] @ g @ v[:, c] - self.b[:, c] @ v[:, c] for c, g in enumerate(self.grams))
        norms = np.linalg.norm(v, axis=1).sum() * np.sqrt(v.shape[1]) * (1 - a)
        varying = self.share[self.sd_y > 0].sum()
        return float(smooth + 0.5 * varying + self.lam(kappa) * (norms + a * np.abs(v).sum()))

    def violation(self, v: NDArray[np.float64], kappa: float, a: float) -> float:
        """Return the largest violation of the optimality conditions."""
        l1, group = self.lam(kappa) * a, self.lam(kappa) * (1 - a) * np.sqrt(v.shape[1])
        worst = 0.0
        for row, pull in zip(v, -self.gradient(v), strict=True):
            size = np.linalg.norm(row)
            soft = np.sign(pull) * np.maximum(np.abs(pull) - l1, 0)
            if size == 0:
                worst = max(worst, float(np.linalg.norm(soft)) - group)
            else:
                rest = np.where(row == 0, soft, pull - l1 * np.sign(row) - group * row / size)
                worst = max(worst, float(np.abs(rest).max()))
        return worst

    def descend(self, kappa: float, a: float, steps: int) -> NDArray[np.float64]:
        """Return the point after some accelerated proximal gradient steps from zero."""
        l1, group = self.lam(kappa) * a, self.lam(kappa) * (1 - a) * np.sqrt(self.b.shape[1])
        h = max(np.linalg.eigvalsh(g).max() for g in self.grams) * (1 + 1e-9)
        v = u = np.zeros_like(self.b)
        t = 1.0
        for _ in range(steps):
            z = u - self.gradient(u) / h
            z = np.sign(z) * np.maximum(np.abs(z) - l1 / h, 0)
            size = np.linalg.norm(z, axis=1, keepdims=True)
            new = z * np.maximum(0, 1 - group / h / np.maximum(size, 1e-300))
            t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
            v, u = new, new + (before - 1) / t * (new - v)
        return v


def problem(
    x: Any, y: Any, types: Any, *, sd: Any = None, source: Any = None, cap: float = CAP, floor: float = FLOOR
) -> Joint:
    """Build the problem of all types, with the noise `sd` of columns of the genes `source` taken out."""
    labels = np.unique(types)
    n, k, p = len(y), len(labels), x.shape[1]
    out = Joint(np.zeros((k, p, p)), np.zeros((p, k)), np.zeros(k), np.zeros((k, p)), np.zeros(k), n)
    for c, label in enumerate(labels):
        here = types == label
        z, t = x[here] - x[here].mean(0), y[here] - y[here].mean()
        out.share[c] = here.sum() / n
        out.sd_x[c], out.sd_y[c] = z.std(0), t.std()
        alive = out.sd_x[c] > 1e-10
        z = np.where(alive, z / np.where(alive, out.sd_x[c], 1), 0)
        t = t / out.sd_y[c] if out.sd_y[c] > 1e-10 else 0 * t
        gram = z.T @ z
        if sd is not None and sd[here].any():
            e = np.where(alive, sd[here] / np.where(alive, out.sd_x[c], 1), 0)
            share = (e**2).mean(0)
            e = e * np.sqrt(np.minimum(1, cap / np.maximum(share, 1e-300)))
            same = (source[:, None] == source[None, :]) & (source[:, None] >= 0)
            gram = gram - same * (e.T @ e)
            values, vectors = np.linalg.eigh(gram / here.sum())
            gram = here.sum() * (vectors * np.maximum(values, floor)) @ vectors.T
        out.grams[c] = gram / here.sum()
        out.b[:, c] = np.sqrt(out.share[c]) * z.T @ t / here.sum()
    return out
