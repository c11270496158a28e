//! Reasons to doubt, beside what they touch: which are one stack's own, which an operation's, which the whole run's.

use dyno_analyse::{Analysis, Trust};
use dyno_model::{
    Operation, StackName,
    output::{Comparison, Metric, Verdict},
    record::Run,
};

/// What noise did to the figures, said below what the noise was.
pub const EFFECT: &str = "Intervals are wider for this; nothing is refused for it.";

/// Why a stack's figure, or its ratio to the baseline, carries no verdict, where that is the stack's own reason and not everybody's.
pub fn own(
    run: &Run,
    analysis: &Analysis,
    stack: &StackName,
    operation: Operation,
    metric: Metric,
) -> Option<String> {
    if analysis.trust.grade == '-' {
        return None;
    }
    if let Some(reason) = analysis.own_refusal(stack, operation, metric) {
        return Some(reason.to_owned());
    }
    if analysis.own_refusal(&run.plan.baseline, operation, metric).is_some() {
        return None;
    }
    let of = |one: &&Comparison| one.a == *stack && one.operation == operation && one.metric == metric;
    let one = analysis.comparisons.iter().find(of)?;
    (one.verdict == Verdict::NoVerdict).then(|| one.reason.clone())
}

/// Why no ratio of an operation and metric carries a verdict, where the reason is the baseline's; the whole run's is told before all.
pub fn of_baseline(run: &Run, analysis: &Analysis, operation: Operation, metric: Metric) -> Option<String> {
    let baseline = &run.plan.baseline;
    let reason = analysis.own_refusal(baseline, operation, metric)?;
    (analysis.trust.grade != '-')
        .then(|| format!("no verdict on any ratio to {baseline}, because of {baseline} itself: {reason}"))
}

/// All that makes a stack's figures of an operation less sure, refusals first.
pub fn all_of(run: &Run, analysis: &Analysis, stack: &StackName, operation: Operation) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for metric in Metric::ALL {
        let Some(reason) = own(run, analysis, stack, operation, metric) else { continue };
        match all.iter_mut().find(|one| one.ends_with(&format!(": {reason}"))) {
            Some(one) => *one = format!("{}, {one}", word(metric)),
            None => all.push(format!("{}: {reason}", word(metric))),
        }
    }
    let subject = format!("{stack} {operation}");
    for warning in &analysis.warnings {
        let Some(part) = warning.subject.strip_prefix(&subject) else { continue };
        let is_new = !all.iter().any(|one| one.contains(&warning.text));
        if is_new && (part.is_empty() || part.starts_with(' ')) {
            let part = part.trim_start().replace('_', " ");
            all.push(if part.is_empty() {
                warning.text.clone()
            } else {
                format!("{part}: {}", warning.text)
            });
        }
    }
    all
}

/// A metric as a word of a sentence.
pub const fn word(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "requests/s",
        Metric::CpuPerRequest => "CPU",
        Metric::DatabaseCpuPerRequest => "database CPU",
        Metric::LatencyP50 => "p50",
        Metric::LatencyP90 => "p90",
        Metric::LatencyP99 => "p99",
        Metric::Memory => "memory",
    }
}

/// Letter and points of a run's trust.
pub fn grade(trust: &Trust) -> String {
    match trust.grade {
        '-' => "none: no verdict is allowed".to_owned(),
        grade => format!("{grade}, {} of 100", trust.score),
    }
}

/// The run's reasons that aren't noise: what must be said before it.
pub fn beside_noise(trust: &Trust) -> impl Iterator<Item = &String> {
    trust.reasons.iter().filter(|reason| !trust.noise.contains(reason))
}
