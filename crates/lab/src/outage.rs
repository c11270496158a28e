//! A database that goes away for some seconds in mid-load and comes back: does a stack recover by itself?

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use dyno_contract::{Truth, Watch, traffic};
use dyno_model::{
    Operation,
    check::{Recovery, RecoveryOutcome},
    event::Step,
};

use crate::{bench::Bench, database::Database, error::LabError, prepare::Prepared, up::Running};

/// Load before the outage.
const BEFORE: Duration = Duration::from_secs(2);
/// How long the database is away.
const AWAY: Duration = Duration::from_secs(5);
/// A stack that answers rightly for so long has recovered.
const STEADY: Duration = Duration::from_secs(3);
/// How long a stack may take: more than the longest wait for a pooled connection.
const LONGEST: Duration = Duration::from_secs(45);

/// Takes a stack through an outage. What the stack does is the answer; an error is dyno's own.
pub(crate) fn outage(
    bench: &Bench<'_>,
    one: &Prepared,
    database: &mut Database,
    truth: &Truth,
) -> Result<Recovery, LabError> {
    let not_tried = |why: String| Recovery {
        stack: one.name().clone(),
        outcome: RecoveryOutcome::NotTried,
        right_after_s: None,
        wrong_until_s: None,
        away: BTreeMap::new(),
        back: BTreeMap::new(),
        detail: why,
    };
    let app = &one.stack.app.app;
    if !database.is_embedded() {
        return Ok(not_tried("dyno doesn't stop a database of yours".to_owned()));
    }
    let asks = [Operation::ContactsFetch, Operation::Types]
        .into_iter()
        .find(|operation| !app.not_offered.contains_key(operation))
        .map(|operation| traffic(operation, &app.name, truth, 1));
    let Some(asks) = asks.filter(|asks| app.database && !asks.is_empty()) else {
        return Ok(not_tried("it needs no database".to_owned()));
    };
    bench.step(Step::Prove, format!("{} without its database", one.name()));
    let running = Running::start(bench, one, database, None, 0, true)?;
    // That it doesn't start is this stack's row, and the others are tried all the same.
    if let Err(error) = running.wait_ready(bench.order.stop) {
        return Ok(not_tried(format!("it doesn't get ready: {error}")));
    }
    let (watch, stop) = (Watch::default(), AtomicBool::new(false));
    let times = thread::scope(|scope| {
        let asking = scope.spawn(|| watch.ask(running.address, &asks, &stop));
        let times = go_and_come_back(bench, database, &watch);
        stop.store(true, Ordering::Relaxed);
        let _ = asking.join();
        times
    });
    let (gone, back, steady) = times?;
    let mut told = watch.tell(one.name(), gone, back, steady);
    if let Some(what) = running.ended() {
        told.outcome = RecoveryOutcome::DoesNot;
        told.detail += &format!("; {what}");
    }
    if told.outcome == RecoveryOutcome::DoesNot {
        told.detail += &format!("; its log ends: {}", running.log_tail());
    }
    running.stop();
    Ok(told)
}

/// When it went, when it was back, and whether the stack was steady again.
fn go_and_come_back(
    bench: &Bench<'_>,
    database: &mut Database,
    watch: &Watch,
) -> Result<(Duration, Duration, bool), LabError> {
    thread::sleep(BEFORE);
    let gone = watch.now();
    database.go_away();
    thread::sleep(AWAY);
    database.come_back(bench)?;
    let back = watch.now();
    loop {
        thread::sleep(Duration::from_millis(200));
        bench.go_on()?;
        let now = watch.now();
        if now - back >= STEADY && watch.steady(now - STEADY) {
            return Ok((gone, back, true));
        }
        if now - back >= LONGEST {
            return Ok((gone, back, false));
        }
    }
}
