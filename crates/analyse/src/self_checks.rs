//! The self-checks G1 to G8 (METHOD, section 2) over a whole run: what each finds in each cell, and what that refuses. The
//! passing ones are findings too. It decides nothing about the run as a whole: that is `health` and `trust`.

use std::collections::BTreeSet;

use dyno_model::{
    Operation, StackName,
    output::{Metric, SelfCheck, SelfCheckOutcome as Outcome},
    record::Run,
    self_check::{
        GENERATOR_BUSIEST, GENERATOR_WAIT, LATE_FAIL, LATE_FLAG, LITTLE, PACING_LEVEL, PACING_LIMIT,
        SERVER_BOUND, UNREAD_NS, UNREAD_SHARE, UNSTAMPED,
    },
};

use crate::{
    cells::{Cell, Closed, Generator, Open},
    estimates::{enough, quantile},
    statistics::binomial_beyond,
    trends,
};

/// A self-check, in words.
pub struct Check {
    pub id: &'static str,
    /// What is looked at.
    pub what: &'static str,
    /// What to doubt when it doesn't pass.
    pub doubt: &'static str,
    /// What to do then.
    pub advice: &'static str,
}

/// All of them, in order.
pub const CHECKS: [Check; 8] = [
    Check {
        id: "G1",
        what: "requests planned are sent, and those sent have an outcome",
        doubt: "requests of the plan were not sent or are lost",
        advice: "see connections and wrong_answers in the run folder's blocks",
    },
    Check {
        id: "G2",
        what: "the generator's own lateness in each percentile",
        doubt: "percentiles hold some of the generator's own lateness",
        advice: "give the generator a CPU of its own",
    },
    Check {
        id: "G3",
        what: "requests go out as a Poisson process",
        doubt: "requests didn't go out as a Poisson process",
        advice: "give the generator a CPU of its own: latencies answer to other arrivals than the plan's",
    },
    Check {
        id: "G4",
        what: "the generator has its core to itself and isn't the limit",
        doubt: "the generator had too little of its core",
        advice: "use more CPUs, or compare CPU per request",
    },
    Check {
        id: "G5",
        what: "requests in flight over time are the sum of their latencies (Little)",
        doubt: "the generator's two measures of the same latencies differ",
        advice: "this is a fault of dyno: report it with the run folder",
    },
    Check {
        id: "G6",
        what: "no trend within blocks",
        doubt: "rates or latencies drift while a stack is up",
        advice: "warm up for longer: raise warm_up in the plan",
    },
    Check {
        id: "G7",
        what: "answers count as done when the kernel received them",
        doubt: "answers lay unread for an unknown time",
        advice: "latencies are upper bounds: find why the kernel gives no receive timestamps",
    },
    Check {
        id: "G8",
        what: "the server is the limit when it is saturated",
        doubt: "saturated servers left CPU unused",
        advice: "throughput is a lower bound: look at the database's and generator's CPUs, the connection budget and the worker counts",
    },
];

/// Metrics that a closed loop gives and a limit elsewhere touches; CPU per request survives one.
const RATE: [Metric; 1] = [Metric::Throughput];
/// Metrics of an open loop.
const LATENCY: [Metric; 3] = [Metric::LatencyP50, Metric::LatencyP90, Metric::LatencyP99];

/// What one check found in one place.
pub struct Finding {
    pub id: &'static str,
    pub stack: StackName,
    pub operation: Operation,
    /// Which load or metric of the cell; empty where there is one only.
    pub part: String,
    pub outcome: Outcome,
    pub words: String,
    /// How far it is to the limit, which is at 1, for naming the worst of those that pass.
    pub nearness: f64,
    /// Metrics that a failure allows no verdict on.
    pub refuses: Vec<Metric>,
}

impl Finding {
    /// A finding that passes.
    pub fn of(id: &'static str, cell: &Cell, part: &str, words: String) -> Self {
        let (stack, operation) = (cell.stack.clone(), cell.operation);
        let part = part.to_owned();
        Self { id, stack, operation, part, outcome: Outcome::Pass, words, nearness: 0.0, refuses: Vec::new() }
    }

    /// A check that can't be made here, with the reason.
    pub fn not_made(id: &'static str, cell: &Cell, part: &str, why: &str) -> Self {
        Self { outcome: Outcome::NotMade, ..Self::of(id, cell, part, why.to_owned()) }
    }

    /// The same with this outcome, and what it refuses if that is a failure.
    pub fn judged(self, outcome: Outcome, nearness: f64, refuses: &[Metric]) -> Self {
        let refuses = if outcome == Outcome::Fail { refuses.to_vec() } else { Vec::new() };
        Self { outcome, nearness, refuses, ..self }
    }

    /// What it is about.
    pub fn subject(&self) -> String {
        let part = if self.part.is_empty() { String::new() } else { format!(" {}", self.part) };
        format!("{} {}{part}", self.stack, self.operation)
    }
}

/// Makes every check in every cell. `overloaded` tells where latencies are a queue's length and aren't told.
pub fn examine(run: &Run, cells: &[Cell], overloaded: &dyn Fn(&Open) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for cell in cells {
        let (closed, open) = (cell.closed(), cell.open());
        let told = open.generator.length_ns > 0 && !overloaded(&open);
        findings.push(g1(cell));
        if told {
            findings.extend(g2(cell, &open));
            findings.push(g7(cell, &open));
        }
        if open.generator.length_ns > 0 {
            findings.push(g3(cell, cells.len()));
            findings.push(g4_open(cell, open.generator));
            findings.push(g5(cell, OPEN, open.generator, &LATENCY));
        }
        if closed.window_ns > 0 {
            findings.extend(g4_and_g8(cell, run, &closed));
            findings.push(g5(cell, CLOSED, closed.generator, &RATE));
        }
    }
    findings.extend(trends::g6(cells));
    // Stable: cells stay in their order.
    findings.sort_by_key(|finding| finding.id);
    findings
}

const CLOSED: &str = "closed loop";
const OPEN: &str = "open loop";

/// G1: nothing is lost. Requests that couldn't be sent because no connection could be opened are the server's failures, and
/// count as such elsewhere; here they are told.
fn g1(cell: &Cell) -> Finding {
    let counts = cell.counts;
    let failed = counts.failed.total();
    if counts.planned == 0 {
        return Finding::not_made("G1", cell, "", "no slices");
    }
    let words = format!(
        "planned {}, sent {}, not sent {}, right {}, failed {failed}",
        counts.planned, counts.sent, counts.not_sent, counts.completed
    );
    if counts.planned != counts.sent + counts.not_sent || counts.sent != counts.completed + failed {
        let words = format!("the generator's counts don't add up: {words}");
        return Finding::of("G1", cell, "", words).judged(Outcome::Fail, 2.0, &Metric::ALL);
    }
    let outcome = if counts.not_sent > 0 { Outcome::Flag } else { Outcome::Pass };
    Finding::of("G1", cell, "", words).judged(outcome, counts.not_sent as f64 / counts.planned as f64, &[])
}

/// G2: how much each percentile that is told would fall if the generator had never been late.
fn g2(cell: &Cell, open: &Open) -> Vec<Finding> {
    let mut findings = Vec::new();
    for metric in LATENCY {
        let Some(quantile) = quantile(metric).filter(|&quantile| enough(cell, quantile)) else { continue };
        let Some(late) = lateness(open, quantile) else { continue };
        let outcome = match late {
            _ if late > LATE_FAIL => Outcome::Fail,
            _ if late > LATE_FLAG => Outcome::Flag,
            _ => Outcome::Pass,
        };
        let words = format!("{:.1} % of it is the generator's own lateness", late * 100.0);
        findings.push(Finding::of("G2", cell, metric.name(), words).judged(
            outcome,
            late / LATE_FAIL,
            &[metric],
        ));
    }
    findings
}

/// By which share a percentile would fall if the generator had never been late; `None` without requests.
pub fn lateness(open: &Open, quantile: f64) -> Option<f64> {
    let without_ns = open.latency_less_late.quantile_ns(quantile)?;
    Some(1.0 - without_ns as f64 / open.latency.quantile_ns(quantile)? as f64)
}

/// G3: the gaps between requests are exponential, judged slice by slice. One in a hundred perfect slices is beyond the limit,
/// so that a count of them is judged: improbable counts are flagged, at a level that all cells share (Bonferroni), so that
/// one clean run in a hundred is flagged at most; more than a third as well refuses (METHOD: two of three trials).
fn g3(cell: &Cell, cells: usize) -> Finding {
    let n = cell.pacing.len();
    if n == 0 {
        let why = "no slice and no trial is recorded with the 50 gaps between requests that it needs";
        return Finding::not_made("G3", cell, "", why);
    }
    let beyond = cell.pacing.iter().filter(|&&a_squared| a_squared >= PACING_LIMIT).count();
    let most = cell.pacing.iter().copied().fold(0.0, f64::max);
    let improbable =
        binomial_beyond(beyond as u64, n as u64, PACING_LEVEL) < PACING_LEVEL / cells.max(1) as f64;
    let outcome = match (improbable, beyond * 3 > n) {
        (true, true) => Outcome::Fail,
        (false, false) => Outcome::Pass,
        _ => Outcome::Flag,
    };
    let units = if cell.pacing_of_trials { "trials" } else { "slices" };
    let words = format!("{beyond} of {n} {units} are beyond A² = {PACING_LIMIT}, the largest {most:.2}");
    // The share decides, then the largest.
    let nearness = beyond as f64 * 3.0 / n as f64 + most / 1e6;
    Finding::of("G3", cell, "", words).judged(outcome, nearness, &LATENCY)
}

/// Share of its core that the generator used, share of the time that it waited for it, and both in words.
fn use_of_core(generator: Generator) -> (f64, f64, String) {
    let share = |ns: u64| ns as f64 / generator.length_ns.max(1) as f64;
    let (busy, wait) = (share(generator.cpu_ns), share(generator.wait_ns));
    let words = format!(
        "the generator used {:.0} % of its core and waited {:.1} % of the time for it",
        busy * 100.0,
        wait * 100.0
    );
    (busy, wait, words)
}

/// G4 in an open loop. Waiting is flagged only: what it does to latencies is what G2 tells.
fn g4_open(cell: &Cell, generator: Generator) -> Finding {
    let (busy, wait, words) = use_of_core(generator);
    let outcome = match busy {
        _ if busy >= GENERATOR_BUSIEST => Outcome::Fail,
        _ if wait >= GENERATOR_WAIT => Outcome::Flag,
        _ => Outcome::Pass,
    };
    let nearness = (busy / GENERATOR_BUSIEST).max(wait / GENERATOR_WAIT);
    Finding::of("G4", cell, OPEN, words).judged(outcome, nearness, &LATENCY)
}

/// G4 and G8 in a saturated closed loop: who was the limit. A busy generator forbids a throughput only where the server had
/// CPU left.
fn g4_and_g8(cell: &Cell, run: &Run, closed: &Closed) -> [Finding; 2] {
    let server = closed.had_work_ns / (closed.window_ns as f64 * run.cpus.server.len().max(1) as f64);
    let bound = server >= SERVER_BOUND;
    let (busy, wait, words) = use_of_core(closed.generator);
    // A generator that others keep from its core is the limit as much as a busy one.
    let g4 = match (busy + wait >= GENERATOR_BUSIEST, bound) {
        (true, false) => Outcome::Fail,
        (true, true) => Outcome::Flag,
        (false, _) if wait >= GENERATOR_WAIT => Outcome::Flag,
        (false, _) => Outcome::Pass,
    };
    let nearness = (busy / GENERATOR_BUSIEST).max(wait / GENERATOR_WAIT);
    let g4 = Finding::of("G4", cell, CLOSED, words).judged(g4, nearness, &RATE);

    let cpus: BTreeSet<usize> = run.cpus.database.iter().chain(&run.cpus.generator).copied().collect();
    // Of the CPU time that was there: what others took nobody of the run could have used.
    let there_ns = closed.there_ns.max(f64::MIN_POSITIVE) * cpus.len().max(1) as f64;
    let others = (closed.database_cpu_ns + closed.generator.cpu_ns) as f64 / there_ns;
    let words = format!(
        "the server had work for {:.0} % of its CPUs' time when it was saturated, database and generator used {:.0} % of theirs",
        server * 100.0,
        others * 100.0
    );
    let outcome = match bound {
        true => Outcome::Pass,
        false if others >= OTHERS_BOUND => Outcome::Fail,
        false => Outcome::Flag,
    };
    [g4, Finding::of("G8", cell, "", words).judged(outcome, SERVER_BOUND / server.max(1e-3), &RATE)]
}

/// Share of the other CPUs from which on they, not the server, were the limit.
const OTHERS_BOUND: f64 = 0.90;

/// G5: Little's law.
fn g5(cell: &Cell, part: &'static str, generator: Generator, refuses: &[Metric]) -> Finding {
    if generator.latency_sum_ns == 0 {
        return Finding::not_made("G5", cell, part, "no latencies");
    }
    let error = (generator.in_flight_ns as f64 / generator.latency_sum_ns as f64 - 1.0).abs();
    let words = format!("requests in flight and latencies differ by {:.1} %", error * 100.0);
    let outcome = if error >= LITTLE { Outcome::Fail } else { Outcome::Pass };
    Finding::of("G5", cell, part, words).judged(outcome, error / LITTLE, refuses)
}

/// G7: answers have the kernel's receive timestamp, or were read soon after. As the load engine's own check of one load.
fn g7(cell: &Cell, open: &Open) -> Finding {
    if open.unread.count() == 0 && open.unstamped == 0 {
        return Finding::not_made("G7", cell, "", "the engine that recorded it took no receive timestamps");
    }
    let share = open.unstamped as f64 / open.answers.max(1) as f64;
    let without = format!("{} of {} answers came without a receive timestamp", open.unstamped, open.answers);
    if share <= UNSTAMPED {
        return Finding::of("G7", cell, "", without).judged(Outcome::Pass, share, &[]);
    }
    // Those with a stamp tell what the others were like; without any, nothing does.
    let p99_ns = open.unread.quantile_ns(0.99).unwrap_or(0);
    let p50_ns = open.latency.quantile_ns(0.5).unwrap_or(0);
    let small = p99_ns <= UNREAD_NS || p99_ns as f64 <= UNREAD_SHARE * p50_ns as f64;
    let (outcome, words) = if open.unstamped >= open.answers {
        (Outcome::Fail, format!("{without}: how long they lay unread isn't known"))
    } else {
        let words = format!("{without}, and 1 % of the others lay unread for {} us or longer", p99_ns / 1000);
        (if small { Outcome::Pass } else { Outcome::Fail }, words)
    };
    Finding::of("G7", cell, "", words).judged(outcome, share, &LATENCY)
}

/// One line for each check, with the worst case first of all that is said of it.
pub fn summarise(findings: &[Finding]) -> Vec<SelfCheck> {
    CHECKS
        .iter()
        .map(|check| {
            let of: Vec<&Finding> = findings.iter().filter(|finding| finding.id == check.id).collect();
            let (outcome, words) = summary(&of);
            SelfCheck { id: check.id.to_owned(), outcome, words: format!("{}: {words}", check.what) }
        })
        .collect()
}

fn summary(findings: &[&Finding]) -> (Outcome, String) {
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    let made = findings.len() - count(Outcome::NotMade);
    let worst = findings
        .iter()
        .filter(|finding| finding.outcome != Outcome::NotMade)
        .max_by(|a, b| severity(a.outcome).cmp(&severity(b.outcome)).then(a.nearness.total_cmp(&b.nearness)));
    let not_made = findings.iter().find(|finding| finding.outcome == Outcome::NotMade);
    let Some(worst) = worst else {
        let why = not_made.map_or("nothing was measured that it looks at", |finding| &finding.words);
        return (Outcome::NotMade, why.to_owned());
    };
    let mut text = format!("{} of {made} pass", count(Outcome::Pass));
    for (outcome, words) in [(Outcome::Flag, "flagged"), (Outcome::Fail, "fail")] {
        if count(outcome) > 0 {
            text += &format!(", {} {words}", count(outcome));
        }
    }
    text += &format!("; worst is {}: {}", worst.subject(), worst.words);
    if let Some(finding) = not_made {
        text += &format!("; not made in {} cases: {}", count(Outcome::NotMade), finding.words);
    }
    (worst.outcome, text)
}

const fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::NotMade => 0,
        Outcome::Pass => 1,
        Outcome::Flag => 2,
        Outcome::Fail => 3,
    }
}
