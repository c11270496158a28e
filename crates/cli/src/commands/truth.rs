//! `dyno truth`: servers whose latency is known, dyno's engine and its rivals before them, reported against true.

use std::{ffi::OsString, fs, process::ExitCode, sync::atomic::Ordering, time::Duration};

use clap::ValueEnum;
use dyno_load::{
    Arrivals as Spread, Choice, ClosedSlice, Due, Engine, EngineOptions, OpenSlice, Schedule, Stage,
};
use dyno_model::{
    Rate, Span,
    load::{Expect, ExpectBody, ExpectStatus, Request, SliceOutcome, Target},
};
use dyno_truth::{
    child::TruthServer,
    ideal,
    record::{Answered, Percentiles},
    rivals::{self, Installed, Order},
    scenario::{Arrivals, Law, Lock, Script},
    table::{
        self, Against, Figures, Judged, Model, Outcome, Reported, Row, ScenarioOutput, TRUTH_OUTPUT_VERSION,
        TruthOutput, Which, judge_by_another, judge_exactly,
    },
    truth::{TrueLatencies, quantile},
};

use crate::{
    arguments::{
        Common, Format,
        truth::{Scenario, TruthOptions},
    },
    exit::{self, Error},
    output::print,
    stop::STOP,
};

/// The hidden command that is a truth server.
pub const SERVER: &str = "__truth-server";

/// A scenario as it is run: script, arrivals, offered rate, length.
struct Trial {
    script: Script,
    arrivals: Arrivals,
    rate: Rate,
    seconds: u64,
}

/// `dyno truth`.
pub fn truth(common: &Common, options: &TruthOptions) -> Result<ExitCode, Error> {
    let echo = |words: &str| {
        if !common.quiet {
            eprintln!("$ {words}");
        }
    };
    let rivals = if options.no_rivals { Vec::new() } else { rivals::find() };
    let mut scenarios = Vec::new();
    for scenario in chosen(options) {
        let trial = trial(scenario, options.quick)?;
        let server = TruthServer::start(&std::env::current_exe()?, &[OsString::from(SERVER)], &trial.script)?;
        for &connections in &options.connections {
            let test = Test { trial: &trial, server: &server, connections, seed: options.seed };
            scenarios.push(test.run(&rivals, &echo)?);
            if STOP.load(Ordering::Relaxed) {
                return Ok(ExitCode::from(exit::STOPPED));
            }
        }
    }
    let own = |row: &&Row| row.against == Against::ItsOwnRun;
    let right = scenarios.iter().all(|one| one.rows.iter().filter(own).all(Row::is_right));
    let dyno = env!("CARGO_PKG_VERSION").to_owned();
    let output = TruthOutput { version: TRUTH_OUTPUT_VERSION, dyno, right, scenarios };
    let json = serde_json::to_string_pretty(&output)?;
    if let Some(path) = &options.output {
        fs::write(path.with_extension("json"), json.clone() + "\n")?;
        fs::write(path.with_extension("md"), table::markdown(&output))?;
    }
    match common.format {
        Format::Json => print(&format!("{json}\n"))?,
        _ => print(&table::text(&output))?,
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn chosen(options: &TruthOptions) -> Vec<Scenario> {
    let all = Scenario::value_variants().iter().copied();
    all.filter(|one| options.only.is_empty() || options.only.contains(one)).collect()
}

/// Whole periods, so that a law holds; at most half of what the connections can carry in a slow phase.
fn trial(scenario: Scenario, quick: bool) -> Result<Trial, Error> {
    let (per_s, ms) = (if quick { 500.0 } else { 200.0 }, Span::milliseconds);
    let spans = |short: (Span, Span), long| if quick { short } else { long };
    let seconds = |short: u64, long| if quick { short } else { long };
    let (lock, service, seed) = (Lock::First, ms(1), 1);
    let (script, arrivals, seconds) = match scenario {
        Scenario::Stall => {
            let (stall, every) = spans((ms(200), ms(2000)), (ms(1000), ms(10_000)));
            (Script::Stall { stall, every, service, lock }, Arrivals::Uniform, seconds(4, 30))
        }
        Scenario::Slow => {
            (Script::Slow { one_in: 100, slow: ms(100), service, seed }, Arrivals::Uniform, seconds(3, 20))
        }
        Scenario::OnOff => {
            let (slow, phase) = spans((ms(10), ms(500)), (ms(20), ms(1000)));
            let script = Script::OnOff { fast: service, slow, fast_for: phase, slow_for: phase, lock };
            (script, Arrivals::Uniform, seconds(3, 20))
        }
        Scenario::Mm1 => {
            let service = Span(Duration::from_secs_f64(0.5 / per_s));
            (Script::Mm1 { service, seed }, Arrivals::Poisson, seconds(3, 30))
        }
    };
    let rate = Rate::new_per_s(per_s).ok_or("a rate above zero")?;
    Ok(Trial { script, arrivals, rate, seconds })
}

/// A trial with one number of connections.
struct Test<'a> {
    trial: &'a Trial,
    server: &'a TruthServer,
    connections: u32,
    seed: u64,
}

impl Test<'_> {
    fn run(&self, rivals: &[Installed], echo: &dyn Fn(&str)) -> Result<ScenarioOutput, Error> {
        let Trial { script, arrivals, rate, seconds } = self.trial;
        let law = script.law(*rate, *arrivals);
        let due = self.due();
        let (own, truth) = self.open(&due, echo)?;
        let mut rows = vec![own];
        if matches!(script, Script::Stall { .. }) {
            rows.push(self.closed(&truth, law.as_ref(), echo)?);
        }
        for rival in rivals {
            if STOP.load(Ordering::Relaxed) {
                break;
            }
            rows.push(self.rival(rival, &truth, law.as_ref(), echo)?);
        }
        let at_ns: Vec<u64> = due.iter().map(|due| due.at_ns).collect();
        let mut ideal = ideal::latencies(&at_ns, self.connections, script);
        ideal.sort_unstable();
        let us = |ns: f64| ns / 1e3;
        Ok(ScenarioOutput {
            script: script.clone(),
            rate_per_s: rate.per_s(),
            arrivals: *arrivals,
            seconds: *seconds as f64,
            connections: self.connections,
            closed_form_us: Figures::each(|which| {
                law.as_ref().map(|law| match which {
                    Which::Percentile(share) => us(law.quantile_ns(share)),
                    Which::Mean => us(law.mean_ns()),
                })
            }),
            ideal_us: Figures::each(|which| match which {
                Which::Percentile(share) => quantile(&ideal, share).map(|ns| us(ns as f64)),
                Which::Mean => Some(us(ideal.iter().sum::<u64>() as f64 / ideal.len().max(1) as f64)),
            }),
            true_us: Figures::each(|which| match which {
                Which::Percentile(share) => truth.quantile_ns(share).map(|ns| us(ns as f64)),
                Which::Mean => truth.mean().map(|mean| us(mean.low_ns)),
            }),
            rows,
        })
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.trial.seconds)
    }

    /// When requests are due, each the one of its number: so the server's record tells which is which.
    fn due(&self) -> Vec<Due> {
        let stages = vec![Stage::constant(self.trial.rate, self.length())];
        let spread = match self.trial.arrivals {
            Arrivals::Uniform => Spread::Uniform,
            Arrivals::Poisson => Spread::Poisson,
        };
        let schedule = Schedule::new(stages, spread, Choice::uniform(1), self.seed);
        schedule.enumerate().map(|(number, due)| Due { at_ns: due.at_ns, request: number }).collect()
    }

    fn engine(&self) -> Result<Engine, Error> {
        let target = Target::Tcp(self.server.address());
        Ok(Engine::connect(target, self.connections, EngineOptions::default())?)
    }

    /// Dyno's own open loop, with what was true of every request.
    fn open(&self, due: &[Due], echo: &dyn Fn(&str)) -> Result<(Row, TrueLatencies), Error> {
        let command = format!(
            "dyno's engine, open loop: {} {} {}, {} connections",
            self.trial.script.name(),
            self.trial.rate,
            Span::seconds(self.trial.seconds),
            self.connections
        );
        echo(&command);
        self.server.reset()?;
        let mut engine = self.engine()?;
        let requests: Vec<Request> = (0..due.len()).map(|number| get(&format!("/?k={number}"))).collect();
        let slice = OpenSlice {
            connections: self.connections,
            length: self.length(),
            guard: Duration::ZERO,
            stop: &STOP,
        };
        let outcome = engine.open(&requests, &Schedule::replay(due.to_vec()), slice, &mut |_| {})?;
        let sends = engine.last_sends();
        drop(engine);
        let records = self.server.records()?;
        let begin_ns = begin_ns(&sends, &records).unwrap_or(0);
        let due_ns: Vec<u64> = due.iter().map(|due| begin_ns + due.at_ns).collect();
        let (truth, failed) = match TrueLatencies::new(&due_ns, &records) {
            Ok(truth) => (truth, None),
            Err(error) => (TrueLatencies::default(), Some(error.to_string())),
        };
        let mut row = self.row("dyno", command, Model::Open)?;
        row.version = outcome.engine.clone();
        row.against = Against::ItsOwnRun;
        row.requests = outcome.counts.sent;
        row.late = Some(Percentiles::of(&outcome.late));
        row.failed = failed.or_else(|| miscounted(&outcome, due.len() as u64, row.seen.requests));
        if row.failed.is_none() {
            row.figures = judge_exactly(&Reported::of(&outcome.latency, outcome.counts.sent), &truth);
        }
        Ok((row, truth))
    }

    /// Dyno's closed loop: what must be wrong, or nothing stalled.
    fn closed(&self, truth: &TrueLatencies, law: Option<&Law>, echo: &dyn Fn(&str)) -> Result<Row, Error> {
        let command = format!("dyno's engine, closed loop: {} connections", self.connections);
        echo(&command);
        self.server.reset()?;
        let mut engine = self.engine()?;
        let slice = ClosedSlice {
            connections: self.connections,
            length: self.length(),
            guard: Duration::ZERO,
            think: Duration::ZERO,
            requests: None,
            stop: &STOP,
        };
        let outcome = engine.closed(&[get("/")], &mut || 0, slice, &mut |_| {})?;
        let mut row = self.row("dyno closed loop", command, Model::Closed)?;
        row.version = outcome.engine;
        row.requests = outcome.counts.sent;
        row.figures = judge_by_another(&Reported::of(&outcome.latency, outcome.counts.sent), truth, law);
        Ok(row)
    }

    fn rival(
        &self,
        rival: &Installed,
        truth: &TrueLatencies,
        law: Option<&Law>,
        echo: &dyn Fn(&str),
    ) -> Result<Row, Error> {
        self.server.reset()?;
        let order = Order {
            url: format!("http://{}/", self.server.address()),
            rate_per_s: self.trial.rate.per_s(),
            seconds: self.trial.seconds,
            connections: self.connections,
        };
        let mut command = String::new();
        let shown = std::cell::RefCell::new(&mut command);
        let reported = rival.run(&order, &|words| {
            echo(words);
            words.clone_into(*shown.borrow_mut());
        });
        let mut row = self.row(rival.rival.name(), command, rival.rival.model())?;
        row.version = rival.version();
        match reported {
            Ok(reported) => {
                row.requests = reported.requests;
                row.figures = judge_by_another(&reported, truth, law);
            }
            Err(error) => row.failed = Some(error.to_string()),
        }
        Ok(row)
    }

    /// A row with what the server saw since its reset.
    fn row(&self, tool: &str, command: String, model: Model) -> Result<Row, Error> {
        let untold = Judged {
            reported_us: None,
            true_low_us: 0.0,
            true_high_us: 0.0,
            ratio: None,
            outcome: Outcome::NotTold,
        };
        Ok(Row {
            tool: tool.to_owned(),
            version: String::new(),
            command,
            model,
            against: Against::DynosRun,
            figures: Figures::each(|_| untold),
            requests: 0,
            seen: self.server.counts()?,
            pacing: self.server.arrivals(self.trial.rate.per_s())?,
            timer_error: self.server.latency()?.timer_error,
            late: None,
            failed: None,
        })
    }
}

/// When an open loop began, which the engine doesn't tell: it tells when each request was sent since then, and the
/// server when it was received. The first quartile of the differences is taken. A request is on its way for a few
/// microseconds, and by those the beginning is too late and true latencies too short. Not the least: a request of a
/// batch may have gone out before its share of the batch's time. Not the median: requests that waited for a connection
/// count as sent before they were.
fn begin_ns(sends: &[u64], records: &[Answered]) -> Option<u64> {
    let sent_ns = |record: &Answered| sends.get(usize::try_from(record.number?).ok()?).copied();
    let mut begins: Vec<u64> =
        records.iter().filter_map(|record| record.received_ns.checked_sub(sent_ns(record)?)).collect();
    begins.sort_unstable();
    quantile(&begins, 0.25)
}

fn get(target: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect { status: ExpectStatus::Exactly(200), body: ExpectBody::Equal(b"yes".to_vec()) },
    }
}

/// Planned = sent = answered right = seen by the server, or the words of what isn't.
fn miscounted(outcome: &SliceOutcome, planned: u64, seen: u64) -> Option<String> {
    let counts = outcome.counts;
    let all = [counts.planned, counts.sent, counts.completed, seen];
    all.iter().any(|&count| count != planned).then(|| {
        format!(
            "{planned} of the schedule, {} planned, {} sent, {} right, {seen} seen by the server",
            counts.planned, counts.sent, counts.completed
        )
    })
}
