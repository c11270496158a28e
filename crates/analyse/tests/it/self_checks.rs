//! Each self-check over whole runs: a planted failure is found in its cell and refuses what it should, clean runs stay quiet.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{Analysis, analyse, synthetic};
use dyno_model::{
    Operation,
    load::{Counts, Pacing},
    output::{Metric, SelfCheckOutcome as Outcome, Verdict},
    record::{Block, Run, Slice, SliceLoad},
};

const STACKS: [(&str, f64); 4] =
    [("base/s", 1000.0), ("twin/s", 1000.0), ("fast/s", 2000.0), ("slow/s", 900.0)];
/// The guard of a run made up.
const GUARD_NS: u64 = 30_000_000;

fn made(seed: u64, noise: f64) -> (Run, Vec<Block>) {
    let run = synthetic::run(&STACKS);
    let rates: Vec<f64> = STACKS.iter().map(|(_, rate)| *rate).collect();
    let blocks = synthetic::blocks_of_seed(&run, &rates, 8, noise, seed);
    (run, blocks)
}

/// A run with something done to the slices of hello of the stack that is twice as fast.
fn with(change: impl Fn(usize, &mut Slice)) -> Analysis {
    let (run, mut blocks) = made(7, 0.01);
    for (index, block) in blocks.iter_mut().enumerate() {
        let trial = block.trials.iter_mut().find(|trial| trial.stack.to_string() == "fast/s").unwrap();
        trial.slices.iter_mut().filter(|slice| is_hello(slice)).for_each(|slice| change(index, slice));
    }
    analyse(&run, &blocks)
}

fn is_hello(slice: &Slice) -> bool {
    slice.operation == Operation::Hello
}

fn is_open(slice: &Slice) -> bool {
    matches!(slice.load, SliceLoad::Open { .. })
}

fn check(analysis: &Analysis, id: &str) -> (Outcome, String) {
    let check = analysis.checks.iter().find(|check| check.id == id).unwrap();
    (check.outcome, check.words.clone())
}

fn verdict(analysis: &Analysis, metric: Metric) -> (Verdict, String) {
    let found = analysis.comparisons.iter().find(|one| {
        one.a.to_string() == "fast/s" && one.operation == Operation::Hello && one.metric == metric
    });
    found.map(|one| (one.verdict, one.reason.clone())).unwrap()
}

/// The check isn't passed, its words name the cell, it takes ten points, and only these metrics are refused.
fn found(analysis: &Analysis, id: &str, outcome: Outcome, refused: &[Metric]) {
    let (seen, words) = check(analysis, id);
    assert_eq!(seen, outcome, "{id}: {words}");
    assert!(words.contains("worst is fast/s hello"), "{words}");
    assert!(analysis.trust.reasons.iter().any(|reason| reason.contains(id)), "{:?}", analysis.trust.reasons);
    assert!(analysis.trust.score <= 90, "{}", analysis.trust.score);
    assert!(analysis.warnings.iter().any(|one| one.id == id && one.subject.starts_with("fast/s hello")));
    for metric in [Metric::Throughput, Metric::CpuPerRequest, Metric::LatencyP50, Metric::LatencyP90] {
        let (verdict, reason) = verdict(analysis, metric);
        assert_eq!(verdict == Verdict::NoVerdict, refused.contains(&metric), "{id} {metric:?}: {reason}");
        assert_eq!(reason.contains(id), refused.contains(&metric), "{reason}");
    }
}

const LATENCY: [Metric; 2] = [Metric::LatencyP50, Metric::LatencyP90];

#[test]
fn clean_runs_pass_all_that_can_be_made_and_say_so() {
    for seed in 0..10 {
        let (run, blocks) = made(seed, 0.02);
        let analysis = analyse(&run, &blocks);
        let ids: Vec<&str> = analysis.checks.iter().map(|check| check.id.as_str()).collect();
        assert_eq!(ids, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"]);
        for check in &analysis.checks {
            // A trend is flagged in at most five of a hundred clean runs; it never fails.
            let flag = check.id == "G6" && check.outcome == Outcome::Flag;
            assert!(check.outcome == Outcome::Pass || flag, "seed {seed}: {check:?}");
            assert!(check.words.contains(" of ") && check.words.contains("worst is "), "{}", check.words);
        }
        // Made-up blocks have too few requests for a p99.
        let mut refused = analysis.comparisons.iter().filter(|one| one.verdict == Verdict::NoVerdict);
        assert!(refused.all(|one| one.metric == Metric::LatencyP99), "seed {seed}");
    }
}

#[test]
fn g1_lost_requests_refuse_all_and_unsent_ones_are_told() {
    let lost = with(|_, slice| slice.outcome.counts.completed -= 1);
    let all = [Metric::Throughput, Metric::CpuPerRequest, Metric::LatencyP50, Metric::LatencyP90];
    found(&lost, "G1", Outcome::Fail, &all);
    // One of many: no connection could be opened for it.
    let unsent = with(|index, slice| {
        if index == 0 && !is_open(slice) {
            slice.outcome.counts.planned += 1;
            slice.outcome.counts.not_sent += 1;
            slice.outcome.connections.refused += 1;
        }
    });
    found(&unsent, "G1", Outcome::Flag, &[]);
    assert!(unsent.warnings.iter().any(|one| one.id == "connections"), "{:?}", unsent.warnings);
    // And many: as good as answers that aren't right.
    let refused = with(|_, slice| {
        let Counts { planned, not_sent, .. } = &mut slice.outcome.counts;
        (*planned, *not_sent) = (*planned + 20, 20);
    });
    let (verdict, reason) = verdict(&refused, Metric::Throughput);
    assert!(verdict == Verdict::NoVerdict && reason.contains("got no right answer"), "{reason}");
}

#[test]
fn g2_lateness_within_percentiles_is_flagged_and_then_refused() {
    let late = |less_late: f64| {
        with(move |_, slice| {
            let outcome = &mut slice.outcome;
            (outcome.latency, outcome.latency_less_late) = Default::default();
            for i in 0..200u32 {
                let latency_ns = f64::from(1_000_000 + i * 10_000);
                outcome.latency.record_ns(latency_ns as u64);
                outcome.latency_less_late.record_ns((latency_ns * less_late) as u64);
            }
        })
    };
    found(&late(0.97), "G2", Outcome::Flag, &[]);
    found(&late(0.90), "G2", Outcome::Fail, &LATENCY);
    assert_eq!(check(&late(0.995), "G2").0, Outcome::Pass);
}

#[test]
fn g3_one_bad_slice_is_chance_some_are_flagged_and_many_refused() {
    let bad = |slices: usize| {
        with(move |index, slice| {
            if index < slices && is_open(slice) {
                slice.outcome.pacing = Some(Pacing { a_squared: 4.0, gaps: 199 });
            }
        })
    };
    assert_eq!(check(&bad(1), "G3").0, Outcome::Pass, "{:?}", check(&bad(1), "G3"));
    let (_, words) = check(&bad(1), "G3");
    assert!(words.contains("worst is fast/s hello: 1 of 8 slices"), "{words}");
    found(&bad(3), "G3", Outcome::Fail, &LATENCY);
    found(&bad(8), "G3", Outcome::Fail, &LATENCY);
    // Two of eight are improbable (0.0027), but not among eight cells: 0.01/8 is the level of one.
    assert_eq!(check(&bad(2), "G3").0, Outcome::Pass);
}

#[test]
fn g3_falls_back_to_whole_trials_and_says_when_it_can_not_be_made() {
    let few = |trial: Option<Pacing>| {
        let (run, mut blocks) = made(7, 0.01);
        for trial_of in blocks.iter_mut().flat_map(|block| &mut block.trials) {
            trial_of.slices.iter_mut().for_each(|slice| slice.outcome.pacing = None);
            trial_of.pacing = trial;
        }
        check(&analyse(&run, &blocks), "G3")
    };
    let (outcome, words) = few(Some(Pacing { a_squared: 0.7, gaps: 80 }));
    assert!(outcome == Outcome::Pass && words.contains("0 of 8 trials"), "{words}");
    assert_eq!(few(Some(Pacing { a_squared: 7.0, gaps: 80 })).0, Outcome::Fail);
    let (outcome, words) = few(None);
    assert!(outcome == Outcome::NotMade && words.contains("50 gaps"), "{words}");
}

#[test]
fn g4_waiting_is_flagged_and_a_busy_generator_refused() {
    let waits = with(|_, slice| slice.outcome.generator_wait_ns = slice.outcome.window_ns / 50);
    found(&waits, "G4", Outcome::Flag, &[]);
    let busy = |open: bool, server: u64| {
        with(move |_, slice| {
            if is_open(slice) == open {
                slice.outcome.generator_cpu_ns = (slice.outcome.window_ns + GUARD_NS) * 8 / 10;
                slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns * server / 100);
            }
        })
    };
    found(&busy(true, 97), "G4", Outcome::Fail, &LATENCY);
    found(&busy(false, 50), "G4", Outcome::Fail, &[Metric::Throughput]);
    // Where the server was the limit all the same, a busy generator is worth a flag.
    found(&busy(false, 97), "G4", Outcome::Flag, &[]);
}

#[test]
fn g5_a_broken_little_refuses_its_own_loop() {
    let broken = |open: bool| {
        with(move |_, slice| {
            if is_open(slice) == open {
                slice.outcome.in_flight_ns = slice.outcome.latency_sum_ns * 103 / 100;
            }
        })
    };
    found(&broken(true), "G5", Outcome::Fail, &LATENCY);
    found(&broken(false), "G5", Outcome::Fail, &[Metric::Throughput]);
}

#[test]
fn g6_a_stack_that_slows_down_within_each_block_is_refused() {
    let (run, mut blocks) = made(7, 0.01);
    for block in &mut blocks {
        let trial = block.trials.iter_mut().find(|trial| trial.stack.to_string() == "fast/s").unwrap();
        let mut closed = trial.slices.iter_mut().filter(|slice| is_hello(slice) && !is_open(slice));
        let second = closed.nth(1).unwrap();
        second.outcome.window_completed = second.outcome.window_completed * 85 / 100;
    }
    let analysis = analyse(&run, &blocks);
    found(&analysis, "G6", Outcome::Fail, &[Metric::Throughput, Metric::CpuPerRequest]);
    assert!(check(&analysis, "G6").1.contains("not made"), "one latency slice in a block has no halves");
}

#[test]
fn g6_looks_at_latency_where_there_are_two_slices() {
    let (run, mut blocks) = made(7, 0.01);
    for trial in blocks.iter_mut().flat_map(|block| &mut block.trials) {
        let slower = trial.stack.to_string() == "fast/s";
        let open: Vec<Slice> = trial.slices.iter().filter(|slice| is_open(slice)).cloned().collect();
        for mut slice in open {
            if slower && is_hello(&slice) {
                let latency = std::mem::take(&mut slice.outcome.latency);
                for value in latency.inner().iter_recorded() {
                    slice.outcome.latency.record_ns(value.value_iterated_to() * 12 / 10);
                }
                slice.outcome.latency_less_late = slice.outcome.latency.clone();
            }
            trial.slices.push(slice);
        }
    }
    found(&analyse(&run, &blocks), "G6", Outcome::Fail, &LATENCY);
}

#[test]
fn g7_answers_without_timestamps_are_judged_by_those_with() {
    let unstamped = |share: u64, unread_ns: u64| {
        with(move |_, slice| {
            let outcome = &mut slice.outcome;
            outcome.unstamped = outcome.counts.completed * share / 100;
            outcome.unread = Default::default();
            (0..200).for_each(|_| outcome.unread.record_ns(unread_ns));
        })
    };
    found(&unstamped(50, 400_000), "G7", Outcome::Fail, &LATENCY);
    found(&unstamped(100, 1_000), "G7", Outcome::Fail, &LATENCY);
    assert_eq!(check(&unstamped(50, 40_000), "G7").0, Outcome::Pass);
    assert_eq!(check(&unstamped(0, 400_000), "G7").0, Outcome::Pass, "stamps keep it out of the latencies");
}

#[test]
fn g8_spare_cpu_is_flagged_and_a_limit_elsewhere_refused() {
    let spare = |database: u64| {
        with(move |_, slice| {
            slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 2);
            slice.cpu_ns.insert("database".to_owned(), slice.outcome.window_ns * database / 100);
        })
    };
    found(&spare(10), "G8", Outcome::Flag, &[]);
    found(&spare(75), "G8", Outcome::Fail, &[Metric::Throughput]);
}

#[test]
fn slices_of_two_engines_give_no_verdict() {
    let (run, mut blocks) = made(7, 0.01);
    for slice in blocks[7].trials.iter_mut().flat_map(|trial| &mut trial.slices) {
        slice.outcome.engine = "another".to_owned();
    }
    let analysis = analyse(&run, &blocks);
    assert!(analysis.sentences[0].contains("different load engines"), "{:?}", analysis.sentences);
    assert!(analysis.comparisons.iter().all(|one| one.verdict == Verdict::NoVerdict));
}

#[test]
fn no_blocks_make_no_checks_and_say_so() {
    let (run, _) = made(7, 0.01);
    let analysis = analyse(&run, &[]);
    assert_eq!(analysis.checks.len(), 8);
    assert!(analysis.checks.iter().all(|check| check.outcome == Outcome::NotMade), "{:?}", analysis.checks);
}
