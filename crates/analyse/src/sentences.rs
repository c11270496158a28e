//! The answer in sentences, with intervals; ties said as ties. What may not be claimed is told as measured, and why it isn't claimed.

use dyno_model::{
    Operation, StackName,
    output::{Comparison, Estimate, Metric, Verdict},
    record::Run,
};

use crate::{FIRST_BLOCKS, Refusal, trust::Trust};

/// The run's answer: what must not be believed first, then one sentence for each operation.
pub fn sentences(
    run: &Run,
    results: &[Estimate],
    comparisons: &[Comparison],
    refusals: &[Refusal],
    trust: &Trust,
) -> Vec<String> {
    let mut all = Vec::new();
    if trust.grade == '-' {
        all.push(format!("No verdict: {}.", trust.reasons.join("; ")));
    }
    for &operation in &run.plan.operations {
        let is_rate = |of: Operation, metric| of == operation && metric == Metric::Throughput;
        let of = Rates {
            operation,
            baseline: &run.plan.baseline,
            estimates: sorted(results.iter().filter(|one| is_rate(one.operation, one.metric))),
            ratios: comparisons.iter().filter(|one| is_rate(one.operation, one.metric)).collect(),
            refusals: refusals.iter().filter(|one| is_rate(one.operation, one.metric)).collect(),
        };
        all.extend(of.duet(trust).or_else(|| of.fastest(trust)));
    }
    all
}

fn sorted<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Vec<&'a Estimate> {
    let mut all: Vec<&Estimate> = estimates.collect();
    all.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
    all
}

/// Throughputs of one operation.
struct Rates<'a> {
    operation: Operation,
    baseline: &'a StackName,
    /// Best first.
    estimates: Vec<&'a Estimate>,
    ratios: Vec<&'a Comparison>,
    refusals: Vec<&'a Refusal>,
}

impl Rates<'_> {
    /// Of two stacks the verdict is the answer.
    fn duet(&self, trust: &Trust) -> Option<String> {
        let [one] = self.ratios[..] else { return None };
        let interval = interval(one, 3);
        let words = match one.verdict {
            Verdict::Different => format!("{} is {} than {}", one.a, one.reason, one.b),
            Verdict::NoDifference => format!("no difference between {} and {}: {}", one.a, one.b, one.reason),
            Verdict::Inconclusive => format!("inconclusive between {} and {}: {}", one.a, one.b, one.reason),
            // Why is the first sentence.
            Verdict::NoVerdict if trust.grade == '-' => format!("no verdict on {} and {}", one.a, one.b),
            Verdict::NoVerdict => format!("no verdict on {} and {}: {}", one.a, one.b, one.reason),
        };
        Some(format!("{}: {words}; ratio of throughputs {interval}.", self.operation))
    }

    fn fastest(&self, trust: &Trust) -> Option<String> {
        let ranked: Vec<&Estimate> =
            self.estimates.iter().copied().filter(|one| one.rank.is_some()).collect();
        let Some(first) = ranked.first() else { return self.as_measured(trust) };
        let ties: Vec<String> = ranked
            .iter()
            .skip(1)
            .filter(|one| one.rank.zip(first.rank).is_some_and(|(one, first)| one.0 <= first.1))
            .map(|one| one.stack.to_string())
            .collect();
        let left_out = self.left_out();
        let among = if left_out.is_empty() { "" } else { " of those ranked" };
        let against = self.against(&first.stack);
        let words = if ties.is_empty() {
            format!("{} is fastest{among}{against} (95 % sure)", first.stack)
        } else {
            let names: Vec<String> = std::iter::once(first.stack.to_string()).chain(ties).collect();
            let of_first = match against.strip_prefix(", ") {
                Some(times) => format!("; {} has {times}", first.stack),
                None => against,
            };
            format!("{} are tied for the first place{among}, none surely faster{of_first}", list(&names))
        };
        Some(format!("{}: {words}{left_out}.", self.operation))
    }

    /// Without any rank: the figures, and why they are no answer.
    fn as_measured(&self, trust: &Trust) -> Option<String> {
        let first = self.estimates.first()?;
        let blocks = self.estimates.iter().map(|one| one.blocks).min().unwrap_or(0);
        let reason = if trust.grade == '-' {
            // Why is the first sentence.
            String::new()
        } else if (blocks as usize) < FIRST_BLOCKS {
            format!(": {blocks} blocks have answers of every stack, and an interval needs {FIRST_BLOCKS}")
        } else if self.estimates.len() == 1 {
            ": there is only one stack".to_owned()
        } else {
            self.left_out().trim_start_matches("; ").replacen("not ranked", ": not ranked", 1)
        };
        let against = self.against(&first.stack);
        let most = if against.is_empty() {
            String::new()
        } else {
            format!("; as measured {} has the most answers{against}", first.stack)
        };
        Some(format!("{}: no ranking{reason}{most}.", self.operation))
    }

    /// How a stack stands to the baseline, or the next to the baseline; empty where there is no ratio.
    fn against(&self, stack: &StackName) -> String {
        let is_baseline = stack == self.baseline;
        let found = if is_baseline {
            let next = self.ratios.iter().filter(|one| self.is_ranked(&one.a) == self.is_ranked(stack));
            next.max_by(|a, b| a.ratio.total_cmp(&b.ratio))
        } else {
            self.ratios.iter().find(|one| one.a == *stack)
        };
        let Some(one) = found else { return String::new() };
        let subject = if is_baseline { format!("; {} has ", one.a) } else { ", ".to_owned() };
        format!("{subject}{} the throughput of {}", times(one), self.baseline)
    }

    fn is_ranked(&self, stack: &StackName) -> bool {
        self.estimates.iter().any(|one| one.stack == *stack && one.rank.is_some())
    }

    /// Who isn't ranked, and why.
    fn left_out(&self) -> String {
        let few = |one: &Estimate| (one.blocks as usize) < FIRST_BLOCKS;
        let unranked = |absent: bool| -> Vec<&StackName> {
            let all = self.estimates.iter().filter(|one| one.rank.is_none() && few(one) == absent);
            all.map(|one| &one.stack).collect()
        };
        let mut text = String::new();
        for (reason, names) in self.by_reason(&unranked(false)) {
            text += &format!("; not ranked: {}, because {reason}", list(&names));
        }
        let absent: Vec<String> = unranked(true).into_iter().map(ToString::to_string).collect();
        if !absent.is_empty() {
            text += &format!("; not ranked: {}, because they answered in too few blocks", list(&absent));
        }
        text
    }

    fn by_reason(&self, stacks: &[&StackName]) -> Vec<(String, Vec<String>)> {
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for stack in stacks {
            let refusal = self.refusals.iter().find(|one| one.stack == **stack);
            let reason = refusal.map_or("no reason is known", |one| one.own().unwrap_or(&one.reason));
            match reasons.iter_mut().find(|one| one.0 == reason) {
                Some(one) => one.1.push(stack.to_string()),
                None => reasons.push((reason.to_owned(), vec![stack.to_string()])),
            }
        }
        if reasons.len() <= REASONS {
            return reasons;
        }
        let names = reasons.into_iter().flat_map(|one| one.1).collect();
        vec![("of what stands beside their figures".to_owned(), names)]
    }
}

/// Most reasons that a sentence carries.
const REASONS: usize = 2;
/// Most names that a sentence carries; the table has them all.
const NAMES: usize = 6;

/// `1.52 [1.48, 1.57]` with so many digits.
fn interval(one: &Comparison, digits: usize) -> String {
    match one.low.zip(one.high) {
        Some((low, high)) => format!("{:.digits$} [{low:.digits$}, {high:.digits$}]", one.ratio),
        None => format!("{:.digits$}, without an interval", one.ratio),
    }
}

/// `1.52 times [1.48, 1.57]`.
fn times(one: &Comparison) -> String {
    match one.low.zip(one.high) {
        Some((low, high)) => format!("{:.2} times [{low:.2}, {high:.2}]", one.ratio),
        None => format!("{:.2} times (without an interval)", one.ratio),
    }
}

/// `A, B and C`.
fn list(names: &[String]) -> String {
    match names.split_at_checked(NAMES) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => match names {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.join(", "),
        },
    }
}
