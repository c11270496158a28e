//! The loop that decides which stack is tried next, and at which rate. What it does next follows from the record alone, so
//! that a search which was stopped goes on as if it hadn't been.

use dyno_analyse::capacity::{Search, length, longest};
use dyno_lab::LabError;
use dyno_model::{
    Slos, Span,
    capacity::{
        CapacityOutcome, CapacityRecord, CapacityState, StackSearch, TrialEnd, TrialPurpose, TrialRecord,
    },
};
use dyno_plan::block_seed;
use rand::{
    Rng, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;

/// Trials of a stack before it is started afresh: what one start happens to be like isn't the stack.
pub const TRIALS_PER_START: usize = 5;
/// Points of the latency curve, as shares of the saturated throughput (METHOD, section 5).
const CURVE: [f64; 7] = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95];
/// Saturated trials of a search that ends above its range, which says that they were made in a slow moment.
const SATURATIONS: usize = 3;
/// Trials in succession in which the generator was the limit, before the stack is given up.
const GENERATOR_BOUND: usize = 3;
/// Trials that don't count before a stack may be given up for them, which happens when they are more than a third.
const UNCOUNTED: usize = 12;

/// A trial to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// What it is for.
    pub purpose: TrialPurpose,
    /// Offered requests per second; `None` for the saturated closed loop.
    pub rate_per_s: Option<f64>,
    /// How long it is.
    pub length: Span,
    /// Seed of its schedule.
    pub seed: u64,
}

/// What carries trials out: the laboratory, or a made-up queue.
pub trait Driver {
    /// Fresh processes for a stack; returns the machine's speed. The inner error is the stack's.
    fn fresh(&mut self, stack: usize, seed: u64) -> Result<Result<f64, String>, LabError>;
    /// One trial on a stack that is up; `None` when it was stopped meanwhile. The inner error is the stack's.
    fn trial(
        &mut self,
        stack: usize,
        wanted: Wanted,
    ) -> Result<Result<Option<TrialRecord>, String>, LabError>;
    /// Keeps what is known.
    fn save(&mut self, record: &CapacityRecord) -> Result<(), LabError>;
    /// Whether there is time for a trial of this length, and nobody has asked to stop.
    fn go_on(&self, length: Span) -> bool;
}

/// Searches until every stack of `able` (their places in the record) is done, or the driver doesn't go on.
pub fn search(
    driver: &mut dyn Driver,
    record: &mut CapacityRecord,
    slos: &Slos,
    able: &[usize],
) -> Result<(), LabError> {
    // Trials since each was started; nothing is up yet.
    let mut since_start: Vec<Option<usize>> = vec![None; record.stacks.len()];
    loop {
        let open: Vec<usize> = able.iter().copied().filter(|&stack| next(record, stack).is_some()).collect();
        let done: usize = record.stacks.iter().map(|one| one.trials.len()).sum();
        let mut rng = ChaCha8Rng::seed_from_u64(block_seed(record.seed, done as u32));
        let Some(&stack) = open.choose(&mut rng) else {
            return Ok(());
        };
        let Some((purpose, rate_per_s)) = next(record, stack) else { return Ok(()) };
        let length =
            record.trial.unwrap_or_else(|| rate_per_s.map_or_else(longest, |rate| length(slos, rate)));
        if !driver.go_on(length) {
            return Ok(());
        }
        let (start_seed, seed) = (rng.random(), rng.random());
        if since_start[stack].is_none_or(|trials| trials >= TRIALS_PER_START) {
            match driver.fresh(stack, start_seed)? {
                Ok(spin_per_ms) => record.spins_per_ms.push(spin_per_ms),
                Err(why) => {
                    give_up(driver, record, stack, why)?;
                    continue;
                }
            }
            since_start[stack] = Some(0);
        }
        match driver.trial(stack, Wanted { purpose, rate_per_s, length, seed })? {
            Ok(Some(trial)) => take(&mut record.stacks[stack], trial),
            Ok(None) => return Ok(()),
            Err(why) => {
                give_up(driver, record, stack, why)?;
                continue;
            }
        }
        since_start[stack] = since_start[stack].map(|trials| trials + 1);
        driver.save(record)?;
    }
}

fn give_up(
    driver: &mut dyn Driver,
    record: &mut CapacityRecord,
    stack: usize,
    why: String,
) -> Result<(), LabError> {
    record.stacks[stack].no_verdict = Some(why);
    driver.save(record)
}

/// What a stack needs next, and at which rate; `None` when it is done.
fn next(record: &CapacityRecord, stack: usize) -> Option<(TrialPurpose, Option<f64>)> {
    let one = &record.stacks[stack];
    if one.no_verdict.is_some() {
        return None;
    }
    let Some(state) = &one.state else { return Some((TrialPurpose::Saturation, None)) };
    let search = Search::resume(state.clone()).ok()?;
    if let Some(rate) = search.next_rate() {
        return Some((TrialPurpose::Search, Some(rate)));
    }
    let is_saturated = |trial: &&TrialRecord| trial.purpose == TrialPurpose::Saturation && trial.end.counts();
    let above = search.result().outcome == CapacityOutcome::AboveRange;
    if above && one.trials.iter().filter(is_saturated).count() < SATURATIONS {
        return Some((TrialPurpose::Saturation, None));
    }
    if let Some(rate) = search.confirmation_rate() {
        return Some((TrialPurpose::Confirmation, Some(rate)));
    }
    let share = curve_left(record, stack)?;
    Some((TrialPurpose::Curve, Some(share * state.saturation_per_s)))
}

/// The next point of the curve, in an order of the stack's own: one that goes up would warm the server up on its way.
fn curve_left(record: &CapacityRecord, stack: usize) -> Option<f64> {
    let is_point = |trial: &&TrialRecord| trial.purpose == TrialPurpose::Curve && trial.end.counts();
    let done = record.stacks[stack].trials.iter().filter(is_point).count();
    let mut order = CURVE;
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(block_seed(!record.seed, stack as u32)));
    order.get(done).copied().filter(|_| record.curve)
}

/// Takes a trial in.
fn take(one: &mut StackSearch, trial: TrialRecord) {
    let learned = learn(one, &trial);
    one.trials.push(trial);
    one.no_verdict = learned.err().or_else(|| beyond_belief(&one.trials));
}

/// What a trial that counts adds to what the search knows.
fn learn(one: &mut StackSearch, trial: &TrialRecord) -> Result<(), String> {
    if !trial.end.counts() {
        return Ok(());
    }
    let failed = trial.end == TrialEnd::Failed;
    let words = |error: dyno_analyse::capacity::CapacityError| error.to_string();
    let mut search = match (&one.state, trial.purpose) {
        (None, TrialPurpose::Saturation) => Search::new(trial.rate_per_s).map_err(words)?,
        // What passed at the old range's end is as true within the new one.
        (Some(state), TrialPurpose::Saturation) => {
            let saturation_per_s = state.saturation_per_s.max(trial.rate_per_s);
            Search::resume(CapacityState { saturation_per_s, ..state.clone() }).map_err(words)?
        }
        (Some(state), _) => Search::resume(state.clone()).map_err(words)?,
        (None, _) => return Ok(()),
    };
    match trial.purpose {
        TrialPurpose::Search => search.observe(trial.rate_per_s, failed).map_err(words)?,
        TrialPurpose::Confirmation => search.confirm(failed),
        TrialPurpose::Saturation | TrialPurpose::Curve => {}
    }
    one.state = Some(search.state().clone());
    Ok(())
}

/// Why no verdict may rest on such trials, if none may.
fn beyond_belief(trials: &[TrialRecord]) -> Option<String> {
    let last = trials.last()?;
    let bound = trials.iter().rev().take_while(|trial| trial.end == TrialEnd::GeneratorBound).count();
    if bound >= GENERATOR_BOUND {
        return Some(format!(
            "the generator was the limit in {bound} trials in succession: {} {}",
            rate(last),
            last.reason
        ));
    }
    let uncounted: Vec<&TrialRecord> = trials.iter().filter(|trial| !trial.end.counts()).collect();
    (uncounted.len() >= UNCOUNTED && uncounted.len() * 3 > trials.len()).then(|| {
        format!(
            "{} of {} trials were disturbed; in the last of them {}",
            uncounted.len(),
            trials.len(),
            uncounted.last().map_or("", |trial| &trial.reason)
        )
    })
}

fn rate(trial: &TrialRecord) -> String {
    match trial.purpose {
        TrialPurpose::Saturation => format!("saturated with {:.0} requests/s", trial.rate_per_s),
        _ => format!("at {:.0} requests/s", trial.rate_per_s),
    }
}

#[cfg(test)]
mod tests;
