//! `hypotheses/*.claims` -> checked claims (METHOD, section 7; the page for people is `docs/claims.md`).
//!
//! The parser is written by hand. The grammar has a dozen rules and no precedence, and what people need is what no parsing
//! library knows: the nearest stack, what a metric needs, an example of the rule at hand. The libraries looked at (winnow,
//! chumsky) would have had each of their errors replaced by one of ours.
//!
//! | file | holds |
//! |---|---|
//! | `text.rs` | where in the text one is, and errors with a caret |
//! | `grammar.rs` | the rules |
//! | `quantity.rs` | `metric(stack, key=value)` against the catalogue |
//! | `regions.rs` | regions against what they are about |
//! | `cycles.rs` | orderings that contradict each other |

mod cycles;
mod grammar;
mod quantity;
mod regions;
#[cfg(test)]
mod tests;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use dyno_model::claim::Claim;

use crate::{Catalogue, PlanError};

pub use quantity::nearest;
pub use text::ClaimError;

/// A file of claims.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its claims, in order; at least one.
    pub claims: Vec<Claim>,
}

/// Reads and checks a file of claims.
///
/// # Errors
/// The file can't be read, or says something that isn't understood or allowed.
pub fn read_claims(path: &Path, catalogue: &Catalogue) -> Result<ClaimFile, PlanError> {
    let text =
        fs::read_to_string(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let claims = parse_claims(path, &text, catalogue)?;
    Ok(ClaimFile { path: path.to_owned(), claims })
}

/// Checks the text of a file of claims; `path` is for errors.
///
/// # Errors
/// The first thing in it that isn't understood or allowed.
pub fn parse_claims(path: &Path, text: &str, catalogue: &Catalogue) -> Result<Vec<Claim>, PlanError> {
    let fail = |fail: text::Fail| PlanError::from(Box::new(fail.at(path, text)));
    let catalogue = quantity::Known::new(catalogue)?;
    grammar::Parser::new(text, &catalogue).file().map_err(fail)
}
