//! Bindings of the perturbation kernels.

use crate::convert::{run, to_py};
use crate::ligand::ReceivedPlan;
use cytoripple_core::perturb::plain::{Derivative, splash};
use cytoripple_core::perturb::terms::State;
use cytoripple_core::perturb::{
    Clip, LrSource, Model, Pin, Request, Rules, Scaling, Settings, Signal, TargetTable, perturb,
};
use cytoripple_core::{Error, check};
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Table<'py> = (i64, PyReadonlyArray2<'py, f64>, PyReadonlyArray2<'py, i64>, PyReadonlyArray1<'py, i64>);
type Plans<'py> = Vec<(PyRef<'py, ReceivedPlan>, PyReadonlyArray1<'py, i64>)>;

/// Coefficients of all targets; the public form is `cytoripple.kernels.RegulatoryModel`.
#[pyclass(name = "RegulatoryModel", frozen, module = "cytoripple._core")]
struct PyRegulatoryModel {
    model: Model,
}

#[pymethods]
impl PyRegulatoryModel {
    #[new]
    fn new(
        tables: Vec<Table<'_>>,
        n_cells: usize,
        n_genes: usize,
        ligand_genes: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let tables: Vec<TargetTable> = tables
            .iter()
            .map(|(gene, betas, columns, rows)| TargetTable {
                gene: *gene,
                betas: betas.as_array(),
                columns: columns.as_array(),
                rows: rows.as_array(),
            })
            .collect();
        let model = Model::new(&tables, n_cells, n_genes, ligand_genes.as_array()).map_err(to_py)?;
        Ok(Self { model })
    }

    #[pyo3(signature = (target, expression, received, received_tfl, modulators, scale, cap, allowed, *, threads=0))]
    fn splash<'py>(
        &self,
        py: Python<'py>,
        target: usize,
        expression: PyReadonlyArray2<'py, f64>,
        received: PyReadonlyArray2<'py, f64>,
        received_tfl: PyReadonlyArray2<'py, f64>,
        modulators: PyReadonlyArray1<'py, i64>,
        scale: f64,
        cap: Option<f64>,
        allowed: Option<Vec<i64>>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let state = State {
            expression: expression.as_array(),
            received: received.as_array(),
            received_tfl: received_tfl.as_array(),
            delta: expression.as_array(),
        };
        let modulators = positions("modulators", &modulators, self.model.n_genes)?;
        let out = run(py, threads, None, |_| {
            let derivative = Derivative::new(&self.model, target, scale, cap, allowed.as_deref());
            Ok(splash(&derivative, &state, &modulators))
        })?;
        Ok(out.into_pyarray(py))
    }

    #[pyo3(signature = (expression, genes, desired, cells, signals, scale_factor, lr_ligands, tfl_ligands, rules, n_propagation, scale, cap, mask, allowed, *, threads=0, progress=None))]
    fn perturb<'py>(
        &self,
        py: Python<'py>,
        expression: PyReadonlyArray2<'py, f64>,
        genes: PyReadonlyArray1<'py, i64>,
        desired: PyReadonlyArray1<'py, f64>,
        cells: PyReadonlyArray2<'py, bool>,
        signals: Plans<'py>,
        scale_factor: f64,
        lr_ligands: Vec<bool>,
        tfl_ligands: Vec<bool>,
        rules: (String, String, String, bool, f64),
        n_propagation: usize,
        scale: f64,
        cap: Option<f64>,
        mask: Option<PyReadonlyArray2<'py, bool>>,
        allowed: Option<Vec<Option<Vec<i64>>>>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>)> {
        let genes = positions("targets", &genes, self.model.n_genes)?;
        let served = signals
            .iter()
            .map(|(_, at)| positions("signals", at, self.model.ligand_genes.len()))
            .collect::<PyResult<Vec<_>>>()?;
        let signals: Vec<Signal> = signals
            .iter()
            .zip(&served)
            .map(|((plan, _), positions)| Signal { plan: &plan.inner, positions })
            .collect();
        let request = Request { genes: &genes, desired: desired.as_array(), cells: cells.as_array() };
        let settings = Settings {
            signals: &signals,
            scale_factor,
            lr_ligands: &lr_ligands,
            tfl_ligands: &tfl_ligands,
            rules: parse(&rules).map_err(to_py)?,
            n_propagation,
            scaling: Scaling { scale, cap, allowed: allowed.as_deref() },
            mask: mask.as_ref().map(|m| m.as_array()),
        };
        let expression = expression.as_array();
        let done =
            run(py, threads, progress, |watch| perturb(&self.model, expression, &request, &settings, watch))?;
        Ok((done.simulated.into_pyarray(py), done.delta.into_pyarray(py)))
    }
}

fn positions(name: &'static str, values: &PyReadonlyArray1<'_, i64>, len: usize) -> PyResult<Vec<usize>> {
    let values = values.as_array();
    check::indices(name, values.iter().copied(), len).map_err(to_py)?;
    Ok(values.iter().map(|&i| i as usize).collect())
}

fn parse(rules: &(String, String, String, bool, f64)) -> Result<Rules, Error> {
    let unknown = |name, value: &str, expected| Error::Parameter { name, value: value.to_string(), expected };
    let lr_source = match rules.0.as_str() {
        "baseline" => LrSource::Baseline,
        "evolving" => LrSource::Evolving,
        other => return Err(unknown("lr_source", other, "give baseline or evolving")),
    };
    let pin = match rules.1.as_str() {
        "nonzero" => Pin::Nonzero,
        "selected" => Pin::Selected,
        other => return Err(unknown("pin", other, "give nonzero or selected")),
    };
    let clip = match rules.2.as_str() {
        "observed" => Clip::Observed,
        "zero_observed" => Clip::ZeroObserved,
        "zero_desired" => Clip::ZeroDesired,
        other => return Err(unknown("clip", other, "give observed, zero_observed or zero_desired")),
    };
    Ok(Rules { lr_source, pin, clip, exempt_pinned: rules.3, min_expression: rules.4 })
}

/// Add the classes of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRegulatoryModel>()
}
