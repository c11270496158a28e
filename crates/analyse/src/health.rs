//! Whether the numbers may be believed: the checks of METHOD, sections 2 and 6, over the whole run.

use std::collections::BTreeMap;

use dyno_model::{
    Operation, StackName,
    output::Metric,
    record::{Block, NotRun, Run},
    warning::Warning,
};

use crate::{
    cells::{Cell, Closed, Open},
    estimates::quantile,
    statistics::mean,
};

/// What was found.
#[derive(Default)]
pub struct Health {
    pub warnings: Vec<Warning>,
    /// Stacks that failed in a block, with the reason.
    pub failures: Vec<NotRun>,
    /// Why the whole run allows no verdict.
    pub no_verdict: Vec<String>,
    /// Points off the trust score, with the reason.
    pub flags: Vec<(u32, String)>,
    cells: BTreeMap<(StackName, Operation), CellHealth>,
}

#[derive(Default)]
struct CellHealth {
    /// Why no metric of the cell allows a verdict.
    wrong: Option<String>,
    /// Why its throughput doesn't.
    throughput: Option<String>,
    /// Why its latencies don't, by metric.
    latency: BTreeMap<Metric, String>,
    overloaded: bool,
}

impl Health {
    /// Whether the offered rate was beyond what the stack can do.
    pub fn overloaded(&self, stack: &StackName, operation: Operation) -> bool {
        self.cell(stack, operation).is_some_and(|cell| cell.overloaded)
    }

    /// Why no verdict and no rank may rest on this number; `None` when one may.
    pub fn refusal(&self, stack: &StackName, operation: Operation, metric: Metric) -> Option<String> {
        let cell = self.cell(stack, operation)?;
        let of_metric = match metric {
            Metric::Throughput => cell.throughput.as_ref(),
            metric => cell.latency.get(&metric),
        };
        cell.wrong.as_ref().or(of_metric).map(|reason| format!("{stack}: {reason}"))
    }

    fn cell(&self, stack: &StackName, operation: Operation) -> Option<&CellHealth> {
        self.cells.get(&(stack.clone(), operation))
    }

    fn warn(&mut self, id: &str, subject: String, text: String, advice: &str) {
        self.warnings.push(Warning { id: id.to_owned(), subject, text, advice: advice.to_owned() });
    }
}

/// Share of failed requests beyond which nothing is said.
const ERRORS: f64 = 0.001;
/// Share of the server's CPUs that a saturated server uses (G8).
const SERVER_BOUND: f64 = 0.90;
/// Share of the other CPUs beyond which they, not the server, were the limit.
const OTHERS_BOUND: f64 = 0.90;
/// Share of its core beyond which the generator was the limit (G4).
const GENERATOR_BOUND: f64 = 0.70;

/// Examines a run.
pub fn examine(run: &Run, blocks: &[&Block], cells: &[Cell]) -> Health {
    let mut health = Health::default();
    failures(&mut health, blocks);
    machine(&mut health, blocks);
    dropped(&mut health, cells);
    if run.cpus.generator == run.cpus.database {
        health.flags.push((0, "database and generator share CPUs".to_owned()));
    }
    for cell in cells {
        let found = examine_cell(&mut health, run, cell);
        health.cells.insert((cell.stack.clone(), cell.operation), found);
    }
    health
}

fn failures(health: &mut Health, blocks: &[&Block]) {
    let mut seen: BTreeMap<StackName, (usize, String)> = BTreeMap::new();
    for block in blocks {
        for trial in &block.trials {
            if let Some(failure) = &trial.failure {
                let words = format!(
                    "{}{}{}",
                    failure.reason,
                    if failure.log_tail.is_empty() { "" } else { "; its log ends:\n" },
                    failure.log_tail
                );
                seen.entry(trial.stack.clone()).or_insert((0, words)).0 += 1;
            }
        }
    }
    for (stack, (count, words)) in seen {
        let reason = format!("failed in {count} of {} blocks: {words}", blocks.len());
        health.failures.push(NotRun { stack, reason });
    }
}

/// The machine's own speed and what others took of it.
fn machine(health: &mut Health, blocks: &[&Block]) {
    let third = blocks.len() / 3;
    if third > 0 {
        let speed =
            |blocks: &[&Block]| mean(&blocks.iter().map(|block| block.spin_per_ms).collect::<Vec<_>>());
        let change = speed(&blocks[blocks.len() - third..]) / speed(&blocks[..third]) - 1.0;
        if change.abs() > 0.20 {
            health
                .no_verdict
                .push(format!("the machine's own speed changed by {:+.0} % during the run", change * 100.0));
        }
    }
    let slices = || blocks.iter().flat_map(|block| &block.trials).flat_map(|trial| &trial.slices);
    let window_ns: u64 = slices().map(|slice| slice.outcome.window_ns).sum();
    let share = |ns: u64| ns as f64 / window_ns.max(1) as f64;
    let steal = share(slices().map(|slice| slice.machine.steal_ns).sum());
    if steal > 0.10 {
        health.no_verdict.push(format!("the hypervisor took {:.0} % of a CPU", steal * 100.0));
    } else if steal > 0.02 {
        health.flags.push((10, format!("the hypervisor took {:.1} % of a CPU", steal * 100.0)));
    }
    let standby = share(slices().map(|slice| slice.machine.standby_ns).sum());
    if standby > 0.02 {
        let text = format!("stacks that stood by used {:.1} % of a core", standby * 100.0);
        health.warn("standby", "run".to_owned(), text, "name fewer stacks, or find what wakes them");
    }
}

fn dropped(health: &mut Health, cells: &[Cell]) {
    let (dropped, all) =
        cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.dropped.0, sum.1 + cell.dropped.1));
    if all == 0 || dropped * 10 < all {
        return;
    }
    let text = format!("{dropped} of {all} slices were left out because something else used the CPUs");
    if dropped * 2 > all {
        health.no_verdict.push(text.clone());
    } else {
        health.flags.push((10, text.clone()));
    }
    health.warn(
        "foreign_cpu",
        "run".to_owned(),
        text,
        "stop what else runs on this machine, or run again at a quieter time",
    );
}

fn examine_cell(health: &mut Health, run: &Run, cell: &Cell) -> CellHealth {
    let mut found = CellHealth::default();
    let subject = format!("{} {}", cell.stack, cell.operation);
    let counts = cell.counts;
    let (failed, sent) = (counts.failed.total(), counts.sent.max(1));
    if counts.planned != counts.sent + counts.not_sent || counts.sent != counts.completed + failed {
        found.wrong = Some("the generator's counts don't add up (G1)".to_owned());
    } else if counts.failed.wrong_body + counts.failed.wrong_status > 0
        || failed as f64 / sent as f64 > ERRORS
    {
        found.wrong = Some(format!("{failed} of {sent} requests got no right answer"));
    }
    if let Some(reason) = &found.wrong {
        health.warn(
            "errors",
            subject.clone(),
            reason.clone(),
            "see wrong_answers in the run folder's blocks",
        );
    }
    examine_throughput(health, run, cell, &subject, &mut found);
    examine_latency(health, cell, &subject, &mut found);
    found
}

fn examine_throughput(health: &mut Health, run: &Run, cell: &Cell, subject: &str, found: &mut CellHealth) {
    let mut sum = Closed::default();
    for closed in cell.throughput.iter().flatten() {
        sum.window_ns += closed.window_ns;
        sum.stack_cpu_ns += closed.stack_cpu_ns;
        sum.database_cpu_ns += closed.database_cpu_ns;
        sum.generator_cpu_ns += closed.generator_cpu_ns;
        sum.length_ns += closed.length_ns;
    }
    if sum.window_ns == 0 {
        return;
    }
    let share = |ns: u64, cpus: usize| ns as f64 / (sum.window_ns as f64 * cpus.max(1) as f64);
    let server = share(sum.stack_cpu_ns, run.cpus.server.len());
    if server >= SERVER_BOUND {
        return;
    }
    let generator = sum.generator_cpu_ns as f64 / sum.length_ns.max(1) as f64;
    let others: std::collections::BTreeSet<usize> =
        run.cpus.database.iter().chain(&run.cpus.generator).copied().collect();
    let others = share(sum.database_cpu_ns + sum.generator_cpu_ns, others.len());
    let limit = if generator >= GENERATOR_BOUND {
        Some(format!("the generator used {:.0} % of its core (G4)", generator * 100.0))
    } else if others >= OTHERS_BOUND {
        Some(format!("database and generator used {:.0} % of their CPUs", others * 100.0))
    } else {
        None
    };
    let text = format!("the server used {:.0} % of its CPUs when it was saturated", server * 100.0);
    match limit {
        Some(limit) => {
            found.throughput = Some(format!("{limit}, and {text}: it can do at least this"));
            health.warn("not_server_bound", subject.to_owned(), format!("{limit}; {text}"), "its throughput is a lower bound: use more CPUs for database and generator, or compare CPU per request");
        }
        None => health.warn(
            "not_server_bound",
            subject.to_owned(),
            text,
            "it waits for something else than CPU: look at the connection budget and the worker counts",
        ),
    }
}

fn examine_latency(health: &mut Health, cell: &Cell, subject: &str, found: &mut CellHealth) {
    let mut sum = Open::default();
    for open in cell.latency.iter().flatten() {
        sum.latency.merge(&open.latency);
        sum.latency_less_late.merge(&open.latency_less_late);
        sum.in_flight_ns += open.in_flight_ns;
        sum.latency_sum_ns += open.latency_sum_ns;
        sum.backlog_s = sum.backlog_s.max(open.backlog_s);
    }
    if sum.backlog_s > 1.0 {
        found.overloaded = true;
        let text = format!("overloaded: {:.1} s of arrivals were unanswered at a slice's end", sum.backlog_s);
        health.warn(
            "overloaded",
            subject.to_owned(),
            text,
            "lower its rate in the plan: a queue's length isn't a latency",
        );
        return;
    }
    let little = (sum.in_flight_ns as f64 / sum.latency_sum_ns.max(1) as f64 - 1.0).abs();
    for metric in Metric::ALL {
        let Some(quantile) = quantile(metric) else { continue };
        let (Some(with_ns), Some(without_ns)) =
            (sum.latency.quantile_ns(quantile), sum.latency_less_late.quantile_ns(quantile))
        else {
            continue;
        };
        let late = 1.0 - without_ns as f64 / with_ns as f64;
        let words = format!("{:.1} % of it is the generator's own lateness (G2)", late * 100.0);
        if late > 0.05 {
            found.latency.insert(metric, words.clone());
        }
        if late > 0.01 {
            let advice = "give the generator a CPU of its own";
            health.warn("G2", format!("{subject} {}", metric.name()), words, advice);
        }
        if little >= 0.02 {
            let words = format!("requests in flight and latencies differ by {:.1} % (G5)", little * 100.0);
            found.latency.insert(metric, words);
        }
    }
}
