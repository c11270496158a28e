//! Proves that a stack answers the contract: the cases of `contract/cases.toml`, statements counted, answers compared
//! with the database and across stacks. Also says what traffic is timed. Starts nothing, times nothing.

mod cases;
mod difference;
mod http;
mod interpreter;
mod outage;
mod prove;
mod schema;
mod statements;
mod tasks;
mod traffic;
mod truth;

pub use cases::Cases;
pub use interpreter::{Mismatch, module_with_gil, runs_on};
pub use outage::{Seen, Watch};
pub use prove::{Proof, Subject, compare_answers, prove};
pub use tasks::FirstTask;
pub use traffic::{Expected, Traffic, traffic};
pub use truth::Truth;

/// Why the contract can't be tried at all. What a stack answers wrongly is a row, not an error.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The database refuses.
    #[error("the contract's database: {0}")]
    Database(#[from] postgres::Error),
    /// A file of the contract isn't understood.
    #[error("{path}: {reason}")]
    Cases {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}
