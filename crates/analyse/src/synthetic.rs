//! Runs made up for tests: stacks of known speed on a machine of known noise.

use std::collections::BTreeMap;

use dyno_model::{
    Operation, Rate, Span,
    child::Usage,
    load::{Counts, Pacing, SliceOutcome},
    plan::{Capacity, Data, Design, Latency, Plan, Throughput, most_together},
    record::{
        Block, BlockState, CpuSets, FORMAT, MachineSample, NotRun, PreparedStack, Run, Slice, SliceLoad,
        Trial,
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const OPERATIONS: [Operation; 2] = [Operation::Hello, Operation::ContactsFetch];

/// A run over `stacks`, each with its true rate of hello in requests per second.
///
/// # Panics
/// A name isn't a stack's.
pub fn run(stacks: &[(&str, f64)]) -> Run {
    let names: Vec<dyno_model::StackName> =
        stacks.iter().map(|(name, _)| name.parse().expect("a stack")).collect();
    let prepared = |stack: &dyno_model::StackName| PreparedStack {
        stack: stack.clone(),
        keep_alive: true,
        commands: BTreeMap::from([(
            "server".to_owned(),
            vec!["/bin/server".to_owned(), "--workers".to_owned(), "2".to_owned()],
        )]),
        lock_sha256: "0".repeat(64),
        about: BTreeMap::from([
            ("framework".to_owned(), "x".to_owned()),
            ("interpreter".to_owned(), "3.13.1".to_owned()),
        ]),
    };
    let rate = Rate::new_per_s(100.0).expect("a rate");
    Run {
        format: FORMAT,
        run: "2026-01-01T00-00-00Z-synthetic".to_owned(),
        plan: Plan {
            name: "synthetic".to_owned(),
            title: "Made up".to_owned(),
            baseline: names[0].clone(),
            operations: OPERATIONS.to_vec(),
            interpreter: None,
            capacity: Capacity { workers: 2, threads: 4, connections: 8, task_workers: true },
            data: Data { contacts: 1000, seed: 1 },
            pooler: None,
            design: Design {
                blocks: 8,
                most_blocks: 8,
                budget: Span::seconds(60),
                warm_up: Span::seconds(1),
                guard: Span::milliseconds(30),
                seed: Some(1),
                looks: false,
                canary: None,
                together: most_together(),
                rehearsal: None,
            },
            throughput: Throughput { connections: 64, idle: 0, slice: Span::milliseconds(250), slices: 2 },
            latency: Some(Latency {
                connections: 64,
                slice: Span::milliseconds(500),
                slices: 1,
                rates: OPERATIONS.into_iter().map(|operation| (operation, rate)).collect(),
                shares: BTreeMap::new(),
            }),
            stacks: names.clone(),
        },
        seed: 1,
        started: "2026-01-01T00:00:00Z".to_owned(),
        command: vec!["dyno".to_owned(), "run".to_owned(), "synthetic".to_owned()],
        fingerprint: dyno_model::fingerprint::Fingerprint {
            machine: BTreeMap::from([("cpu".to_owned(), "made up".to_owned())]),
            software: BTreeMap::from([("dyno".to_owned(), "0.0.0".to_owned())]),
        },
        cpus: CpuSets { server: vec![1], database: vec![0], generator: vec![0] },
        prepared: names.iter().map(prepared).collect(),
        checks: Vec::new(),
        not_run: vec![NotRun {
            stack: "bottle/waitress".parse().expect("a stack"),
            reason: "made up to be missing".to_owned(),
            kind: dyno_model::record::NotRunKind::Missing,
        }],
        warnings: Vec::new(),
    }
}

/// `count` blocks of such a run, each block and slice off by a random factor.
pub fn blocks(run: &Run, rates: &[f64], count: u32, noise: f64) -> Vec<Block> {
    blocks_of_seed(run, rates, count, noise, 7)
}

/// The same with other random factors for each seed.
pub fn blocks_of_seed(run: &Run, rates: &[f64], count: u32, noise: f64, seed: u64) -> Vec<Block> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut wobble = |size: f64| {
        let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        (sum * size).exp()
    };
    (0..count)
        .map(|index| {
            let of_block = wobble(noise);
            let mut trials = Vec::new();
            for (prepared, rate) in run.prepared.iter().zip(rates) {
                let of_process = wobble(noise / 2.0);
                let mut slices = Vec::new();
                for (at, operation) in OPERATIONS.into_iter().enumerate() {
                    let rate = rate * of_block * of_process / (1.0 + 4.0 * at as f64);
                    slices.push(closed(operation, rate * wobble(noise / 2.0)));
                    slices.push(closed(operation, rate * wobble(noise / 2.0)));
                    slices.push(open(operation, rate, &mut wobble));
                }
                let stack = prepared.stack.clone();
                trials.push(Trial { stack, ready_ns: 1, slices, pacing: None, failure: None });
            }
            Block {
                format: FORMAT,
                index,
                state: BlockState::Complete,
                started: "2026-01-01T00:00:00Z".to_owned(),
                length_ns: 1,
                spin_per_ms: 1e5,
                throttled_ns: None,
                trials,
            }
        })
        .collect()
}

fn outcome(counts: Counts, window_ns: u64) -> SliceOutcome {
    SliceOutcome {
        counts,
        window_ns,
        window_completed: counts.completed,
        in_flight_ns: 1000,
        latency_sum_ns: 1000,
        generator_cpu_ns: window_ns / 5,
        engine: "made up".to_owned(),
        ..SliceOutcome::default()
    }
}

fn slice(operation: Operation, load: SliceLoad, outcome: SliceOutcome) -> Slice {
    let window_ns = outcome.window_ns;
    Slice {
        operation,
        load,
        at_ns: 0,
        outcome,
        cpu_ns: BTreeMap::from([
            ("server".to_owned(), window_ns * 97 / 100),
            ("database".to_owned(), window_ns / 10),
        ]),
        usage: Usage { memory_bytes: 90 << 20, ..Usage::default() },
        machine: MachineSample::default(),
        speed: None,
        server_stats: None,
    }
}

fn closed(operation: Operation, rate: f64) -> Slice {
    let window_ns = 220_000_000u64;
    let completed = (rate * window_ns as f64 / 1e9).round() as u64;
    let counts = Counts { planned: completed, sent: completed, completed, ..Counts::default() };
    slice(operation, SliceLoad::Closed { connections: 64 }, outcome(counts, window_ns))
}

fn open(operation: Operation, rate: f64, wobble: &mut dyn FnMut(f64) -> f64) -> Slice {
    let counts = Counts { planned: 200, sent: 200, completed: 200, ..Counts::default() };
    let mut outcome = outcome(counts, 470_000_000);
    for _ in 0..200 {
        let latency_ns = (2e9 / rate * wobble(0.3)) as u64;
        outcome.latency.record_ns(latency_ns);
        outcome.latency_less_late.record_ns(latency_ns);
        outcome.unread.record_ns(10_000);
    }
    outcome.pacing = Some(Pacing { a_squared: 0.5, gaps: 199 });
    let rate = Rate::new_per_s(100.0).expect("a rate");
    slice(operation, SliceLoad::Open { rate, connections: 64 }, outcome)
}
