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
        ClaimMetric::Throughput => Some(Metric::Throughput),
        ClaimMetric::Cpu => Some(Metric::CpuPerRequest),
        ClaimMetric::Memory => Some(Metric::Memory),
        ClaimMetric::P50 => Some(Metric::LatencyP50),
        ClaimMetric::P90 => Some(Metric::LatencyP90),
        ClaimMetric::P99 => Some(Metric::LatencyP99),
        // No table has these two.
        ClaimMetric::P95 | ClaimMetric::P999 => None,
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
    let Some(metric) = metric else {
        let mut tails = analysis.tails.iter();
        let tail = tails.find(|one| {
            one.stack == stack
                && one.operation == operation
                && Some(one.quantile) == quantity.metric.quantile()
        });
        return tail.map_or_else(
            || Err(format!("{stack} {operation}: nothing was measured")),
            |tail| tail.values.clone(),
        );
    };
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

#[cfg(test)]
mod tests {
    use dyno_analyse::synthetic;
    use dyno_model::claim::ClaimDecision;
    use dyno_plan::{Catalogue, parse_claims};

    use super::*;

    /// Decides claims about made-up stacks of 1,000 and 2,000 requests per second, of which one takes about 2 ms and the other 1 ms.
    fn decided(text: &str) -> Vec<ClaimResult> {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks");
        let claims = parse_claims(Path::new("t.claims"), text, &Catalogue::read(&stacks).unwrap()).unwrap();
        let run = synthetic::run(&[("flask/gunicorn", 1000.0), ("go-bun/go", 2000.0)]);
        let analysis = analyse(&run, &synthetic::blocks(&run, &[1000.0, 2000.0], 8, 0.01));
        of(&claims, &run, &analysis)
    }

    #[test]
    fn p95_is_decided_as_the_other_percentiles_are() {
        let results = decided(
            "default op = hello
             claim \"ratio\": p95(flask/gunicorn, rate=100/s) / p95(go-bun/go, rate=100/s) in (1.5,2.5)
             claim \"figure\": p95(flask/gunicorn, rate=100/s) in (0,1ms)
             claim \"other rate\": p95(flask/gunicorn, rate=90/s) in (0,9ms)",
        );
        let decisions: Vec<ClaimDecision> = results.iter().map(|one| one.decision).collect();
        let expected = [ClaimDecision::Supported, ClaimDecision::Refuted, ClaimDecision::NoVerdict];
        assert_eq!(decisions, expected, "{results:#?}");
        assert!(results[2].reason.contains("another rate than 90/s"), "{}", results[2].reason);
    }

    #[test]
    fn p999_of_few_requests_has_no_verdict_and_says_what_it_needs() {
        let results = decided("claim \"tail\": p999(flask/gunicorn, rate=100/s, op=hello) in (0,100ms)");
        assert_eq!(results[0].decision, ClaimDecision::NoVerdict);
        let reason = &results[0].reason;
        assert!(reason.contains("p999 needs 20000 requests in each block"), "{reason}");
        assert!(reason.contains("offer 10000/s or more"), "{reason}");
    }
}
