//! What may be claimed about a ratio: paired log-ratios over blocks, an interval, and the sign-flip test (METHOD,
//! section 4). Where plan and clock fix the number of blocks, it is a t interval; where the numbers decide when a run
//! ends, the repeated interval of the last look.

use dyno_model::{
    StackName, Variant,
    output::{Comparison, Metric, Verdict},
    record::Run,
};

use crate::{
    FEWEST_BLOCKS, FIRST_BLOCKS, Series, TIE,
    health::Health,
    looks::{LEVEL, Looks, last_look},
    ranks::logs,
    spread::{moderated_interval, spread},
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
        let common = common_variance(series, a);
        comparisons.extend(baseline.and_then(|b| compare_pair(run, a, b, common, health)));
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
        let Some((_, low, high)) = interval_of(run, &d, level, common_variance(series, a)) else { continue };
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
    if run.plan.design.looks { last_look(d.len()).unwrap_or(d.len()) } else { d.len() }
}

/// Mean and interval at a level: of a run with looks the repeated interval of its last look, of a table the moderated t interval, and
/// of a run that was stopped before its first look the plain one, for then it wasn't the numbers that stopped it.
fn interval_of(run: &Run, d: &[f64], level: f64, common: Option<f64>) -> Option<(f64, f64, f64)> {
    if run.plan.design.looks && d.len() >= FEWEST_BLOCKS {
        let interval = Looks::of(level).interval(d)?;
        return Some((interval.mean, interval.low, interval.high));
    }
    if d.len() < FIRST_BLOCKS {
        return None;
    }
    match common.filter(|_| !run.plan.design.looks) {
        Some(common) => Some(moderated_interval(d, common, level)),
        None => t_interval_at(d, level),
    }
}

/// The variance of one stack in one block that the stacks of a table have in common; `None` for fewer than four, whose spread says
/// little more than a pair's own.
fn common_variance(series: &[Series], one: &Series) -> Option<f64> {
    let of: Vec<&Series> = series
        .iter()
        .filter(|other| other.operation == one.operation && other.metric == one.metric)
        .collect();
    (of.len() >= FEWEST_STACKS).then(|| spread(&logs(&of, one.metric)).map(|found| found.common))?
}

/// Fewest stacks of a table that have a common spread.
const FEWEST_STACKS: usize = 4;

fn compare_pair(
    run: &Run,
    a: &Series,
    b: &Series,
    common: Option<f64>,
    health: &Health,
) -> Option<Comparison> {
    let all = log_ratios(a, b);
    if all.is_empty() {
        return None;
    }
    let unequal = health.unequal(&a.stack, &b.stack, a.operation).filter(|_| a.metric == Metric::Throughput);
    let interval = interval_of(run, &all, LEVEL, common).map(|(mean, low, high)| {
        let (low, high) = unequal.map_or((low, high), |one| one.widen((low, high)));
        (mean, low, high)
    });
    let d = if interval.is_some() { &all[..seen(run, &all)] } else { &all };
    let (verdict, mut reason) = decide(run, a, b, d, interval, health);
    if let Some(unequal) = unequal.filter(|_| verdict != Verdict::NoVerdict) {
        let (more, less) = if unequal.by > 0.0 { (a, b) } else { (b, a) };
        let percent = 100.0 * (1.0 - (-unequal.by.abs()).exp());
        reason.push_str(&format!(
            "; others cost {} {percent:.0} % more than {}: the interval holds the ratio with them and without",
            more.stack, less.stack
        ));
    }
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
    let followed = || health.followed(&a.stack, &b.stack, a.operation, a.metric);
    let whole = health.no_verdict.first().cloned();
    if let Some(reason) = whole.or_else(|| refused(&a.stack)).or_else(|| refused(&b.stack)).or_else(followed)
    {
        // CPU per request survives a limit elsewhere; what refuses it refuses everything.
        return (Verdict::NoVerdict, reason);
    }
    let Some((_, low, high)) = interval else {
        return (Verdict::NoVerdict, format!("{} paired blocks; an interval needs {FIRST_BLOCKS}", d.len()));
    };
    let tie = TIE.ln();
    let fragile =
        if skewness(d).abs() > 1.5 { "; fragile: one block differs much from the others" } else { "" };
    if low > -tie && high < tie {
        return (Verdict::NoDifference, format!("any difference is below 3 %{fragile}"));
    }
    if (low > 0.0 || high < 0.0) && flips_agree(run, d) {
        let (low, high) = (low.exp(), high.exp());
        let words = words_of(a.metric, low, high);
        return (Verdict::Different, format!("{words}{fragile}"));
    }
    if run.plan.design.looks && d.len() < FEWEST_BLOCKS {
        let words = format!("it ended before its first look at {FEWEST_BLOCKS} blocks{fragile}");
        return (Verdict::Inconclusive, words);
    }
    let most = (low.exp() - 1.0).abs().max((high.exp() - 1.0).abs());
    (Verdict::Inconclusive, format!("any difference is below {:.0} %{fragile}", most * 100.0))
}

/// Whether the sign-flip test agrees that a pair differs. Of fewer than six blocks it can't: their patterns are too few for a level of
/// 5 %, and the interval decides alone, except where the numbers decide when a run ends.
fn flips_agree(run: &Run, d: &[f64]) -> bool {
    let alpha = match run.plan.design.looks {
        true => Looks::of(LEVEL).reached(d.len()).map_or(0.0, |look| look.alpha),
        false if d.len() < FEWEST_FLIPS => return true,
        false => LEVEL,
    };
    sign_flip(d, run.seed) <= alpha
}

/// Fewest blocks whose patterns of signs allow a p of 5 %: two of 2^6 are 3.1 %.
const FEWEST_FLIPS: usize = 6;

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
