"""cytoripple: predict how a perturbation ripples through a tissue.

Use it in the scverse manner::

    import cytoripple as ct

    adata, network, truth = ct.datasets.toy_tissue()
    run = ct.tl.train_grn(adata, network=network, run_dir="run", cluster_key="cell_type", layer="norm")
    ct.tl.perturb(adata, run, {"Tf0": 0.0})

Only numpy is imported here; the modules ``bench``, ``compat``, ``datasets``, ``deconv``, ``io``, ``kernels``,
``pl``, ``pp``, ``tl`` and ``vc`` are loaded at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cytoripple._core import __version__
from cytoripple._errors import CytorippleError

if TYPE_CHECKING:
    from cytoripple import bench, compat, datasets, deconv, io, kernels, pl, pp, tl, vc

__all__ = [
    "CytorippleError",
    "__version__",
    "bench",
    "compat",
    "datasets",
    "deconv",
    "io",
    "kernels",
    "pl",
    "pp",
    "tl",
    "vc",
]

_MODULES = frozenset({"bench", "compat", "datasets", "deconv", "io", "kernels", "pl", "pp", "tl", "vc"})


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"cytoripple.{name}")
    raise AttributeError(f"module 'cytoripple' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
