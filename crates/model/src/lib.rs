//! The words of dyno as plain data, shared by every room. No clock, no input or output, no async.
//!
//! Each module is one noun of `GLOSSARY.md`. Types that are stored or printed carry their unit in the
//! field's name (`_ns`, `_bytes`, `_per_s`).

pub mod calibration;
pub mod capacity;
pub mod catalogue;
pub mod check;
pub mod child;
pub mod claim;
pub mod event;
pub mod fingerprint;
pub mod gate;
pub mod histogram;
pub mod history;
pub mod interpreter;
pub mod load;
pub mod operation;
pub mod output;
pub mod plan;
pub mod record;
pub mod rehearsal;
pub mod scaling;
pub mod self_check;
pub mod shift;
pub mod slo;
pub mod stack;
pub mod stages;
pub mod traffic;
pub mod units;
pub mod up;
pub mod warning;

pub use operation::Operation;
pub use slo::{Slo, Slos};
pub use stack::{MOST_LOOPS, StackName, StackNameError, StackPattern, Variant};
pub use stages::{StageSpec, Stages};
pub use units::{Rate, Span, UnitError};
