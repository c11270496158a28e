//! What a capacity search's record says, a row for each stack.

use dyno_model::{
    Slos,
    capacity::{CapacityRecord, CapacityRow, StackSearch, TrialPurpose, TrialRecord},
};

use super::{Search, trial};
use crate::statistics::mean;

/// How much the machine's own speed may change between the first and the last third of a search (METHOD, section 6).
const DRIFT: f64 = 0.20;
/// Requests beyond a percentile below which a note says so.
const FEW_BEYOND: f64 = 10.0;

/// The rows, in the record's order.
pub fn rows(record: &CapacityRecord) -> Vec<CapacityRow> {
    let drift = drift(&record.spins_per_ms);
    record.stacks.iter().map(|one| row(record, one, drift.as_deref())).collect()
}

fn row(record: &CapacityRecord, one: &StackSearch, drift: Option<&str>) -> CapacityRow {
    let search = one.state.clone().and_then(|state| Search::resume(state).ok());
    let refused = one.no_verdict.as_deref().or(drift);
    let result = search.filter(|_| refused.is_none()).map(|search| search.result());
    let reason = match (refused, &result) {
        (Some(why), _) => why.to_owned(),
        (None, Some(result)) => result.reason.clone(),
        (None, None) => "nothing is measured yet".to_owned(),
    };
    let mut curve: Vec<TrialRecord> = of(one, TrialPurpose::Curve).cloned().collect();
    curve.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    CapacityRow {
        stack: one.stack.clone(),
        result,
        reason,
        saturation_per_s: one.state.as_ref().map(|state| state.saturation_per_s),
        uncounted: one.trials.iter().filter(|trial| !trial.end.counts()).count() as u32,
        curve,
        notes: notes(record, one),
    }
}

fn of(one: &StackSearch, purpose: TrialPurpose) -> impl Iterator<Item = &TrialRecord> {
    one.trials.iter().filter(move |trial| trial.purpose == purpose && trial.end.counts())
}

fn notes(record: &CapacityRecord, one: &StackSearch) -> Vec<String> {
    let saturated = of(one, TrialPurpose::Saturation).last();
    let mut notes: Vec<String> =
        saturated.into_iter().filter_map(|trial| trial.not_server_bound.clone()).collect();
    let fewest = of(one, TrialPurpose::Search).map(|trial| trial.requests).min();
    let slos: Option<Slos> = record.slo.parse().ok();
    let beyond = slos.zip(fewest).and_then(|(slos, fewest)| trial::beyond(&slos, fewest));
    if let Some(beyond) = beyond.filter(|beyond| *beyond < FEW_BEYOND) {
        notes.push(format!(
            "trials are short for so low a rate: only {beyond:.0} requests lie beyond the percentile, so that the edge is soft"
        ));
    }
    notes
}

/// Whether the machine's own speed changed too much, in words.
fn drift(spins: &[f64]) -> Option<String> {
    let third = spins.len() / 3;
    if third == 0 {
        return None;
    }
    let change = mean(&spins[spins.len() - third..]) / mean(&spins[..third]) - 1.0;
    (change.abs() > DRIFT)
        .then(|| format!("the machine's own speed changed by {:+.0} % during the search", change * 100.0))
}

#[cfg(test)]
mod tests {
    use dyno_model::{
        Operation,
        capacity::{CapacityState, CapacityTrial, TrialEnd},
        record::FORMAT,
    };

    use super::*;

    fn trial(purpose: TrialPurpose, rate_per_s: f64, end: TrialEnd) -> TrialRecord {
        TrialRecord {
            purpose,
            rate_per_s,
            end,
            requests: 500,
            p50_us: Some(1e3),
            p99_us: Some(9e3),
            errors: Some(0.0),
            reason: String::new(),
            not_server_bound: None,
        }
    }

    fn record(one: StackSearch, spins_per_ms: Vec<f64>) -> CapacityRecord {
        CapacityRecord {
            format: FORMAT,
            slo: "p99=50ms".to_owned(),
            operation: Operation::Types,
            connections: 64,
            seed: 1,
            curve: true,
            trial: None,
            stacks: vec![one],
            spins_per_ms,
        }
    }

    fn searched() -> StackSearch {
        let trials = vec![CapacityTrial { rate_per_s: 500.0, failed: false }];
        let state = CapacityState { saturation_per_s: 1000.0, trials, confirmations: Vec::new() };
        StackSearch {
            stack: "x/y".parse().unwrap(),
            state: Some(state),
            trials: vec![
                trial(TrialPurpose::Search, 500.0, TrialEnd::Passed),
                trial(TrialPurpose::Search, 500.0, TrialEnd::Disturbed),
                trial(TrialPurpose::Curve, 900.0, TrialEnd::Failed),
                trial(TrialPurpose::Curve, 100.0, TrialEnd::Passed),
            ],
            no_verdict: None,
        }
    }

    #[test]
    fn a_row_tells_the_result_and_the_curve_by_rate() {
        let rows = rows(&record(searched(), vec![1.0; 6]));
        let row = &rows[0];
        assert_eq!((row.uncounted, row.saturation_per_s, row.is_found()), (1, Some(1000.0), false));
        assert_eq!(row.curve.iter().map(|point| point.rate_per_s).collect::<Vec<_>>(), [100.0, 900.0]);
        assert!(row.notes[0].contains("only 5 requests lie beyond"), "{:?}", row.notes);
        assert_eq!(row.reason, "trials so far: 1; more are needed");
    }

    #[test]
    fn what_must_not_be_believed_has_no_number() {
        let given_up = StackSearch { no_verdict: Some("the generator".to_owned()), ..searched() };
        let row = rows(&record(given_up, Vec::new())).remove(0);
        assert_eq!((row.result, row.reason.as_str()), (None, "the generator"));
        let row = rows(&record(searched(), vec![1.0, 1.0, 1.3])).remove(0);
        assert!(row.result.is_none() && row.reason.contains("changed by +30 %"), "{}", row.reason);
    }
}
