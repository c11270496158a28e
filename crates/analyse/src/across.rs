//! Two runs side by side. They are two sessions: the intervals cover the blocks of each, not what changed in between, so
//! there are ratios and no verdicts (METHOD: verdicts hold for one machine and one session).

use dyno_model::{StackName, record::Run};

pub use dyno_model::output::{Difference, Pair};

use crate::{
    Analysis, FIRST_BLOCKS,
    estimates::quantile,
    statistics::{mean, standard_deviation, t_quantile},
};

/// Facts of the machine without which two runs aren't of one machine.
const MACHINE: [&str; 6] = ["cpu", "cpus", "memory", "kernel", "governor", "clocksource"];
/// Facts of the software, by the beginning of their names, without which two runs don't measure the same thing.
const SOFTWARE: [&str; 4] = ["load engine", "database", "cpu accounting", "pooler"];

/// Follows from how many stacks were up at once.
pub(crate) const BY_PLAN: &str = "database: max_connections";
/// What every process has of its own.
const OF_PROCESS: [&str; 2] = ["pid", "started"];

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Across {
    /// What differs between their fingerprints and plans, what forbids ratios first.
    pub differences: Vec<Difference>,
    /// Figures that both have, in the first run's order.
    pub pairs: Vec<Pair>,
    /// Stacks that only the first, or only the second has.
    pub only: (Vec<StackName>, Vec<StackName>),
}

impl Across {
    /// Whether ratios may be given.
    pub fn compare(&self) -> bool {
        !self.differences.iter().any(|one| one.forbids)
    }
}

/// Lays two runs side by side.
pub fn across(a: (&Run, &Analysis), b: (&Run, &Analysis)) -> Across {
    let mut differences = differences(a.0, b.0);
    differences.sort_by_key(|one| !one.forbids);
    let compare = !differences.iter().any(|one| one.forbids);
    let pairs = a.1.results.iter().filter_map(|one| {
        let same = |stack: &StackName, operation, metric| {
            *stack == one.stack && operation == one.operation && metric == one.metric
        };
        let other = b.1.results.iter().find(|other| same(&other.stack, other.operation, other.metric))?;
        let logs = |analysis: &Analysis| {
            let series =
                analysis.series.iter().find(|other| same(&other.stack, other.operation, other.metric));
            series.map(|series| series.values.iter().flatten().map(|value| value.ln()).collect::<Vec<f64>>())
        };
        let ratio = other.estimate / one.estimate;
        let interval = logs(a.1).zip(logs(b.1)).and_then(|(a, b)| welch(&a, &b));
        let offered = |run: &Run| run.plan.latency.as_ref()?.rates.get(&one.operation).copied();
        let same_load = quantile(one.metric).is_none() || offered(a.0) == offered(b.0);
        let ratio = Some(ratio).filter(|ratio| compare && same_load && ratio.is_finite());
        Some(Pair {
            stack: one.stack.clone(),
            operation: one.operation,
            metric: one.metric,
            estimates: (one.estimate, other.estimate),
            ratio,
            // Centred on the ratio of the estimates: a percentile of all requests isn't the mean of the blocks' percentiles.
            interval: ratio.zip(interval).map(|(ratio, half)| (ratio * (-half).exp(), ratio * half.exp())),
        })
    });
    let missing = |from: &Run, other: &Run| -> Vec<StackName> {
        let has = |stack: &StackName| other.prepared.iter().any(|one| one.stack == *stack);
        from.prepared.iter().map(|one| one.stack.clone()).filter(|stack| !has(stack)).collect()
    };
    Across { pairs: pairs.collect(), differences, only: (missing(a.0, b.0), missing(b.0, a.0)) }
}

/// Kernels of one machine differ by a little in how much memory they leave.
const MEMORY: f64 = 0.02;

/// Whether two amounts of memory are one machine's.
pub(crate) fn nearly(a: &str, b: &str) -> bool {
    let number = |text: &str| text.split(' ').next()?.parse::<f64>().ok();
    number(a).zip(number(b)).is_some_and(|(a, b)| (a / b - 1.0).abs() < MEMORY)
}

/// Half of Welch's 95 % interval of the difference of two means, degrees of freedom by Welch and Satterthwaite.
fn welch(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() < FIRST_BLOCKS || b.len() < FIRST_BLOCKS || !mean(a).is_finite() || !mean(b).is_finite() {
        return None;
    }
    let part = |values: &[f64]| standard_deviation(values).powi(2) / values.len() as f64;
    let (va, vb) = (part(a), part(b));
    if va + vb == 0.0 {
        return Some(0.0);
    }
    let freedom = (va + vb).powi(2) / (va.powi(2) / (a.len() - 1) as f64 + vb.powi(2) / (b.len() - 1) as f64);
    Some(t_quantile(0.975, freedom) * (va + vb).sqrt())
}

pub(crate) fn differences(a: &Run, b: &Run) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut add = |fact: String, a: Option<String>, b: Option<String>, forbids: bool| {
        if a != b {
            all.push(Difference { fact, a, b, forbids });
        }
    };
    let (fa, fb) = (&a.fingerprint, &b.fingerprint);
    for (part, a, b) in [("machine", &fa.machine, &fb.machine), ("software", &fa.software, &fb.software)] {
        let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let nearly_all = |(a, b): (&String, &String)| nearly(a, b);
            if part == "machine" && name == "memory" && a.get(name).zip(b.get(name)).is_some_and(nearly_all) {
                continue;
            }
            let forbids = match part {
                "machine" => MACHINE.contains(&name.as_str()),
                _ => name != BY_PLAN && SOFTWARE.iter().any(|begin| name.starts_with(begin)),
            };
            add(format!("{part}: {name}"), a.get(name).cloned(), b.get(name).cloned(), forbids);
        }
    }
    // Of the plan, what changes what a figure means.
    let facts = |run: &Run| {
        let plan = &run.plan;
        let words = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let rates = plan.latency.as_ref().map(|latency| {
            let rates = latency.rates.iter().map(|(operation, rate)| format!("{operation} {rate}"));
            rates.collect::<Vec<_>>().join(", ")
        });
        [
            ("data: contacts", format!("{} of seed {}", plan.data.contacts, plan.data.seed), true),
            ("workers", plan.capacity.workers.to_string(), true),
            ("threads", plan.capacity.threads.to_string(), true),
            ("database connections", plan.capacity.connections.to_string(), true),
            (
                "pooler",
                plan.pooler.map_or_else(|| "none".to_owned(), |pooler| pooler.name().to_owned()),
                true,
            ),
            ("connections of the load", plan.throughput.connections.to_string(), true),
            ("idle connections", plan.throughput.idle.to_string(), true),
            // A rate may be a share of what the slowest stack answers: it forbids ratios of latencies only.
            ("offered rates", rates.unwrap_or_else(|| "none".to_owned()), false),
            ("CPUs of the servers", words(&run.cpus.server), true),
            ("CPUs of the database", words(&run.cpus.database), true),
            ("CPUs of the generator", words(&run.cpus.generator), true),
            ("slice", plan.throughput.slice.to_string(), false),
            ("warm-up", plan.design.warm_up.to_string(), false),
        ]
    };
    for ((name, a, forbids), (_, b, _)) in facts(a).into_iter().zip(facts(b)) {
        add(format!("plan: {name}"), Some(a), Some(b), forbids);
    }
    for one in &a.prepared {
        let Some(other) = b.prepared.iter().find(|other| other.stack == one.stack) else { continue };
        let short = |lock: &str| Some(lock.chars().take(12).collect());
        add(format!("lock of {}", one.stack), short(&one.lock_sha256), short(&other.lock_sha256), false);
        let names: std::collections::BTreeSet<&String> = one.about.keys().chain(other.about.keys()).collect();
        for name in names.into_iter().filter(|name| !OF_PROCESS.contains(&name.as_str())) {
            add(
                format!("{name} of {}", one.stack),
                one.about.get(name).cloned(),
                other.about.get(name).cloned(),
                false,
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use dyno_model::output::Metric;

    use super::*;
    use crate::{analyse, synthetic};

    const STACKS: [(&str, f64); 2] = [("flask/gunicorn", 1000.0), ("go-bun/go", 2000.0)];

    fn made(rates: &[f64], seed: u64) -> (Run, Analysis) {
        let run = synthetic::run(&STACKS);
        let analysis = analyse(&run, &synthetic::blocks_of_seed(&run, rates, 8, 0.01, seed));
        (run, analysis)
    }

    #[test]
    fn a_planted_difference_is_found_and_the_same_stays_near_one() {
        let (a, b) = (made(&[1000.0, 2000.0], 1), made(&[1300.0, 2000.0], 2));
        let both = across((&a.0, &a.1), (&b.0, &b.1));
        assert!(both.compare() && both.differences.is_empty(), "{:?}", both.differences);
        let rate = |stack: &str| {
            let of = |one: &&Pair| one.stack.to_string() == stack && one.metric == Metric::Throughput;
            both.pairs.iter().find(of).unwrap()
        };
        let (low, high) = rate("flask/gunicorn").interval.unwrap();
        assert!(low > 1.2 && low < 1.3 && high > 1.3 && high < 1.4, "{low} {high}");
        let (low, high) = rate("go-bun/go").interval.unwrap();
        assert!(low < 1.01 && high > 0.99, "{low} {high}");
    }

    #[test]
    fn another_machine_engine_or_data_gives_no_ratio() {
        let (a, b) = (made(&[1000.0, 2000.0], 1), made(&[1000.0, 2000.0], 2));
        type Change = fn(&mut Run);
        let changes: [(&str, Change); 3] = [
            ("machine: cpu", |run| _ = run.fingerprint.machine.insert("cpu".to_owned(), "other".to_owned())),
            ("software: load engine", |run| {
                _ = run.fingerprint.software.insert("load engine".to_owned(), "epoll".to_owned());
            }),
            ("plan: data: contacts", |run| run.plan.data.contacts = 5),
        ];
        for (fact, change) in changes {
            let mut other = b.0.clone();
            change(&mut other);
            let both = across((&a.0, &a.1), (&other, &b.1));
            assert_eq!(both.differences[0].fact, fact);
            assert!(
                !both.compare()
                    && both.pairs.iter().all(|pair| pair.ratio.is_none() && pair.interval.is_none())
            );
            assert!(!both.pairs.is_empty(), "both figures are shown");
        }
        let mut other = b.0.clone();
        let memory = |run: &mut Run, kilobytes: &str| {
            run.fingerprint.machine.insert("memory".to_owned(), format!("{kilobytes} kB"));
        };
        let mut one = a.0.clone();
        memory(&mut one, "24684092");
        memory(&mut other, "24684096");
        other.plan.latency.as_mut().unwrap().rates.values_mut().for_each(|rate| {
            *rate = dyno_model::Rate::new_per_s(90.0).unwrap();
        });
        let both = across((&one, &a.1), (&other, &b.1));
        assert!(both.compare(), "4 kB of memory more are no other machine: {:?}", both.differences);
        let ratios =
            |metric| both.pairs.iter().filter(|pair| pair.metric == metric && pair.ratio.is_some()).count();
        assert_eq!(
            (ratios(Metric::Throughput), ratios(Metric::LatencyP50)),
            (4, 0),
            "another rate, another latency"
        );
        let mut other = b.0.clone();
        other.prepared[0].lock_sha256 = "1".repeat(64);
        other.prepared.remove(1);
        let both = across((&a.0, &a.1), (&other, &b.1));
        assert!(both.compare(), "another lock is what one may want to compare");
        assert_eq!((both.differences.len(), both.only.0.len(), both.only.1.len()), (1, 1, 0));
    }
}
