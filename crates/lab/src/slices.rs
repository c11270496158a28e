//! One slice on one stack, all others idle, with what everybody used meanwhile.

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::TcpStream,
    path::PathBuf,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use dyno_contract::Traffic;
use dyno_load::{ClosedSlice, Engine, EngineOptions, LoadError, Mark, OpenSlice, Schedule, WireKind};
use dyno_model::{
    Operation,
    child::Usage,
    load::{Expect, ExpectBody, Pacing, Request, SliceOutcome, Target},
    plan::Plan,
    record::{CpuSets, MachineParts, MachineSample, ServerStats, Slice, SliceLoad, Speed, Taken},
    rehearsal::BIN_MS,
    self_check,
};
use dyno_plan::{SliceKind, SlicePlan};
use dyno_supervise::machine::{MachineClock, speed_of};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    block::connections_of, broker::Broker, database::Database, server_stats::UwsgiStats, up::Running,
};

/// A stack under load: its connections, and the proven bytes of each answer.
pub struct Loaded<'a> {
    /// The stack.
    pub running: Running<'a>,
    /// Its connections.
    pub connections: Connections,
}

/// Open connections to a stack, and its requests with the bytes of each right answer.
pub struct Connections {
    engine: Engine,
    /// Open and silent, through all slices.
    _idle: Vec<TcpStream>,
    requests: BTreeMap<Operation, Vec<Request>>,
    /// Gaps between the requests of open-loop slices, in requests expected, so that all rates are on one scale.
    gaps: Vec<f64>,
}

/// How every run loads. In closed loops, whose latency isn't reported, answers gather for the engine's nap before the next
/// requests go out. Requests that go out together are served at less CPU by some servers than single ones, so the nap
/// is a part of the engine's name in the fingerprint. Open loops send on time whatever the nap is, and the kernel's
/// receive timestamps keep late reading out of their latencies.
fn options() -> EngineOptions {
    // Naps send requests in bursts, and some servers serve bursts at less CPU than others, which would move ratios
    // between stacks (docs/design/2026-11-25-load-engine.md).
    EngineOptions { wire: WireKind::Best, nap: Duration::ZERO, ..EngineOptions::default() }
}

/// The engine that loads with so many connections on this machine, in words, for the fingerprint.
///
/// # Errors
/// The kernel gives it nothing to wait with.
pub fn engine_words(connections: u32) -> Result<String, LoadError> {
    let nap_us = options().nap.as_micros();
    // It is made and thrown away: no connection is opened.
    let nowhere = Target::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let engine = Engine::new(nowhere, connections, options())?;
    Ok(format!("{}, naps up to {nap_us} us", engine.words()))
}

/// Time for one idle connection to be accepted by the kernel.
const IDLE_PATIENCE: Duration = Duration::from_secs(5);

/// Counters at one mark.
#[derive(Default)]
struct Counters {
    roles: BTreeMap<String, u64>,
    others_ns: u64,
    machine: MachineClock,
    server: Option<(UwsgiStats, Instant)>,
}

impl Connections {
    /// Opens the connections and asks every timed request once: an answer that is right in value gives the
    /// bytes that each later answer must have.
    pub fn open(
        running: &Running<'_>,
        connections: u32,
        idle: u32,
        traffic: &BTreeMap<Operation, Vec<Traffic>>,
    ) -> Result<Connections, String> {
        let words = |error: LoadError| error.to_string();
        let mut engine =
            Engine::connect(Target::Tcp(running.address), connections, options()).map_err(words)?;
        let mut requests = BTreeMap::new();
        for (operation, traffic) in traffic {
            let proven: Result<Vec<Request>, String> =
                traffic.iter().map(|one| prove(&mut engine, one)).collect();
            requests.insert(*operation, proven?);
        }
        let silent = |_| {
            TcpStream::connect_timeout(&running.address, IDLE_PATIENCE)
                .map_err(|error| format!("an idle connection: {error}"))
        };
        let idle = (0..idle).map(silent).collect::<Result<_, _>>()?;
        Ok(Connections { engine, _idle: idle, requests, gaps: Vec::new() })
    }

    /// New connections in the place of those that are open. The kernel deals connections out to a server's workers by chance, which can
    /// move throughput by a third for as long as they are kept: each slice draws anew, so that a block has the mean of many draws and
    /// not one that looks like a difference between stacks (docs/design/2026-11-26-sessions.md).
    fn deal_anew(&mut self, running: &Running<'_>, connections: u32) -> Result<(), LoadError> {
        // It opens none before its slice does: the old ones are closed by then, for a server may have a limit.
        self.engine = Engine::new(Target::Tcp(running.address), connections, options())?;
        Ok(())
    }

    /// Pacing over all open-loop slices.
    pub fn pacing(&self) -> Option<Pacing> {
        self_check::pacing(&self.gaps)
    }

    /// Closed-loop load that isn't recorded.
    pub fn warm_up(&mut self, plan: &Plan, stop: &AtomicBool) -> Result<(), String> {
        let operations: Vec<Operation> = self.requests.keys().copied().collect();
        let length = plan.design.warm_up.0 / u32::try_from(operations.len().max(1)).unwrap_or(1);
        let slice = closed(plan.throughput.connections, length, length, stop);
        for operation in operations {
            let requests = &self.requests[&operation];
            let mut next = 0;
            let mut order = || {
                next += 1;
                next
            };
            let outcome =
                self.engine.closed(requests, &mut order, slice, &mut |_| {}).map_err(|e| e.to_string())?;
            refuse_failures(operation, &outcome)?;
        }
        Ok(())
    }
}

impl Connections {
    /// A saturated closed loop: requests sent in each bin of [`BIN_MS`] after the warm-up, and the 99th percentile of answers
    /// in microseconds.
    pub fn trace(
        &mut self,
        plan: &Plan,
        operation: Operation,
        warm_up: Duration,
        length: Duration,
        stop: &AtomicBool,
    ) -> Result<(Vec<u64>, f64), String> {
        let requests = &self.requests[&operation];
        let slice = closed(plan.throughput.connections, warm_up + length, warm_up, stop);
        let bins = length.as_millis() as usize / BIN_MS as usize;
        let (mut counts, mut next, begin) = (vec![0u64; bins], 0, Instant::now());
        // A saturated loop sends one request for each answer.
        let mut order = || {
            let bin =
                begin.elapsed().checked_sub(warm_up).map(|at| at.as_millis() as usize / BIN_MS as usize);
            if let Some(count) = bin.and_then(|bin| counts.get_mut(bin)) {
                *count += 1;
            }
            next += 1;
            next
        };
        let outcome = self
            .engine
            .closed(requests, &mut order, slice, &mut |_| {})
            .map_err(|error| error.to_string())?;
        refuse_failures(operation, &outcome)?;
        Ok((counts, outcome.latency.quantile_ns(0.99).unwrap_or(0) as f64 / 1e3))
    }
}

/// A stack that fails in its warm-up isn't loaded further: its first wrong answer is the reason.
fn refuse_failures(operation: Operation, outcome: &SliceOutcome) -> Result<(), String> {
    match outcome.wrong_answers.first() {
        None => Ok(()),
        Some(wrong) => Err(format!(
            "{operation}: {} of {} requests failed under load; first: {} {}: {}",
            outcome.counts.failed.total(),
            outcome.counts.sent,
            wrong.request,
            wrong.kind,
            wrong.body.chars().take(200).collect::<String>()
        )),
    }
}

/// Asks a timed request once.
fn prove(engine: &mut Engine, traffic: &Traffic) -> Result<Request, String> {
    let mut request = Request {
        method: "GET".to_owned(),
        target: traffic.target.clone(),
        headers: vec![("Accept".to_owned(), "*/*".to_owned())],
        body: Vec::new(),
        expect: Expect::status(200),
    };
    let answer = engine.ask(&request).map_err(|error| error.to_string())?;
    traffic.judge(answer.status, &answer.body)?;
    request.expect.body = ExpectBody::Equal(answer.body);
    Ok(request)
}

/// How long the speed of the server's CPUs is looked at between slices.
const SPEED: Duration = Duration::from_millis(5);
/// A speed that is no older was seen right before.
const SPEED_AGE: Duration = Duration::from_millis(30);
/// Longer slices aren't told by the speed at their ends (docs/design/2026-11-28-speed.md).
const LONGEST_WITH_SPEED: Duration = Duration::from_millis(250);

/// What all slices of a block share.
pub struct Slicer<'a> {
    pub plan: &'a Plan,
    pub cpus: &'a CpuSets,
    /// The speed that was seen last, and when.
    pub speed: Cell<Option<(Instant, f64)>>,
    pub database: &'a Database,
    pub broker: Option<&'a Broker>,
    pub seed: u64,
    pub begin: Instant,
    pub stop: &'a AtomicBool,
}

impl Slicer<'_> {
    /// Does one slice on `loaded[work.stack]`.
    pub fn slice(&self, loaded: &mut [Option<Loaded<'_>>], work: &SlicePlan) -> Result<Slice, String> {
        let Some(mut subject) = loaded[work.stack].take() else { return Err("it isn't up".to_owned()) };
        let others: Vec<&Running<'_>> = loaded.iter().flatten().map(|one| &one.running).collect();
        let result = self.slice_of(&mut subject, &others, work);
        loaded[work.stack] = Some(subject);
        result
    }

    fn slice_of(
        &self,
        subject: &mut Loaded<'_>,
        others: &[&Running<'_>],
        work: &SlicePlan,
    ) -> Result<Slice, String> {
        let Loaded { running, connections } = subject;
        connections.deal_anew(running, connections_of(self.plan)).map_err(|error| error.to_string())?;
        let short = work.kind == SliceKind::Throughput && self.plan.throughput.slice.0 <= LONGEST_WITH_SPEED;
        let before = short.then(|| self.speed()).flatten();
        let usage_before = running.usage();
        let at_ns = self.begin.elapsed().as_nanos() as u64;
        let mut counters = Vec::new();
        let mut at = |_: Mark| counters.push(self.read_counters(running, others));
        let (load, outcome) = self.load(connections, work, &mut at).map_err(|error| error.to_string())?;
        let (cpu_ns, machine) = match counters.as_slice() {
            [first, .., last] => difference(first, last, &outcome, self.cpus),
            _ => (BTreeMap::new(), MachineSample::default()),
        };
        let server_stats = match counters.as_slice() {
            [first, .., last] => server_stats(first, last),
            _ => None,
        };
        let usage = usage_since(&usage_before, &running.usage());
        let after = short.then(|| self.speed_now()).flatten();
        let speed = before.zip(after).map(|(before, after)| Speed { before, after });
        let operation = work.operation;
        Ok(Slice { operation, load, at_ns, outcome, cpu_ns, usage, machine, speed, server_stats })
    }

    /// Speed of the server's CPUs; what was seen after the slice before this one will do.
    fn speed(&self) -> Option<f64> {
        match self.speed.get() {
            Some((at, speed)) if at.elapsed() <= SPEED_AGE => Some(speed),
            _ => self.speed_now(),
        }
    }

    fn speed_now(&self) -> Option<f64> {
        let speed = speed_of(&self.cpus.server, SPEED)?;
        self.speed.set(Some((Instant::now(), speed)));
        Some(speed)
    }

    fn read_counters(&self, running: &Running<'_>, others: &[&Running<'_>]) -> Counters {
        let mut roles: BTreeMap<String, u64> =
            running.cpu_ns().map(|(role, cpu_ns)| (role.to_owned(), cpu_ns)).collect();
        roles.insert("database".to_owned(), self.database.cpu_ns());
        if let Some(broker) = self.broker {
            roles.insert("broker".to_owned(), broker.cpu_ns());
        }
        let others_ns = others.iter().flat_map(|other| other.cpu_ns()).map(|(_, cpu_ns)| cpu_ns).sum();
        let stats = |socket: PathBuf| Some((UwsgiStats::read(&socket)?, Instant::now()));
        let server = running.stats_socket().and_then(stats);
        Counters { roles, others_ns, machine: MachineClock::read(), server }
    }

    fn load(
        &self,
        subject: &mut Connections,
        work: &SlicePlan,
        at: &mut dyn FnMut(Mark),
    ) -> Result<(SliceLoad, SliceOutcome), LoadError> {
        let Connections { engine, requests, gaps, .. } = subject;
        let requests = &requests[&work.operation];
        let (plan, stop, guard) = (self.plan, self.stop, self.plan.design.guard.0);
        // The same for every stack of the round: common random numbers.
        let seed = self.seed ^ (u64::from(work.round) << 32);
        let latency =
            plan.latency.as_ref().and_then(|latency| Some((latency, *latency.rates.get(&work.operation)?)));
        if let (SliceKind::Latency, Some((latency, rate))) = (work.kind, latency) {
            let schedule = Schedule::poisson(rate, latency.slice.0, requests.len(), seed);
            let connections = latency.connections;
            let slice = OpenSlice { connections, length: latency.slice.0, guard, stop };
            let outcome = engine.open(requests, &schedule, slice, at)?;
            gaps.extend(gaps_of(engine.last_sends(), &schedule));
            return Ok((SliceLoad::Open { rate, connections }, outcome));
        }
        let connections = plan.throughput.connections;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let slice = closed(connections, plan.throughput.slice.0, guard, stop);
        let outcome = engine.closed(requests, &mut || rng.random_range(0..requests.len()), slice, at)?;
        Ok((SliceLoad::Closed { connections }, outcome))
    }
}

/// Gaps between the requests of one slice, in requests expected.
fn gaps_of(mut sends: Vec<u64>, schedule: &Schedule) -> Vec<f64> {
    sends.sort_unstable();
    let at: Vec<f64> = sends.into_iter().map(|send| schedule.expected(send)).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A closed-loop slice at full load: nobody thinks.
const fn closed(connections: u32, length: Duration, guard: Duration, stop: &AtomicBool) -> ClosedSlice<'_> {
    ClosedSlice { connections, length, guard, think: Duration::ZERO, requests: None, stop }
}

/// What the server says of itself, between its own two readings.
fn server_stats(first: &Counters, last: &Counters) -> Option<ServerStats> {
    let ((earlier, begin), (later, end)) = (first.server.as_ref()?, last.server.as_ref()?);
    Some(later.since(earlier, end.duration_since(*begin).as_nanos() as u64))
}

fn difference(
    first: &Counters,
    last: &Counters,
    outcome: &SliceOutcome,
    cpus: &CpuSets,
) -> (BTreeMap<String, u64>, MachineSample) {
    let cpu_ns: BTreeMap<String, u64> = last
        .roles
        .iter()
        .map(|(role, ns)| (role.clone(), ns.saturating_sub(first.roles.get(role).copied().unwrap_or(0))))
        .collect();
    let standby_ns = last.others_ns.saturating_sub(first.others_ns);
    let all = last.machine.all.since(first.machine.all);
    let ours_ns = cpu_ns.values().sum::<u64>() + standby_ns + outcome.generator_cpu_ns;
    let machine = MachineSample {
        foreign_ns: all.busy_ns.saturating_sub(ours_ns),
        steal_ns: all.steal_ns,
        standby_ns,
        parts: Some(parts(first, last, &cpu_ns, (standby_ns, outcome.generator_cpu_ns), cpus)),
    };
    (cpu_ns, machine)
}

/// What others took of the servers' CPUs, and of those that database and generator have beside them.
fn parts(
    first: &Counters,
    last: &Counters,
    cpu_ns: &BTreeMap<String, u64>,
    (standby_ns, generator_ns): (u64, u64),
    cpus: &CpuSets,
) -> MachineParts {
    let role = |name: &str| cpu_ns.get(name).copied().unwrap_or(0);
    let taken = |cpus: &[usize], ours_ns: u64| {
        let clock = last.machine.of(cpus).since(first.machine.of(cpus));
        Taken { steal_ns: clock.steal_ns, foreign_ns: clock.busy_ns.saturating_sub(ours_ns) }
    };
    let others = cpus.beside_servers();
    let served_ns = role("server") + role("front") + role("worker") + standby_ns;
    let rest_ns = role("database") + role("broker") + generator_ns;
    if others.is_empty() {
        return MachineParts { server: taken(&cpus.server, served_ns + rest_ns), others: Taken::default() };
    }
    MachineParts { server: taken(&cpus.server, served_ns), others: taken(&others, rest_ns) }
}

fn usage_since(before: &Usage, after: &Usage) -> Usage {
    Usage {
        cpu_ns: after.cpu_ns.saturating_sub(before.cpu_ns),
        voluntary_switches: after.voluntary_switches.saturating_sub(before.voluntary_switches),
        involuntary_switches: after.involuntary_switches.saturating_sub(before.involuntary_switches),
        wait_ns: before.wait_ns.zip(after.wait_ns).map(|(before, after)| after.saturating_sub(before)),
        ..*after
    }
}

#[cfg(test)]
mod tests {
    use dyno_model::Rate;

    use super::*;

    /// A² over a trial's short slices at several rates, each request `late` nanoseconds late.
    fn pacing_of_trial(seed: u64, late: fn(u64) -> u64) -> Pacing {
        let mut gaps = Vec::new();
        for (slice, rate) in [100.0, 40.0, 40.0, 100.0].into_iter().enumerate() {
            let rate = Rate::new_per_s(rate).unwrap();
            let schedule = Schedule::poisson(rate, Duration::from_millis(500), 1, seed * 4 + slice as u64);
            let sends = schedule.clone().map(|due| due.at_ns).filter(|&at_ns| at_ns >= 30_000_000);
            gaps.extend(gaps_of(sends.map(|at_ns| at_ns + late(at_ns)).collect(), &schedule));
        }
        self_check::pacing(&gaps).unwrap()
    }

    #[test]
    fn gaps_of_short_slices_together_fit_as_one_process_and_ticks_do_not() {
        let trials = 1_000;
        let beyond = |late: fn(u64) -> u64| {
            let all = (0..trials).map(|seed| pacing_of_trial(seed, late));
            all.filter(|pacing| pacing.a_squared >= self_check::PACING_LIMIT).count()
        };
        // 1 % and three standard errors.
        let chance = beyond(|_| 0);
        assert!(chance <= 20, "{chance} of {trials} perfect trials are beyond the 1 % level");
        // Sends wait for the next tick of 10 ms, a clock that many generators have.
        let ticks = beyond(|at_ns| 10_000_000 - at_ns % 10_000_000);
        assert!(ticks >= 950, "{ticks} of {trials} trials with ticks are found");
    }
}
