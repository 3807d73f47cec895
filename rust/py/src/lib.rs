//! Python module `cytoripple._core`: registers the bindings, nothing else.

use pyo3::prelude::*;

mod convert;
mod deconv;
mod deconv_flash;
mod expression;
mod joint;
mod lasso;
mod ligand;
mod neighbors;
mod perturb;
mod ripple;
mod rowstore;
mod wilcoxon;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CoreError", module.py().get_type::<convert::CoreError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    deconv::register(module)?;
    deconv_flash::register(module)?;
    joint::register(module)?;
    lasso::register(module)?;
    ligand::register(module)?;
    neighbors::register(module)?;
    perturb::register(module)?;
    rowstore::register(module)?;
    ripple::register(module)?;
    wilcoxon::register(module)?;
    Ok(())
}
