//! Options as written -> what is carried out, with the words for it.

use std::{sync::Arc, thread, time::Duration};

use dyno_load::{
    Arrivals, Choice, ClientCertificate, Drive, DriveModel, Due, ENDLESS, EngineOptions, Pacing, Protocol,
    Schedule, Sequence, SequenceStep, Stage, TlsOptions, Trust, WireKind, wake_up_cost,
};
use dyno_model::{
    Span,
    traffic::{Kind, Origin, Scheme, Take, Traffic},
};

use super::{error::LoadCommandError, place::Place};
use crate::arguments::{
    ArrivalsOption, ConnectionOptions, EngineOption, LoadOptions, ModelOptions, PacingOption,
};
use crate::stop::END_NOW;
use dyno_plan::traffic::Replay;

/// How long a load is where nothing says it.
const DEFAULT_LENGTH: Duration = Duration::from_secs(10);
/// Longest interval: a load that is killed loses no more of its logs.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);
/// How often a load of unknown length is told.
const USUAL_INTERVAL: Duration = Duration::from_millis(200);
/// Intervals that a load should have at least, for estimates over parts of it.
const FEWEST_INTERVALS: u32 = 25;

/// A load as resolved.
#[derive(Debug)]
pub struct Order {
    /// For the engine.
    pub drive: Drive,
    /// `closed loop, 64 connections, 10s`.
    pub words: String,
    /// From the begin of the load to the end of the measured window; `None` where a number of requests ends it.
    pub length: Option<Duration>,
    /// Whether the load is meant to stay the same: stages and recordings change it.
    pub steady: bool,
    /// What a wake-up costs here, where that decided on the pacing.
    pub wake_up: Option<Duration>,
}

/// What is to be carried out against `place`.
///
/// # Errors
/// Options that this machine can't carry out.
pub fn order(
    options: &LoadOptions,
    traffic: &Traffic,
    origin: &Origin,
    place: &Place,
    replay: Option<&Replay>,
) -> Result<Order, LoadCommandError> {
    let when = &options.model;
    let threads = threads(when)?;
    lanes(when, &options.connection)?;
    let (requests, weights) = traffic.flatten();
    let choice = Choice::weighted(&weights);
    let (model, length) = match replay {
        Some(replay) => replayed(replay),
        None => model(when, choice)?,
    };
    // More connections than requests would only be opened and closed.
    let connections = when.requests.map_or(when.connections, |requests| {
        when.connections.min(u32::try_from(requests).unwrap_or(u32::MAX))
    });
    let (pacing, wake_up) = pacing(when, &model);
    let every = every(length.map(|length| length.saturating_sub(when.warm_up.0)));
    Ok(Order {
        words: words(options, threads, connections),
        drive: Drive {
            target: place.target.clone(),
            requests,
            model,
            connections,
            threads,
            options: EngineOptions {
                others: place.others.clone(),
                pacing,
                redirects: options.connection.redirects,
                sequence: sequence(traffic),
                ..engine_options(&options.connection, origin)
            },
            guard: when.warm_up.0,
            every,
        },
        length,
        steady: when.stages.is_none() && replay.is_none(),
        wake_up,
    })
}

/// When requests go out, and what a wake-up costs where that was measured.
fn pacing(when: &ModelOptions, model: &DriveModel) -> (Pacing, Option<Duration>) {
    let DriveModel::Open { schedule } = model else { return (Pacing::Exact, None) };
    match when.pacing {
        PacingOption::Exact => (Pacing::Exact, None),
        PacingOption::Tick(tick) => (Pacing::Tick(tick.0), None),
        PacingOption::Auto => {
            let wake_up = wake_up_cost();
            // The highest rate counts: there wake-ups are most; of a list its mean.
            let per_s = match (&when.rate, &when.stages) {
                (Some(rate), _) => rate.per_s(),
                (_, Some(stages)) => {
                    stages.0.iter().map(|one| one.from_per_s.max(one.to_per_s)).fold(0.0, f64::max)
                }
                _ => schedule.count_rest() as f64 / schedule.length().as_secs_f64().max(1.0),
            };
            (Pacing::choose(per_s / f64::from(when.threads), wake_up), Some(wake_up))
        }
    }
}

/// The steps of a fixed sequence, for the engine.
fn sequence(traffic: &Traffic) -> Option<Arc<Sequence>> {
    let takes = traffic.sequence.as_ref()?;
    let mut first = 0;
    let step = |(kind, takes): (&Kind, &Vec<Take>)| {
        let count = kind.requests.len();
        first += count;
        SequenceStep { first: first - count, count, takes: takes.clone() }
    };
    Some(Arc::new(Sequence { steps: traffic.kinds.iter().zip(takes).map(step).collect() }))
}

fn threads(when: &ModelOptions) -> Result<u32, LoadCommandError> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    if when.threads as usize > cpus {
        let plural = if cpus == 1 { "CPU" } else { "CPUs" };
        return Err(LoadCommandError::Options(format!(
            "--threads {}: this machine gives {cpus} {plural}, and a thread without a CPU of its own waits where \
             it should send, which would be seen as the server's latency\n  example: --threads {cpus}",
            when.threads
        )));
    }
    Ok(when.threads.min(when.connections))
}

/// Requests that may be in flight at once, over all connections and their streams.
const MOST_LANES: u64 = 1_000_000;

fn lanes(when: &ModelOptions, connection: &ConnectionOptions) -> Result<(), LoadCommandError> {
    let lanes = u64::from(when.connections) * u64::from(connection.streams);
    if lanes > MOST_LANES {
        return Err(LoadCommandError::Options(format!(
            "--connections {} with --streams {} are {lanes} requests at once, and {MOST_LANES} are the most\n  \
             example: --connections 64 --streams 8",
            when.connections, connection.streams
        )));
    }
    Ok(())
}

/// A schedule that was written down or recorded.
fn replayed(replay: &Replay) -> (DriveModel, Option<Duration>) {
    let due = |&(at, request): &(Duration, usize)| Due {
        at_ns: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
        request,
    };
    let schedule = Schedule::replay(replay.iter().map(due).collect());
    let length = schedule.length();
    (DriveModel::Open { schedule }, Some(length))
}

/// The load model, and its length from the begin where that is known.
fn model(when: &ModelOptions, choice: Choice) -> Result<(DriveModel, Option<Duration>), LoadCommandError> {
    let arrivals = match when.arrivals {
        Some(ArrivalsOption::Uniform) => Arrivals::Uniform,
        Some(ArrivalsOption::Poisson) | None => Arrivals::Poisson,
    };
    if when.arrivals.is_some() && when.rate.is_none() && when.stages.is_none() {
        return Err(LoadCommandError::Options(
            "--arrivals says how the requests of --rate or --stages are spread, and there are none\n  \
             example: --rate 500/s --arrivals uniform"
                .to_owned(),
        ));
    }
    let length = when.warm_up.0 + when.duration.map_or(DEFAULT_LENGTH, |span| span.0);
    if let Some(stages) = &when.stages {
        let mut all: Vec<Stage> = stages
            .0
            .iter()
            .map(|one| Stage { length: one.length.0, from_per_s: one.from_per_s, to_per_s: one.to_per_s })
            .collect();
        if when.warm_up.0 > Duration::ZERO {
            let first_per_s = all[0].from_per_s;
            all.insert(0, Stage { length: when.warm_up.0, from_per_s: first_per_s, to_per_s: first_per_s });
        }
        let schedule = Schedule::new(all, arrivals, choice, when.seed);
        let length = schedule.length();
        return Ok((DriveModel::Open { schedule }, Some(length)));
    }
    if let Some(rate) = when.rate {
        let make =
            |length, choice| Schedule::new(vec![Stage::constant(rate, length)], arrivals, choice, when.seed);
        let Some(requests) = when.requests else {
            return Ok((DriveModel::Open { schedule: make(length, choice) }, Some(length)));
        };
        // It ends with its last answer; how long that takes is known only roughly.
        let longest = if when.duration.is_some() { length } else { ENDLESS };
        let roughly =
            Duration::try_from_secs_f64(requests as f64 / rate.per_s()).unwrap_or(ENDLESS).min(longest);
        let schedule = make(longest, choice).limit(requests);
        return Ok((DriveModel::Open { schedule }, Some(roughly)));
    }
    let endless = when.requests.is_some() && when.duration.is_none();
    let length = if endless { Duration::MAX } else { length };
    let think = when.think.map_or(Duration::ZERO, |span| span.0);
    let model = DriveModel::Closed { length, think, requests: when.requests, choice, seed: when.seed };
    Ok((model, (!endless).then_some(length)))
}

/// How often a load whose measured window has this length is told: at least 25 times where that isn't too often,
/// and at least once in a second.
fn every(window: Option<Duration>) -> Duration {
    let Some(window) = window else { return USUAL_INTERVAL };
    let steps = [500, 250, 200, 100, 50, 20, 10].map(Duration::from_millis);
    let fits = |every: &Duration| *every * FEWEST_INTERVALS <= window;
    std::iter::once(LONGEST_INTERVAL).chain(steps).find(fits).unwrap_or(Duration::from_millis(10))
}

fn engine_options(options: &ConnectionOptions, origin: &Origin) -> EngineOptions {
    let host = options.host.clone().unwrap_or_else(|| origin.authority());
    let trust = match &options.ca {
        Some(path) => Trust::Authorities(path.clone()),
        None if options.insecure => Trust::Anybody,
        None => Trust::System,
    };
    let tls = (origin.scheme == Scheme::Https).then(|| TlsOptions {
        server_name: options.host.as_deref().map_or(origin.host_for_server(), without_port).to_owned(),
        trust,
        client: options.cert.as_ref().map(|certificate| ClientCertificate {
            certificate: certificate.clone(),
            key: options.key.as_ref().unwrap_or(certificate).clone(),
        }),
    });
    EngineOptions {
        connect_timeout: options.connect_timeout.0,
        request_timeout: options.timeout.0,
        host: Some(host),
        keep_alive: !options.no_keep_alive,
        protocol: if options.http2 { Protocol::Http2 } else { Protocol::Http1 },
        streams: options.streams,
        tls,
        wire: match options.engine {
            EngineOption::Best => WireKind::Best,
            EngineOption::IoUring => WireKind::Uring,
            EngineOption::Epoll => WireKind::Epoll,
        },
        end_now: Some(&END_NOW),
        ..EngineOptions::default()
    }
}

/// `example.org:443` and `[::1]:443` without the port.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host.trim_start_matches('[').trim_end_matches(']')
        }
        _ => authority.trim_start_matches('[').trim_end_matches(']'),
    }
}

fn words(options: &LoadOptions, threads: u32, connections: u32) -> String {
    let when = &options.model;
    let mut words = Vec::new();
    let arrivals = match when.arrivals {
        Some(ArrivalsOption::Uniform) => "uniform",
        Some(ArrivalsOption::Poisson) | None => "Poisson",
    };
    words.push(match (&when.rate, &when.stages, &when.replay) {
        (Some(rate), _, _) => format!("open loop, {rate}, {arrivals} arrivals"),
        (_, Some(stages), _) => format!("open loop, stages {stages}, {arrivals} arrivals"),
        (_, _, Some(file)) => format!("open loop, times of {}", file.display()),
        _ => "closed loop".to_owned(),
    });
    words.push(plural(u64::from(connections), "connection"));
    if options.connection.streams > 1 {
        words.push(format!("{} streams each", options.connection.streams));
    }
    if threads > 1 {
        words.push(plural(u64::from(threads), "thread"));
    }
    if let Some(think) = when.think {
        words.push(format!("think time {think}"));
    }
    match (when.requests, when.duration) {
        (Some(requests), None) => words.push(plural(requests, "request")),
        (Some(requests), Some(span)) => words.push(format!("{span} or {}", plural(requests, "request"))),
        (None, _) if when.stages.is_some() || when.replay.is_some() => {}
        (None, span) => words.push(span.unwrap_or(Span(DEFAULT_LENGTH)).to_string()),
    }
    if when.warm_up != Span::default() {
        words.push(format!("after a warm-up of {}", when.warm_up));
    }
    if options.connection.no_keep_alive {
        words.push("a connection for each request".to_owned());
    }
    words.join(", ")
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_has_enough_intervals_and_none_longer_than_a_second() {
        for (window_ms, every_ms) in
            [(10_000, 250), (5_000, 200), (30_000, 1_000), (3_600_000, 1_000), (1_000, 20), (100, 10)]
        {
            let every = every(Some(Duration::from_millis(window_ms)));
            assert_eq!(every, Duration::from_millis(every_ms), "{window_ms} ms");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_without_a_port() {
        for (written, name) in [
            ("example.org:443", "example.org"),
            ("example.org", "example.org"),
            ("[::1]:443", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(without_port(written), name);
        }
    }
}
