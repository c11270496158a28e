//! Whether two runs compare: the parts of machine, engine, data and load that a ratio to the anchor depends on. What a
//! history is there to show isn't among them: dyno, kernel, interpreters, locks and servers may change.

use std::collections::BTreeMap;

use dyno_model::{fingerprint::Fingerprint, output::Metric, record::Run};

use crate::estimates::quantile;

/// Facts of the machine that must be equal.
const MACHINE: [&str; 10] = [
    "boost",
    "clocksource",
    "cpu",
    "cpu.max",
    "cpus",
    "governor",
    "hypervisor",
    "memory",
    "smt",
    "transparent hugepages",
];
/// Facts of the software that must be equal: how is measured, and what is in the database.
const SOFTWARE: [&str; 5] =
    ["cpu accounting", "database: address", "database: contacts", "database: rows sha256", "load engine"];
/// Kernels of one machine differ by a little in how much memory they leave.
const MEMORY: f64 = 0.02;

/// Every fact in which two fingerprints differ, in words.
pub fn fingerprint_differences(a: &Fingerprint, b: &Fingerprint) -> Vec<String> {
    let mut all = map_differences(&a.machine, &b.machine, |_| true);
    all.extend(map_differences(&a.software, &b.software, |_| true));
    all
}

/// In what two runs don't compare, in words; empty where they do.
pub fn differences(a: &Run, b: &Run, metric: Metric) -> Vec<String> {
    let (machine, software) = (&a.fingerprint, &b.fingerprint);
    let mut all = map_differences(&machine.machine, &software.machine, |key| MACHINE.contains(&key));
    all.extend(map_differences(&machine.software, &software.software, |key| SOFTWARE.contains(&key)));
    let mut differ = |name: &str, a: String, b: String| {
        if a != b {
            all.push(words(name, &a, &b));
        }
    };
    let (a, b) = (&a.plan, &b.plan);
    let capacity = |plan: &dyno_model::plan::Plan| {
        let one = &plan.capacity;
        format!("{} workers, {} threads, {} database connections", one.workers, one.threads, one.connections)
    };
    differ("capacity", capacity(a), capacity(b));
    differ("contacts", a.data.contacts.to_string(), b.data.contacts.to_string());
    differ("seed of the rows", a.data.seed.to_string(), b.data.seed.to_string());
    let pooler =
        |plan: &dyno_model::plan::Plan| plan.pooler.map_or("none", |pooler| pooler.name()).to_owned();
    differ("pooler", pooler(a), pooler(b));
    if quantile(metric).is_some() {
        let rates = |plan: &dyno_model::plan::Plan| {
            let rates = plan.latency.iter().flat_map(|latency| &latency.rates);
            rates.map(|(operation, rate)| format!("{operation} {rate}")).collect::<Vec<_>>().join(", ")
        };
        differ("offered rates", rates(a), rates(b));
    } else {
        differ("connections", a.throughput.connections.to_string(), b.throughput.connections.to_string());
        differ("idle connections", a.throughput.idle.to_string(), b.throughput.idle.to_string());
    }
    all
}

/// What changed from one run to another that a history may show: software, a stack's lock, what it says of itself.
pub fn changed(before: &Run, after: &Run, stack: &dyno_model::StackName) -> Vec<String> {
    let software = (&before.fingerprint.software, &after.fingerprint.software);
    let mut all = map_differences(software.0, software.1, |key| key != "database: max_connections");
    let kernel = (&before.fingerprint.machine, &after.fingerprint.machine);
    all.extend(map_differences(kernel.0, kernel.1, |key| matches!(key, "kernel" | "system" | "microcode")));
    let of = |run: &Run| run.prepared.iter().find(|one| one.stack == *stack).cloned();
    if let Some((before, after)) = of(before).zip(of(after)) {
        all.extend(map_differences(&before.about, &after.about, |_| true));
        if before.lock_sha256 != after.lock_sha256 {
            all.push(format!("{stack}'s locked packages"));
        }
    }
    all
}

fn map_differences(
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
    counts: impl Fn(&str) -> bool,
) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let of = |map: &BTreeMap<String, String>, key: &str| {
        map.get(key).cloned().unwrap_or_else(|| "not recorded".to_owned())
    };
    let mut all = Vec::new();
    for key in keys.into_iter().filter(|key| counts(key)) {
        let (a, b) = (of(a, key), of(b, key));
        if a != b && !(key == "memory" && nearly(&a, &b)) {
            all.push(words(key, &a, &b));
        }
    }
    all
}

fn nearly(a: &str, b: &str) -> bool {
    let number = |text: &str| text.split(' ').next()?.parse::<f64>().ok();
    number(a).zip(number(b)).is_some_and(|(a, b)| (a / b - 1.0).abs() < MEMORY)
}

fn words(name: &str, a: &str, b: &str) -> String {
    let short = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    format!("{name}: {} against {}", short(a), short(b))
}
