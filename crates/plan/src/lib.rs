//! Files -> validated, ordered, seeded work: the catalogue of `stacks/`, the plans of `plans/`, the claims of
//! `hypotheses/`, the order of slices, and the traffic of a load. Reads files and nothing else; starts nothing.

mod catalogue;
mod claims;
mod error;
mod file;
mod interpreters;
mod order;
pub mod traffic;

pub use catalogue::{AppEntry, Catalogue, FrontEntry, Meeting, ResolvedStack, ServerEntry, WorkerEntry};
pub use claims::{ClaimError, ClaimFile, nearest, parse_claims, read_claims};
pub use error::PlanError;
pub use file::{PlanFile, PlanSummary, find_plan, list_plans, read_plan, timed};
pub use interpreters::read_interpreters;
pub use order::{SliceKind, SlicePlan, block_order, block_seed};
