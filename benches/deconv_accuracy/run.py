"""Accuracy of deconvolution on semi-synthetic sets: a table per method, and every set beside.

    python benches/deconv_accuracy/run.py --peer-python PATH      # with flashdeconv 0.2.0 from that Python
    python benches/deconv_accuracy/run.py                         # with the published method of this package
    python benches/deconv_accuracy/run.py --scenarios half-smooth-0.8 ...   # tissues far from their reference

Writes `record/<date>-deconv-accuracy.csv`, one row per set and method, and prints the means.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from methods import methods
from scores import scores
from sets import HARSH, SCENARIOS, TISSUES, all_sets

HERE = Path(__file__).resolve().parent


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """Score every method on every set."""
    rows = []
    compared = methods(arguments.peer_python)
    for one in all_sets(arguments.seeds, arguments.tissues, arguments.scenarios):
        for name, method in compared.items():
            found = scores(method(one), one.truth, one.rare)
            rows.append(
                {"method": name, "tissue": one.tissue, "scenario": one.scenario, "seed": one.seed, **found}
            )
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return pd.DataFrame(rows)


def text(table: pd.DataFrame) -> str:
    """Lay out a table for a page of notes."""
    head = [" | ".join(["", *map(str, table.columns)]).strip(), "|".join(["---"] * (table.shape[1] + 1))]
    body = [f"{name} | " + " | ".join(f"{value:.4f}" for value in row) for name, *row in table.itertuples()]
    return "\n".join([*head, *body])


def report(table: pd.DataFrame) -> str:
    """Means per method, means per tissue and scenario, and how often the default is the better one."""
    columns = ["rmse", "pearson", "jsd", "aupr", "aupr_rare", "absent"]
    order = list(dict.fromkeys(table["method"]))
    n = len(table) // len(order)
    parts = [f"{n} sets", text(table.groupby("method")[columns].mean().loc[order])]
    parts += [
        text(table.pivot_table(index=by, columns="method", values="rmse", sort=False))
        for by in ("tissue", "scenario")
    ]
    wide = table.pivot_table(index=["tissue", "scenario", "seed"], columns="method", values=["rmse", "aupr"])
    rmse, precision = wide["rmse"], wide["aupr"]
    for other in order[1:]:
        less = 1 - rmse["default"].mean() / rmse[other].mean()
        parts.append(
            f"default against {other}: RMSE {100 * less:.1f} % lower, lower on "
            f"{100 * (rmse['default'] < rmse[other]).mean():.1f} % of the sets, AUPR higher on "
            f"{100 * (precision['default'] > precision[other]).mean():.1f} %"
        )
    worst = (rmse["default"] / rmse[order[2]]).nlargest(5)
    parts.append(f"least gain over {order[2]} (ratio of RMSE):\n{worst.round(3).to_string()}")
    return "\n\n".join(parts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="accuracy of deconvolution on semi-synthetic sets")
    parser.add_argument("--peer-python", help="Python where flashdeconv is installed")
    parser.add_argument("--seeds", type=lambda text: range(*map(int, text.split(":"))), default="100:104")
    parser.add_argument("--tissues", nargs="+", choices=[*TISSUES], default=[*TISSUES])
    parser.add_argument("--scenarios", nargs="+", choices=[*SCENARIOS, *HARSH], default=[*SCENARIOS])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    table = measure(given)
    default = HERE.parent / "record" / f"{datetime.date.today().isoformat()}-deconv-accuracy.csv"
    rounded = table.copy()
    rounded[rounded.select_dtypes(np.floating).columns] = rounded.select_dtypes(np.floating).round(5)
    rounded.to_csv(given.out or default, index=False)
    print(report(table))


if __name__ == "__main__":
    main()
