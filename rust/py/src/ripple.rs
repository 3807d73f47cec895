//! Bindings of the mechanism of the benchmark tissue.

use crate::convert::{run, to_py};
use crate::ligand::ReceivedPlan;
use cytoripple_core::Error;
use cytoripple_core::ripple::{Edges, Held, Mechanism, Signal, steady_state};
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Ints<'py> = PyReadonlyArray1<'py, i64>;
type Matrix<'py> = PyReadonlyArray2<'py, f64>;
type Wires<'py> = (PyReadonlyArray2<'py, i64>, Matrix<'py>);
type Plans<'py> = Vec<(Py<ReceivedPlan>, Ints<'py>, f64)>;
type Hold<'py> = (usize, f64, PyReadonlyArray1<'py, bool>);

/// Steady state of the mechanism, with at most one gene held at a value in some cells.
#[pyfunction]
#[pyo3(signature = (cells, tf, lr, tfl, plans, start, held, *, threads=0))]
fn ripple_steady_state<'py>(
    py: Python<'py>,
    cells: (Ints<'py>, Matrix<'py>, Matrix<'py>, Ints<'py>),
    tf: Wires<'py>,
    lr: Wires<'py>,
    tfl: Wires<'py>,
    plans: Plans<'py>,
    start: Matrix<'py>,
    held: Option<Hold<'py>>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (types, base, variation, ligand_genes) = &cells;
    let mechanism = Mechanism {
        types: types.as_array(),
        base: base.as_array(),
        variation: variation.as_array(),
        ligand_genes: ligand_genes.as_array(),
        tf: edges(&tf),
        lr: edges(&lr),
        tfl: edges(&tfl),
    };
    let signals = signals(&plans)?;
    let held = held.as_ref().map(|(gene, value, cells)| Held {
        gene: *gene,
        value: *value,
        cells: cells.as_array(),
    });
    let start = start.as_array();
    let state = run(py, threads, None, |watch| steady_state(&mechanism, &signals, start, held, watch))?;
    Ok(state.into_pyarray(py))
}

fn edges<'a>(wires: &'a Wires<'_>) -> Edges<'a> {
    Edges { ends: wires.0.as_array(), weights: wires.1.as_array() }
}

fn signals<'a>(plans: &'a Plans<'_>) -> PyResult<Vec<Signal<'a>>> {
    let position = |index: i64| {
        let wrong = |_| to_py(Error::Index { name: "signal ligands", index, len: usize::MAX });
        usize::try_from(index).map_err(wrong)
    };
    plans
        .iter()
        .map(|(plan, positions, scale)| {
            let ligands = positions.as_array().iter().map(|&p| position(p)).collect::<PyResult<_>>()?;
            Ok(Signal { plan: &plan.get().inner, ligands, scale: *scale })
        })
        .collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ripple_steady_state, module)?)
}
