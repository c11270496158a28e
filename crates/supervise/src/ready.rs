//! Readiness by asking, not by sleeping.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{child::Child, error::SuperviseError};

/// Pauses between two questions whether a child is ready: short at first, then longer.
const READY_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The answer to "are you ready?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not yet, and what it said.
    NotYet(String),
    /// Never: it answers, and the answer is wrong. Waiting longer would not help.
    Broken(String),
}

/// Lines of a log that an error carries: gunicorn's workers each tell a traceback, then its master tells its own.
const TAIL: usize = 80;

impl Child {
    /// Asks until the child says that it is ready, it ends, or the time is over. Returns how long it took.
    ///
    /// # Errors
    /// [`SuperviseError::DiedAtStart`] and [`SuperviseError::NotReady`], both with the log's tail.
    pub fn wait_ready(
        &self,
        probe: &mut dyn FnMut() -> Readiness,
        timeout: Duration,
    ) -> Result<Duration, SuperviseError> {
        let begin = Instant::now();
        let mut pause = READY_PAUSES.0;
        loop {
            if let Some(exit) = self.exit() {
                let (name, log_tail) = (self.name().to_owned(), self.log_tail(TAIL));
                return Err(SuperviseError::DiedAtStart { name, exit, log_tail });
            }
            let (last_answer, hopeless) = match probe() {
                Readiness::Ready => return Ok(begin.elapsed()),
                Readiness::NotYet(answer) => (answer, false),
                Readiness::Broken(answer) => (answer, true),
            };
            let waited = begin.elapsed();
            if hopeless || waited >= timeout {
                let (name, log_tail) = (self.name().to_owned(), self.log_tail(TAIL));
                return Err(SuperviseError::NotReady { name, waited, last_answer, log_tail });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(READY_PAUSES.1);
        }
    }
}
