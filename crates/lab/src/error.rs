//! What ends a run. What happens to single stacks is recorded, and the rest goes on.

use dyno_contract::ContractError;
use dyno_plan::PlanError;
use dyno_provision::ProvisionError;
use dyno_record::RecordError;
use dyno_supervise::SuperviseError;

/// Why the laboratory can't go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A plan or the catalogue.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A part that is missing or refuses.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The database or another shared child.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// The contract can't be tried.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The run folder can't be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A stack runs, but not as its name says, for a known reason.
    #[error("{0}")]
    CannotRun(String),
    /// The first Ctrl-C.
    #[error("stopped; what was measured is kept")]
    Stopped,
    /// No stack is left to measure.
    #[error("no stack can be measured:\n{0}")]
    NothingToMeasure(String),
    /// The system refuses something small.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
}
