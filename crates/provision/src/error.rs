//! What can keep a part from being there, with what to do about it.

use std::{io, path::PathBuf};

/// A part that isn't there, can't be made, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Something that this machine lacks.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A choice that can't work, and never will until one of its parts changes.
    #[error("{0}")]
    CannotRun(String),
    /// An outside command failed.
    #[error("this command failed ({status}):\n  {command}\n{tail}")]
    Command {
        /// The command, as a person would type it.
        command: String,
        /// How it ended.
        status: String,
        /// The first and last lines that it wrote.
        tail: String,
    },
    /// A file or folder.
    #[error("{path}: {source}{}", full_disk(source))]
    Io {
        /// Which.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The user's settings say something that can't be.
    #[error("{path}:{line}: {message}\n  example: {example}")]
    Settings {
        /// Which file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong, with the value.
        message: String,
        /// Lines that would be right.
        example: &'static str,
    },
    /// Another dyno works with the same cache.
    #[error(
        "another dyno (pid {pid}) is at work with {path}: wait for it, or give this one a cache of its own with DYNO_HOME"
    )]
    Locked {
        /// The other's pid.
        pid: String,
        /// The cache.
        path: String,
    },
    /// The database refuses.
    #[error("the database {url}: {reason}")]
    Database {
        /// Its address, without the password.
        url: String,
        /// What it says.
        reason: String,
    },
    /// The broker of the user's own refuses.
    #[error("the broker {url}: {reason}")]
    Broker {
        /// Its address, without the password.
        url: String,
        /// What it says.
        reason: String,
    },
}

fn full_disk(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::StorageFull {
        " (dyno's cache needs about 2 GiB; DYNO_HOME may name another disk)"
    } else {
        ""
    }
}

impl ProvisionError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path: path.display().to_string(), source }
    }

    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }
}
