//! The requests that are timed, with the answers that are right. Reading operations only: all stacks share
//! one database, whose rows must stay alike.

use dyno_model::Operation;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{
    Truth,
    cases::Page,
    difference::{difference, shorten},
};

/// Different requests of an operation that has parameters.
const VARIETY: usize = 32;
/// Contacts of a timed page: what an API's page commonly holds.
const PAGE: usize = 20;
/// Timed pages are among the first so many: far pages make the database walk over all rows before them, and the
/// table would then compare its CPU, not the stacks'.
const PAGES: usize = 20;

/// What must come back.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A JSON value.
    Json(Value),
    /// A text.
    Text(String),
}

/// One request to time; all are `GET` and answered with 200.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Path and query.
    pub target: String,
    /// What must come back.
    pub expected: Expected,
}

impl Traffic {
    /// Whether an answer is right in value, whatever its bytes; else what is wrong.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn judge(&self, status: u16, body: &[u8]) -> Result<(), String> {
        let wrong = |what: String| Err(format!("GET {}: {what}", self.target));
        let text = String::from_utf8_lossy(body);
        if status != 200 {
            return wrong(format!("status {status} instead of 200: {}", shorten(&text)));
        }
        match &self.expected {
            Expected::Text(expected) if *expected == text => Ok(()),
            Expected::Text(expected) => wrong(format!("{} instead of {}", shorten(&text), shorten(expected))),
            Expected::Json(expected) => match serde_json::from_slice::<Value>(body) {
                Err(error) => wrong(format!("not JSON ({error}): {}", shorten(&text))),
                Ok(got) => difference(expected, &got).map_or(Ok(()), wrong),
            },
        }
    }
}

/// The requests of an operation for an app; the same seed gives the same to every stack. Empty for
/// operations that aren't timed.
pub fn traffic(operation: Operation, app: &str, truth: &Truth, seed: u64) -> Vec<Traffic> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let one = |target: &str, expected| vec![Traffic { target: target.to_owned(), expected }];
    let contacts = i32::try_from(truth.len()).unwrap_or(i32::MAX);
    match operation {
        Operation::Hello => one("/v1/hello?name=Ada", Expected::Text("Hello Ada!".to_owned())),
        Operation::HelloHtml => {
            one("/v2/hello?name=Ada", Expected::Text("<blink>Hello Ada!</blink>".to_owned()))
        }
        Operation::Heartbeat => one("/heartbeat", Expected::Json(json!({format!("{app}-server"): "ok"}))),
        Operation::Version => one("/version", Expected::Json(json!({"version": "1.0.0"}))),
        Operation::Types => one(
            "/types",
            Expected::Json(json!([
                {"type_id": 1, "type_name": "Relatives"},
                {"type_id": 2, "type_name": "Friends"},
                {"type_id": 3, "type_name": "Colleagues"},
            ])),
        ),
        Operation::ContactsFor | Operation::ContactsFetch => {
            let path = if operation == Operation::ContactsFor { "/contacts/for" } else { "/contacts/fetch" };
            let pages = (truth.len() / PAGE).clamp(1, PAGES);
            let mut page = || {
                let offset = PAGE * rng.random_range(0..pages);
                let expected = truth.page(&Page { limit: PAGE, offset, starts: String::new() });
                Traffic {
                    target: format!("{path}?limit={PAGE}&offset={offset}"),
                    expected: Expected::Json(expected),
                }
            };
            (0..VARIETY).map(|_| page()).collect()
        }
        Operation::Contact => (0..VARIETY)
            .filter_map(|_| {
                let id = rng.random_range(1..=contacts.max(1));
                let expected = Expected::Json(truth.contact(id)?.clone());
                Some(Traffic { target: format!("/contacts/{id}"), expected })
            })
            .collect(),
        // Large enough that computing is most of the work, small enough that a slice has hundreds.
        Operation::Fibonacci => one("/fibonacci/20", Expected::Json(json!({"result": 10_946}))),
        Operation::About | Operation::ContactCreate | Operation::TaskStart | Operation::TaskResult => {
            Vec::new()
        }
    }
}
