//! A schedule that is replayed: times, and which request is due at each.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use csv::{ReaderBuilder, StringRecord};
use dyno_model::{Span, traffic::Traffic};

use super::{Replay, data::Lines};
use crate::error::PlanError;

const EXAMPLE: &str = "at,request\n           0.25,page\n           260ms,page";

/// Reads a schedule: CSV with the columns `at` and `request`, with `at` alone, or without their names. `at` is a time
/// from the begin of the load, in seconds or with a unit; `request` a kind's name or its number from 1. A kind's data
/// rows come in turn. Without `request` the kinds come by their weights, spread evenly. Empty lines and what follows a
/// `#` at the begin of a line are passed over.
///
/// # Errors
/// The file can't be read or has no times; a time or a kind that isn't one, with its line.
pub fn read_replay(path: &Path, traffic: &Traffic) -> Result<Replay, PlanError> {
    let text = fs::read(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let invalid = |line, message| PlanError::Invalid {
        path: path.to_owned(),
        line,
        message,
        example: EXAMPLE.to_owned(),
    };
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    let mut lines = Lines::new(&text);
    let mut columns: Option<Columns> = None;
    let mut written: Vec<(Duration, Option<usize>)> = Vec::new();
    let kinds = Kinds::new(traffic);
    for record in reader.records() {
        let record =
            record.map_err(|error| invalid(lines.at(error.position()), "the row isn't UTF-8".to_owned()))?;
        let line = lines.at(record.position());
        let Some(known) = columns else {
            let (found, is_header) = Columns::of(&record).map_err(|message| invalid(line, message))?;
            columns = Some(found);
            if !is_header {
                written.push(found.read(&record, &kinds).map_err(|message| invalid(line, message))?);
            }
            continue;
        };
        written.push(known.read(&record, &kinds).map_err(|message| invalid(line, message))?);
    }
    if written.is_empty() {
        return Err(invalid(1, "there are no times in it".to_owned()));
    }
    written.sort_by_key(|(at, _)| *at);
    let mut turns = Turns::new(traffic);
    Ok(written.into_iter().map(|(at, kind)| (at, turns.next(kind))).collect())
}

/// Which column is which.
#[derive(Clone, Copy)]
struct Columns {
    count: usize,
    at: usize,
    request: Option<usize>,
}

impl Columns {
    /// From the first row, and whether that is a header.
    fn of(record: &StringRecord) -> Result<(Self, bool), String> {
        let names: Vec<&str> = record.iter().collect();
        let find = |name: &str| names.iter().position(|column| column.eq_ignore_ascii_case(name));
        let count = names.len();
        if let Some(at) = find("at") {
            return match (count, find("request")) {
                (1, None) => Ok((Self { count, at, request: None }, true)),
                (2, Some(request)) => Ok((Self { count, at, request: Some(request) }, true)),
                _ => Err(format!("the columns `{}` aren't `at` and `request`", names.join(","))),
            };
        }
        match count {
            1 | 2 if !names[0].starts_with(|c: char| c.is_alphabetic()) => {
                Ok((Self { count, at: 0, request: (count == 2).then_some(1) }, false))
            }
            _ => Err(format!("the columns `{}` aren't `at` and `request`", names.join(","))),
        }
    }

    fn read(self, record: &StringRecord, kinds: &Kinds<'_>) -> Result<(Duration, Option<usize>), String> {
        if record.len() != self.count {
            return Err(format!("the row has {} cells, the first has {}", record.len(), self.count));
        }
        let at = time(record.get(self.at).unwrap_or(""))?;
        let kind = self.request.map(|column| kinds.find(record.get(column).unwrap_or(""))).transpose()?;
        Ok((at, kind))
    }
}

/// Seconds, or a span with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(7 * 24 * 3600);
    let wrong = || {
        format!(
            "`{}` isn't a time: seconds from the begin of the load, or a number with a unit (us, ms, s, m, h), from 0 \
             to a week",
            text.escape_debug()
        )
    };
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain {
        let seconds: f64 = text.parse().map_err(|_| wrong())?;
        return Duration::try_from_secs_f64(seconds).ok().filter(|at| *at <= longest).ok_or_else(wrong);
    }
    text.parse().map(|Span(at)| at).map_err(|_| wrong())
}

/// Kinds by name and number.
struct Kinds<'a> {
    by_name: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> Kinds<'a> {
    fn new(traffic: &'a Traffic) -> Self {
        let names: Vec<&str> = traffic.kinds.iter().map(|kind| kind.name.as_str()).collect();
        let by_name = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        Self { by_name, names }
    }

    fn find(&self, text: &str) -> Result<usize, String> {
        let by_number = || {
            let number: usize = text.parse().ok()?;
            (1..=self.names.len()).contains(&number).then(|| number - 1)
        };
        self.by_name.get(text).copied().or_else(by_number).ok_or_else(|| {
            let first: Vec<String> = self.names.iter().take(20).map(|name| format!("`{name}`")).collect();
            let more = if self.names.len() > first.len() { ", and more" } else { "" };
            format!(
                "no request is called `{}`: there are {}{more}, or their numbers from 1 to {}",
                text.escape_debug(),
                first.join(", "),
                self.names.len()
            )
        })
    }
}

/// Which request of a kind is next, and which kind where none is written.
struct Turns {
    /// Of each kind: index of its first request, number of requests, weight, requests sent, and its claim.
    kinds: Vec<Turn>,
    total: f64,
}

struct Turn {
    first: usize,
    count: usize,
    weight: f64,
    sent: usize,
    claim: f64,
}

impl Turns {
    fn new(traffic: &Traffic) -> Self {
        let mut first = 0;
        let kinds = traffic.kinds.iter().map(|kind| {
            let turn =
                Turn { first, count: kind.requests.len().max(1), weight: kind.weight, sent: 0, claim: 0.0 };
            first += kind.requests.len();
            turn
        });
        let kinds: Vec<Turn> = kinds.collect();
        let total = kinds.iter().map(|kind| kind.weight).sum();
        Self { kinds, total }
    }

    fn next(&mut self, written: Option<usize>) -> usize {
        let kind = written.unwrap_or_else(|| self.by_weight());
        let Some(turn) = self.kinds.get_mut(kind) else { return 0 };
        let request = turn.first + turn.sent % turn.count;
        turn.sent += 1;
        request
    }

    /// Smooth weighted round robin, as nginx spreads requests over upstreams: every claim grows by its weight, the
    /// greatest is served and pays the total. No seed, and the shares are right at all times.
    fn by_weight(&mut self) -> usize {
        let mut best = 0;
        for index in 0..self.kinds.len() {
            self.kinds[index].claim += self.kinds[index].weight;
            if self.kinds[index].claim > self.kinds[best].claim {
                best = index;
            }
        }
        if let Some(turn) = self.kinds.get_mut(best) {
            turn.claim -= self.total;
        }
        best
    }
}
