"""Plain NumPy versions of the derivatives and of the propagation loop."""

from __future__ import annotations

import numpy as np


def splash(target, ligand_genes, E, RL, RT, *, scale=1.0, cap=None, allowed=None):
    """Give the derivatives of one target with respect to all genes, (cells, genes)."""
    out = np.zeros_like(E)
    betas = np.where(target.rows[:, None] >= 0, target.betas[target.rows, 1:], 0.0)
    for beta, (kind, first, second) in zip(betas.T, target.columns, strict=True):
        if kind in (0, 3):
            if first >= 0 and (kind == 3 or allowed is None or first in allowed):
                out[:, first] += beta
        elif first >= 0 and second >= 0:
            received = RL[:, first] * (E[:, second] > 0) if kind == 1 else RT[:, first]
            out[:, second] += beta * received * scale
            out[:, ligand_genes[first]] += beta * E[:, second] * scale
    return out if cap is None else np.clip(out, -cap, cap)


def perturb(targets, ligand_genes, X, genes, desired, cells, *, receive, lr, tfl, rules, n_propagation,
            scale=1.0, cap=None, mask=None, allowed=None):  # fmt: skip
    """Run the loop as it is written down; ``receive(senders)`` maps (cells, ligands) to received amounts."""
    keep = np.ones_like(X) if mask is None else mask.astype(float)
    allowed = [None] * len(targets) if allowed is None else allowed

    def tables(values):
        senders = np.where(values > rules.min_expression, values, 0.0)
        RL, RT = receive((senders * keep)[:, ligand_genes]) * lr, receive(senders[:, ligand_genes]) * tfl
        return RL, RT, np.where(lr & tfl, np.maximum(RL, RT), RL + RT)

    selected, change = np.zeros(X.shape, bool), np.zeros(X.shape)
    for gene, value, where in zip(genes, desired, cells.T, strict=True):
        selected[where, gene] = True
        change[where, gene] = value - X[where, gene]
    low, high = (X.min(0) if rules.clip == "observed" else np.zeros(X.shape[1])), X.max(0)
    if rules.clip != "observed":
        high = np.maximum(high, 0.0)
    if rules.clip == "zero_desired":
        high[genes] = np.maximum(high[genes], desired)
    pinned = change != 0 if rules.pin == "nonzero" else selected
    RL0, RT0, R0 = tables(X)
    source, X1, D = (R0 if rules.lr_source == "baseline" else RL0), X, change.copy()
    for _ in range(n_propagation):
        E = np.where(rules.min_expression < X1, X1, 0.0) * keep
        slopes = [
            splash(t, ligand_genes, E, source, RT0, scale=scale, cap=cap, allowed=a)
            for t, a in zip(targets, allowed, strict=True)
        ]
        X1 = X + D
        R1 = tables(X1)[2]
        D[:, ligand_genes] = R1 - R0
        source = R1 if rules.lr_source == "evolving" else source
        new = np.zeros_like(D)
        for target, slope in zip(targets, slopes, strict=True):
            new[:, target.gene] = (slope * D).sum(1)
        new[pinned] = change[pinned]
        D = np.where(new == 0, 0.0, np.clip(X + new, low, high) - X)
        if rules.exempt_pinned:
            D[pinned] = change[pinned]
    simulated = X + D
    for gene, value, where in zip(genes, desired, cells.T, strict=True):
        simulated[where, gene] = value
    return simulated, D


def predict(targets, X, received_lr, received_tfl, *, keep, minimum, scale=1.0, allowed=None):
    """Give the fitted models at a state, intercepts left out: (cells, targets)."""
    counted = np.where(minimum < X, X, 0.0) * keep
    out = np.zeros((len(X), len(targets)))
    for t, target in enumerate(targets):
        betas = np.where(target.rows[:, None] >= 0, target.betas[target.rows, 1:], 0.0)
        for beta, (kind, first, second) in zip(betas.T, target.columns, strict=True):
            if kind in (0, 3):
                tfs = None if allowed is None else allowed[t]
                if first >= 0 and (kind == 3 or tfs is None or first in tfs):
                    out[:, t] += beta * X[:, first]
            elif first >= 0 and second >= 0:
                signal, partner = (received_lr, counted) if kind == 1 else (received_tfl, X)
                out[:, t] += beta * scale * signal[:, first] * partner[:, second]
    return out


def reevaluate(targets, ligand_genes, X, genes, desired, cells, *, receive, lr, tfl, rounds, share=1.0,
               tolerance=1e-3, minimum=1e-9, scale=1.0, mask=None, allowed=None):  # fmt: skip
    """Evaluate the whole model anew in every round; gives the state, the rounds and their last change."""
    keep = np.ones_like(X) if mask is None else mask.astype(float)

    def model(state):
        sent = np.where(state > minimum, state, 0.0)
        signals = receive((sent * keep)[:, ligand_genes]) * lr, receive(sent[:, ligand_genes]) * tfl
        return predict(targets, state, *signals, keep=keep, minimum=minimum, scale=scale, allowed=allowed)

    def held(state):
        for gene, value, where in zip(genes, desired, cells.T, strict=True):
            state[where, gene] = value
        return state

    high = np.maximum(X.max(0), 0.0)
    high[genes] = np.maximum(high[genes], desired)
    modeled = [target.gene for target in targets]
    observed, state, change = model(X), held(X.copy()), np.inf
    for done in range(rounds):
        moved = model(state) - observed
        new = X.copy()
        new[:, modeled] = np.clip(X[:, modeled] + moved, 0.0, high[modeled])
        new = held(state + share * (new - state))
        change, state = np.abs(new - state).max(), new
        if change < tolerance:
            return state, done + 1, change
    return state, rounds, change
