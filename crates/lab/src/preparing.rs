//! All stacks of a plan from their names to their parts, several at once, while the database starts and what many stacks share is
//! fetched. The results keep the plan's order.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use dyno_model::{
    StackName,
    catalogue::{EventMethod, Language},
    event::Event,
    record::{NotRun, NotRunKind},
};
use dyno_plan::ResolvedStack;
use dyno_provision::{ProvisionError, nginx};

use crate::{
    bench::Bench,
    database::Database,
    error::LabError,
    pool::{at_once, side_by_side},
    prepare::{BrokerNeeds, Prepared, broker_needs, prepare_broker, prepare_own, prepare_shared},
};

/// Most stacks that are prepared at once, however many CPUs there are: they share one network and one disk.
const MOST_AT_ONCE: usize = 4;

/// What a session works with.
pub struct Ready {
    /// The stacks that could be prepared, in the plan's order.
    pub prepared: Vec<Prepared>,
    /// Those that couldn't, with the reason, in the plan's order.
    pub not_run: Vec<NotRun>,
    /// The database, up and filled.
    pub database: Database,
}

/// Prepares every stack of the plan and starts the database, of which at most so many stacks will have their connections at the same
/// time. What can't be prepared is a row with its reason.
///
/// # Errors
/// A stack that the catalogue doesn't know, the database, a full disk, or that the user stopped it. What is still on its way is ended.
pub fn prepare_all(bench: &Bench<'_>, database_stacks: usize) -> Result<Ready, LabError> {
    let resolve = |name| bench.order.catalogue.resolve(name);
    let stacks = bench.order.plan.stacks.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    one_nginx(bench, &stacks);
    let preparing = Preparing::new(bench, stacks.len());
    let threads = at_once(dyno_supervise::machine::allowed_cpus().len(), MOST_AT_ONCE);
    let (own, database) = thread::scope(|scope| {
        let database = scope.spawn(|| preparing.part("database", || Database::start(bench, database_stacks)));
        scope.spawn(|| preparing.shared(&stacks));
        let own = side_by_side(&long_first(&stacks), threads, |_, &(place, stack)| {
            preparing.own_parts(stack).map(|outcome| (place, outcome))
        });
        (own, database.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let ready = own.and_then(|own| preparing.with_shared_parts(own));
    bench.go_on()?;
    if let Some(error) = preparing.into_failure() {
        return Err(error);
    }
    // Without a failure there are both.
    let (Ok((prepared, not_run)), Some(database)) = (ready, database) else { return Err(LabError::Stopped) };
    Ok(Ready { prepared, not_run, database })
}

/// The stacks with their places in the plan, in the order in which they are begun: builds from source take longest, and mostly wait
/// for nothing.
fn long_first(stacks: &[ResolvedStack]) -> Vec<(usize, &ResolvedStack)> {
    let (python, built): (Vec<_>, Vec<_>) =
        stacks.iter().enumerate().partition(|(_, stack)| stack.app.app.language == Language::Python);
    built.into_iter().chain(python).collect()
}

/// Builds an nginx with every event method before any front is prepared, if a front of the plan wants one: all fronts
/// use it from then on, because two builds differ in more than the method.
fn one_nginx(bench: &Bench<'_>, stacks: &[ResolvedStack]) {
    let methods = stacks.iter().filter_map(|stack| stack.front.as_ref()?.front.event_method);
    for method in methods.filter(|method| matches!(method, EventMethod::Poll | EventMethod::Select)) {
        // Why it can't be had is said at the stack's own turn.
        let _ = bench.provision(|context| nginx(context, Some(method)));
    }
}

/// The preparation as it goes: what is on its way, what is ready, and what ended it.
struct Preparing<'a> {
    bench: &'a Bench<'a>,
    begin: Instant,
    total: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: usize,
    on_the_way: Vec<String>,
    failure: Option<LabError>,
}

/// A stack with its parts, or why it can't be measured.
type Outcome = Result<Prepared, NotRun>;

/// Nobody needs the rest: the user stopped it, or it failed.
struct Ended;

impl<'a> Preparing<'a> {
    fn new(bench: &'a Bench<'a>, total: usize) -> Self {
        Self { bench, begin: Instant::now(), total, state: Mutex::default() }
    }

    fn into_failure(self) -> Option<LabError> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).failure
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells it as it is then: told by one at a time, so that who listens sees it grow.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.bench.tell(Event::Preparing {
            ready: state.ready as u64,
            total: self.total as u64,
            on_the_way: state.on_the_way.clone(),
            elapsed_s: self.begin.elapsed().as_secs_f64(),
        });
    }

    /// Ends all that is on its way. The first failure is the reason: what comes after may be its consequence.
    fn fail(&self, error: LabError) {
        self.state().failure.get_or_insert(error);
        self.bench.give_up();
    }

    fn ended(&self) -> bool {
        self.bench.stopped() || self.state().failure.is_some()
    }

    /// A part that the whole order needs.
    fn part<T>(&self, name: &str, work: impl FnOnce() -> Result<T, LabError>) -> Option<T> {
        self.tell(|state| state.on_the_way.push(name.to_owned()));
        let outcome = work();
        self.tell(|state| state.on_the_way.retain(|one| one != name));
        outcome.map_err(|error| self.fail(error)).ok()
    }

    /// Fetches what many stacks share, meanwhile, so that none of those who prepare stacks waits for it. That something can't be had is
    /// said at the turn of the stacks that need it.
    fn shared(&self, stacks: &[ResolvedStack]) {
        if stacks.iter().any(|stack| stack.front.as_ref().is_some_and(|one| one.front.event_method.is_none()))
        {
            self.part("nginx", || Ok(self.bench.provision(|context| nginx(context, None).map(drop))));
        }
        let needs = stacks.iter().filter_map(|stack| broker_needs(self.bench.order.broker, stack).ok());
        for needs in needs.filter(|needs| *needs != BrokerNeeds::default()).collect::<BTreeSet<_>>() {
            if !self.ended() {
                self.part("broker", || Ok(self.bench.provision(|context| prepare_broker(context, needs))));
            }
        }
    }

    /// Interpreter, environment or build: what a stack has for itself, or with its twins.
    fn own_parts(&self, stack: &ResolvedStack) -> Result<Outcome, Ended> {
        if self.ended() {
            return Err(Ended);
        }
        let (order, name) = (&self.bench.order, &stack.name);
        self.tell(|state| state.on_the_way.push(name.to_string()));
        let outcome = self.bench.provision(|context| {
            broker_needs(order.broker, stack)?;
            prepare_own(context, stack.clone(), order.plan, order.try_impossible)
        });
        let outcome = self.row(name, outcome)?;
        self.tell(|state| {
            state.ready += 1;
            state.on_the_way.retain(|one| *one != name.to_string());
        });
        Ok(outcome)
    }

    /// Gives the stacks what many of them share, which is there by now, in the plan's order.
    fn with_shared_parts(
        &self,
        mut own: Vec<(usize, Outcome)>,
    ) -> Result<(Vec<Prepared>, Vec<NotRun>), Ended> {
        own.sort_by_key(|(place, _)| *place);
        let (mut prepared, mut not_run) = (Vec::new(), Vec::new());
        for (_, outcome) in own {
            let mut one = match outcome {
                Ok(one) => one,
                Err(row) => {
                    not_run.push(row);
                    continue;
                }
            };
            let broker = self.bench.order.broker;
            let shared = self.bench.provision(|context| prepare_shared(context, &mut one, broker));
            match self.row(&one.stack.name, shared)? {
                Ok(()) => prepared.push(one),
                Err(row) => not_run.push(row),
            }
        }
        Ok((prepared, not_run))
    }

    /// What came of a stack's parts: a failure of its own is a row.
    fn row<T>(
        &self,
        stack: &StackName,
        outcome: Result<T, ProvisionError>,
    ) -> Result<Result<T, NotRun>, Ended> {
        if self.ended() {
            return Err(Ended);
        }
        match outcome {
            // A full disk isn't this stack's fault, and the next would meet it too.
            Err(error @ ProvisionError::Io { .. }) => {
                self.fail(error.into());
                Err(Ended)
            }
            outcome => Ok(outcome.map_err(|error| not_run(stack, &error))),
        }
    }
}

/// Why a stack can't be measured.
fn not_run(stack: &StackName, error: &ProvisionError) -> NotRun {
    let kind = match error {
        ProvisionError::Missing { .. } => NotRunKind::Missing,
        ProvisionError::CannotRun(_) => NotRunKind::Impossible,
        _ => NotRunKind::Failed,
    };
    NotRun { stack: stack.clone(), reason: error.to_string(), kind }
}
