//! Whether a work tree's stack is slower than its base by more than δ: repeated intervals of the ratio work tree / base, each
//! row's first decision kept, because the intervals of all looks hold together (METHOD, section 4).
//!
//! *Not slower* needs every row, which asks for no correction (intersection-union). *Slower* needs one of them, so that the
//! level is shared out over the rows: all together cry wolf in 2.5 % of the runs whose true difference is δ itself.

use dyno_model::{
    Operation,
    gate::{GateDecision, GateRow},
    output::{Metric, Verdict},
    record::Run,
};

use crate::{
    Analysis, FEWEST_BLOCKS, Series,
    looks::{Interval, LEVEL, LOOKS, Looks, Place},
    statistics::{mean, standard_deviation},
};

/// One row for each operation of the plan and each metric, the plan's baseline being the base. `delta` is a share,
/// for instance 0.03, greater than 0 and less than 1.
pub fn rows(run: &Run, analysis: &Analysis, metrics: &[Metric], delta: f64) -> Vec<GateRow> {
    let count = run.plan.operations.len() * metrics.len();
    let cells = run.plan.operations.iter().flat_map(|&one| metrics.iter().map(move |&metric| (one, metric)));
    cells.map(|(operation, metric)| row(run, analysis, operation, metric, delta, count)).collect()
}

/// Whether more blocks could still change an operation's decision: one is decided when a metric is slower, or none is open.
pub fn is_open(rows: &[GateRow]) -> bool {
    let slower = |of: &GateRow| {
        rows.iter().any(|one| one.operation == of.operation && one.decision == GateDecision::Slower)
    };
    rows.iter().any(|row| row.decision == GateDecision::NoVerdict && !slower(row))
}

/// What all rows say together: slower if one is, not slower if all are.
pub fn together(rows: &[GateRow]) -> GateDecision {
    if rows.iter().any(|row| row.decision == GateDecision::Slower) {
        GateDecision::Slower
    } else if !rows.is_empty() && rows.iter().all(|row| row.decision == GateDecision::NotSlower) {
        GateDecision::NotSlower
    } else {
        GateDecision::NoVerdict
    }
}

fn row(
    run: &Run,
    analysis: &Analysis,
    operation: Operation,
    metric: Metric,
    delta: f64,
    rows: usize,
) -> GateRow {
    let d = log_ratios(run, analysis, operation, metric);
    let judged = judge(&d, metric, delta, rows);
    let refused = analysis
        .comparisons
        .iter()
        .find(|one| one.operation == operation && one.metric == metric && one.verdict == Verdict::NoVerdict);
    let (decision, reason) = match (refused, judged.interval) {
        (Some(refused), Some(_)) => (GateDecision::NoVerdict, refused.reason.clone()),
        (_, None) => {
            let words = format!("{} paired blocks; an interval needs {FEWEST_BLOCKS}", d.len());
            (GateDecision::NoVerdict, words)
        }
        (None, Some(_)) => (judged.decision, judged.reason),
    };
    let blocks = if judged.interval.is_some() { judged.blocks } else { d.len() };
    let mean = (!d.is_empty()).then(|| mean(&d));
    GateRow {
        operation,
        metric,
        ratio: judged.interval.map(|one| one.mean).or(mean).map(f64::exp),
        low: judged.interval.map(|one| one.low.exp()),
        high: judged.interval.map(|one| one.high.exp()),
        noise: (d.len() > 1).then(|| standard_deviation(&d)),
        blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
        decision,
        reason,
    }
}

fn log_ratios(run: &Run, analysis: &Analysis, operation: Operation, metric: Metric) -> Vec<f64> {
    let base = &run.plan.baseline;
    let of = |base_side: bool| {
        let is = |one: &&Series| {
            (one.stack == *base) == base_side && one.operation == operation && one.metric == metric
        };
        analysis.series.iter().find(is)
    };
    let Some((tree, base)) = of(false).zip(of(true)) else { return Vec::new() };
    let pairs = tree.values.iter().zip(&base.values);
    pairs.filter_map(|(tree, base)| Some(((*tree)? / (*base)?).ln())).collect()
}

struct Judged {
    decision: GateDecision,
    reason: String,
    interval: Option<Interval>,
    blocks: usize,
}

/// The first look that decides, else the last that was reached.
fn judge(d: &[f64], metric: Metric, delta: f64, rows: usize) -> Judged {
    let more = metric.more_is_better();
    let (low, high) =
        if more { ((1.0 - delta).ln(), f64::INFINITY) } else { (f64::NEG_INFINITY, delta.ln_1p()) };
    let limit = if more { 1.0 - delta } else { 1.0 + delta };
    let (own, shared) = (Looks::default(), Looks::of(LEVEL / rows.max(1) as f64));
    let mut last =
        Judged { decision: GateDecision::NoVerdict, reason: String::new(), interval: None, blocks: d.len() };
    for (blocks, _) in LOOKS.into_iter().take_while(|&(blocks, _)| blocks <= d.len()) {
        let seen = &d[..blocks];
        let Some((interval, strict)) = own.interval(seen).zip(shared.interval(seen)) else { break };
        let (decision, reason) = match (interval.place_in(low, high), strict.place_in(low, high)) {
            (Place::Inside, _) => (GateDecision::NotSlower, format!("on the good side of {limit:.3}")),
            (_, Place::Outside) => (GateDecision::Slower, format!("wholly beyond {limit:.3}")),
            (Place::Outside, _) => {
                let words = format!(
                    "beyond {limit:.3}, but not at the level shared over {rows} rows: measure longer"
                );
                (GateDecision::NoVerdict, words)
            }
            _ => (GateDecision::NoVerdict, format!("astride {limit:.3}: measure longer, or allow more")),
        };
        last = Judged { decision, reason, interval: Some(interval), blocks };
        if decision != GateDecision::NoVerdict {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Log-ratios around one, none of them alike.
    fn around(ratio: f64, spread: f64, count: u32) -> Vec<f64> {
        (0..count).map(|at| f64::ln(ratio) + spread * (f64::from(at % 5) - 2.0)).collect()
    }

    #[test]
    fn each_side_of_delta_has_its_decision() {
        let decide =
            |ratio, spread, metric, rows| judge(&around(ratio, spread, 16), metric, 0.03, rows).decision;
        for rows in [1, 4] {
            assert_eq!(decide(1.0, 0.005, Metric::Throughput, rows), GateDecision::NotSlower);
            assert_eq!(decide(2.0, 0.005, Metric::Throughput, rows), GateDecision::NotSlower, "faster");
            assert_eq!(decide(0.9, 0.005, Metric::Throughput, rows), GateDecision::Slower);
            assert_eq!(decide(1.1, 0.005, Metric::CpuPerRequest, rows), GateDecision::Slower);
            assert_eq!(decide(0.9, 0.005, Metric::CpuPerRequest, rows), GateDecision::NotSlower);
            assert_eq!(decide(0.97, 0.005, Metric::Throughput, rows), GateDecision::NoVerdict, "on the edge");
            assert_eq!(decide(1.0, 0.05, Metric::Throughput, rows), GateDecision::NoVerdict, "noise");
        }
        assert_eq!(judge(&around(0.5, 0.01, 7), Metric::Throughput, 0.03, 1).interval, None);
    }

    #[test]
    fn the_first_decision_stays() {
        let mut d = around(1.0, 0.002, 8);
        d.extend(around(0.9, 0.002, 8));
        let judged = judge(&d, Metric::Throughput, 0.03, 1);
        assert_eq!((judged.decision, judged.blocks), (GateDecision::NotSlower, 8));
    }
}
