//! The scripts of the truth server: when a request that was received at a moment is answered, and what latencies an
//! open loop then has. Pure: the clock is passed in.

use std::{fmt, time::Duration};

use clap::{Subcommand, ValueEnum};
use dyno_model::{Rate, Span};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the periods of a script are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// The server's start, or its last reset.
    Start,
    /// The first request after that.
    #[default]
    First,
}

/// How a truth server answers.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Script {
    /// Frozen in the middle of each period; what came meanwhile is served all at once after it
    Stall {
        /// Length of a freeze
        #[arg(long, default_value = "1s")]
        stall: Span,
        /// Length of a period
        #[arg(long, default_value = "10s")]
        every: Span,
        /// Service time of each request, any number of them side by side
        #[arg(long, default_value = "1ms")]
        service: Span,
        /// What the periods are counted from
        #[arg(long, value_enum, default_value_t)]
        lock: Lock,
    },
    /// One of so many answers is slow, at a random place among them
    Slow {
        /// One of so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
        one_in: u32,
        /// Service time of a slow one
        #[arg(long, default_value = "100ms")]
        slow: Span,
        /// Service time of the others
        #[arg(long, default_value = "1ms")]
        service: Span,
        /// Seed of the places
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Alternates between a fast and a slow phase
    OnOff {
        /// Service time of requests received in the fast phase
        #[arg(long, default_value = "1ms")]
        fast: Span,
        /// Service time of requests received in the slow phase
        #[arg(long, default_value = "20ms")]
        slow: Span,
        /// Length of a fast phase
        #[arg(long, default_value = "1s")]
        fast_for: Span,
        /// Length of a slow phase
        #[arg(long, default_value = "1s")]
        slow_for: Span,
        /// What the phases are counted from
        #[arg(long, value_enum, default_value_t)]
        lock: Lock,
    },
    /// One server, exponential service times, first come first served over all connections
    Mm1 {
        /// Mean service time
        #[arg(long, default_value = "2500us")]
        service: Span,
        /// Seed of the service times
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Answers at once
    #[command(alias = "echo")]
    Plain,
}

/// A script that can't be played.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    /// A freeze as long as its period.
    #[error("--stall {stall} isn't shorter than --every {every}: for instance --stall 1s --every 10s")]
    Stall {
        /// Length of a freeze.
        stall: Span,
        /// Length of a period.
        every: Span,
    },
    /// Something that must have a length has none.
    #[error("{option} 0s: it must be longer than nothing, for instance {option} 1s")]
    Nothing {
        /// The option.
        option: &'static str,
    },
}

fn ns(span: Span) -> u64 {
    u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX)
}

impl Script {
    /// Its name, as on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stall { .. } => "stall",
            Self::Slow { .. } => "slow",
            Self::OnOff { .. } => "on-off",
            Self::Mm1 { .. } => "mm1",
            Self::Plain => "plain",
        }
    }

    /// Refuses what can't be played.
    ///
    /// # Errors
    /// A freeze that never ends, or a phase or service without length.
    pub fn check(&self) -> Result<(), ScriptError> {
        let something = |option, span: Span| match ns(span) {
            0 => Err(ScriptError::Nothing { option }),
            _ => Ok(()),
        };
        match *self {
            Self::Stall { stall, every, .. } if stall >= every => Err(ScriptError::Stall { stall, every }),
            Self::Stall { stall, .. } => something("--stall", stall),
            Self::OnOff { fast_for, slow_for, .. } => {
                something("--fast-for", fast_for).and_then(|()| something("--slow-for", slow_for))
            }
            Self::Mm1 { service, .. } => something("--service", service),
            Self::Slow { .. } | Self::Plain => Ok(()),
        }
    }

    /// The words that give this script on the command line of a truth server.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec![self.name().to_owned()];
        let mut add = |option: &str, value: String| words.extend([format!("--{option}"), value]);
        let lock_word = |lock| if lock == Lock::First { "first" } else { "start" }.to_owned();
        match *self {
            Self::Stall { stall, every, service, lock } => {
                add("stall", stall.to_string());
                add("every", every.to_string());
                add("service", service.to_string());
                add("lock", lock_word(lock));
            }
            Self::Slow { one_in, slow, service, seed } => {
                add("one-in", one_in.to_string());
                add("slow", slow.to_string());
                add("service", service.to_string());
                add("seed", seed.to_string());
            }
            Self::OnOff { fast, slow, fast_for, slow_for, lock } => {
                add("fast", fast.to_string());
                add("slow", slow.to_string());
                add("fast-for", fast_for.to_string());
                add("slow-for", slow_for.to_string());
                add("lock", lock_word(lock));
            }
            Self::Mm1 { service, seed } => {
                add("service", service.to_string());
                add("seed", seed.to_string());
            }
            Self::Plain => {}
        }
        words
    }

    /// The latencies of an open loop that always finds a free connection, over whole periods. Exact for an endless run,
    /// less the time that the network takes. `None` where a queue grows without end.
    pub fn law(&self, rate: Rate, arrivals: Arrivals) -> Option<Law> {
        let point = |share: f64, at: Span| Part { share, from_ns: ns(at) as f64, to_ns: ns(at) as f64 };
        let parts = match *self {
            Self::Stall { stall, every, service, .. } => {
                let share = stall.0.as_secs_f64() / every.0.as_secs_f64();
                let (from_ns, to_ns) = (ns(service) as f64, (ns(stall) + ns(service)) as f64);
                vec![point(1.0 - share, service), Part { share, from_ns, to_ns }]
            }
            Self::Slow { one_in, slow, service, .. } => {
                let share = 1.0 / f64::from(one_in);
                vec![point(1.0 - share, service), point(share, slow)]
            }
            Self::OnOff { fast, slow, fast_for, slow_for, .. } => {
                let share = slow_for.0.as_secs_f64() / (fast_for.0 + slow_for.0).as_secs_f64();
                vec![point(1.0 - share, fast), point(share, slow)]
            }
            Self::Mm1 { service, .. } => {
                let mean_ns = sojourn_s(rate.per_s(), service.0, arrivals)? * 1e9;
                return Some(Law::Exponential { mean_ns });
            }
            Self::Plain => vec![point(1.0, Span::default())],
        };
        let mut parts = parts;
        parts.sort_by(|a, b| a.from_ns.total_cmp(&b.from_ns));
        Some(Law::Mixture(parts))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall { stall, every, service, .. } => {
                write!(f, "frozen {stall} every {every}, then all at once; service {service}")
            }
            Self::Slow { one_in, slow, service, .. } => {
                write!(f, "one of {one_in} answers takes {slow}, the others {service}")
            }
            Self::OnOff { fast, slow, fast_for, slow_for, .. } => {
                write!(f, "{fast_for} at {fast}, {slow_for} at {slow}, in turn")
            }
            Self::Mm1 { service, .. } => write!(f, "one server, exponential service of mean {service}"),
            Self::Plain => f.write_str("answers at once"),
        }
    }
}

/// Mean time in the system with one server and exponential service. With Poisson arrivals `1/(mu - lambda)`; with any
/// other renewal process the sojourn is exponential too, with rate `mu (1 - s)`, where `s` is what an arrival finds the
/// server busy with: the root of `s = A*(mu - mu s)`, `A*` the transform of the gaps (Kleinrock 1975, GI/M/1).
fn sojourn_s(rate_per_s: f64, service: Duration, arrivals: Arrivals) -> Option<f64> {
    let load = rate_per_s * service.as_secs_f64();
    if load >= 1.0 {
        return None;
    }
    let busy = match arrivals {
        Arrivals::Poisson => load,
        Arrivals::Uniform => (0..1000).fold(0.0_f64, |busy, _| (-(1.0 - busy) / load).exp()),
    };
    Some(service.as_secs_f64() / (1.0 - busy))
}

/// How requests of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly.
    Uniform,
    /// Independent of each other.
    Poisson,
}

/// A part of a distribution: evenly between two latencies, or a jump where they are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its share of all requests, 0 to 1.
    pub share: f64,
    /// Smallest latency in nanoseconds.
    pub from_ns: f64,
    /// Largest latency in nanoseconds.
    pub to_ns: f64,
}

/// A distribution of latencies in closed form.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    /// Parts from fast to slow that don't overlap.
    Mixture(Vec<Part>),
    /// Exponential.
    Exponential {
        /// Mean in nanoseconds.
        mean_ns: f64,
    },
}

/// How far a percentile is moved to see whether it stands on a jump: a tenth of what lies above it.
const NUDGE: f64 = 0.1;
/// A percentile that changes by more than this factor when it is nudged says nothing: it stands on a jump.
const JUMP: f64 = 2.0;

impl Law {
    /// Latency in nanoseconds that the share `quantile` (0 to 1) of requests doesn't exceed.
    pub fn quantile_ns(&self, quantile: f64) -> f64 {
        let parts = match self {
            Self::Exponential { mean_ns } => return -mean_ns * (1.0 - quantile).max(f64::MIN_POSITIVE).ln(),
            Self::Mixture(parts) => parts,
        };
        let mut below = 0.0;
        for part in parts {
            if quantile <= below + part.share {
                let within = ((quantile - below) / part.share).clamp(0.0, 1.0);
                return part.from_ns + within * (part.to_ns - part.from_ns);
            }
            below += part.share;
        }
        parts.last().map_or(0.0, |part| part.to_ns)
    }

    /// Mean in nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        match self {
            Self::Exponential { mean_ns } => *mean_ns,
            Self::Mixture(parts) => {
                parts.iter().map(|part| part.share * (part.from_ns + part.to_ns) / 2.0).sum()
            }
        }
    }

    /// Whether a percentile stands on a jump or a steep rise, where a single request more moves it far.
    pub fn on_jump(&self, quantile: f64) -> bool {
        let nudge = NUDGE * (1.0 - quantile);
        self.quantile_ns(quantile + nudge) > JUMP * self.quantile_ns(quantile - nudge)
    }
}

/// Plays a script: told when requests were received, in that order, it says when each is to be answered.
#[derive(Clone, Debug)]
pub struct Player {
    script: Script,
    origin_ns: Option<u64>,
    rng: ChaCha8Rng,
    number: u64,
    /// Place of the slow one among the next so many.
    slow_place: u64,
    /// When the one server of a queue is free.
    free_ns: u64,
}

impl Player {
    /// A script from its beginning at `now_ns`.
    pub fn new(script: Script, now_ns: u64) -> Self {
        let (seed, lock) = match script {
            Script::Slow { seed, .. } | Script::Mm1 { seed, .. } => (seed, Lock::First),
            Script::Stall { lock, .. } | Script::OnOff { lock, .. } => (0, lock),
            Script::Plain => (0, Lock::First),
        };
        let origin_ns = (lock == Lock::Start).then_some(now_ns);
        Self { script, origin_ns, rng: ChaCha8Rng::seed_from_u64(seed), number: 0, slow_place: 0, free_ns: 0 }
    }

    /// When a request that was received at `received_ns` is answered, on the same clock.
    pub fn answer_ns(&mut self, received_ns: u64) -> u64 {
        let origin_ns = *self.origin_ns.get_or_insert(received_ns);
        let since_ns = received_ns.saturating_sub(origin_ns);
        let number = self.number;
        self.number += 1;
        match self.script {
            Script::Stall { stall, every, service, .. } => {
                let (stall_ns, every_ns) = (ns(stall), ns(every));
                // In the middle: an end of a run that is a little early or late cuts no freeze.
                let freeze_ns = (every_ns - stall_ns) / 2;
                let at_ns = since_ns % every_ns;
                let frozen = (freeze_ns..freeze_ns + stall_ns).contains(&at_ns);
                let wait_ns = if frozen { freeze_ns + stall_ns - at_ns } else { 0 };
                received_ns + wait_ns + ns(service)
            }
            Script::Slow { one_in, slow, service, .. } => {
                let place = number % u64::from(one_in);
                if place == 0 {
                    self.slow_place = self.rng.random_range(0..u64::from(one_in));
                }
                received_ns + ns(if place == self.slow_place { slow } else { service })
            }
            Script::OnOff { fast, slow, fast_for, slow_for, .. } => {
                let is_fast = since_ns % (ns(fast_for) + ns(slow_for)) < ns(fast_for);
                received_ns + ns(if is_fast { fast } else { slow })
            }
            Script::Mm1 { service, .. } => {
                // 1 - random() lies in (0, 1]: its logarithm is finite.
                let draw = -(1.0 - self.rng.random::<f64>()).ln();
                let service_ns = (draw * service.0.as_nanos() as f64) as u64;
                self.free_ns = self.free_ns.max(received_ns) + service_ns;
                self.free_ns
            }
            Script::Plain => received_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Subcommand as _};

    use super::*;

    const MS: f64 = 1e6;

    fn rate(per_s: f64) -> Rate {
        Rate::new_per_s(per_s).unwrap()
    }

    fn read(words: &[String]) -> Script {
        let command = Script::augment_subcommands(clap::Command::new("x").no_binary_name(true));
        Script::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn defaults() -> Vec<Script> {
        ["stall", "slow", "on-off", "mm1", "plain"].map(|name| read(&[name.to_owned()])).to_vec()
    }

    #[test]
    fn a_script_can_be_written_as_arguments_and_read_again() {
        for script in defaults() {
            assert_eq!(read(&script.arguments()), script);
            assert_eq!(script.check(), Ok(()));
        }
        assert_eq!(read(&["echo".to_owned()]), Script::Plain);
    }

    #[test]
    fn what_never_thaws_is_refused() {
        let words = ["stall", "--stall", "2s", "--every", "2s"].map(str::to_owned);
        let error = read(&words).check().unwrap_err().to_string();
        assert!(error.contains("--stall 2s") && error.contains("--every 10s"), "{error}");
        let words = ["on-off", "--slow-for", "0s"].map(str::to_owned);
        assert_eq!(read(&words).check(), Err(ScriptError::Nothing { option: "--slow-for" }));
    }

    /// The figures of LOADGEN C1, less the millisecond's fraction that its server added.
    #[test]
    fn the_stalls_law_is_known() {
        let law = defaults()[0].law(rate(200.0), Arrivals::Uniform).unwrap();
        let ms = |quantile| (law.quantile_ns(quantile) / MS * 10.0).round() / 10.0;
        assert_eq!((ms(0.5), ms(0.95), ms(0.99), ms(0.999)), (1.0, 501.0, 901.0, 991.0));
        assert!((law.mean_ns() / MS - 51.0).abs() < 1e-9);
        assert!(law.on_jump(0.9) && ![0.5, 0.95, 0.99, 0.999].iter().any(|&q| law.on_jump(q)));
    }

    #[test]
    fn a_queue_is_exponential_and_grows_without_end_at_full_load() {
        let queue = Script::Mm1 { service: Span::milliseconds(5), seed: 1 };
        let law = queue.law(rate(100.0), Arrivals::Poisson).unwrap();
        assert!((law.mean_ns() / MS - 10.0).abs() < 1e-9);
        assert!((law.quantile_ns(0.99) / law.mean_ns() - 100.0_f64.ln()).abs() < 1e-9);
        // D/M/1 at half load: s = exp(-2 (1 - s)) has the root 0.2032.
        let even = queue.law(rate(100.0), Arrivals::Uniform).unwrap();
        assert!((even.mean_ns() / MS - 5.0 / (1.0 - 0.2032)).abs() < 1e-3, "{}", even.mean_ns());
        assert_eq!(queue.law(rate(200.0), Arrivals::Poisson), None);
    }

    #[test]
    fn a_slow_answer_comes_once_in_each_so_many() {
        let mut player = Player::new(defaults()[1].clone(), 0);
        let slow: Vec<u64> = (0..1000).filter(|&at| player.answer_ns(at) - at == 100_000_000).collect();
        assert_eq!(slow.iter().map(|at| at / 100).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(slow.windows(2).any(|pair| pair[1] - pair[0] != 100), "at random places: {slow:?}");
    }

    #[test]
    fn a_freeze_holds_what_came_in_it_until_its_end() {
        let second = 1_000_000_000;
        let mut player = Player::new(defaults()[0].clone(), 7);
        // The first request is the origin: frozen from 4.5 s to 5.5 s after it.
        let answers: Vec<u64> =
            [0, 4_499_999_999, 4_500_000_000, 5_499_999_999, 5_500_000_000, 14_600_000_000]
                .iter()
                .map(|at| player.answer_ns(second + at) - second)
                .collect();
        let service = 1_000_000;
        let thaw = 5_500_000_000 + service;
        assert_eq!(answers, [service, 4_500_999_999, thaw, thaw, thaw, 15_500_000_000 + service]);
    }
}
