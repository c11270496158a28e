//! A whole load: one engine for each thread, their counts added up, their intervals told as one. Threads share
//! nothing but the stop.

use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome, Target};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    ClosedSlice, Engine, EngineOptions, Interval, LoadError, OpenSlice, Schedule, checks,
    recorder::KEPT_SENDS, schedule::Choice,
};

/// What is to be carried out.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Where to.
    pub target: Target,
    /// What is sent.
    pub requests: Vec<Request>,
    /// When, and in which order.
    pub model: DriveModel,
    /// Connections over all threads; with HTTP/2 each carries `options.streams` requests at once.
    pub connections: u32,
    /// Threads; each has its share of the connections and of the requests. 1 or more, at most `connections`.
    pub threads: u32,
    /// Limits and protocol.
    pub options: EngineOptions,
    /// Beginning that is not measured.
    pub guard: Duration,
    /// How often an interval is told.
    pub every: Duration,
}

/// When requests are sent.
#[derive(Clone, Debug)]
pub enum DriveModel {
    /// Each connection sends again as soon as it is answered, or after `think`.
    Closed {
        /// From the first request to the last that is begun.
        length: Duration,
        /// Time from an answer to the next request on its connection.
        think: Duration,
        /// Ends when so many requests were begun over all threads.
        requests: Option<u64>,
        /// Which request is next.
        choice: Choice,
        /// Seed of the choice.
        seed: u64,
    },
    /// By a schedule, whatever the server does.
    Open {
        /// The schedule of all threads together.
        schedule: Schedule,
    },
}

/// What a load did.
#[derive(Clone, Debug)]
pub struct Driven {
    /// All threads together.
    pub outcome: SliceOutcome,
    /// Each thread alone, for checks of each engine on its core.
    pub threads: Vec<SliceOutcome>,
}

/// What is told while a load runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// An interval is over in all threads.
    Interval(&'a Interval),
    /// The load was stopped: nothing more is sent.
    Stopping {
        /// Requests that wait for their answers.
        in_flight: u64,
        /// How long they are waited for.
        patience: Duration,
    },
}

/// Carries out a load. `watcher` is told of each interval when all threads have told theirs; it runs in the
/// caller's thread, so that a slow one delays no request.
///
/// # Errors
/// No connection can be opened, the kernel refuses to wait, too few files may be open, or there are no requests.
pub fn drive(
    drive: &Drive,
    stop: &AtomicBool,
    watcher: &mut dyn FnMut(News<'_>),
) -> Result<Driven, LoadError> {
    let threads = drive.threads.clamp(1, drive.connections.max(1));
    // A thread that fails ends the others.
    let halt = AtomicBool::new(false);
    let ready = Barrier::new(threads as usize);
    let (sender, receiver) = mpsc::channel();
    let mut intervals = Gathered { threads, by_number: BTreeMap::new() };
    let results = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (sender, halt, ready) = (sender.clone(), &halt, &ready);
                scope.spawn(move || {
                    let share = Share { drive, thread, threads, halt, ready };
                    share.run(&sender).inspect_err(|_| halt.store(true, Ordering::Relaxed))
                })
            })
            .collect();
        drop(sender);
        // Threads that have stopped, and what they have in flight.
        let mut stopping = (0, 0);
        loop {
            // The threads look at one flag; who asks them to stop sets another.
            match receiver.recv_timeout(STOP_PAUSE) {
                Ok(Told::Interval(number, interval)) => {
                    for whole in intervals.add(number, *interval) {
                        watcher(News::Interval(&whole));
                    }
                }
                Ok(Told::Stopping(in_flight, patience)) => {
                    stopping = (stopping.0 + 1, stopping.1 + in_flight);
                    if stopping.0 == threads {
                        watcher(News::Stopping { in_flight: stopping.1, patience });
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if stop.load(Ordering::Relaxed) {
                halt.store(true, Ordering::Relaxed);
            }
        }
        handles.into_iter().map(|handle| handle.join().expect("an engine doesn't panic")).collect::<Vec<_>>()
    });
    for rest in intervals.by_number.into_values() {
        watcher(News::Interval(&rest.0));
    }
    let mut outcomes = Vec::new();
    let mut sends = Vec::new();
    for result in results {
        let (outcome, sent) = result?;
        outcomes.push(outcome);
        sends.push(sent);
    }
    let mut outcome = SliceOutcome::default();
    for one in &outcomes {
        outcome.merge(one);
    }
    if let DriveModel::Open { schedule } = &drive.model {
        outcome.pacing = schedule.is_poisson().then(|| checks::pacing(&together(sends), schedule)).flatten();
    }
    Ok(Driven { outcome, threads: outcomes })
}

/// The times of sending of all threads, up to where the first of them has kept no more.
fn together(sends: Vec<Vec<u64>>) -> Vec<u64> {
    let full = sends.iter().filter(|one| one.len() >= KEPT_SENDS);
    let until_ns = full.filter_map(|one| one.iter().max()).min().copied().unwrap_or(u64::MAX);
    let mut all: Vec<u64> = sends.into_iter().flatten().filter(|&at_ns| at_ns <= until_ns).collect();
    all.sort_unstable();
    all.truncate(KEPT_SENDS);
    all
}

/// How often the caller's stop is looked at.
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// One thread's part.
struct Share<'a> {
    drive: &'a Drive,
    thread: u32,
    threads: u32,
    halt: &'a AtomicBool,
    /// Every thread has its connections: the schedule begins for all at once.
    ready: &'a Barrier,
}

/// What a thread tells.
enum Told {
    /// An interval with its number.
    Interval(u64, Box<Interval>),
    /// Requests in flight when it was stopped, and how long they are waited for.
    Stopping(u64, Duration),
}

impl Share<'_> {
    /// This thread's share of `whole`: the remainder goes to the first threads.
    fn of(&self, whole: u64) -> u64 {
        let (threads, thread) = (u64::from(self.threads), u64::from(self.thread));
        whole / threads + u64::from(thread < whole % threads)
    }

    fn run(&self, sender: &mpsc::Sender<Told>) -> Result<(SliceOutcome, Vec<u64>), LoadError> {
        let drive = self.drive;
        let connections = u32::try_from(self.of(u64::from(drive.connections))).unwrap_or(u32::MAX);
        let engine = Engine::new(drive.target.clone(), connections, drive.options.clone())
            .and_then(|mut engine| engine.open_connections().map(|()| engine));
        // A thread that failed is waited for too.
        self.ready.wait();
        let mut engine = engine?;
        let (sender, every_ns, stopping) = (sender.clone(), drive.every.as_nanos().max(1), sender.clone());
        engine.on_stop(Box::new(move |in_flight, patience| {
            let _ = stopping.send(Told::Stopping(in_flight, patience));
        }));
        engine.watch(
            drive.every,
            Box::new(move |interval| {
                // Told shortly after its border.
                let number = (interval.at.as_nanos() + every_ns / 2) / every_ns;
                // Nobody listens any more: the load is over.
                let _ = sender
                    .send(Told::Interval(u64::try_from(number).unwrap_or(u64::MAX), Box::new(interval)));
            }),
        );
        let stop = self.halt;
        let outcome = match &drive.model {
            DriveModel::Closed { length, think, requests, choice, seed } => {
                let mut choice = choice.clone();
                let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(u64::from(self.thread)));
                let slice = ClosedSlice {
                    connections,
                    length: *length,
                    guard: drive.guard,
                    think: *think,
                    requests: requests.map(|requests| self.of(requests)),
                    stop,
                };
                engine.closed(&drive.requests, &mut || choice.next(&mut rng), slice, &mut |_| {})?
            }
            DriveModel::Open { schedule } => {
                let length = schedule.length();
                let slice = OpenSlice { connections, length, guard: drive.guard, stop };
                let schedule = schedule.clone().share(u64::from(self.thread), u64::from(self.threads));
                engine.open(&drive.requests, &schedule, slice, &mut |_| {})?
            }
        };
        Ok((outcome, engine.last_sends()))
    }
}

/// Intervals of the threads until each has told its own.
struct Gathered {
    threads: u32,
    by_number: BTreeMap<u64, (Interval, u32)>,
}

impl Gathered {
    /// Adds one, and returns those that are whole, or whose time is over: a thread that was held up skips some.
    fn add(&mut self, number: u64, interval: Interval) -> Vec<Interval> {
        self.by_number
            .entry(number)
            .and_modify(|(sum, count)| {
                sum.merge(&interval);
                *count += 1;
            })
            .or_insert_with(|| (interval, 1));
        let mut whole = Vec::new();
        while let Some(first) = self.by_number.first_entry()
            && (first.get().1 >= self.threads || first.key() + 1 < number)
        {
            whole.push(first.remove().0);
        }
        whole
    }
}
