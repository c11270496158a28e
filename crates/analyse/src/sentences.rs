//! The answer in sentences, with intervals; ties said as ties.

use dyno_model::{
    Operation,
    output::{Comparison, Estimate, Metric, Verdict},
    record::Run,
};

use crate::{FIRST_BLOCKS, trust::Trust};

/// The run's answer: what must not be believed first, then one sentence for each operation.
pub fn sentences(
    run: &Run,
    results: &[Estimate],
    comparisons: &[Comparison],
    trust: &Trust,
    blocks: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    if trust.grade == '-' {
        all.push(format!("No verdict: {}.", trust.reasons.join("; ")));
    }
    if blocks < FIRST_BLOCKS {
        return all;
    }
    for &operation in &run.plan.operations {
        match duet(operation, comparisons) {
            Some(sentence) => all.push(sentence),
            None => all.extend(fastest(run, operation, results, comparisons)),
        }
    }
    all
}

/// Of two stacks the verdict is the answer.
fn duet(operation: Operation, comparisons: &[Comparison]) -> Option<String> {
    let mut of =
        comparisons.iter().filter(|one| one.operation == operation && one.metric == Metric::Throughput);
    let (one, None) = (of.next()?, of.next()) else { return None };
    let interval = match one.low.zip(one.high) {
        Some((low, high)) => format!("{:.3} [{low:.3}, {high:.3}]", one.ratio),
        None => format!("{:.3}, without an interval", one.ratio),
    };
    let words = match one.verdict {
        Verdict::Different => format!("{} is {} than {}", one.a, one.reason, one.b),
        Verdict::NoDifference => format!("no difference between {} and {}: {}", one.a, one.b, one.reason),
        Verdict::Inconclusive => format!("inconclusive between {} and {}: {}", one.a, one.b, one.reason),
        Verdict::NoVerdict => format!("no verdict on {} and {}: {}", one.a, one.b, one.reason),
    };
    Some(format!("{operation}: {words}; ratio of throughputs {interval}."))
}

fn fastest(
    run: &Run,
    operation: Operation,
    results: &[Estimate],
    comparisons: &[Comparison],
) -> Option<String> {
    // Where throughput was limited elsewhere, CPU per request still tells.
    let of =
        |metric: Metric| results.iter().filter(move |one| one.operation == operation && one.metric == metric);
    let few = |one: &Estimate| (one.blocks as usize) < FIRST_BLOCKS;
    let unranked = |absent: bool| -> Vec<String> {
        let all = of(Metric::Throughput).filter(|one| one.rank.is_none() && few(one) == absent);
        all.map(|one| one.stack.to_string()).collect()
    };
    let (absent, refused) = (unranked(true), unranked(false));
    let mut ranked: Vec<&Estimate> = of(Metric::Throughput).filter(|one| one.rank.is_some()).collect();
    ranked.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
    let Some(first) = ranked.first() else {
        let blocks = of(Metric::Throughput).map(|one| one.blocks).min()?;
        let reason = if (blocks as usize) < FIRST_BLOCKS {
            format!("{blocks} blocks have answers of every stack, and an interval needs {FIRST_BLOCKS}")
        } else {
            "self-checks failed, or answers weren't right".to_owned()
        };
        return Some(format!("{operation}: no ranking: {reason}."));
    };
    let ties: Vec<String> = ranked
        .iter()
        .skip(1)
        .filter(|one| one.rank.zip(first.rank).is_some_and(|(one, first)| one.0 <= first.1))
        .map(|one| one.stack.to_string())
        .collect();
    let among = if absent.is_empty() && refused.is_empty() { "" } else { " of those ranked" };
    let mut text = format!("{operation}: {} is fastest{among}", first.stack);
    if !ties.is_empty() {
        text =
            format!("{operation}: {} and {} are tied for the first place{among}", first.stack, list(&ties));
    }
    let ratio = comparisons
        .iter()
        .find(|one| one.a == first.stack && one.operation == operation && one.metric == Metric::Throughput);
    if let Some(ratio) = ratio.filter(|ratio| ratio.verdict == Verdict::Different)
        && let (Some(low), Some(high)) = (ratio.low, ratio.high)
    {
        text += &format!(
            ", {:.2} times [{low:.2}, {high:.2}] the throughput of {}",
            ratio.ratio, run.plan.baseline
        );
    }
    if !refused.is_empty() {
        let names = list(&refused);
        text += &format!("; not ranked, because a self-check failed or answers weren't right: {names}");
    }
    if !absent.is_empty() {
        text += &format!("; not ranked, because they answered in too few blocks: {}", list(&absent));
    }
    Some(text + ".")
}

/// Most names that a sentence carries; the table has them all.
const NAMES: usize = 6;

fn list(names: &[String]) -> String {
    match names.split_at_checked(NAMES) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
