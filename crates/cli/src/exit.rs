//! Errors of the whole program and their exit codes, as `dyno --help` documents them.

use dyno_lab::LabError;
use dyno_live::{ServeError, client::ClientError};
use dyno_load::LoadError;
use dyno_plan::PlanError;
use dyno_provision::ProvisionError;
use dyno_record::RecordError;

use crate::commands::{GateError, HistoryError, load::LoadCommandError};

/// What ended the program.
pub type Error = Box<dyn std::error::Error>;

/// A stack fails the contract, a trial failed, or a goal was missed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
const MISSING: u8 = 3;
/// Nothing could be measured.
pub const NOTHING_MEASURED: u8 = 4;
const LOCKED: u8 = 5;
/// A file can't be written or read.
pub const FILES: u8 = 6;
/// Ctrl-C, as shells have it: 128 + SIGINT.
pub const STOPPED: u8 = 130;

/// The exit code of an error.
pub fn code(error: &Error) -> u8 {
    if let Some(error) = error.downcast_ref::<LabError>() {
        return match error {
            LabError::Plan(_) => USAGE,
            LabError::Provision(error) => provision(error),
            LabError::Record(_) => FILES,
            LabError::Stopped => STOPPED,
            LabError::System { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => FILES,
            LabError::Contract(_)
            | LabError::Supervise(_)
            | LabError::NothingToMeasure(_)
            | LabError::CannotRun(_)
            | LabError::System { .. } => NOTHING_MEASURED,
        };
    }
    if let Some(error) = error.downcast_ref::<ProvisionError>() {
        return provision(error);
    }
    if let Some(error) = error.downcast_ref::<LoadCommandError>() {
        return error.code();
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return match error {
            ClientError::NotUp { .. } => NOTHING_MEASURED,
            ClientError::Refused { status: 404, .. } => USAGE,
            ClientError::Refused { .. } | ClientError::Broken(_) => FAILED,
        };
    }
    if error.is::<LoadError>() || error.is::<ServeError>() {
        return NOTHING_MEASURED;
    }
    if error.is::<RecordError>() || error.is::<std::io::Error>() {
        return FILES;
    }
    if error.is::<PlanError>() || error.is::<GateError>() || error.is::<HistoryError>() {
        return USAGE;
    }
    FAILED
}

fn provision(error: &ProvisionError) -> u8 {
    match error {
        ProvisionError::Missing { .. } | ProvisionError::Command { .. } | ProvisionError::CannotRun(_) => {
            MISSING
        }
        ProvisionError::Settings { .. } => USAGE,
        ProvisionError::Io { .. } => FILES,
        ProvisionError::Locked { .. } => LOCKED,
        ProvisionError::Database { .. } | ProvisionError::Broker { .. } => NOTHING_MEASURED,
    }
}
