//! Penalty of a batch of problems, in raw units or in units of the noise level.

use super::groups::{GroupReg, ScaleReg};
use crate::error::{Error, Result};

/// Penalty of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Regularization {
    /// Penalties on the coefficients of the columns as they are.
    Raw {
        /// Penalty on the group norms.
        group_reg: f64,
        /// Penalty on the absolute values.
        l1_reg: f64,
        /// Scaling of the group penalty.
        scale: ScaleReg,
    },
    /// Penalties on columns and target of unit variance in the cluster, in units of the noise level
    /// `sqrt(2 log(p) / n)`.
    Standardized {
        /// Multiplier of the noise level.
        kappa: f64,
        /// Share of the L1 penalty.
        l1_share: f64,
    },
}

impl Regularization {
    /// Check the ranges.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a negative or infinite penalty, or a share outside 0 to 1.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Raw { group_reg, l1_reg, .. } => {
                super::groups::not_negative("group_reg", group_reg)?;
                super::groups::not_negative("l1_reg", l1_reg)
            }
            Self::Standardized { kappa, l1_share } => {
                check_kappa(kappa)?;
                check_share("l1_share", l1_share)
            }
        }
    }

    /// Group and L1 penalty of a problem with `p` columns and `n` cells.
    pub(crate) fn penalties(&self, p: usize, n: usize) -> (GroupReg, f64) {
        match *self {
            Self::Raw { group_reg, l1_reg, scale } => (GroupReg::Scaled(group_reg, scale), l1_reg),
            Self::Standardized { kappa, l1_share } => {
                let noise = (2.0 * (p.max(2) as f64).ln() / n as f64).sqrt();
                let group = GroupReg::Scaled((1.0 - l1_share) * kappa * noise, ScaleReg::GroupSize);
                (group, l1_share * kappa * noise)
            }
        }
    }

    pub(crate) fn standardizes(&self) -> bool {
        matches!(self, Self::Standardized { .. })
    }
}

/// A multiplier must be positive.
///
/// # Errors
/// [`Error::Parameter`] otherwise.
pub(crate) fn check_kappa(kappa: f64) -> Result<()> {
    if kappa.is_finite() && kappa > 0.0 {
        return Ok(());
    }
    Err(Error::Parameter { name: "kappa", value: kappa.to_string(), expected: "give a positive number" })
}

/// A share lies between 0 and 1.
///
/// # Errors
/// [`Error::Parameter`] otherwise.
pub(crate) fn check_share(name: &'static str, share: f64) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::Parameter { name, value: share.to_string(), expected: "give a number from 0 to 1" })
}
