"""``cytoripple doctor``: what this machine offers, and whether the kernels work here."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cytoripple.cli import _options as opt
from cytoripple.cli._shell import Shell, command, progress_name

if TYPE_CHECKING:
    from rich.console import Console

_PACKAGES = ("numpy", "scipy", "pandas", "anndata", "pyarrow", "pydantic", "typer", "rich")
_OPTIONAL = {"matplotlib": "plot", "liana": None, "torch": None}
_FLAGS = ("avx512f", "avx2", "fma", "asimd", "sve")

EXAMPLE = "Example: cytoripple doctor"


@command
def doctor(
    json_output: opt.Json = False, progress: opt.ShowProgress = "auto", debug: opt.Debug = False
) -> None:
    """Check the installation.

    Versions, threads, processor, disk, memory, optional packages, and a one-second self-test.
    """
    shell = Shell(json_output, progress_name(progress))
    report = examine()
    for problem in report["problems"]:
        shell.warn(problem)
    shell.result(report, lambda console: _show(console, report))


def examine() -> dict[str, Any]:
    """Everything the doctor looks at."""
    from cytoripple import _core

    disk = shutil.disk_usage(Path.cwd())
    total, free = memory()
    report: dict[str, Any] = {
        "cytoripple": _core.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "threads": usable_threads(),
        "cpu": cpu_name(),
        "cpu_features": cpu_features(),
        "memory_total_gb": total,
        "memory_free_gb": free,
        "disk_free_gb": round(disk.free / 1e9, 1),
        "packages": {name: _version(name) for name in _PACKAGES},
        "optional": {name: _version(name) for name in _OPTIONAL},
        "debug_build": bool(getattr(_core, "DEBUG_BUILD", False)),
        "self_test": self_test(),
    }
    report["problems"] = _problems(report)
    report["healthy"] = not report["problems"]
    return report


def self_test() -> dict[str, Any]:
    """Compare the native kernels with NumPy on small inputs and measure the speed of one of them."""
    import numpy as np

    from cytoripple import kernels

    rng = np.random.default_rng(0)
    xy, ligands = rng.uniform(0, 400, (300, 2)), rng.gamma(1.0, 1.0, (300, 4))
    squared = ((xy[:, None, :] - xy[None, :, :]) ** 2).sum(axis=2)
    expected = np.exp(-squared / (2 * 50.0**2)) @ ligands / len(xy)
    found = kernels.received_ligands(xy, ligands, radius=50.0, method="direct")
    design, weights = rng.normal(size=(200, 6)), np.array([1.0, -2.0, 0.0, 0.5, 0.0, 0.0])
    fit = kernels.sparse_group_lasso(
        design, design @ weights, np.zeros(6, dtype=np.int64), group_reg=1e-9, l1_reg=1e-9
    )
    start, pairs = time.perf_counter(), 0
    big_xy, big = rng.uniform(0, 4000, (2000, 2)), rng.gamma(1.0, 1.0, (2000, 8))
    while time.perf_counter() - start < 0.5:
        kernels.received_ligands(big_xy, big, radius=200.0, method="direct")
        pairs += len(big_xy) ** 2
    return {
        "received_ligands_error": float(np.abs(found - expected).max()),
        "lasso_error": float(np.abs(np.asarray(fit.coef).ravel() - weights).max()),
        "million_pairs_per_second": round(pairs / (time.perf_counter() - start) / 1e6, 1),
    }


def usable_threads() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def cpu_name() -> str:
    """Model of the processor, as far as the system tells."""
    for line in _proc("cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """Vector instructions that matter for the kernels (Linux only; empty elsewhere)."""
    for line in _proc("cpuinfo"):
        if line.startswith(("flags", "Features")):
            found = set(line.partition(":")[2].split())
            return [flag for flag in _FLAGS if flag in found]
    return []


def memory() -> tuple[float | None, float | None]:
    """Total and available memory in GB (Linux; total only on other systems that tell it)."""
    sizes = {
        line.partition(":")[0]: line.partition(":")[2].split()[0] for line in _proc("meminfo") if ":" in line
    }
    if "MemTotal" in sizes:
        total, free = (round(float(sizes.get(name, "nan")) / 1e6, 1) for name in ("MemTotal", "MemAvailable"))
        return total, free
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1), None
    return None, None


def _proc(name: str) -> list[str]:
    try:
        return Path("/proc", name).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _problems(report: dict[str, Any]) -> list[str]:
    found = []
    if report["debug_build"]:
        found.append(
            "the native module is a debug build, many times slower: rebuild with maturin develop --release"
        )
    test = report["self_test"]
    found += [
        f"the self-test is off: {name} is {test[name]:.1e}, expected less than 1e-5"
        for name in ("received_ligands_error", "lasso_error")
        if not test[name] < 1e-5
    ]
    if report["disk_free_gb"] < 1.0:
        found.append(f"only {report['disk_free_gb']} GB are free on this disk")
    if report["memory_free_gb"] is not None and report["memory_free_gb"] < 1.0:
        found.append(f"only {report['memory_free_gb']} GB of memory are free")
    missing = [name for name in _PACKAGES if report["packages"][name] is None]
    if missing:
        found.append(f"packages are missing: pip install {' '.join(missing)}")
    return found


def _show(console: Console, report: dict[str, Any]) -> None:
    from cytoripple.cli._tables import pairs

    test, optional = report["self_test"], report["optional"]
    hints = [
        f"{name}: not installed" + (f' (pip install "cytoripple[{extra}]")' if extra else "")
        for name, extra in _OPTIONAL.items()
        if optional[name] is None
    ]
    present = [f"{name} {version}" for name, version in optional.items() if version]
    rows = {
        "cytoripple": report["cytoripple"] + (" (debug build)" if report["debug_build"] else ""),
        "python": report["python"],
        "system": report["system"],
        "processor": ", ".join([report["cpu"], f"{report['threads']} threads", *report["cpu_features"]]),
        "memory": f"{report['memory_total_gb']} GB, {report['memory_free_gb']} GB free",
        "disk": f"{report['disk_free_gb']} GB free here",
        "packages": ", ".join(f"{name} {version}" for name, version in report["packages"].items()),
        "optional": "; ".join(present + hints),
        "received ligands": f"largest error {test['received_ligands_error']:.1e}, "
        f"{test['million_pairs_per_second']:g} million pairs of cells per second",
        "regression": f"largest error {test['lasso_error']:.1e}",
    }
    console.print(pairs(rows))
    console.print("[green]everything works[/]" if report["healthy"] else "[yellow]see the warnings above[/]")
