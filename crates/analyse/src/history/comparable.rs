//! Whether two runs compare: the parts of machine, engine and data that a ratio to the anchor depends on. What a history is
//! there to show isn't among them: dyno, kernel, interpreters, locks and servers may change.

use std::collections::BTreeMap;

use dyno_model::{StackName, fingerprint::Fingerprint, output::Difference, plan::Plan, record::Run};

use crate::across::{self, nearly};

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

/// Every fact in which two fingerprints differ, in words.
pub fn fingerprint_differences(a: &Fingerprint, b: &Fingerprint) -> Vec<String> {
    let mut all = map_differences(&a.machine, &b.machine, |_| true);
    all.extend(map_differences(&a.software, &b.software, |_| true));
    all
}

/// In what two runs don't compare, in words; empty where they do. What they offered isn't looked at: see [`conditions`].
pub fn differences(a: &Run, b: &Run) -> Vec<String> {
    let (one, other) = (&a.fingerprint, &b.fingerprint);
    let mut all = map_differences(&one.machine, &other.machine, |key| MACHINE.contains(&key));
    all.extend(map_differences(&one.software, &other.software, |key| SOFTWARE.contains(&key)));
    let parts = |run: &Run| {
        let of = |cpus: &[usize]| cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let cpus = &run.cpus;
        [of(&cpus.server), of(&cpus.database), of(&cpus.generator)]
    };
    for ((name, a), b) in ["servers", "database", "generator"].into_iter().zip(parts(a)).zip(parts(b)) {
        if a != b {
            all.push(words(&format!("CPUs of the {name}"), &a, &b));
        }
    }
    all
}

/// What a run offered, in words: where it differs, another quantity was measured.
pub fn conditions(plan: &Plan) -> String {
    let (capacity, data, load) = (&plan.capacity, &plan.data, &plan.throughput);
    let count = |number: u32, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let mut all = vec![
        count(load.connections, "connection"),
        count(capacity.workers, "worker"),
        count(capacity.threads, "thread"),
        count(capacity.connections, "database connection"),
        format!("{} contacts of seed {}", data.contacts, data.seed),
    ];
    if load.idle > 0 {
        all.insert(1, format!("{} idle", load.idle));
    }
    all.extend(plan.pooler.map(|pooler| pooler.name().to_owned()));
    all.extend((!capacity.task_workers).then(|| "no task workers".to_owned()));
    all.join(", ")
}

/// What differs between two runs as far as it can move the ratio of `stack` to `anchor`.
pub fn changed(before: &Run, after: &Run, stack: &StackName, anchor: &StackName) -> Vec<Difference> {
    // Parts of the plan aren't of the record's surroundings, and what is said of other stacks is nothing to these two.
    let mut all = across::differences(before, after);
    all.retain(|one| {
        let of_machine = one.fact.starts_with("machine: ") || one.fact.starts_with("software: ");
        let of_these = [stack, anchor].iter().any(|name| one.fact.ends_with(&format!(" of {name}")));
        let noise = one.fact == format!("software: {}", across::BY_PLAN)
            || one.fact == "machine: memory"
                && one.a.as_deref().zip(one.b.as_deref()).is_some_and(|(a, b)| nearly(a, b));
        (of_machine || of_these) && !noise
    });
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

fn words(name: &str, a: &str, b: &str) -> String {
    let short = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    format!("{name}: {} against {}", short(a), short(b))
}
