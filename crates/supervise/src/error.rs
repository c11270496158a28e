//! What can go wrong with a child.

use std::{io, path::PathBuf, time::Duration};

use crate::news::Exit;

/// A child that can't be started, doesn't get ready, or a file that is in the way.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// A file or folder of the supervisor.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program can't be started at all.
    #[error("{name} can't be started: {reason}\n  command: {command}")]
    NotStarted {
        /// The child.
        name: String,
        /// What the system says.
        reason: String,
        /// The command.
        command: String,
    },
    /// It ended before it was ready.
    #[error("{name} ended at its start ({exit}){}", tail(log_tail))]
    DiedAtStart {
        /// The child.
        name: String,
        /// How.
        exit: Exit,
        /// The last lines of its log.
        log_tail: String,
    },
    /// It runs and isn't ready in time.
    #[error("{name} isn't ready after {waited:?}: {last_answer}{}", tail(log_tail))]
    NotReady {
        /// The child.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// What it answered last.
        last_answer: String,
        /// The last lines of its log.
        log_tail: String,
    },
}

fn tail(log_tail: &str) -> String {
    if log_tail.is_empty() { String::new() } else { format!("; its log ends:\n{log_tail}") }
}
