//! What can be wrong with a plan or the catalogue, said with file, line, value and an example.

use std::path::{Path, PathBuf};

/// A file that can't be used as written.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file says something that isn't understood or allowed.
    #[error("{path}:{line}: {message}\n  example: {example}", path = path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, with the value.
        message: String,
        /// A line that would be right.
        example: String,
    },
    /// An argument of a command that can't be used as written.
    #[error("{argument}: {message}\n  example: {example}")]
    Argument {
        /// Which argument, as it is typed.
        argument: String,
        /// What is wrong, with the value.
        message: String,
        /// One that would be right.
        example: String,
    },
    /// No plan of this name.
    #[error(
        "no plan is called `{name}`: the plans are {known}; or give a path, for instance `plans/smoke.toml`"
    )]
    UnknownPlan {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file of claims that can't be used as written.
    #[error(transparent)]
    Claims(#[from] Box<crate::claims::ClaimError>),
    /// A stack that the catalogue doesn't have.
    #[error("no stack is called `{name}`: {message}")]
    UnknownStack {
        /// What was asked for.
        name: String,
        /// What there is.
        message: String,
    },
}

impl PlanError {
    /// An error at the line where `needle` first stands in `text` (line 1 when it doesn't).
    pub(crate) fn at(path: &Path, text: &str, needle: &str, message: String, example: &str) -> Self {
        let line = text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1);
        Self::Invalid { path: path.to_owned(), line, message, example: example.to_owned() }
    }

    /// An error of the TOML reader, with the example that belongs to the key it stumbled over.
    pub(crate) fn toml(
        path: &Path,
        text: &str,
        error: &toml::de::Error,
        example_of: fn(&str) -> &str,
    ) -> Self {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..offset].matches('\n').count() + 1;
        let written = text.lines().nth(line - 1).unwrap_or("");
        let key = written.split('=').next().unwrap_or("").trim();
        Self::Invalid {
            path: path.to_owned(),
            line,
            message: error.message().to_owned(),
            example: example_of(key).to_owned(),
        }
    }
}
