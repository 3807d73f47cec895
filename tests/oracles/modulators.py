"""Modulators of one target by the rules in words, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

Pairs = list[tuple[str, str]]


def modulators(
    edges: pd.DataFrame,
    genes: Sequence[str],
    target: str,
    *,
    cutoff: float,
    max_ligands: int | None,
    means: Mapping[str, float],
    use_tf: bool,
    use_lr: bool,
    use_tfl: bool,
    extra: Sequence[str],
    extra_lr: Pairs,
) -> tuple[list[str], Pairs, Pairs, list[str]]:
    """Regulators, pairs, ligand-TF pairs and extra genes of the target."""
    rows: list[dict[str, Any]] = [
        row for row in edges.to_dict("records") if row["source"] in genes and row["target"] in genes
    ]
    regulators: list[str] = []
    pairs: Pairs = []
    for row in rows:
        source, end = row["source"], row["target"]
        if row["edge_type"] == "grn" and end == target != source and source not in regulators:
            regulators.append(source)
        if row["edge_type"] == "lr" and target not in (source, end) and (source, end) not in pairs:
            pairs.append((source, end))
    ligands = list(dict.fromkeys(ligand for ligand, _ in pairs))
    if max_ligands is not None:
        ligands = sorted(ligands, key=lambda name: -means[name])[:max_ligands]
        pairs = [pair for pair in pairs if pair[0] in ligands]
    tfl: Pairs = []
    for tf in regulators:
        strong = [
            (row["weight"], row["source"])
            for row in rows
            if row["edge_type"] == "nichenet" and row["target"] == tf and row["weight"] > cutoff
        ]
        best = sorted((item for item in strong if item[1] in ligands), key=lambda item: -item[0])
        tfl += [(ligand, tf) for ligand in list(dict.fromkeys(name for _, name in best))[:5]]
    regulators = regulators if use_tf else []
    pairs = pairs if use_lr else []
    tfl = tfl if use_tfl else []
    for pair in extra_lr if use_lr else []:
        if target not in pair and set(pair) <= set(genes) and pair not in pairs:
            pairs.append(pair)
    taken = {target, *regulators, *(gene for pair in (*pairs, *tfl) for gene in pair)}
    kept = [gene for gene in dict.fromkeys(extra) if gene in genes and gene not in taken]
    return regulators, pairs, tfl, kept
