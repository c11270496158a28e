//! Whole runs of known truth.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{analyse, synthetic};
use dyno_model::{
    Operation,
    output::{Comparison, Metric, Verdict},
    record::{Block, BlockState, Run, TrialFailure},
};

const STACKS: [(&str, f64); 4] =
    [("base/s", 1000.0), ("twin/s", 1000.0), ("fast/s", 2000.0), ("slow/s", 900.0)];

/// The guard of a run made up.
const GUARD_NS: u64 = 30_000_000;

fn made(noise: f64) -> (Run, Vec<Block>) {
    let run = synthetic::run(&STACKS);
    let rates: Vec<f64> = STACKS.iter().map(|(_, rate)| *rate).collect();
    let blocks = synthetic::blocks(&run, &rates, 8, noise);
    (run, blocks)
}

fn throughput(run: &Run, blocks: &[Block], stack: &str) -> Comparison {
    let analysis = analyse(run, blocks);
    let found = analysis.comparisons.into_iter().find(|one| {
        one.a.to_string() == stack && one.operation == Operation::Hello && one.metric == Metric::Throughput
    });
    found.unwrap()
}

#[test]
fn twins_are_tied_and_differences_are_found() {
    let (run, blocks) = made(0.01);
    assert_eq!(throughput(&run, &blocks, "twin/s").verdict, Verdict::NoDifference);
    let fast = throughput(&run, &blocks, "fast/s");
    assert_eq!(fast.verdict, Verdict::Different);
    assert!(fast.low.unwrap() < 2.0 && 2.0 < fast.high.unwrap(), "{fast:?}");
    assert_eq!(throughput(&run, &blocks, "slow/s").verdict, Verdict::Different);
    let analysis = analyse(&run, &blocks);
    let rank = |stack: &str| {
        let found = analysis.results.iter().find(|one| {
            one.stack.to_string() == stack
                && one.operation == Operation::Hello
                && one.metric == Metric::Throughput
        });
        found.unwrap().rank
    };
    assert_eq!((rank("fast/s"), rank("slow/s")), (Some((1, 1)), Some((4, 4))));
    assert_eq!((rank("base/s"), rank("twin/s")), (Some((2, 3)), Some((2, 3))));
    assert_eq!((analysis.trust.grade, analysis.blocks), ('A', 8));
    assert!(analysis.sentences[0].starts_with("hello: fast/s is fastest, "), "{:?}", analysis.sentences);
}

#[test]
fn noise_makes_it_inconclusive_not_wrong() {
    let (run, blocks) = made(0.3);
    let twin = throughput(&run, &blocks, "twin/s");
    assert_eq!(twin.verdict, Verdict::Inconclusive, "{twin:?}");
}

/// What each kind of trouble does to the verdict on a stack that is twice as fast.
#[test]
fn no_verdict_for_each_reason() {
    type Trouble = (&'static str, fn(&mut Vec<Block>), &'static str);
    let troubles: [Trouble; 6] = [
        ("too few blocks", |blocks| blocks.truncate(2), "2 paired blocks"),
        (
            "interrupted",
            |blocks| blocks[2..].iter_mut().for_each(|block| block.state = BlockState::Interrupted),
            "2 paired blocks",
        ),
        (
            "wrong answers",
            |blocks| {
                let counts = &mut blocks[2].trials[2].slices[0].outcome.counts;
                counts.completed -= 1;
                counts.failed.wrong_body = 1;
            },
            "got no right answer",
        ),
        (
            "lost requests",
            |blocks| blocks[2].trials[2].slices[0].outcome.counts.completed -= 1,
            "don't add up",
        ),
        (
            "disturbance that follows the stack",
            |blocks| {
                for slice in blocks.iter_mut().flat_map(|block| &mut block.trials[2].slices) {
                    slice.machine.steal_ns = slice.outcome.window_ns / 2;
                }
            },
            "follows the stack",
        ),
        (
            "generator",
            |blocks| {
                for trial in blocks.iter_mut().map(|block| &mut block.trials[2]) {
                    for slice in &mut trial.slices {
                        slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 2);
                        slice.outcome.generator_cpu_ns = (slice.outcome.window_ns + GUARD_NS) * 8 / 10;
                    }
                }
            },
            "the generator used 80 %",
        ),
    ];
    for (name, trouble, words) in troubles {
        let (run, mut blocks) = made(0.01);
        trouble(&mut blocks);
        let fast = throughput(&run, &blocks, "fast/s");
        assert_eq!(fast.verdict, Verdict::NoVerdict, "{name}");
        assert!(fast.reason.contains(words), "{name}: {}", fast.reason);
    }
}

#[test]
fn a_limit_elsewhere_spares_cpu_per_request_and_loses_the_rank() {
    let (run, mut blocks) = made(0.01);
    for trial in blocks.iter_mut().map(|block| &mut block.trials[2]) {
        for slice in &mut trial.slices {
            slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 2);
            slice.cpu_ns.insert("database".to_owned(), slice.outcome.window_ns * 3 / 4);
        }
    }
    let analysis = analyse(&run, &blocks);
    let of = |metric: Metric| {
        let found =
            analysis.comparisons.iter().find(|one| one.a.to_string() == "fast/s" && one.metric == metric);
        found.unwrap().verdict
    };
    assert_eq!(of(Metric::Throughput), Verdict::NoVerdict);
    assert_eq!(of(Metric::CpuPerRequest), Verdict::Different);
    assert!(analysis.sentences[0].contains("not ranked"), "{:?}", analysis.sentences);
}

#[test]
fn a_failed_trial_is_a_row_and_its_block_says_nothing_about_it() {
    let (run, mut blocks) = made(0.01);
    blocks[0].trials[1].failure = Some(TrialFailure {
        reason: "the server ended: exit code 3".to_owned(),
        log_tail: "MemoryError".to_owned(),
    });
    let analysis = analyse(&run, &blocks);
    let row = analysis.not_run.iter().find(|row| row.stack.to_string() == "twin/s").unwrap();
    assert!(row.reason.contains("1 of 8 blocks") && row.reason.contains("MemoryError"), "{}", row.reason);
    // The other seven blocks still tell of it, and all eight of the others.
    assert_eq!(throughput(&run, &blocks, "twin/s").verdict, Verdict::NoDifference);
    assert_eq!(analysis.valid_blocks(), (7, 8));
    assert_eq!(throughput(&run, &blocks, "fast/s").verdict, Verdict::Different);
}

/// Whatever hits all stacks alike costs precision: the grade says it, and no verdict is lost.
#[test]
fn a_machine_that_is_not_calm_widens_intervals_and_refuses_nothing() {
    let (run, calm) = made(0.01);
    for trouble in [
        // A third of the slices have half of a CPU, and answer as much less.
        |slice: &mut dyno_model::record::Slice, random: usize| {
            if random.is_multiple_of(3) {
                slice.machine.foreign_ns = slice.outcome.window_ns;
                slice.outcome.window_completed = slice.outcome.window_completed * 6 / 10;
            }
        },
        |slice: &mut dyno_model::record::Slice, _| slice.machine.steal_ns = slice.outcome.window_ns / 4,
    ] {
        let mut blocks = calm.clone();
        let mut at = 0;
        for slice in blocks.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices)
        {
            at += 1;
            trouble(slice, at * 7 + at / 5);
        }
        let analysis = analyse(&run, &blocks);
        let fast = throughput(&run, &blocks, "fast/s");
        assert_eq!(fast.verdict, Verdict::Different, "{fast:?}");
        assert!(fast.low.unwrap() < 2.0 && 2.0 < fast.high.unwrap(), "{fast:?}");
        assert_ne!(throughput(&run, &blocks, "twin/s").verdict, Verdict::Different);
        // A p99 of so few requests never has a verdict.
        let refused = |one: &&dyno_analyse::Refusal| one.metric != Metric::LatencyP99;
        assert_eq!(analysis.refusals.iter().find(refused), None);
        assert!(matches!(analysis.trust.grade, 'B' | 'C'), "{:?}", analysis.trust);
        assert!(analysis.results.iter().all(|one| one.low.is_some()), "each figure has its interval");
    }
}

#[test]
fn a_machine_whose_speed_changed_says_so_and_still_compares() {
    let (run, mut blocks) = made(0.01);
    blocks[6].spin_per_ms = 4e5;
    assert_eq!(throughput(&run, &blocks, "fast/s").verdict, Verdict::Different);
    let trust = analyse(&run, &blocks).trust;
    assert!(
        trust.grade == 'A' && trust.reasons.iter().any(|one| one.contains("own speed changed")),
        "{trust:?}"
    );
}

#[test]
fn what_a_disturbed_slice_lost_is_given_back() {
    let (run, mut blocks) = made(0.01);
    for (at, block) in blocks.iter_mut().enumerate() {
        let slice = &mut block.trials[1].slices[at % 2];
        slice.outcome.window_completed = slice.outcome.window_completed * 6 / 10;
        slice.machine.foreign_ns = slice.outcome.window_ns;
    }
    let twin = throughput(&run, &blocks, "twin/s");
    assert_ne!(twin.verdict, Verdict::Different, "{twin:?}");
    assert!((twin.ratio - 1.0).abs() < 0.05, "a fifth less without adjustment: {twin:?}");
}

#[test]
fn the_first_interval_is_there_from_three_blocks_on_and_narrows() {
    let (run, blocks) = made(0.02);
    let width = |blocks: &[Block]| {
        let fast = throughput(&run, blocks, "fast/s");
        fast.low.zip(fast.high).map(|(low, high)| (high / low).ln())
    };
    assert_eq!(width(&blocks[..2]), None);
    let (three, eight) = (width(&blocks[..3]).unwrap(), width(&blocks).unwrap());
    assert!(three < 4.0 * eight && three > eight, "{three} {eight}");
}

#[test]
fn a_comparison_that_ended_before_its_first_look_has_an_interval_and_no_verdict() {
    let (mut run, blocks) = made(0.01);
    run.plan.design.looks = true;
    let fast = throughput(&run, &blocks[..5], "fast/s");
    assert_eq!(fast.verdict, Verdict::Inconclusive);
    assert!(
        fast.low.unwrap() < 2.0 && 2.0 < fast.high.unwrap() && fast.reason.contains("first look"),
        "{fast:?}"
    );
    assert_eq!(throughput(&run, &blocks, "fast/s").verdict, Verdict::Different);
}

#[test]
fn no_blocks_at_all_is_said_and_nothing_panics() {
    let (run, _) = made(0.01);
    let analysis = analyse(&run, &[]);
    assert!(
        analysis.results.is_empty() && analysis.sentences[0].starts_with("No verdict: 0 complete blocks")
    );
}

#[test]
fn a_part_whose_cpu_is_zero_in_some_block_is_not_compared() {
    let (run, mut blocks) = made(0.01);
    let told = |blocks: &[Block]| {
        let comparisons = analyse(&run, blocks).comparisons;
        let of = |metric| comparisons.iter().filter(|one| one.metric == metric).count();
        (of(Metric::DatabaseCpuPerRequest), of(Metric::Throughput))
    };
    let (before, throughput) = told(&blocks);
    assert!(before > 0);
    // Half of the blocks have a CPU that rounds to nothing: those with one must not stand for all.
    for block in blocks.iter_mut().step_by(2) {
        for slice in block.trials.iter_mut().flat_map(|trial| &mut trial.slices) {
            slice.cpu_ns.insert("database".to_owned(), 0);
        }
    }
    assert_eq!(told(&blocks), (0, throughput));
}

#[test]
fn p99_needs_two_thousand_requests_in_each_block() {
    let (run, blocks) = made(0.01);
    let of = |blocks: &[Block]| {
        let comparisons = analyse(&run, blocks).comparisons;
        comparisons.into_iter().find(|one| one.metric == Metric::LatencyP99).unwrap()
    };
    let few = of(&blocks);
    assert_eq!(few.verdict, Verdict::NoVerdict);
    assert!(few.reason.contains("p99 needs 2000 requests in each block"), "{}", few.reason);
    let p50 =
        analyse(&run, &blocks).comparisons.into_iter().find(|one| one.metric == Metric::LatencyP50).unwrap();
    assert_ne!(p50.verdict, Verdict::NoVerdict, "{}", p50.reason);
    let mut many = blocks;
    for slice in many.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices) {
        for _ in 0..5 {
            let same = slice.outcome.latency.clone();
            slice.outcome.latency.merge(&same);
        }
    }
    assert!(!of(&many).reason.contains("p99 needs"), "{}", of(&many).reason);
}
