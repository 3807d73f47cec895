//! Which cells go to the mesh and which are summed directly, so that no outlier makes a grid explode.

use super::buckets::Buckets;
use super::direct::Direct;
use super::kernel::{Coordinates, Shape};
use super::lattice::{Axis, axes};
use super::mesh::Mesh;
use super::plan::{Engine, Method, Settings};
use super::window::{Row, TABLE, Window};
use std::f64::consts::PI;

/// Share of the tolerance spent on pairs that are too far apart to matter.
const DROP: f64 = 0.1;
/// A grid with more nodes per cell than this is looked at piece by piece.
const SPARSE: usize = 8;
/// Nodes per cell beyond which a grid is refused even when asked for, unless it is small.
const MOST: usize = 64;
/// A grid of this many nodes is small.
const SMALL: usize = 1 << 16;
/// Cost of one weight of the direct sum in units of a multiply-add.
const EXPONENTIAL: f64 = 15.0;

/// Methods for all cells of one sample.
pub(super) struct Split {
    pub(super) engines: Vec<Engine>,
    pub(super) error_bound: f64,
}

/// Cells of one sample or a separate piece of it.
struct Piece<'a> {
    points: Coordinates,
    rows: Vec<usize>,
    dimensions: usize,
    sections: Vec<f64>,
    settings: &'a Settings,
    shape: Shape,
}

/// A mesh that could be made.
struct Candidate {
    row: Row,
    axes: [Axis; 3],
    nodes: f64,
    cost: f64,
    /// Nodes moved between memory and registers: a stencil per occupied bin, twice. Settles the choice
    /// between windows; few cells per bin make a finer lattice slower than its operations say.
    moves: f64,
}

/// Choose the methods for a Gaussian without edge.
pub(super) fn split(
    points: &Coordinates,
    rows: &[usize],
    dimensions: usize,
    shape: Shape,
    settings: &Settings,
) -> Split {
    let cells = rows.len();
    let dropping = shape.dropping(DROP * settings.rtol);
    let piece = |members: Option<&[usize]>| Piece::new(points, rows, members, dimensions, shape, settings);
    let whole = piece(None);
    let sparse = whole.smallest_grid() > (SPARSE * cells) as f64;
    let components = if sparse { components(points, dropping.reach) } else { Vec::new() };
    let small = SMALL / components.len().max(1);
    let pieces: Vec<Piece> = match components.len() {
        0 | 1 => vec![whole],
        _ => components.iter().map(|members| piece(Some(members))).collect(),
    };
    let separated = if pieces.len() > 1 { DROP * settings.rtol } else { 0.0 };
    let mut split = Split { engines: Vec::new(), error_bound: 0.0 };
    let (mut rest, mut rest_rows) = (Coordinates::default(), Vec::new());
    for piece in &pieces {
        if let Some(mesh) = piece.mesh(dropping, small, cells) {
            split.error_bound = split.error_bound.max(mesh.error_bound() + separated);
            split.engines.push(Engine::Mesh(mesh));
        } else {
            (0..piece.rows.len()).for_each(|i| rest.push(piece.points.at(i)));
            rest_rows.extend_from_slice(&piece.rows);
        }
    }
    if !rest_rows.is_empty() {
        split.error_bound = split.error_bound.max(DROP * settings.rtol);
        split.engines.push(Engine::Direct(Direct::new(&rest, &rest_rows, cells, dropping)));
    }
    split
}

impl<'a> Piece<'a> {
    fn new(
        points: &Coordinates,
        rows: &[usize],
        members: Option<&[usize]>,
        dimensions: usize,
        shape: Shape,
        settings: &'a Settings,
    ) -> Self {
        let (points, rows) = match members {
            None => (points.clone(), rows.to_vec()),
            Some(members) => {
                let mut some = Coordinates::default();
                members.iter().for_each(|&i| some.push(points.at(i)));
                (some, members.iter().map(|&i| rows[i]).collect())
            }
        };
        let most = TABLE.iter().map(|row| 2 * row.width).max().unwrap_or(0);
        let sections = if dimensions == 3 { distinct(&points.0[2], most) } else { Vec::new() };
        Self { points, rows, dimensions, sections, settings, shape }
    }

    /// All meshes that keep the tolerance, cheapest first.
    fn candidates(&self) -> Vec<Candidate> {
        let tolerance = self.settings.rtol / self.dimensions as f64;
        let mut all: Vec<Candidate> =
            TABLE.iter().filter(|row| row.error <= tolerance).map(|row| self.candidate(*row)).collect();
        all.sort_by(|a, b| (a.cost + a.moves).total_cmp(&(b.cost + b.moves)));
        all
    }

    /// Operations per ligand: spreading and interpolation, then the band of the operator on every axis.
    fn candidate(&self, row: Row) -> Candidate {
        let sigma = self.shape.sigma;
        let axes = axes(&self.points, self.dimensions, &self.sections, row, sigma);
        let reach = (-2.0 * (0.01 * self.settings.rtol).ln()).sqrt();
        let band = 2.0 * (reach / row.spacing).ceil() + 1.0;
        let nodes: f64 = axes.iter().map(|axis| axis.nodes(row.width) as f64).product();
        let bands: f64 = axes
            .iter()
            .filter(|axis| **axis != Axis::Single)
            .map(|axis| (axis.nodes(row.width) as f64).min(band))
            .sum();
        let stencil: f64 = axes.iter().map(|axis| axis.width(row.width) as f64).product();
        let cost = 4.0 * self.rows.len() as f64 * stencil + 2.0 * nodes * bands;
        let moves = 4.0 * stencil * nodes.min(self.rows.len() as f64);
        Candidate { row, axes, nodes, cost, moves }
    }

    fn smallest_grid(&self) -> f64 {
        self.candidates().iter().map(|candidate| candidate.nodes).fold(f64::INFINITY, f64::min)
    }

    /// The mesh for this piece, or nothing when the direct sum is the better or the only way.
    fn mesh(&self, dropping: Shape, small: usize, cells_in_sample: usize) -> Option<Mesh> {
        let direct = match self.settings.method {
            Method::Mesh => f64::INFINITY,
            _ => self.direct_cost(dropping.reach),
        };
        let limit = small.max(MOST * self.rows.len()) as f64;
        for candidate in self.candidates() {
            if candidate.cost >= direct || candidate.nodes > limit {
                continue;
            }
            let window = Window::new(candidate.row, self.settings.rtol);
            if window.error * self.dimensions as f64 <= self.settings.rtol {
                let sigma = self.shape.sigma;
                return Some(Mesh::new(
                    &self.points,
                    &self.rows,
                    cells_in_sample,
                    &candidate.axes,
                    window,
                    sigma,
                ));
            }
        }
        None
    }

    /// Operations per ligand of the direct sum within `reach`.
    fn direct_cost(&self, reach: f64) -> f64 {
        let cells = self.rows.len() as f64;
        let neighbors = self.mean_neighbors(reach).min(cells);
        cells * neighbors * (2.0 + EXPONENTIAL / self.settings.n_ligands.max(1) as f64)
    }

    /// Mean number of cells within `reach`, from the counts in boxes of that side.
    fn mean_neighbors(&self, reach: f64) -> f64 {
        let extents = [0, 1, 2].map(|axis| self.points.extent(axis));
        let boxes = extents.map(|(low, high)| ((high - low) / reach).floor() + 1.0);
        let cells = self.rows.len();
        let ball = if self.dimensions == 2 { PI } else { 4.0 / 3.0 * PI };
        if boxes.iter().product::<f64>() > (4 * cells + 4096) as f64 {
            // Buckets have half the side, hence 2^d times more of them in a ball.
            let square: f64 = Buckets::new(&self.points, reach)
                .members
                .iter()
                .map(|members| (members.len() * members.len()) as f64)
                .sum();
            return square / cells as f64 * ball * 2.0_f64.powi(self.dimensions as i32);
        }
        let count = boxes.map(|b| b as usize);
        let mut counts = vec![0_u32; count.iter().product()];
        for i in 0..cells {
            let point = self.points.at(i);
            let at = [0, 1, 2].map(|a| (((point[a] - extents[a].0) / reach) as usize).min(count[a] - 1));
            counts[(at[0] * count[1] + at[1]) * count[2] + at[2]] += 1;
        }
        let square: f64 = counts.iter().map(|n| f64::from(*n) * f64::from(*n)).sum();
        square / cells as f64 * ball
    }
}

/// Groups of cells with no pair within `reach` of each other, each in input order.
fn components(points: &Coordinates, reach: f64) -> Vec<Vec<usize>> {
    let buckets = Buckets::new(points, reach);
    let mut bucket_of = vec![0; points.len()];
    for (bucket, members) in buckets.members.iter().enumerate() {
        bucket_of[members.clone()].fill(bucket);
    }
    let mut parent: Vec<usize> = (0..buckets.members.len()).collect();
    for (bucket, runs) in buckets.neighbors.iter().enumerate() {
        for run in runs {
            for other in bucket_of[run.start]..=bucket_of[run.end - 1] {
                let (a, b) = (root(&mut parent, bucket), root(&mut parent, other));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut groups = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for (position, &bucket) in bucket_of.iter().enumerate() {
        groups.entry(root(&mut parent, bucket)).or_default().push(buckets.order[position]);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

/// Sorted distinct values, or nothing when there are more than `most`.
fn distinct(values: &[f64], most: usize) -> Vec<f64> {
    let mut found: Vec<f64> = Vec::new();
    for value in values {
        let at = found.partition_point(|v| v < value);
        if found.get(at) != Some(value) {
            found.insert(at, *value);
            if found.len() > most {
                return Vec::new();
            }
        }
    }
    found
}
