//! From the blocks of sessions to decisions.

use std::path::Path;

use dyno_analyse::{
    Analysis, analyse,
    claims::{Evidence, PerBlock, judge},
    looks::Looks,
};
use dyno_model::{
    claim::{Claim, ClaimMetric, ClaimResult, Quantity, VerdictRecord},
    output::Metric,
    record::Run,
};
use dyno_record::RunFolder;

use super::sessions::stack_of;
use crate::exit::Error;

/// The claims of one session, as far as its blocks go.
pub fn of(claims: &[Claim], run: &Run, analysis: &Analysis) -> Vec<ClaimResult> {
    let values = |quantity: &Quantity| values(quantity, run, analysis);
    results(claims, &values)
}

/// All claims, each file by itself, because a family is one of a file.
///
/// # Errors
/// A session's folder can't be read.
pub fn all(folder: &Path, record: &VerdictRecord) -> Result<Vec<ClaimResult>, Error> {
    let mut sessions = Vec::new();
    for one in record.sessions.iter().filter(|one| one.done) {
        let measured = match (&one.run, &one.failure) {
            (Some(name), None) => {
                let run = RunFolder::open(folder, Path::new(name))?;
                let (head, blocks) = (run.read_run()?, run.read_blocks()?);
                let analysis = analyse(&head, &blocks);
                Ok((head, analysis))
            }
            (_, Some(reason)) => Err(reason.clone()),
            (None, None) => Err("it wasn't measured".to_owned()),
        };
        sessions.push((one, measured));
    }
    let mut decided = Vec::new();
    for claims in &record.claims {
        for (one, measured) in &sessions {
            let of: Vec<Claim> =
                claims.iter().filter(|claim| one.claims.contains(&claim.name)).cloned().collect();
            // The members of a family in other sessions count too: all of the file's are judged, these are kept.
            let values = |quantity: &Quantity| match (one.stacks.contains(&stack_of(quantity)), measured) {
                (true, Ok((run, analysis))) => self::values(quantity, run, analysis),
                (true, Err(reason)) => Err(reason.clone()),
                (false, _) => elsewhere(quantity, &sessions),
            };
            let kept = results(claims, &values);
            decided
                .extend(kept.into_iter().filter(|result| of.iter().any(|claim| claim.name == result.claim)));
        }
    }
    let order: Vec<&String> = record.claims.iter().flatten().map(|claim| &claim.name).collect();
    decided.sort_by_key(|result| order.iter().position(|name| **name == result.claim));
    Ok(decided)
}

type Measured<'a> = (&'a dyno_model::claim::SessionRecord, Result<(Run, Analysis), String>);

/// A quantity that another session measured.
fn elsewhere(quantity: &Quantity, sessions: &[Measured<'_>]) -> Result<PerBlock, String> {
    let found = sessions.iter().find(|(one, _)| one.stacks.contains(&stack_of(quantity)));
    match found {
        Some((_, Ok((run, analysis)))) => values(quantity, run, analysis),
        Some((_, Err(reason))) => Err(reason.clone()),
        None => Err("its session isn't over".to_owned()),
    }
}

fn results(claims: &[Claim], values: &dyn Fn(&Quantity) -> Result<PerBlock, String>) -> Vec<ClaimResult> {
    let interval = |d: &[f64], level: f64| {
        let interval = Looks::of(level).interval(d)?;
        Some((interval.mean, interval.low, interval.high))
    };
    let judged = judge(claims, &Evidence { values, interval: &interval, looks: true });
    judged.into_iter().map(|one| one.result).collect()
}

/// What a session's blocks say of a quantity.
fn values(quantity: &Quantity, run: &Run, analysis: &Analysis) -> Result<PerBlock, String> {
    let (stack, operation) = (stack_of(quantity), quantity.settings.op);
    let metric = match quantity.metric {
        ClaimMetric::Throughput => Metric::Throughput,
        ClaimMetric::Cpu => Metric::CpuPerRequest,
        ClaimMetric::Memory => Metric::Memory,
        ClaimMetric::P50 => Metric::LatencyP50,
        ClaimMetric::P90 => Metric::LatencyP90,
        ClaimMetric::P99 => Metric::LatencyP99,
        ClaimMetric::P95 | ClaimMetric::P999 => {
            return Err(format!(
                "{} isn't among the percentiles that a session keeps: p50, p90, p99",
                quantity.metric.name()
            ));
        }
        ClaimMetric::Capacity => {
            return Err("a capacity is searched by `dyno capacity`, not in a session".to_owned());
        }
    };
    if let Some(rate) = quantity.settings.rate
        && run.plan.latency.as_ref().and_then(|latency| latency.rates.get(&operation)) != Some(&rate)
    {
        return Err(format!("{operation} has another rate than {rate} in this session"));
    }
    if let Some(row) = analysis.not_run.iter().find(|row| row.stack == stack) {
        return Err(format!("{stack}: {}", row.reason));
    }
    let is_it = |s: &_, o, m| *s == stack && o == operation && m == metric;
    if let Some(refusal) = analysis.refusals.iter().find(|one| is_it(&one.stack, one.operation, one.metric)) {
        return Err(refusal.reason.clone());
    }
    let series = analysis.series.iter().find(|one| is_it(&one.stack, one.operation, one.metric));
    series.map(|one| one.values.clone()).ok_or_else(|| match metric {
        Metric::LatencyP99 | Metric::LatencyP90 => {
            format!(
                "{stack} {operation}: too few requests lie beyond {}; offer a higher rate",
                quantity.metric.name()
            )
        }
        _ => format!("{stack} {operation}: nothing was measured"),
    })
}
