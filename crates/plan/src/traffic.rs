//! What `dyno load` is asked to send: a URL with its options, a mix (TOML), a recording (HAR), a replay (CSV or plain
//! times) -> validated [`Traffic`]. Reads files; opens no connection and looks up no name.
//!
//! Values of data rows come from anywhere, so each is encoded for the place that it goes to: it may change a request's
//! content and never its form.

mod address;
mod data;
mod draft;
mod har;
mod header;
mod mix;
mod replay;
mod single;
mod template;

use std::{collections::HashMap, path::Path, time::Duration};

use dyno_model::traffic::Traffic;

pub use address::{Address, AddressError};
pub use har::{Left, LeftOut, read_har};
pub use header::{HeaderError, parse_header};
pub use mix::{ExpectFile, Pairs, RequestFile, TrafficFile, read_mix};
pub use replay::read_replay;
pub use single::{SingleRequest, single};

use crate::error::PlanError;

/// When each request is due, from the begin of the load, in order; requests are indices into the flattened list
/// ([`Traffic::flatten`]).
pub type Replay = Vec<(Duration, usize)>;

/// What a file of requests holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Requests {
    /// The requests.
    pub traffic: Traffic,
    /// When they were sent while they were recorded; `None` for a mix, which has no times.
    pub recorded: Option<Replay>,
    /// Entries of a recording that aren't sent, by reason; empty for a mix.
    pub left_out: Vec<LeftOut>,
}

/// Reads a recording (`.har`) or a mix (any other file). `url` is where the requests go instead of where the file says,
/// with a path that goes before theirs.
///
/// # Errors
/// A file that can't be read or says something that isn't understood, with its line and an example.
pub fn read_requests(path: &Path, url: Option<&str>) -> Result<Requests, PlanError> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("har")) {
        return read_har(path, url);
    }
    Ok(Requests { traffic: read_mix(path, url)?, recorded: None, left_out: Vec::new() })
}

/// Names that kinds have already: a report and a replay tell kinds apart by them.
#[derive(Debug, Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The name, with a number when there is one like it.
    fn take(&mut self, name: String) -> String {
        let mut number = self.0.get(&name).copied().unwrap_or(0);
        let mut free = name.clone();
        while self.has(&free) {
            number += 1;
            free = format!("{name} #{number}");
        }
        self.0.insert(free.clone(), 1);
        self.0.insert(name, number.max(1));
        free
    }
}

#[cfg(test)]
mod tests;
