//! Bindings of the perturbation kernels.

use crate::convert::{run, to_py};
use crate::ligand::ReceivedPlan;
use cytoripple_core::perturb::{
    self, Ligands, Options, RegulatoryModel, Request, Rounds, Rules, Signal, TargetInput,
};
use cytoripple_core::splash::{self, Slope};
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Ints<'py> = PyReadonlyArray1<'py, i64>;
type Matrix<'py> = PyReadonlyArray2<'py, f64>;
type Flags<'py> = PyReadonlyArray2<'py, bool>;
type Allowed<'py> = Option<Vec<Option<Ints<'py>>>>;

/// Fitted models of all targets on one set of cells.
#[pyclass(name = "RegulatoryModel", module = "cytoripple._core", frozen)]
pub struct PyRegulatoryModel {
    model: RegulatoryModel,
}

impl PyRegulatoryModel {
    fn restricted(&self, allowed: Allowed<'_>) -> PyResult<Option<RegulatoryModel>> {
        let Some(allowed) = allowed else { return Ok(None) };
        let lists: Vec<Option<Vec<i64>>> =
            allowed.iter().map(|list| list.as_ref().map(|l| l.as_array().to_vec())).collect();
        self.model.restricted(&lists).map(Some).map_err(to_py)
    }
}

#[pymethods]
impl PyRegulatoryModel {
    #[new]
    fn new(
        n_genes: usize,
        ligand_genes: Ints<'_>,
        maps: Vec<Ints<'_>>,
        targets: Vec<(i64, Matrix<'_>, PyReadonlyArray2<'_, i64>, usize)>,
    ) -> PyResult<Self> {
        let inputs: Vec<TargetInput<'_>> = targets
            .iter()
            .map(|(gene, betas, columns, map)| TargetInput {
                gene: *gene,
                betas: betas.as_array(),
                columns: columns.as_array(),
                map: *map,
            })
            .collect();
        let maps = maps.iter().map(|map| map.as_array().to_vec()).collect();
        let genes = ligand_genes.as_array().to_vec();
        Ok(Self { model: RegulatoryModel::new(n_genes, &genes, maps, &inputs).map_err(to_py)? })
    }

    #[pyo3(signature = (target, expression, received, received_tfl, modulators, beta_scale_factor, beta_cap,
        min_expression, allowed_tfs, threads))]
    fn splash<'py>(
        &self,
        py: Python<'py>,
        target: usize,
        expression: Matrix<'py>,
        received: Matrix<'py>,
        received_tfl: Matrix<'py>,
        modulators: Ints<'py>,
        beta_scale_factor: f64,
        beta_cap: Option<f64>,
        min_expression: f64,
        allowed_tfs: Allowed<'py>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let restricted = self.restricted(allowed_tfs)?;
        let model = restricted.as_ref().unwrap_or(&self.model);
        let (expression, tables) = (expression.as_array(), [received.as_array(), received_tfl.as_array()]);
        let genes = modulators.as_array().to_vec();
        let slope = Slope { scale: beta_scale_factor, cap: beta_cap };
        let out = run(py, threads, None, |watch| {
            splash::splash(model, target, expression, tables, &genes, slope, min_expression, watch)
        })?;
        Ok(out.into_pyarray(py))
    }

    #[pyo3(signature = (expression, targets, desired, cells, signals, scale_factor, lr_ligands, tfl_ligands, rules,
        n_propagation, beta_scale_factor, beta_cap, mask, allowed_tfs, plain, threads, progress))]
    fn perturb<'py>(
        &self,
        py: Python<'py>,
        expression: Matrix<'py>,
        targets: Vec<usize>,
        desired: Vec<f64>,
        cells: Flags<'py>,
        signals: Vec<(Py<ReceivedPlan>, Ints<'py>)>,
        scale_factor: f64,
        lr_ligands: Vec<bool>,
        tfl_ligands: Vec<bool>,
        rules: (String, String, String, bool, f64),
        n_propagation: usize,
        beta_scale_factor: f64,
        beta_cap: Option<f64>,
        mask: Option<Flags<'py>>,
        allowed_tfs: Allowed<'py>,
        plain: bool,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>)> {
        let restricted = self.restricted(allowed_tfs)?;
        let model = restricted.as_ref().unwrap_or(&self.model);
        let mask = mask.as_ref().map(|m| m.as_array());
        let request =
            Request { expression: expression.as_array(), targets, desired, cells: cells.as_array(), mask };
        let signals: Vec<Signal<'_>> = signals
            .iter()
            .map(|(plan, places)| Signal { plan: &plan.get().inner, ligands: places.as_array().to_vec() })
            .collect();
        let ligands = Ligands { signals: &signals, scale: scale_factor, lr: &lr_ligands, tfl: &tfl_ligands };
        let rules = Rules::new(&rules.0, &rules.1, &rules.2, rules.3, rules.4).map_err(to_py)?;
        let slope = Slope { scale: beta_scale_factor, cap: beta_cap };
        let options = Options { rules, n_propagation, slope, plain };
        let (simulated, delta) =
            run(py, threads, progress, |watch| perturb::perturb(model, &request, &ligands, &options, watch))?;
        Ok((simulated.into_pyarray(py), delta.into_pyarray(py)))
    }

    #[pyo3(signature = (expression, targets, desired, cells, signals, scale_factor, lr_ligands, tfl_ligands, rounds,
        min_expression, beta_scale_factor, mask, allowed_tfs, threads, progress))]
    fn reevaluate<'py>(
        &self,
        py: Python<'py>,
        expression: Matrix<'py>,
        targets: Vec<usize>,
        desired: Vec<f64>,
        cells: Flags<'py>,
        signals: Vec<(Py<ReceivedPlan>, Ints<'py>)>,
        scale_factor: f64,
        lr_ligands: Vec<bool>,
        tfl_ligands: Vec<bool>,
        rounds: (usize, f64, f64),
        min_expression: f64,
        beta_scale_factor: f64,
        mask: Option<Flags<'py>>,
        allowed_tfs: Allowed<'py>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray2<f64>>, usize, f64, bool)> {
        let restricted = self.restricted(allowed_tfs)?;
        let model = restricted.as_ref().unwrap_or(&self.model);
        let mask = mask.as_ref().map(|m| m.as_array());
        let request =
            Request { expression: expression.as_array(), targets, desired, cells: cells.as_array(), mask };
        let signals: Vec<Signal<'_>> = signals
            .iter()
            .map(|(plan, places)| Signal { plan: &plan.get().inner, ligands: places.as_array().to_vec() })
            .collect();
        let ligands = Ligands { signals: &signals, scale: scale_factor, lr: &lr_ligands, tfl: &tfl_ligands };
        let (limit, share, tolerance) = rounds;
        let rounds = Rounds { limit, share, tolerance, min_expression, scale: beta_scale_factor };
        let found = run(py, threads, progress, |watch| {
            perturb::reevaluate(model, &request, &ligands, &rounds, watch)
        })?;
        Ok((found.simulated.into_pyarray(py), found.rounds, found.largest_change, found.converged))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRegulatoryModel>()
}
