//! The answer in sentences, with intervals; ties said as ties.

use dyno_model::{
    Operation,
    output::{Comparison, Estimate, Metric, Verdict},
    record::Run,
};

use crate::{FEWEST_BLOCKS, trust::Trust};

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
    if blocks < FEWEST_BLOCKS {
        return all;
    }
    for &operation in &run.plan.operations {
        all.extend(fastest(run, operation, results, comparisons));
    }
    all
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
    let refused: Vec<String> =
        of(Metric::Throughput).filter(|one| one.rank.is_none()).map(|one| one.stack.to_string()).collect();
    let mut ranked: Vec<&Estimate> = of(Metric::Throughput).filter(|one| one.rank.is_some()).collect();
    ranked.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
    let Some(first) = ranked.first() else {
        let blocks = of(Metric::Throughput).map(|one| one.blocks).min()?;
        let reason = if (blocks as usize) < FEWEST_BLOCKS {
            format!("{blocks} blocks are undisturbed for every stack, and an interval needs {FEWEST_BLOCKS}")
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
    let mut text = format!("{operation}: {} is fastest", first.stack);
    if !ties.is_empty() {
        text = format!("{operation}: {} and {} are tied for the first place", first.stack, ties.join(", "));
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
        text += &format!(
            "; not ranked, because a self-check failed, answers weren't right, or too few of their blocks were undisturbed: {}",
            refused.join(", ")
        );
    }
    Some(text + ".")
}
