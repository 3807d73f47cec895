//! Deconvolution of spots, one block of counts at a time. Documented for users in `_core.pyi` and `cytoripple.deconv`.

use crate::convert::{run, to_py};
use cytoripple_core::deconv::{self, Block, Graph, Prior, Rates, Shapes, Stability};
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1 as Vector, PyReadonlyArray2 as Matrix, ToPyArray,
};
use pyo3::prelude::*;

/// Rows of counts as Python hands them over.
#[derive(FromPyObject)]
struct Rows<'py>(Vector<'py, i64>, Vector<'py, i32>, Vector<'py, f32>, Vector<'py, i32>);

impl Rows<'_> {
    fn block(&self) -> PyResult<Block<'_>> {
        Block::new(self.0.as_slice()?, self.1.as_slice()?, self.2.as_slice()?, self.3.as_slice()?)
            .map_err(to_py)
    }
}

type Sums<'py> =
    (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, usize, usize, f64, Option<(usize, f64)>);

/// Depth of every row, total of every gene, and what kind of values these are.
#[pyfunction]
fn deconv_sums<'py>(py: Python<'py>, rows: Rows<'py>, genes: usize, threads: usize) -> PyResult<Sums<'py>> {
    let block = rows.block()?;
    let sums = run(py, threads, None, |watch| deconv::gene_sums(&block, genes, watch))?;
    let (depth, genes) = (sums.depth.into_pyarray(py), sums.genes.into_pyarray(py));
    Ok((depth, genes, sums.entries, sums.fractions, sums.largest, sums.unusable))
}

type Profiles<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>);

/// Sums over the cells of each type: counts, shares of the cell, squares of those.
#[pyfunction]
fn deconv_profile_sums<'py>(
    py: Python<'py>,
    rows: Rows<'py>,
    kinds: Vector<'py, i64>,
    types: usize,
    genes: usize,
) -> PyResult<Profiles<'py>> {
    let (block, kinds) = (rows.block()?, kinds.as_slice()?);
    let sums = run(py, 1, None, |_| deconv::profile_sums(&block, kinds, types, genes))?;
    Ok((sums.counts.into_pyarray(py), sums.shares.into_pyarray(py), sums.squares.into_pyarray(py)))
}

/// Weighted profiles for the first fit.
#[pyclass(frozen, module = "cytoripple._core")]
struct FirstModel {
    inner: deconv::FirstModel,
}

#[pymethods]
impl FirstModel {
    #[new]
    fn new(profiles: Matrix<'_, f64>, weights: Vector<'_, f64>) -> PyResult<Self> {
        let inner = deconv::FirstModel::new(profiles.as_array(), weights.as_array()).map_err(to_py)?;
        Ok(Self { inner })
    }

    /// Shares of the rows of a block.
    fn fit<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let block = rows.block()?;
        Ok(run(py, threads, None, |watch| deconv::first_fit(&block, &self.inner, watch))?.into_pyarray(py))
    }
}

/// What the fit expects of every gene, for residuals and stability.
#[pyclass(frozen, module = "cytoripple._core")]
struct Expectation {
    rates: Rates,
    background: Vec<f64>,
    weights: Vec<f64>,
    marked: Vec<usize>,
}

type Misfits<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

#[pymethods]
impl Expectation {
    #[new]
    fn new(rates: Matrix<'_, f64>, background: Vec<f64>, weights: Vec<f64>, mut marked: Vec<usize>) -> Self {
        marked.sort_unstable();
        Self { rates: Rates::new(rates.as_array()), background, weights, marked }
    }

    /// Squared counts over their expectation by gene and by row, and the excess of the marked genes by row.
    fn misfit<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        shares: Matrix<'py, f32>,
        threads: usize,
    ) -> PyResult<Misfits<'py>> {
        let (block, shares) = (rows.block()?, shares.as_array());
        let (background, weights) = (self.background.as_slice().into(), self.weights.as_slice().into());
        let found = run(py, threads, None, |watch| {
            deconv::misfit(&block, shares, &self.rates, background, weights, &self.marked, watch)
        })?;
        Ok((found.genes.into_pyarray(py), found.spots.into_pyarray(py), found.excess.into_pyarray(py)))
    }

    /// Standard deviation of every share of the rows under new draws of their molecules.
    fn stability<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        shares: Matrix<'py, f32>,
        alpha: Matrix<'py, f64>,
        spread: Matrix<'py, f64>,
        kappa: f64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (block, shares, alpha) = (rows.block()?, shares.as_array(), alpha.as_array());
        let (background, weights) = (self.background.as_slice().into(), self.weights.as_slice().into());
        let model = Stability { rates: &self.rates, background, weights, spread: spread.as_array(), kappa };
        let found = run(py, threads, None, |watch| deconv::stability(&block, shares, alpha, &model, watch))?;
        Ok(found.into_pyarray(py))
    }
}

/// Weighted counts of a block by merged gene.
#[pyclass(frozen, module = "cytoripple._core")]
struct WeightedRows {
    inner: deconv::WeightedRows,
}

#[pymethods]
impl WeightedRows {
    /// Memory taken, in bytes.
    #[getter]
    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}

/// Shares of all spots while they are fitted.
#[pyclass(module = "cytoripple._core")]
struct SpotFit {
    inner: deconv::SpotFit,
}

#[pymethods]
impl SpotFit {
    #[new]
    #[pyo3(signature = (rates, background, merged, weights, start, section, counted, graph, kappa, steps, tolerance, colored))]
    fn new(
        rates: Matrix<'_, f64>,
        background: Vector<'_, f64>,
        merged: Vector<'_, i64>,
        weights: Vector<'_, f64>,
        start: Matrix<'_, f32>,
        section: Vector<'_, u32>,
        counted: Vector<'_, bool>,
        graph: Option<(Vector<'_, i64>, Vector<'_, i64>)>,
        kappa: f64,
        steps: usize,
        tolerance: f64,
        colored: bool,
    ) -> PyResult<Self> {
        let shapes =
            Shapes::new(rates.as_array(), background.as_array(), merged.as_array(), weights.as_array());
        let graph = graph.map(|(starts, others)| Graph::new(starts.as_array(), others.as_array()));
        let prior = Prior {
            counts: kappa,
            section: section.as_array().to_vec(),
            counted: counted.as_array().to_vec(),
            graph: graph.transpose().map_err(to_py)?,
            steps,
            tolerance,
            colored,
        };
        let start = start.as_array().to_owned();
        let inner = shapes.and_then(|shapes| deconv::SpotFit::new(shapes, prior, start)).map_err(to_py)?;
        Ok(Self { inner })
    }

    /// Counts of a block, weighted and added up by merged gene.
    fn weigh(&self, py: Python<'_>, rows: Rows<'_>, threads: usize) -> PyResult<WeightedRows> {
        let block = rows.block()?;
        let inner = run(py, threads, None, |watch| self.inner.shapes().weigh(&block, watch))?;
        Ok(WeightedRows { inner })
    }

    /// Visit the spots of a block once; the largest change of a share.
    fn sweep(
        &mut self,
        py: Python<'_>,
        rows: &WeightedRows,
        spots: Vector<'_, i64>,
        threads: usize,
    ) -> PyResult<f64> {
        let spots = spots.as_slice()?;
        let inner = &mut self.inner;
        run(py, threads, None, |watch| inner.sweep(&rows.inner, spots, watch))
    }

    /// Copy of the shares of the weighted counts, spots x types.
    fn shares<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f32>> {
        self.inner.shares().to_pyarray(py)
    }

    /// Prior counts of some spots.
    fn alphas<'py>(&self, py: Python<'py>, spots: Vector<'py, i64>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        Ok(self.inner.alphas(spots.as_slice()?).map_err(to_py)?.into_pyarray(py))
    }
}

type Links<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

/// Symmetric graph of the nearest neighbors inside sections, without the edges of removed spots.
#[pyfunction]
fn neighbor_graph<'py>(
    py: Python<'py>,
    points: Matrix<'py, f64>,
    section: Vector<'py, i64>,
    k: usize,
    removed: Vector<'py, bool>,
    threads: usize,
) -> PyResult<Links<'py>> {
    let (points, section) = (points.as_array(), section.as_array());
    let graph = run(py, threads, None, |watch| deconv::neighbor_graph(points, section, k, watch))?;
    let graph = graph.without(removed.as_array());
    let (starts, others) = graph.parts();
    let starts: Vec<i64> = starts.iter().map(|&start| start as i64).collect();
    let others: Vec<i64> = others.iter().map(|&other| i64::from(other)).collect();
    Ok((starts.into_pyarray(py), others.into_pyarray(py)))
}

/// Group of every gene by weighted k-means of the points.
#[pyfunction]
fn merge_genes<'py>(
    py: Python<'py>,
    points: Matrix<'py, f64>,
    weights: Vector<'py, f64>,
    groups: usize,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (points, weights) = (points.as_array(), weights.as_array());
    let found = run(py, threads, None, |watch| deconv::merge_genes(points, weights, groups, watch))?;
    Ok(found.into_pyarray(py))
}

/// Add the functions and classes of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<FirstModel>()?;
    module.add_class::<Expectation>()?;
    module.add_class::<WeightedRows>()?;
    module.add_class::<SpotFit>()?;
    module.add_function(wrap_pyfunction!(deconv_sums, module)?)?;
    module.add_function(wrap_pyfunction!(deconv_profile_sums, module)?)?;
    module.add_function(wrap_pyfunction!(neighbor_graph, module)?)?;
    module.add_function(wrap_pyfunction!(merge_genes, module)?)
}
