//! Trials on real stacks.

use std::time::Instant;

use dyno_analyse::capacity::judge;
use dyno_lab::{LabError, Probe, Stand};
use dyno_model::{
    Operation, Rate, Slos, Span,
    capacity::{CapacityRecord, TrialEnd, TrialPurpose, TrialRecord},
    plan::Plan,
};
use dyno_record::RunFolder;

use super::search::{Driver, Wanted};

/// Trials that a search is guessed to take, for showing how far it is.
const GUESS: u64 = 20;

/// The laboratory as the search sees it.
pub struct Laboratory<'a, 'b> {
    stand: &'a mut Stand<'b>,
    folder: &'a RunFolder,
    slos: &'a Slos,
    operation: Operation,
    connections: u32,
    /// For each stack of the record its number on the stand.
    places: Vec<Option<usize>>,
    clock: Instant,
    budget: Span,
    warm_up: Span,
    done: u64,
}

impl<'a, 'b> Laboratory<'a, 'b> {
    /// The stacks of `places` on a stand, for as long as the plan's budget lasts since the clock's begin.
    pub fn new(
        stand: &'a mut Stand<'b>,
        folder: &'a RunFolder,
        record: &CapacityRecord,
        slos: &'a Slos,
        places: Vec<Option<usize>>,
        (clock, plan): (Instant, &Plan),
    ) -> Self {
        let done = record.stacks.iter().map(|one| one.trials.len() as u64).sum();
        let (operation, connections) = (record.operation, record.connections);
        let (budget, warm_up) = (plan.design.budget, plan.design.warm_up);
        Self { stand, folder, slos, operation, connections, places, clock, budget, warm_up, done }
    }

    fn place(&self, stack: usize) -> Result<usize, String> {
        self.places[stack].ok_or_else(|| "it isn't on the stand".to_owned())
    }
}

impl Driver for Laboratory<'_, '_> {
    fn fresh(&mut self, stack: usize, seed: u64) -> Result<Result<f64, String>, LabError> {
        match self.place(stack) {
            Ok(place) => self.stand.fresh(place, seed),
            Err(why) => Ok(Err(why)),
        }
    }

    fn trial(
        &mut self,
        stack: usize,
        wanted: Wanted,
    ) -> Result<Result<Option<TrialRecord>, String>, LabError> {
        let Wanted { purpose, rate_per_s, length, seed } = wanted;
        let place = match self.place(stack) {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        let rate = rate_per_s.and_then(Rate::new_per_s);
        let total = (GUESS * self.places.len() as u64).max(self.done + 1);
        self.stand.tell(place, self.operation, self.done, total);
        let (operation, connections) = (self.operation, self.connections);
        let slice = match self.stand.trial(place, Probe { operation, rate, connections, length, seed }) {
            // What a stop cut off is nothing that happened to the stack.
            _ if self.stand.stopped() => return Ok(Ok(None)),
            Ok(slice) => slice,
            Err(why) => return Ok(Err(why)),
        };
        self.done += 1;
        let trial = judge(purpose, &slice, length, self.slos, self.stand.cpus());
        self.stand.note(format!("{}  {}", self.stand.names()[place], words(&trial)));
        Ok(Ok(Some(trial)))
    }

    fn save(&mut self, record: &CapacityRecord) -> Result<(), LabError> {
        Ok(self.folder.write_capacity(record)?)
    }

    fn go_on(&self, length: Span) -> bool {
        let needed = self.clock.elapsed() + length.0 + self.warm_up.0;
        !self.stand.stopped() && needed <= self.budget.0
    }
}

/// One trial in a line.
fn words(trial: &TrialRecord) -> String {
    let purpose = match trial.purpose {
        TrialPurpose::Saturation => "saturated",
        TrialPurpose::Search => "search",
        TrialPurpose::Confirmation => "confirmation",
        TrialPurpose::Curve => "curve",
    };
    let end = match trial.end {
        TrialEnd::Passed => "passed",
        TrialEnd::Failed => "failed",
        TrialEnd::Disturbed | TrialEnd::GeneratorBound => "doesn't count",
    };
    let why = if trial.reason.is_empty() { String::new() } else { format!(": {}", trial.reason) };
    format!("{purpose} at {:.0} requests/s: {end}{why}", trial.rate_per_s)
}
