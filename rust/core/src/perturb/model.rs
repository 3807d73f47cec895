//! Fitted models of all targets, with every index checked once.

use super::contract::{self, Panel};
use super::layout::Layout;
use super::rows::RowMaps;
use crate::check;
use crate::error::{Error, Result};
use crate::splash::Derivatives;
use ndarray::{Array2, ArrayView2, s};
use std::collections::BTreeSet;

/// What a coefficient multiplies. Genes and ligands are positions on their axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term {
    /// Expression of a gene.
    Gene(u32),
    /// Received ligand times expression of its receptor.
    LigandReceptor {
        /// Position on the ligand axis.
        ligand: u32,
        /// Gene of the receptor.
        receptor: u32,
    },
    /// Received ligand times expression of a regulator.
    TfLigand {
        /// Position on the ligand axis.
        ligand: u32,
        /// Gene of the regulator.
        regulator: u32,
    },
}

/// Model of one target as the caller describes it.
#[derive(Debug, Clone, Copy)]
pub struct TargetInput<'a> {
    /// Gene predicted by the model.
    pub gene: i64,
    /// Rows x (1 + columns): intercept first.
    pub betas: ArrayView2<'a, f64>,
    /// Columns x 3: (0 or 3, gene, -1), (1, ligand, receptor) or (2, ligand, regulator); -1 = missing.
    pub columns: ArrayView2<'a, i64>,
    /// Which map gives the row of `betas` that a cell uses.
    pub map: usize,
}

/// Model of one target, checked.
#[derive(Debug, Clone)]
pub struct Target {
    /// Gene predicted by the model.
    pub gene: usize,
    /// Rows x columns, without the intercept, which no derivative needs.
    pub betas: Array2<f64>,
    /// Term of each column; `None` when a member is missing, so that the column acts on nothing.
    pub terms: Vec<Option<Term>>,
    /// Row map of the target.
    pub map: usize,
    is_tf: Vec<bool>,
    pub(crate) derivatives: Derivatives,
}

/// Fitted models of all targets on one set of cells, ready for any number of perturbations.
#[derive(Debug, Clone)]
pub struct RegulatoryModel {
    pub(crate) n_cells: usize,
    pub(crate) n_genes: usize,
    pub(crate) ligand_genes: Vec<usize>,
    pub(crate) targets: Vec<Target>,
    pub(crate) maps: Vec<Vec<i32>>,
    /// Union of the terms of all targets, ascending.
    pub(crate) features: Vec<Term>,
    pub(crate) layout: Layout,
    /// Targets whose betas are shared by the cells of a group, in the order of the panels' columns.
    pub(crate) shared: Vec<usize>,
    /// Betas of the shared targets: group by group, [`crate::gemm::ROWS`] targets per panel.
    pub(crate) panels: Vec<Vec<Panel>>,
    /// Targets whose betas differ within a group.
    pub(crate) own: Vec<usize>,
    /// Their columns with the features they multiply.
    pub(crate) own_columns: Vec<Vec<(u32, u32)>>,
}

impl RegulatoryModel {
    /// Check the models and pack their betas.
    ///
    /// * `ligand_genes`: gene of each ligand of the ligand axis, all different.
    /// * `maps`: row of the betas for every cell, -1 where all betas are zero; one map may serve many targets.
    ///
    /// # Errors
    /// When an index points outside its axis, a beta is not finite, or a gene is modeled twice.
    pub fn new(
        n_genes: usize,
        ligand_genes: &[i64],
        maps: Vec<Vec<i64>>,
        targets: &[TargetInput<'_>],
    ) -> Result<Self> {
        let ligand_genes = distinct("ligand_genes", ligand_genes.iter().copied(), n_genes)?;
        distinct("genes of the targets", targets.iter().map(|t| t.gene), n_genes)?;
        let n_cells = maps.first().map_or(0, Vec::len);
        for map in &maps {
            check::same_rows("rows of the first target", n_cells, "rows of another target", map.len())?;
        }
        let mut rows = RowMaps::new(&maps);
        let targets = targets
            .iter()
            .map(|input| check_target(input, n_genes, &ligand_genes, &mut rows))
            .collect::<Result<Vec<_>>>()?;
        let maps = rows.finish();
        Ok(Self::pack(n_cells, n_genes, ligand_genes, maps, targets))
    }

    fn pack(
        n_cells: usize,
        n_genes: usize,
        ligand_genes: Vec<usize>,
        maps: Vec<Vec<i32>>,
        targets: Vec<Target>,
    ) -> Self {
        let (layout, grouped) = Layout::new(n_cells, &maps);
        let terms: BTreeSet<Term> = targets.iter().flat_map(|t| t.terms.iter().flatten().copied()).collect();
        let features: Vec<Term> = terms.into_iter().collect();
        let (shared, own): (Vec<usize>, Vec<usize>) =
            (0..targets.len()).partition(|&t| grouped[targets[t].map]);
        let panels = contract::pack(&targets, &shared, &features, &layout, &maps);
        let own_columns = contract::columns(&targets, &own, &features);
        Self {
            n_cells,
            n_genes,
            ligand_genes,
            targets,
            maps,
            features,
            layout,
            shared,
            panels,
            own,
            own_columns,
        }
    }

    /// The same models with the coefficient of every TF outside the list of its target set to zero.
    ///
    /// `allowed` has one entry per target; `None` leaves the target as it is.
    ///
    /// # Errors
    /// When the number of lists is not the number of targets, or a gene is outside the gene axis.
    pub fn restricted(&self, allowed: &[Option<Vec<i64>>]) -> Result<Self> {
        if allowed.len() != self.targets.len() {
            return Err(Error::Shape {
                name: "allowed_tfs",
                found: format!("{} lists", allowed.len()),
                expected: format!("{}, one per target", self.targets.len()),
            });
        }
        let mut targets = self.targets.clone();
        for (target, list) in targets.iter_mut().zip(allowed) {
            let Some(list) = list else { continue };
            check::indices("allowed_tfs", list.iter().copied(), self.n_genes)?;
            for (column, term) in target.terms.iter().enumerate() {
                if let (true, Some(Term::Gene(gene))) = (target.is_tf[column], term)
                    && !list.contains(&i64::from(*gene))
                {
                    target.betas.column_mut(column).fill(0.0);
                }
            }
        }
        let (ligand_genes, maps) = (self.ligand_genes.clone(), self.maps.clone());
        Ok(Self::pack(self.n_cells, self.n_genes, ligand_genes, maps, targets))
    }

    /// Number of cells that the row maps cover.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of genes of the gene axis.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Number of ligands of the ligand axis.
    #[must_use]
    pub fn n_ligands(&self) -> usize {
        self.ligand_genes.len()
    }

    /// Models of the targets.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Betas of target `t` at a cell, empty when they are all zero.
    pub(crate) fn betas_at(&self, t: usize, cell: usize) -> &[f64] {
        let target = &self.targets[t];
        let Ok(row) = usize::try_from(self.maps[target.map][cell]) else { return &[] };
        let width = target.terms.len();
        target.betas.as_slice().map_or(&[], |all| &all[row * width..(row + 1) * width])
    }
}

/// Positions that must be inside an axis and differ from each other.
pub(crate) fn distinct(
    name: &'static str,
    values: impl Iterator<Item = i64> + Clone,
    len: usize,
) -> Result<Vec<usize>> {
    check::indices(name, values.clone(), len)?;
    let positions: Vec<usize> = values.map(|v| v as usize).collect();
    let mut seen = vec![false; len];
    for &position in &positions {
        if std::mem::replace(&mut seen[position], true) {
            return Err(Error::Shape {
                name,
                found: format!("{position} twice"),
                expected: "each gene once".into(),
            });
        }
    }
    Ok(positions)
}

fn check_target(
    input: &TargetInput<'_>,
    n_genes: usize,
    ligand_genes: &[usize],
    maps: &mut RowMaps<'_>,
) -> Result<Target> {
    let n_columns = input.columns.nrows();
    if input.columns.ncols() != 3 || input.betas.ncols() != 1 + n_columns {
        return Err(Error::Shape {
            name: "betas and columns of a target",
            found: format!("{:?} and {:?}", input.betas.dim(), input.columns.dim()),
            expected: "(rows, 1 + p) and (p, 3)".into(),
        });
    }
    check::finite("betas", input.betas)?;
    let terms = input
        .columns
        .outer_iter()
        .map(|c| term(c[0], c[1], c[2], n_genes, ligand_genes.len()))
        .collect::<Result<Vec<_>>>()?;
    let (betas, map) = maps.number(input.betas.slice(s![.., 1..]), input.map)?;
    Ok(Target {
        gene: input.gene as usize,
        betas,
        derivatives: Derivatives::new(&terms, ligand_genes),
        is_tf: input.columns.column(0).iter().map(|&kind| kind == 0).collect(),
        terms,
        map,
    })
}

fn term(kind: i64, first: i64, second: i64, n_genes: usize, n_ligands: usize) -> Result<Option<Term>> {
    let present = |name, index: i64, len| match index {
        -1 => Ok(None),
        _ => check::indices(name, [index], len).map(|()| Some(index as u32)),
    };
    match kind {
        0 | 3 => Ok(present("gene of a column", first, n_genes)?.map(Term::Gene)),
        1 | 2 => {
            let ligand = present("ligand of a column", first, n_ligands)?;
            let partner = present("receptor or regulator of a column", second, n_genes)?;
            Ok(ligand.zip(partner).map(|(ligand, partner)| match kind {
                1 => Term::LigandReceptor { ligand, receptor: partner },
                _ => Term::TfLigand { ligand, regulator: partner },
            }))
        }
        _ => Err(Error::Parameter {
            name: "kind of a column",
            value: kind.to_string(),
            expected: "use 0 (TF), 1 (ligand-receptor), 2 (TF-ligand) or 3 (extra gene)",
        }),
    }
}
