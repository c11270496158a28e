//! What may be claimed about a ratio: paired log-ratios over blocks, an interval, and the sign-flip test (METHOD,
//! section 4). Where plan and clock fix the number of blocks, it is a t interval; where the numbers decide when a run
//! ends, the repeated interval of the last look.

use dyno_model::{
    StackName, Variant,
    output::{Comparison, Metric, Verdict},
    record::Run,
};

use crate::{
    FEWEST_BLOCKS, Series, TIE,
    health::Health,
    looks::{LEVEL, Looks, last_look},
    statistics::{mean, sign_flip, skewness, t_interval_at},
};

/// Every stack against the baseline, by operation and metric.
pub fn compare(run: &Run, series: &[Series], health: &Health) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    let canary = run.plan.design.canary.as_ref();
    for a in series.iter().filter(|a| a.stack != run.plan.baseline && Some(&a.stack) != canary) {
        let baseline = series
            .iter()
            .find(|b| b.stack == run.plan.baseline && b.operation == a.operation && b.metric == a.metric);
        comparisons.extend(baseline.and_then(|b| compare_pair(run, a, b, health)));
    }
    comparisons
}

/// What a run's canary says: in which operations a stack is told from its own twin, by throughput. The level is
/// shared over the operations, so that all together cry wolf in 5 % of good runs.
pub fn canary(run: &Run, series: &[Series]) -> Option<Result<String, String>> {
    let twin = run.plan.design.canary.as_ref()?;
    let of = |stack: &StackName, operation| {
        let found = |one: &&Series| {
            one.stack == *stack && one.operation == operation && one.metric == Metric::Throughput
        };
        series.iter().find(found)
    };
    let original = StackName { variant: Variant { twin: false, ..twin.variant.clone() }, ..twin.clone() };
    let level = LEVEL / run.plan.operations.len().max(1) as f64;
    let mut told = Vec::new();
    let mut said = Vec::new();
    for &operation in &run.plan.operations {
        let Some((a, b)) = of(twin, operation).zip(of(&original, operation)) else { continue };
        let d = log_ratios(a, b);
        let Some((_, low, high)) = interval_of(run, &d, level) else { continue };
        let words = format!("{operation} {:.3} [{:.3}, {:.3}]", mean(&d).exp(), low.exp(), high.exp());
        let seen = &d[..seen(run, &d)];
        // Within the region of ties nothing that a run may claim is in doubt.
        let tie = low > -TIE.ln() && high < TIE.ln();
        if (low > 0.0 || high < 0.0) && !tie && sign_flip(seen, run.seed) <= level {
            told.push(words);
        } else {
            said.push(words);
        }
    }
    match (told.as_slice(), said.as_slice()) {
        ([], []) => None,
        ([], _) => Some(Ok(format!("{original} and its twin can't be told apart: {}", said.join(", ")))),
        _ => Some(Err(format!("{original} was told from its own twin: {}", told.join(", ")))),
    }
}

/// The logarithms of `a / b`, of the blocks that have both.
pub fn log_ratios(a: &Series, b: &Series) -> Vec<f64> {
    a.values.iter().zip(&b.values).filter_map(|(a, b)| Some(((*a)? / (*b)?).ln())).collect()
}

/// Blocks that count: all, or those that the last look had.
pub(crate) fn seen(run: &Run, d: &[f64]) -> usize {
    if run.plan.design.looks { last_look(d.len()).unwrap_or(0) } else { d.len() }
}

/// Mean and interval at a level, of a run with looks or with a fixed number of blocks.
fn interval_of(run: &Run, d: &[f64], level: f64) -> Option<(f64, f64, f64)> {
    if run.plan.design.looks {
        let interval = Looks::of(level).interval(d)?;
        return Some((interval.mean, interval.low, interval.high));
    }
    t_interval_at(d, level).filter(|_| d.len() >= FEWEST_BLOCKS)
}

fn compare_pair(run: &Run, a: &Series, b: &Series, health: &Health) -> Option<Comparison> {
    let all = log_ratios(a, b);
    if all.is_empty() {
        return None;
    }
    let interval = interval_of(run, &all, LEVEL);
    let d = if interval.is_some() { &all[..seen(run, &all)] } else { &all };
    let (verdict, reason) = decide(run, a, b, d, interval, health);
    Some(Comparison {
        a: a.stack.clone(),
        b: b.stack.clone(),
        operation: a.operation,
        metric: a.metric,
        ratio: mean(d).exp(),
        low: interval.map(|(_, low, _)| low.exp()),
        high: interval.map(|(_, _, high)| high.exp()),
        verdict,
        reason,
    })
}

fn decide(
    run: &Run,
    a: &Series,
    b: &Series,
    d: &[f64],
    interval: Option<(f64, f64, f64)>,
    health: &Health,
) -> (Verdict, String) {
    let refused = |stack| health.refusal(stack, a.operation, a.metric);
    if let Some(reason) =
        health.no_verdict.first().cloned().or_else(|| refused(&a.stack)).or_else(|| refused(&b.stack))
    {
        // CPU per request survives a limit elsewhere; what refuses it refuses everything.
        return (Verdict::NoVerdict, reason);
    }
    let Some((_, low, high)) = interval else {
        return (Verdict::NoVerdict, format!("{} paired blocks; an interval needs {FEWEST_BLOCKS}", d.len()));
    };
    let tie = TIE.ln();
    let fragile =
        if skewness(d).abs() > 1.5 { "; fragile: one block differs much from the others" } else { "" };
    let p = sign_flip(d, run.seed);
    let alpha = match run.plan.design.looks {
        true => Looks::of(LEVEL).reached(d.len()).map_or(0.0, |look| look.alpha),
        false => LEVEL,
    };
    if low > -tie && high < tie {
        return (Verdict::NoDifference, format!("any difference is below 3 %{fragile}"));
    }
    if (low > 0.0 || high < 0.0) && p <= alpha {
        let (low, high) = (low.exp(), high.exp());
        let words = words_of(a.metric, low, high);
        return (Verdict::Different, format!("{words}{fragile}"));
    }
    let most = (low.exp() - 1.0).abs().max((high.exp() - 1.0).abs());
    (Verdict::Inconclusive, format!("any difference is below {:.0} %{fragile}", most * 100.0))
}

fn words_of(metric: Metric, low: f64, high: f64) -> String {
    let more = low > 1.0;
    let (near, far) = if more { (low, high) } else { (1.0 / high, 1.0 / low) };
    let word = match (metric, more) {
        (Metric::Throughput, true) => "faster",
        (Metric::Throughput, false) => "slower",
        (_, true) => "more",
        (_, false) => "less",
    };
    format!("{near:.2} to {far:.2} times {word}")
}
