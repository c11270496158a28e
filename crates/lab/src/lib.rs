//! The laboratory: the one place where the rooms meet. Prepares stacks, proves them, loads them in blocks, and
//! records. Decides nothing about numbers and shows nothing.

mod bench;
mod block;
mod broker;
mod commands;
mod database;
mod desk;
mod error;
mod field;
mod groups;
mod outage;
mod pool;
mod prepare;
mod preparing;
mod proof;
mod rehearsal;
mod run;
mod server_stats;
mod slices;
mod stand;
mod stub_status;
mod up;
mod upkeep;

pub use bench::{Bench, Order, own_folder};
pub use block::Settle;
pub use desk::{Desk, OrderError};
pub use error::LabError;
pub use field::{Installed, field, packages};
pub use prepare::{Prepared, can_run};
pub use proof::{CheckReport, check};
pub use rehearsal::{TraceOrder, rehearse};
pub use run::{Finished, Next, Pace, resume, run, trials};
pub use stand::{Probe, Stand};
pub use upkeep::up;
