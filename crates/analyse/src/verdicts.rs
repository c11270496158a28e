//! What may be claimed about a ratio: paired log-ratios over blocks, a t interval for the fixed number of blocks, and the
//! sign-flip test (METHOD, section 4). The looks while a session grows come with the next issue: here the number of
//! blocks follows from plan and clock, never from the numbers.

use dyno_model::{
    output::{Comparison, Metric, Verdict},
    record::Run,
};

use crate::{
    FEWEST_BLOCKS, Series, TIE,
    health::Health,
    statistics::{mean, sign_flip, skewness, t_interval},
};

/// Every stack against the baseline, by operation and metric.
pub fn compare(run: &Run, series: &[Series], health: &Health) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for a in series.iter().filter(|a| a.stack != run.plan.baseline) {
        let baseline = series
            .iter()
            .find(|b| b.stack == run.plan.baseline && b.operation == a.operation && b.metric == a.metric);
        comparisons.extend(baseline.and_then(|b| compare_pair(run.seed, a, b, health)));
    }
    comparisons
}

fn compare_pair(seed: u64, a: &Series, b: &Series, health: &Health) -> Option<Comparison> {
    let pairs = a.values.iter().zip(&b.values);
    let d: Vec<f64> = pairs.filter_map(|(a, b)| Some(((*a)? / (*b)?).ln())).collect();
    if d.is_empty() {
        return None;
    }
    let interval = t_interval(&d).filter(|_| d.len() >= FEWEST_BLOCKS);
    let (verdict, reason) = decide(seed, a, b, &d, interval, health);
    Some(Comparison {
        a: a.stack.clone(),
        b: b.stack.clone(),
        operation: a.operation,
        metric: a.metric,
        ratio: mean(&d).exp(),
        low: interval.map(|(_, low, _)| low.exp()),
        high: interval.map(|(_, _, high)| high.exp()),
        verdict,
        reason,
    })
}

fn decide(
    seed: u64,
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
    let p = sign_flip(d, seed);
    if low > -tie && high < tie {
        return (Verdict::NoDifference, format!("any difference is below 3 %{fragile}"));
    }
    if (low > 0.0 || high < 0.0) && p <= 0.05 {
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
