//! Calibration: sessions of a stack against itself and against itself slowed by a known share show how often the procedure
//! cries wolf and how often it finds what is there (METHOD, Part IV). What is counted are probabilities, so each count
//! comes with its own interval.

use dyno_model::{
    MOST_LOOPS,
    calibration::{
        Alarm, BurnSize, Calibration, CalibrationSummary, Length, Session, SessionKind, Spread, Tally,
    },
    output::{Comparison, Metric, Verdict},
    record::{Block, Run},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    Analysis, Series, TIE, analyse,
    looks::{Decision, LEVEL, Looks, instrument_floor},
    statistics::{binomial_beyond, mean, standard_deviation, t_interval, wilson},
    verdicts::log_ratios,
};

/// How often a right procedure finds a slowdown of 3 % within its budget: METHOD's simulations.
pub const POWER: f64 = 0.93;
/// How often an alarm may be raised though the procedure is right. With it the rule has METHOD's numbers: of 60 A/A more
/// than 6, of 100 more than 9, of 200 more than 16; of 60 A/B fewer than 52, of 100 fewer than 88.
const FALSE_ALARM: f64 = 0.03;

/// Loops of the first copy that is measured: some 50 us on CPython, a third of a small request.
pub const FIRST_PILOT: u32 = 10_000;
/// Loops of the copy that a slowed one is compared with. Not 0: a copy that burns has one more layer before its app, whose cost isn't in
/// proportion to the loops (`evidence/2026-11-29-calibration`).
pub const BASE: u32 = 1;
/// Share of a request's CPU time that a pilot should take: so much that the noise is small beside it.
const PILOT_SHARE: f64 = 0.4;

/// What a pilot's blocks say of the size of a slowdown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pilot {
    /// The size.
    Size(BurnSize),
    /// Too small to be seen, or so large that the proportion may not hold: these loops should be tried.
    Again(u32),
}

/// The loops that make a stack slower by a share, in proportion to what `pilot` loops cost in CPU time per request: the
/// first stack of the run has them, the baseline has [`BASE`]. `None` when CPU time wasn't read in two blocks.
pub fn burn_size(run: &Run, blocks: &[Block], pilot: u32, slowdown: f64) -> Option<Pilot> {
    let analysis = analyse(run, blocks);
    let (copy, stack) = pair(run, &analysis, Metric::CpuPerRequest)?;
    let d = log_ratios(copy, stack);
    let (mean, low, high) = t_interval(&d)?;
    let share = mean.exp_m1();
    let wanted = PILOT_SHARE.max(slowdown);
    let base = run.plan.baseline.variant.burn.unwrap_or(0);
    let turns = |loops: u32| f64::from(loops) - f64::from(base);
    let whole = |times: f64| {
        let most = f64::from(MOST_LOOPS - base);
        base + (turns(pilot) * times).round().clamp(1.0, most) as u32
    };
    if !(0.3 * wanted..=4.0 * wanted).contains(&share) {
        return Some(Pilot::Again(whole((wanted / share.max(0.01 * wanted)).clamp(0.01, 100.0))));
    }
    let loops = whole(slowdown / share);
    let times = turns(loops) / turns(pilot);
    Some(Pilot::Size(BurnSize {
        pilot,
        blocks: d.len() as u32,
        loops,
        base,
        share: share * times,
        low: low.exp_m1() * times,
        high: high.exp_m1() * times,
    }))
}

/// Sessions of both kinds in random order: what the machine does over hours falls on both alike.
pub fn order(aa: u32, ab: u32, seed: u64) -> Vec<SessionKind> {
    let all = [(SessionKind::Aa, aa), (SessionKind::Ab, ab)];
    let mut order: Vec<SessionKind> =
        all.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count as usize)).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// What a finished session says, from its record. `differs` is left empty.
pub fn session(kind: SessionKind, run: &Run, blocks: &[Block]) -> Session {
    let analysis = analyse(run, blocks);
    let throughput = compared(&analysis, Metric::Throughput);
    let by_numbers = decide(run, &analysis);
    let beyond = by_numbers.as_ref().is_some_and(Decision::beyond_zero);
    let verdict = throughput.map_or(Verdict::NoVerdict, |one| one.verdict);
    Session {
        kind,
        run: run.run.clone(),
        started: run.started.clone(),
        seconds: blocks.iter().map(|block| block.length_ns as f64 / 1e9).sum(),
        blocks: analysis.blocks,
        verdict,
        reason: throughput.map_or_else(|| missing(&analysis), |one| one.reason.clone()),
        beyond_zero: verdict != Verdict::NoVerdict && beyond,
        by_numbers: by_numbers.map(|one| one.verdict),
        beyond_zero_by_numbers: beyond,
        ratio: throughput.map(|one| one.ratio),
        low: throughput.and_then(|one| one.low),
        high: throughput.and_then(|one| one.high),
        cpu_ratio: compared(&analysis, Metric::CpuPerRequest).map(|one| one.ratio),
        differs: Vec::new(),
    }
}

fn compared(analysis: &Analysis, metric: Metric) -> Option<&Comparison> {
    analysis.comparisons.iter().find(|one| one.metric == metric)
}

fn missing(analysis: &Analysis) -> String {
    let rows = analysis.not_run.iter().map(|row| format!("{}: {}", row.stack, row.reason));
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() { "no block has both stacks".to_owned() } else { rows.join("; ") }
}

/// A metric of the other stack and of the baseline, block by block.
fn pair<'a>(run: &Run, analysis: &'a Analysis, metric: Metric) -> Option<(&'a Series, &'a Series)> {
    let of = |baseline: bool| {
        let is = |one: &&Series| one.metric == metric && (one.stack == run.plan.baseline) == baseline;
        analysis.series.iter().find(is)
    };
    Some((of(false)?, of(true)?))
}

/// What the numbers say at the look at which the session would have stopped.
fn decide(run: &Run, analysis: &Analysis) -> Option<Decision> {
    let (a, b) = pair(run, analysis, Metric::Throughput)?;
    let d = log_ratios(a, b);
    Looks::of(LEVEL).decide_as_run(&d, TIE.ln(), None, run.seed)
}

/// What follows from the sessions that are done.
pub fn summarise(calibration: &Calibration) -> CalibrationSummary {
    let of = |kind| -> Vec<&Session> { calibration.sessions.iter().filter(|one| one.kind == kind).collect() };
    let (aa, ab) = (of(SessionKind::Aa), of(SessionKind::Ab));
    let slower = |one: &&Session| one.ratio.is_some_and(|ratio| ratio < 1.0);
    let different = tally(&aa, |one| one.verdict == Verdict::Different);
    let found = tally(&ab, |one| one.beyond_zero && slower(&one));
    let logs = |sessions: &[&Session], value: fn(&Session) -> Option<f64>| -> Vec<f64> {
        sessions.iter().filter_map(|one| value(one)).map(f64::ln).collect()
    };
    let aa_logs = logs(&aa, |one| one.ratio);
    let no_verdict = |sessions: &[&Session]| count(sessions, |one| one.verdict == Verdict::NoVerdict);
    CalibrationSummary {
        different,
        found,
        different_by_numbers: tally(&aa, |one| one.by_numbers == Some(Verdict::Different)),
        found_by_numbers: tally(&ab, |one| one.beyond_zero_by_numbers && slower(&one)),
        wrong_sign: count(&ab, |one| one.beyond_zero && !slower(&one)),
        no_verdict: (no_verdict(&aa), no_verdict(&ab)),
        aa_length: length(&aa),
        ab_length: length(&ab),
        aa_estimates: spread(&aa_logs),
        ab_estimates: spread(&logs(&ab, |one| Some(one.ratio?.recip()))),
        ab_cpu: spread(&logs(&ab, |one| one.cpu_ratio)),
        floor: instrument_floor(&aa_logs).map(f64::exp_m1),
        alarms: alarms(different, found, calibration),
    }
}

fn count(sessions: &[&Session], is: impl Fn(&Session) -> bool) -> u32 {
    sessions.iter().filter(|one| is(one)).count() as u32
}

fn tally(sessions: &[&Session], is: impl Fn(&Session) -> bool) -> Tally {
    let (count, of) = (count(sessions, is), sessions.len() as u32);
    let (low, high) = wilson(count.into(), of.into());
    Tally { count, of, low, high }
}

fn length(sessions: &[&Session]) -> Option<Length> {
    let median = |value: fn(&Session) -> f64| {
        let mut values: Vec<f64> = sessions.iter().map(|one| value(one)).collect();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        Some((values[(values.len() - 1) / 2] + upper) / 2.0)
    };
    let median_blocks = median(|one| f64::from(one.blocks))?;
    Some(Length { median_blocks, median_minutes: median(|one| one.seconds / 60.0)? })
}

/// Of logarithms, told as shares.
fn spread(logs: &[f64]) -> Option<Spread> {
    let interval = t_interval(logs);
    (!logs.is_empty()).then(|| Spread {
        sessions: logs.len() as u32,
        mean: mean(logs).exp_m1(),
        low: interval.map(|(_, low, _)| low.exp_m1()),
        high: interval.map(|(_, _, high)| high.exp_m1()),
        sd: interval.map(|_| standard_deviation(logs)),
    })
}

/// Most A/A sessions of `of` that may be called different before it is an alarm.
pub fn most_different(of: u32) -> u32 {
    let passes = |most: &u32| binomial_beyond(u64::from(*most) + 1, of.into(), LEVEL) <= FALSE_ALARM;
    (0..of).find(passes).unwrap_or(of)
}

/// Fewest A/B sessions of `of` that must be found, or it is an alarm.
pub fn fewest_found(of: u32) -> u32 {
    let fewer = |found: u32| 1.0 - binomial_beyond(found.into(), of.into(), POWER);
    (0..=of).rev().find(|&found| fewer(found) <= FALSE_ALARM).unwrap_or(0)
}

fn alarms(different: Tally, found: Tally, calibration: &Calibration) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if different.of > 0 {
        let most = most_different(different.of);
        alarms.push(Alarm {
            kind: SessionKind::Aa,
            raised: different.count > most,
            words: format!(
                "more than {most} of {} called different would be an alarm (a true 5 % procedure passes 97 %); {} were",
                different.of, different.count
            ),
        });
    }
    if found.of > 0 {
        let fewest = fewest_found(found.of);
        let share = calibration.burn.map_or(calibration.setting.slowdown, |burn| burn.share);
        // The rule is of 3 %; a smaller slowdown may well be found less often.
        let smaller = if share < 0.029 { "; the rule is of 3 %, and this slowdown is smaller" } else { "" };
        alarms.push(Alarm {
            kind: SessionKind::Ab,
            raised: found.count < fewest,
            words: format!(
                "fewer than {fewest} of {} found would be an alarm (a true 93 % procedure passes 97 %); {} were{smaller}",
                found.of, found.count
            ),
        });
    }
    alarms
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
