//! Where those who look at what is up, and ask for changes, meet the loop that keeps it up.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use dyno_model::up::{Action, ProcessState, UpState};

/// The loop looks at its orders ten times a second; one that is away so long is ending.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state as of now, and a box for orders.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<UpState>,
    orders: mpsc::Sender<Order>,
    inbox: Mutex<mpsc::Receiver<Order>>,
    down: AtomicBool,
}

#[derive(Debug)]
struct Order {
    name: String,
    action: Action,
    reply: mpsc::Sender<Answer>,
}

/// What those who gave orders are told, once the state that comes of them is published: who asks for it next must not see
/// the one before, and take it for the outcome.
#[must_use]
pub struct Answers(Vec<(Answer, mpsc::Sender<Answer>)>);

/// Whether an order was carried out, or why not.
type Answer = Result<(), String>;

impl Answers {
    /// Tells them.
    pub(crate) fn send(self) {
        for (answer, reply) in self.0 {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
    }
}

/// Why an order isn't carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No stack and no process has this name.
    #[error("nothing that is up is called `{name}`; there is: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It makes no sense now.
    #[error("{0}")]
    Refused(String),
    /// Nobody takes orders any more.
    #[error("dyno is going down")]
    Ending,
}

impl Default for Desk {
    fn default() -> Self {
        let (orders, inbox) = mpsc::channel();
        let (state, down) = (Mutex::default(), AtomicBool::new(false));
        Self { state, orders, inbox: Mutex::new(inbox), down }
    }
}

impl Desk {
    /// What is up.
    pub fn state(&self) -> UpState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a change of a process, or of all processes of a stack; returns their names as soon as it has begun.
    ///
    /// # Errors
    /// [`OrderError`]; of a stack's processes, those before the one that refuses are changed.
    pub fn order(&self, name: &str, action: Action) -> Result<Vec<String>, OrderError> {
        let names = self.named(name)?;
        for name in &names {
            let (reply, answer) = mpsc::channel();
            let order = Order { name: name.clone(), action, reply };
            self.orders.send(order).map_err(|_| OrderError::Ending)?;
            answer.recv_timeout(PATIENCE).map_err(|_| OrderError::Ending)?.map_err(OrderError::Refused)?;
        }
        Ok(names)
    }

    /// The processes of this name, or of the stack of this name.
    ///
    /// # Errors
    /// [`OrderError::Unknown`].
    pub fn named(&self, name: &str) -> Result<Vec<String>, OrderError> {
        let state = self.state();
        let is_meant = |one: &&ProcessState| {
            one.name == name || one.stack.as_ref().is_some_and(|stack| stack.to_string() == name)
        };
        let names: Vec<String> =
            state.processes.iter().filter(is_meant).map(|one| one.name.clone()).collect();
        if names.is_empty() {
            let known = state.processes.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(OrderError::Unknown { name: name.to_owned(), known });
        }
        Ok(names)
    }

    /// Asks for the end of everything.
    pub fn go_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked for the end.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn publish(&self, state: UpState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Carries out what was asked for since the last time.
    pub(crate) fn take_orders(
        &self,
        mut carry_out: impl FnMut(&str, Action) -> Result<(), String>,
    ) -> Answers {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = inbox.try_iter().map(|order| (carry_out(&order.name, order.action), order.reply));
        Answers(taken.collect())
    }
}
