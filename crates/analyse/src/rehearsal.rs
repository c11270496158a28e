//! What the traces before a session say: the length of its slices (placebo), their guard, and the warm-up (METHOD, section 3).

use std::{collections::BTreeMap, time::Duration};

use dyno_model::{
    Rate, Span,
    plan::Plan,
    rehearsal::{BIN_MS, Choice, Trace, TracePurpose},
    warning::Warning,
};

use crate::{
    agenda::{LONGER, NOISY, percent, told},
    placebo::{self, Setting, calibrate},
    warm_up::{self, cut, warm_up_s},
};

/// The least that each slice's beginning isn't counted for, in seconds: a tick of the kernel's. METHOD has 0.03, which rules out
/// slices of 0.1 s, the best where a CPU's speed comes and goes (`docs/design/2026-11-28-speed.md`).
const GUARD_S: f64 = 0.01;
/// The guard is so many times the 99th percentile of answers.
const GUARD_P99S: f64 = 3.0;
/// Slices are lengthened up to this for the sake of their guard, in seconds, where no placebo chooses.
const LONGEST_S: f64 = 2.0;
/// What starting and ending one stack in a block takes, about, in seconds, where no trace tells.
const START_S: f64 = 3.0;
/// How much blocks differ by what a fresh start changes, as a log-ratio, about: the traces, of processes started once, can't tell.
const BETWEEN_SD: f64 = 0.01;
/// The same of a table, whose blocks have two slices of each stack and operation: how the kernel deals connections out to workers is
/// drawn but twice in a block. Seen: pairs' blocks spread by 12 % where the placebo has 5 % (`evidence/2026-11-30-noisy`, the walk).
const TABLE_BETWEEN_SD: f64 = 0.1;
/// Fewest slices of each stack and operation in a block: two quads.
const FEWEST_SLICES: u32 = 4;
/// Of a budget, the part that blocks have: the rest is for the rehearsal, and for blocks that a disturbance takes.
const BLOCKS_SHARE: f64 = 0.85;
/// Bins of a trace in one of MSER-5's.
const MSER_BINS: usize = 4;

/// The plan with what its traces say, and why.
pub fn choose(plan: &Plan, traces: &[Trace]) -> Plan {
    let mut chosen = plan.clone();
    let mut choice = Choice::default();
    warm_up(&mut chosen, traces, &mut choice);
    let p99_us = traces
        .iter()
        .filter(|one| one.purpose != TracePurpose::WarmUp)
        .map(|one| one.p99_us)
        .fold(0.0, f64::max);
    let guard_s = (GUARD_P99S * p99_us / 1e6).max(GUARD_S);
    if let Some(placebo) = traces.iter().find(|one| one.purpose == TracePurpose::Placebo) {
        slices(&mut chosen, placebo, (guard_s, start_s(traces)), &mut choice);
    }
    chosen.design.rehearsal = Some(choice);
    chosen
}

/// Requests that a p99 needs over all blocks, and somewhat more: ten of a thousand lie beyond it.
const TAIL_REQUESTS: f64 = 1_100.0;
/// Longest slice at a rate that is chosen for the sake of a p99.
const LONGEST_OPEN_S: f64 = 4.0;

/// A table's plan with what was seen of its stacks while they were up: rates from the slowest of them, slices at a rate that are long
/// enough for a p99, the guard, and what differences such a run can tell. Its slices stay as long as they are: those of several
/// operations can't all suit their own noise.
pub fn settle(plan: &Plan, traces: &[Trace]) -> Plan {
    let mut settled = plan.clone();
    let mut choice = Choice::default();
    let slowest_us = traces.iter().map(|one| one.p99_us).fold(0.0, f64::max);
    let slice_s = plan.throughput.slice.0.as_secs_f64();
    let guard_s = (GUARD_P99S * slowest_us / 1e6).max(GUARD_S).min(slice_s / 4.0);
    settled.design.guard = span(guard_s);
    rates(&mut settled, traces, &mut choice);
    if let Some(placebo) = traces.iter().find(|one| one.purpose == TracePurpose::Placebo) {
        let quads = (plan.throughput.slices as usize / 2).max(1);
        let setting = Setting {
            bin_s: BIN_MS as f64 / 1e3,
            guard_s,
            setup_s: START_S,
            between_sd: TABLE_BETWEEN_SD,
            quads: Some(quads),
        };
        choice.block_sd = placebo::block_sd(&placebo.counts, setting, slice_s);
    }
    settled.design.rehearsal = Some(choice);
    settled
}

/// What differences a run can tell in its time, and in three times as much where that isn't enough: a sentence, from what was seen
/// before its first number. `elapsed_s` is the part of its budget that is spent. `None` where nothing is known of the noise, or too few blocks
/// fit for an interval.
pub fn reach(plan: &Plan, elapsed_s: f64) -> Option<String> {
    let block_sd = plan.design.rehearsal.as_ref()?.block_sd?;
    let (budget_s, block_s) = (plan.design.budget.0.as_secs_f64(), length_s(plan));
    let blocks = |budget_s: f64| {
        let by_time = ((budget_s - elapsed_s).max(0.0) / block_s) as u32;
        by_time.clamp(plan.design.blocks, plan.design.most_blocks.max(plan.design.blocks))
    };
    let minutes = |blocks: u32| ((elapsed_s + f64::from(blocks) * block_s) / 60.0).ceil();
    let told = |blocks| told(block_sd, blocks, plan.design.looks);
    let now = blocks(budget_s);
    if !told(now).is_finite() {
        return None;
    }
    let longer = blocks(LONGER * budget_s);
    // What a fresh start brings is no fault of the machine.
    let between_sd = if plan.design.looks { BETWEEN_SD } else { TABLE_BETWEEN_SD };
    let noisy = (block_sd.powi(2) - between_sd.powi(2)).max(0.0).sqrt() > NOISY;
    let mut words = format!(
        "{} under about {} can't be told here in {} minutes",
        if noisy { "this machine is noisy: differences" } else { "differences" },
        percent(told(now)),
        minutes(now)
    );
    if told(longer) < told(now) * 0.9 {
        let budget = (LONGER * budget_s / 60.0).ceil();
        words += &format!("; --budget {budget}m would tell about {}", percent(told(longer)));
    }
    Some(words)
}

/// Length of a block, about, in seconds.
fn length_s(plan: &Plan) -> f64 {
    let (stacks, operations) = (plan.stacks.len() as f64, plan.operations.len() as f64);
    let throughput_s = operations
        * f64::from(plan.throughput.slices)
        * (plan.throughput.slice.0.as_secs_f64() + BETWEEN_SLICES_S);
    let latency_s = plan.latency.as_ref().map_or(0.0, |latency| {
        latency.operations() as f64
            * f64::from(latency.slices)
            * (latency.slice.0.as_secs_f64() + BETWEEN_SLICES_S)
    });
    stacks * (TOGETHER_START_S + plan.design.warm_up.0.as_secs_f64() + throughput_s + latency_s)
}

/// What starting and ending one of several stacks takes that start at the same time on one CPU, and what a slice takes beside its
/// length, about, in seconds.
const TOGETHER_START_S: f64 = 1.3;
const BETWEEN_SLICES_S: f64 = 0.05;

/// Rates in the place of shares, and slices that are long enough.
fn rates(plan: &mut Plan, traces: &[Trace], choice: &mut Choice) {
    let blocks = f64::from(plan.design.blocks);
    let Some(latency) = &mut plan.latency else { return };
    let guard_s = plan.design.guard.0.as_secs_f64();
    for (operation, share) in std::mem::take(&mut latency.shares) {
        let rate = |one: &Trace| {
            one.counts.iter().sum::<u64>() as f64 * 1e3 / (one.counts.len().max(1) as f64 * BIN_MS as f64)
        };
        let seen = traces.iter().filter(|one| one.operation == operation).map(|one| (rate(one), &one.stack));
        let Some((slowest, stack)) = seen.filter(|(rate, _)| *rate > 0.0).min_by(|a, b| a.0.total_cmp(&b.0))
        else {
            choice
                .words
                .push(format!("{operation} has no latencies: no stack answered before the first block"));
            continue;
        };
        let Some(offered) = Rate::new_per_s(two_digits(slowest * share)) else { continue };
        choice.words.push(format!(
            "{operation} is offered at {offered}: {:.0} % of what {stack} answers, the slowest of them",
            share * 100.0
        ));
        latency.rates.insert(operation, offered);
        let slices = blocks * f64::from(latency.slices);
        let enough_s = (TAIL_REQUESTS / (offered.per_s() * slices) + guard_s).min(LONGEST_OPEN_S);
        latency.slice = latency.slice.max(span(enough_s));
    }
}

/// A number with its two first digits.
fn two_digits(value: f64) -> f64 {
    let unit = 10f64.powf(value.max(1e-9).log10().floor() - 1.0);
    let rounded = (value / unit).round() * unit;
    if unit >= 1.0 { rounded.round() } else { (rounded * 1e3).round() / 1e3 }
}

/// What starting and ending a stack takes in the mean, in seconds. Stacks that are up together start at the same time, so with several CPUs
/// for them it is less.
fn start_s(traces: &[Trace]) -> f64 {
    let known: Vec<f64> = traces.iter().filter_map(|one| Some(one.start?.0.as_secs_f64())).collect();
    if known.is_empty() { START_S } else { known.iter().sum::<f64>() / known.len() as f64 }
}

/// Length and number of slices, and their guard.
fn slices(plan: &mut Plan, placebo: &Trace, (guard_s, start_s): (f64, f64), choice: &mut Choice) {
    let operations = plan.operations.len().max(1) as f64;
    let warm_up_s = plan.design.warm_up.0.as_secs_f64();
    // Of a block's time outside its slices, the part of two stacks and one operation, which is what the placebo's blocks have.
    let setup_s = (start_s + warm_up_s) * 2.0 / operations;
    let setting =
        Setting { bin_s: BIN_MS as f64 / 1e3, guard_s, setup_s, between_sd: BETWEEN_SD, quads: None };
    let slice_s = match calibrate(&placebo.counts, setting) {
        Ok(found) => {
            choice.block_sd = Some(found.best.block_sd);
            choice.expected_blocks = Some(found.expected.blocks);
            choice.words.push(format!(
                "slices of {} ms: blocks of {} against itself differ by {:.1} %, {}, so that 3 % take about {:.0} blocks",
                found.best.slice_s * 1e3,
                placebo.stack,
                found.best.block_sd * 100.0,
                others(&found),
                found.expected.blocks
            ));
            choice.warnings.extend(found.warning);
            plan.throughput.slices = 2 * found.best.quads as u32;
            found.best.slice_s
        }
        Err(unusable) => {
            choice.words.push(format!("the placebo can't choose the slices' length: {unusable}"));
            let mut slice_s = plan.throughput.slice.0.as_secs_f64();
            while slice_s < 4.0 * guard_s && slice_s < LONGEST_S {
                slice_s *= 2.0;
            }
            slice_s
        }
    };
    let guard_s = guard_s.min(slice_s / 4.0);
    plan.throughput.slice = span(slice_s);
    plan.design.guard = span(guard_s);
    if let Some(latency) = &mut plan.latency {
        latency.slice = latency.slice.max(span(4.0 * guard_s));
    }
    fit(plan, start_s, choice);
    choice.words.push(format!(
        "the first {:.0} ms of each slice aren't counted: three times the slowest p99, at least 10 ms, at most a quarter",
        guard_s * 1e3
    ));
}

/// Takes slices from a block until the fewest blocks fit into the budget: long slices would else make blocks that no look comes after.
fn fit(plan: &mut Plan, start_s: f64, choice: &mut Choice) {
    let stacks = plan.stacks.len() as f64;
    let each_s = stacks * plan.operations.len() as f64 * plan.throughput.slice.0.as_secs_f64();
    let latency_s = plan.latency.as_ref().map_or(0.0, |latency| {
        stacks * latency.operations() as f64 * f64::from(latency.slices) * latency.slice.0.as_secs_f64()
    });
    let other_s = stacks * (start_s + plan.design.warm_up.0.as_secs_f64()) + latency_s;
    let block_s = plan.design.budget.0.as_secs_f64() * BLOCKS_SHARE / f64::from(plan.design.blocks.max(1));
    // Whole quads: an even number.
    let slices = (((block_s - other_s) / each_s / 2.0).max(0.0) as u32 * 2).max(FEWEST_SLICES);
    if slices >= plan.throughput.slices {
        return;
    }
    choice.words.push(format!(
        "{slices} slices of each stack and operation in a block instead of {}, for {} blocks to fit into {}",
        plan.throughput.slices, plan.design.blocks, plan.design.budget
    ));
    plan.throughput.slices = slices;
    let needed_s = (other_s + f64::from(slices) * each_s) * f64::from(plan.design.blocks);
    if needed_s > plan.design.budget.0.as_secs_f64() {
        let minutes = (needed_s / 60.0).ceil();
        choice.warnings.push(Warning {
            id: "budget".to_owned(),
            subject: plan.name.clone(),
            text: format!("{} blocks take about {minutes:.0} minutes", plan.design.blocks),
            advice: "it takes longer than its budget; give a longer --budget or fewer operations".to_owned(),
        });
    }
}

fn others(found: &placebo::Calibration) -> String {
    let others = found.candidates.iter().filter(|one| one.eligible && one.slice_s != found.best.slice_s);
    let words: Vec<String> =
        others.map(|one| format!("{:.1} % at {} ms", one.block_sd * 100.0, one.slice_s * 1e3)).collect();
    if words.is_empty() { "no other length fits".to_owned() } else { words.join(", ") }
}

/// The warm-up, where it was measured.
fn warm_up(plan: &mut Plan, traces: &[Trace], choice: &mut Choice) {
    let mut runs: BTreeMap<_, Vec<Vec<u64>>> = BTreeMap::new();
    for trace in traces.iter().filter(|one| one.purpose == TracePurpose::WarmUp) {
        let bins = trace.counts.chunks_exact(MSER_BINS).map(|bins| bins.iter().sum());
        runs.entry((trace.stack.clone(), trace.operation)).or_default().push(bins.collect());
    }
    if runs.is_empty() {
        return;
    }
    let bin_s = MSER_BINS as f64 * BIN_MS as f64 / 1e3;
    let mut cuts: Vec<warm_up::Cut> = Vec::new();
    for ((stack, _), runs) in &runs {
        let Some(cut) = cut(runs) else { continue };
        if cut.at_the_end {
            choice.warnings.push(Warning {
                id: "warm_up".to_owned(),
                subject: stack.to_string(),
                text: "it isn't steady within the time that was looked at".to_owned(),
                advice: "its numbers hold for a freshly started process only; give a longer --warm-up"
                    .to_owned(),
            });
        }
        choice.words.push(format!(
            "{stack} is warm after {:.1} s (MSER-5 over {} starts)",
            cut.bins as f64 * bin_s,
            runs.len()
        ));
        cuts.push(cut);
    }
    // A block's warm-up is shared out over the operations.
    let seconds = warm_up_s(&cuts, bin_s) * plan.operations.len().max(1) as f64;
    plan.design.warm_up = span(seconds);
    choice.words.push(format!("a warm-up of {seconds:.1} s in each block: one and a half times the longest, at least 2 s for each operation"));
}

/// In whole milliseconds.
fn span(seconds: f64) -> Span {
    Span(Duration::from_millis((seconds * 1e3).round() as u64))
}

#[cfg(test)]
mod tests {
    use dyno_model::{Operation, StackName};

    use super::*;
    use crate::synthetic;

    fn plan() -> Plan {
        synthetic::run(&[("flask/gunicorn", 1_000.0), ("flask/waitress", 900.0)]).plan
    }

    fn trace(purpose: TracePurpose, counts: Vec<u64>, p99_us: f64) -> Trace {
        let stack: StackName = "flask/gunicorn".parse().unwrap();
        Trace {
            purpose,
            stack,
            operation: Operation::Types,
            start: None,
            warm_up: Span::seconds(2),
            counts,
            p99_us,
        }
    }

    /// A minute that is fast for half a second and slow for half a second: short slices see it as a difference.
    fn uneven() -> Vec<u64> {
        (0..2_400).map(|bin| if bin % 40 < 20 { 130 } else { 70 }).collect()
    }

    #[test]
    fn the_placebo_chooses_slices_and_says_why() {
        let chosen = choose(&plan(), &[trace(TracePurpose::Placebo, uneven(), 10_000.0)]);
        assert!(chosen.throughput.slice.0 > Duration::from_millis(250), "{:?}", chosen.throughput);
        assert_eq!(chosen.design.guard, Span::milliseconds(30));
        let soon = choose(&plan(), &[trace(TracePurpose::Placebo, uneven(), 1_000.0)]);
        assert_eq!(soon.design.guard, Span::milliseconds(10), "a tick");
        let choice = chosen.design.rehearsal.unwrap();
        assert!(choice.block_sd.is_some() && choice.words[0].contains("% at 250 ms"), "{choice:?}");
    }

    #[test]
    fn the_slowest_answers_bound_the_guard_and_with_it_the_length() {
        let traces = [
            trace(TracePurpose::Placebo, vec![100; 2_400], 5_000.0),
            trace(TracePurpose::Answers, vec![10; 80], 100_000.0),
        ];
        let chosen = choose(&plan(), &traces);
        assert_eq!(chosen.design.guard, Span::milliseconds(300));
        assert!(chosen.throughput.slice.0 >= Duration::from_millis(1_200));
    }

    #[test]
    fn without_a_usable_placebo_slices_are_doubled_for_their_guard() {
        let chosen = choose(&plan(), &[trace(TracePurpose::Placebo, Vec::new(), 60_000.0)]);
        assert_eq!(chosen.throughput.slice.0.as_millis() % plan().throughput.slice.0.as_millis(), 0);
        assert!(chosen.throughput.slice.0 >= 4 * chosen.design.guard.0);
        assert!(chosen.design.rehearsal.unwrap().words[0].contains("can't choose"));
        let slow = choose(&plan(), &[trace(TracePurpose::Placebo, Vec::new(), 9e6)]);
        assert!(slow.throughput.slice.0 >= Duration::from_secs(2), "{:?}", slow.throughput);
        assert_eq!(slow.design.guard.0, slow.throughput.slice.0 / 4, "never more than a quarter");
    }

    #[test]
    fn long_slices_are_fewer_where_the_budget_is_short() {
        let traces = [
            trace(TracePurpose::Placebo, Vec::new(), 5_000.0),
            trace(TracePurpose::Answers, vec![10; 80], 300_000.0),
        ];
        let mut plan = plan();
        plan.throughput.slices = 16;
        plan.latency = None;
        let chosen = |minutes: u64| {
            let mut plan = plan.clone();
            plan.design.budget = Span::seconds(60 * minutes);
            choose(&plan, &traces)
        };
        let (long, short, tiny) = (chosen(600), chosen(12), chosen(1));
        assert_eq!(long.throughput.slices, 16);
        assert_eq!(short.throughput.slice, long.throughput.slice, "only their number");
        assert!((4..16).contains(&short.throughput.slices), "{:?}", short.throughput);
        let choice = short.design.rehearsal.unwrap();
        assert!(choice.words.iter().any(|words| words.contains("8 blocks to fit into 12m")), "{choice:?}");
        assert!(choice.warnings.is_empty(), "{choice:?}");
        assert_eq!(tiny.throughput.slices, 4);
        let warning = &tiny.design.rehearsal.unwrap().warnings[0];
        assert_eq!(warning.id, "budget");
    }

    #[test]
    fn stacks_that_start_fast_leave_time_for_slices() {
        let mut plan = plan();
        plan.latency = None;
        plan.throughput.slices = 64;
        plan.design.budget = Span::seconds(300);
        let slices = |start| {
            let trace = Trace { start, ..trace(TracePurpose::Placebo, Vec::new(), 5_000.0) };
            choose(&plan, &[trace]).throughput.slices
        };
        let (fast, slow) = (slices(Some(Span::seconds(1))), slices(Some(Span::seconds(9))));
        assert!(fast > slices(None) && slices(None) > slow, "{fast} {} {slow}", slices(None));
    }

    #[test]
    fn what_can_be_told_is_said_before_the_first_number() {
        let mut plan = plan();
        plan.design.budget = Span::seconds(480);
        plan.design.most_blocks = 60;
        assert_eq!(reach(&plan, 60.0), None, "nothing is known");
        let mut of = |sd: f64| {
            plan.design.rehearsal = Some(Choice { block_sd: Some(sd), ..Choice::default() });
            reach(&plan, 60.0).unwrap()
        };
        let (calm, noisy) = (of(0.02), of(0.4));
        let mut few = plan.clone();
        (few.design.blocks, few.design.most_blocks) = (2, 2);
        assert_eq!(reach(&few, 60.0), None, "two blocks have no interval");
        assert!(calm.starts_with("differences under about "), "{calm}");
        assert!(noisy.starts_with("this machine is noisy: differences under about "), "{noisy}");
        assert!(noisy.contains("--budget 24m would tell"), "{noisy}");
    }

    #[test]
    fn rates_are_shares_of_the_slowest_and_slices_long_enough_for_a_p99() {
        let mut plan = plan();
        plan.design.blocks = 5;
        let latency = plan.latency.as_mut().unwrap();
        latency.rates.clear();
        latency.shares = BTreeMap::from([(Operation::Types, 0.5)]);
        // 20 in 25 ms are 800/s, 8 are 320/s.
        let slow = Trace {
            stack: "flask/waitress".parse().unwrap(),
            ..trace(TracePurpose::Answers, vec![8; 20], 9_000.0)
        };
        let settled = settle(&plan, &[trace(TracePurpose::Placebo, vec![20; 240], 2_000.0), slow]);
        let latency = settled.latency.unwrap();
        assert_eq!(latency.rates[&Operation::Types], Rate::new_per_s(160.0).unwrap());
        assert!(latency.shares.is_empty());
        let requests = 160.0 * (latency.slice.0 - settled.design.guard.0).as_secs_f64() * 5.0;
        assert!((1_000.0..1_300.0).contains(&requests), "{requests}");
        assert_eq!(settled.design.guard, Span::milliseconds(27), "three times the slowest p99");
        let choice = settled.design.rehearsal.unwrap();
        assert!(choice.words[0].contains("160/s: 50 % of what flask/waitress answers"), "{choice:?}");
        assert!(choice.block_sd.is_some_and(|sd| sd >= BETWEEN_SD));
        assert_eq!(settle(&plan, &[]).latency.unwrap().rates.len(), 0, "nobody answered");
        assert_eq!([0.0123, 3.21, 161.7, 99_500.0].map(two_digits), [0.012, 3.2, 160.0, 100_000.0]);
    }

    #[test]
    fn a_slow_start_lengthens_the_warm_up_for_each_operation() {
        let start: Vec<u64> = (0..1_200).map(|bin| if bin < 160 { 40 } else { 100 }).collect();
        let traces: Vec<Trace> = (0..5).map(|_| trace(TracePurpose::WarmUp, start.clone(), 1.0)).collect();
        let chosen = choose(&plan(), &traces);
        let each = chosen.design.warm_up.0 / plan().operations.len() as u32;
        assert!(each >= Duration::from_secs(6) && each < Duration::from_secs(7), "{each:?}");
        assert_eq!(chosen.throughput, plan().throughput, "nothing else is chosen");
        let rising: Vec<u64> = (0..1_200).map(|at| 100 + at * at).collect();
        let choice = choose(&plan(), &[trace(TracePurpose::WarmUp, rising, 1.0)]).design.rehearsal.unwrap();
        assert_eq!(choice.warnings[0].id, "warm_up");
    }
}
