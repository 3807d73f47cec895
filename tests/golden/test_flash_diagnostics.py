"""Uncertainty, missing-type scores and measures of the published method on every golden set."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cytoripple.deconv.flash import FlashFit
from cytoripple.deconv.flash.metrics import (
    compute_jsd,
    compute_rare_cell_detection,
    evaluate_deconvolution,
)
from cytoripple.deconv.flash.missing import reference_fit_scores
from cytoripple.deconv.flash.uncertainty import compute_uncertainty
from tests.golden.test_flash import Golden, sets


@pytest.fixture(params=sets(), ids=lambda path: path.stem, scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(np.load(request.param), json.loads(request.param.with_suffix(".json").read_text()))


@pytest.fixture(scope="module")
def fit(golden: Golden) -> FlashFit:
    return golden.run("expected_auto")


@pytest.mark.parametrize("kind", ["sandwich", "model"])
def test_uncertainty(golden: Golden, fit: FlashFit, kind: Any) -> None:
    found = compute_uncertainty(fit, golden.counts, method=kind)
    names = [name for name in golden.data.files if name.startswith(f"unc_{kind}_")]
    assert names
    for name in names:
        value, expected = found[name.removeprefix(f"unc_{kind}_")], golden[name]
        if expected.dtype == bool:
            np.testing.assert_array_equal(value, expected, err_msg=name)
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-9, err_msg=name)


def test_missing_type_scores(golden: Golden, fit: FlashFit) -> None:
    found = reference_fit_scores(fit, golden.counts)
    names = [name for name in golden.data.files if name.startswith("ref_")]
    assert names
    for name in names:
        value, expected = found[name.removeprefix("ref_")], golden[name]
        if expected.dtype == bool:
            np.testing.assert_array_equal(value, expected, err_msg=name)
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7, err_msg=name)
    for name, null in golden.facts["ref_null"].items():
        assert found["null"][name]["method"] == null["method"]
        assert found["null"][name]["center"] == pytest.approx(null["center"], rel=1e-6)
        assert found["null"][name]["scale"] == pytest.approx(null["scale"], rel=1e-6)


def flat(tree: dict[str, Any]) -> dict[str, float]:
    out: dict[str, float] = {}
    for key, value in tree.items():
        inner = flat(value) if isinstance(value, dict) else {"": float(value)}
        out |= {f"{key}/{name}": number for name, number in inner.items()}
    return out


def test_measures(golden: Golden, fit: FlashFit) -> None:
    truth = golden["truth"]
    np.testing.assert_allclose(compute_jsd(fit.proportions, truth), golden["jsd_per_spot"], rtol=1e-6)
    found = flat(evaluate_deconvolution(fit.proportions, truth))
    expected = flat(golden.facts["metrics"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    rare = compute_rare_cell_detection(fit.proportions, truth, 0.2)
    assert rare == pytest.approx(golden.facts["rare_detection"], rel=1e-9)
