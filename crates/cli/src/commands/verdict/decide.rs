//! From the blocks of sessions to decisions.

use std::path::Path;

use dyno_analyse::{
    Analysis, analyse,
    capacity::{Search, rows},
    claims::{Evidence, PerBlock, Posterior, judge},
    looks::Looks,
};
use dyno_model::{
    StackName,
    claim::{Claim, ClaimDecision, ClaimMetric, ClaimResult, Quantity, SessionRecord, VerdictRecord},
    output::Metric,
    record::Run,
};
use dyno_record::RunFolder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::sessions::stack_of;
use crate::exit::Error;

/// Values that stand for a capacity's probability.
const DRAWS: usize = 20_000;

/// Which of a session's claims more blocks could decide. A part that is a capacity has a search of its own.
pub fn open(claims: &[Claim], run: &Run, analysis: &Analysis) -> bool {
    let values = |quantity: &Quantity| values(quantity, run, analysis);
    let capacity = |_: &Quantity| Err("it is searched in another session".to_owned());
    let judged =
        judge(claims, &Evidence { values: &values, capacity: &capacity, interval: &interval, looks: true });
    claims.iter().zip(judged).any(|(claim, judged)| match judged.result.decision {
        ClaimDecision::Inconclusive => true,
        ClaimDecision::NoVerdict if has_capacity(claim) => {
            judged.parts.iter().any(|part| part.decision == ClaimDecision::Inconclusive)
        }
        _ => false,
    })
}

fn has_capacity(claim: &Claim) -> bool {
    claim.quantities().iter().any(|quantity| quantity.metric == ClaimMetric::Capacity)
}

/// All claims whose sessions are over, each file by itself, because a family is one of a file.
///
/// # Errors
/// A session's folder can't be read.
pub fn all(folder: &Path, record: &VerdictRecord) -> Result<Vec<ClaimResult>, Error> {
    let mut sessions = Vec::new();
    for (index, one) in record.sessions.iter().enumerate().filter(|(_, one)| one.done) {
        let measured = match (&one.run, &one.failure) {
            (Some(name), None) => {
                read(&RunFolder::open(folder, Path::new(name))?, one, record.seed ^ index as u64)?
            }
            (_, Some(reason)) => Measured::Nothing(reason.clone()),
            (None, None) => Measured::Nothing("it wasn't measured".to_owned()),
        };
        sessions.push((one, measured));
    }
    let mut decided = Vec::new();
    for claims in &record.claims {
        // The members of a family in other sessions count too: for each session all of the file's are judged, and its own kept.
        let homes: Vec<Option<&SessionRecord>> = claims.iter().map(|claim| home(claim, record)).collect();
        let mut done: Vec<&SessionRecord> = Vec::new();
        for one in homes.iter().copied().flatten() {
            if done.iter().any(|other| std::ptr::eq(*other, one)) {
                continue;
            }
            done.push(one);
            let values = |quantity: &Quantity| blocks_of(quantity, one, &sessions);
            let capacity = |quantity: &Quantity| capacity_of(quantity, &sessions);
            let evidence =
                Evidence { values: &values, capacity: &capacity, interval: &interval, looks: true };
            let judged = judge(claims, &evidence).into_iter().zip(&homes);
            let here = judged.filter(|(_, home)| home.is_some_and(|home| std::ptr::eq(home, one)));
            decided.extend(here.map(|(judged, _)| judged.result));
        }
    }
    let order: Vec<&String> = record.claims.iter().flatten().map(|claim| &claim.name).collect();
    decided.sort_by_key(|result| order.iter().position(|name| **name == result.claim));
    Ok(decided)
}

/// The session in whose blocks a claim's figures are paired, else its first search; `None` while one of its sessions isn't over.
fn home<'a>(claim: &Claim, record: &'a VerdictRecord) -> Option<&'a SessionRecord> {
    let own: Vec<&SessionRecord> =
        record.sessions.iter().filter(|one| one.claims.contains(&claim.name)).collect();
    let over = own.iter().all(|one| one.done);
    over.then(|| own.iter().find(|one| one.slo.is_none()).or(own.first()).copied()).flatten()
}

/// What a session that is over says.
enum Measured {
    Blocks(Box<(Run, Analysis)>),
    Search(Vec<(StackName, Result<Posterior, String>)>),
    Nothing(String),
}

type Sessions<'a> = [(&'a SessionRecord, Measured)];

fn read(folder: &RunFolder, session: &SessionRecord, seed: u64) -> Result<Measured, Error> {
    let run = folder.read_run()?;
    if session.slo.is_none() {
        let analysis = analyse(&run, &folder.read_blocks()?);
        return Ok(Measured::Blocks(Box::new((run, analysis))));
    }
    let record = folder.read_capacity()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let searched = record.stacks.iter().zip(rows(&record)).map(|(one, row)| {
        let state = one.state.clone().filter(|_| row.is_found()).ok_or(row.reason);
        let search = state.and_then(|state| Search::resume(state).map_err(|error| error.to_string()));
        let posterior = search.map(|search| Posterior {
            draws: search.draws(DRAWS, &mut rng),
            trials: search.state().trials.len() as u32,
        });
        (one.stack.clone(), posterior)
    });
    let failed = run.not_run.into_iter().map(|row| (row.stack, Err(row.reason)));
    Ok(Measured::Search(searched.chain(failed).collect()))
}

/// A quantity as the session of its claim measured it, or another one did.
fn blocks_of(quantity: &Quantity, here: &SessionRecord, sessions: &Sessions<'_>) -> Result<PerBlock, String> {
    let stack = stack_of(quantity);
    let fits = |one: &SessionRecord| one.slo.is_none() && one.stacks.contains(&stack);
    let own = sessions.iter().find(|(one, _)| std::ptr::eq(*one, here) && fits(one));
    match own.or_else(|| sessions.iter().find(|(one, _)| fits(one))) {
        Some((_, Measured::Blocks(measured))) => values(quantity, &measured.0, &measured.1),
        Some((_, Measured::Nothing(reason))) => Err(reason.clone()),
        _ => Err("its session isn't over".to_owned()),
    }
}

/// What the search of a capacity found.
fn capacity_of(quantity: &Quantity, sessions: &Sessions<'_>) -> Result<Posterior, String> {
    let (stack, settings) = (stack_of(quantity), &quantity.settings);
    let fits = |one: &SessionRecord| {
        one.slo == settings.slo && one.operations.contains(&settings.op) && one.stacks.contains(&stack)
    };
    match sessions.iter().find(|(one, _)| fits(one)) {
        Some((_, Measured::Search(found))) => {
            let found = found.iter().find(|(one, _)| *one == stack);
            found.map_or_else(|| Err("it wasn't searched".to_owned()), |(_, posterior)| posterior.clone())
        }
        Some((_, Measured::Nothing(reason))) => Err(reason.clone()),
        _ => Err("its session isn't over".to_owned()),
    }
}

fn interval(d: &[f64], level: f64) -> Option<(f64, f64, f64)> {
    let interval = Looks::of(level).interval(d)?;
    Some((interval.mean, interval.low, interval.high))
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
        ClaimMetric::Capacity => return Err("a capacity is no figure of blocks".to_owned()),
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
    use dyno_plan::{Catalogue, parse_claims};

    use super::*;

    /// Decides claims about made-up stacks of 1,000 and 2,000 requests per second, of which one takes about 2 ms and the other 1 ms.
    fn decided(text: &str) -> Vec<ClaimResult> {
        let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks");
        let claims = parse_claims(Path::new("t.claims"), text, &Catalogue::read(&stacks).unwrap()).unwrap();
        let run = synthetic::run(&[("flask/gunicorn", 1000.0), ("go-bun/go", 2000.0)]);
        let analysis = analyse(&run, &synthetic::blocks(&run, &[1000.0, 2000.0], 8, 0.01));
        let values = |quantity: &Quantity| values(quantity, &run, &analysis);
        let capacity = |_: &Quantity| Err("nothing was searched".to_owned());
        let evidence = Evidence { values: &values, capacity: &capacity, interval: &interval, looks: true };
        judge(&claims, &evidence).into_iter().map(|one| one.result).collect()
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
