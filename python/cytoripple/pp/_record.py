"""What every preprocessing step leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cytoripple import __version__

if TYPE_CHECKING:
    from anndata import AnnData


def record(adata: AnnData, key: str, function: str, **parameters: Any) -> None:
    """Write function, version and parameters to ``adata.uns[key]``; parameters that are None are left out."""
    kept = {name: value for name, value in parameters.items() if value is not None}
    adata.uns[key] = {"function": f"cytoripple.pp.{function}", "version": __version__, "parameters": kept}


def recorded(adata: AnnData, key: str, function: str) -> dict[str, Any] | None:
    """Parameters that `record` wrote for `function`, None when something else is there."""
    entry = adata.uns.get(key)
    if not isinstance(entry, dict) or entry.get("function") != f"cytoripple.pp.{function}":
        return None
    parameters = entry.get("parameters")
    return parameters if isinstance(parameters, dict) else None
