use dyno_model::record::{BlockState, NotRun};

use super::*;
use crate::{ratios, synthetic};

const STACKS: [(&str, f64); 3] =
    [("go-bun/go", 2000.0), ("flask/gunicorn", 1000.0), ("flask/gunicorn:twin", 1000.0)];
const METRICS: [Metric; 2] = [Metric::Throughput, Metric::CpuPerRequest];

/// One run for each rate of flask, a day apart.
fn history(rates: &[f64]) -> Vec<Kept> {
    rates.iter().enumerate().map(|(at, &rate)| kept(at, rate, |_| ())).collect()
}

fn kept(at: usize, rate: f64, change: impl FnOnce(&mut Run)) -> Kept {
    let mut run = synthetic::run(&STACKS);
    run.started = format!("2026-01-{:02}T00:00:00Z", at + 1);
    change(&mut run);
    let blocks = synthetic::blocks_of_seed(&run, &[2000.0, rate, rate], 8, 0.01, at as u64);
    let name = format!("run-{at:02}");
    let points = points(&name, &run, &ratios(&run, &blocks), &wanted());
    Kept { name, run, points }
}

fn wanted() -> Wanted<'static> {
    Wanted {
        stack: &|stack| !stack.variant.twin,
        operation: &|one| one == Operation::Hello,
        metrics: &METRICS,
    }
}

/// Sixteen runs, ten per cent faster from the ninth on.
fn step() -> Vec<Kept> {
    history(&[[1000.0; 8], [1100.0; 8]].concat())
}

fn throughput(lines: &[HistoryLine]) -> &HistoryLine {
    lines.iter().find(|line| line.metric == Metric::Throughput).unwrap()
}

#[test]
fn a_planted_step_is_proposed_at_its_run_and_noise_proposes_nothing() {
    let lines = lines(&step(), None).unwrap();
    assert_eq!(lines.len(), 2, "one for each metric; the twin isn't wanted");
    let line = throughput(&lines);
    assert_eq!((line.points.len(), line.counted().count()), (16, 16));
    let [change] = &line.changes[..] else { panic!("{:?}", line.changes) };
    assert_eq!((change.last_before.as_str(), change.first_after.as_str()), ("run-07", "run-08"));
    assert_eq!(change.change.runs, (8, 8));
    assert!((change.change.ratio - 1.1).abs() < 0.02, "{}", change.change.ratio);
    assert!(
        line.points
            .iter()
            .all(|point| point.blocks == 8 && point.low < point.ratio && point.ratio < point.high)
    );

    let still = super::lines(&history(&[1000.0; 16]), None).unwrap();
    assert!(still.iter().all(|line| line.changes.is_empty()), "{still:?}");
}

#[test]
fn what_a_run_must_not_be_believed_for_is_left_out_with_the_reason() {
    let mut runs = step();
    // Of all that the ninth run has, and of flask in the tenth.
    runs[8] = refused(8, |blocks| {
        let slices =
            blocks[4..].iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices);
        slices.for_each(|slice| slice.outcome.engine = "another".to_owned());
    });
    runs[9] = refused(9, |blocks| {
        for block in &mut blocks[..6] {
            block.trials[1].failure = Some(dyno_model::record::TrialFailure {
                reason: "it died".to_owned(),
                log_tail: "secret".to_owned(),
            });
        }
    });
    runs[10] = refused(10, |blocks| blocks.truncate(2));
    let lines = lines(&runs, None).unwrap();
    let line = throughput(&lines);
    let reasons: Vec<&str> =
        line.points.iter().map(|point| point.left_out.as_str()).filter(|words| !words.is_empty()).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].contains("different load engines"), "{reasons:?}");
    assert!(
        reasons[1].contains("failed in 6 of 8 blocks: it died") && !reasons[1].contains("log"),
        "{reasons:?}"
    );
    assert!(reasons[2].contains("2 paired blocks"), "{reasons:?}");
    assert_eq!(line.counted().count(), 13);
    let [change] = &line.changes[..] else { panic!("{:?}", line.changes) };
    assert_eq!((change.last_before.as_str(), change.first_after.as_str()), ("run-07", "run-11"));
}

fn refused(at: usize, spoil: impl FnOnce(&mut Vec<dyno_model::record::Block>)) -> Kept {
    let mut one = kept(at, 1100.0, |_| ());
    let mut blocks = synthetic::blocks_of_seed(&one.run, &[2000.0, 1100.0, 1100.0], 8, 0.01, at as u64);
    spoil(&mut blocks);
    assert!(blocks.iter().all(|block| block.state == BlockState::Complete));
    one.points = points(&one.name, &one.run, &ratios(&one.run, &blocks), &wanted());
    one
}

#[test]
fn a_stack_that_fails_the_contract_is_left_out_and_one_that_can_not_run_is_not_there() {
    let of = |kind| {
        let one = kept(0, 1000.0, |run| {
            let stack = run.prepared.remove(1).stack;
            run.not_run.push(NotRun { stack, reason: "it answers wrongly".to_owned(), kind });
        });
        one.points.into_iter().map(|point| point.point.left_out).collect::<Vec<_>>()
    };
    assert_eq!(of(NotRunKind::Failed), ["flask/gunicorn: it answers wrongly"; 2]);
    assert_eq!(of(NotRunKind::Missing), [""; 0]);
}

#[test]
fn another_machine_is_refused_and_what_may_change_is_not() {
    let mut runs = step();
    runs[3].run.fingerprint.software.insert("dyno".to_owned(), "0.0.1".to_owned());
    runs[4].run.fingerprint.machine.insert("kernel".to_owned(), "7".to_owned());
    assert!(lines(&runs, None).is_ok());

    runs[1].run.cpus.server = vec![0];
    runs[2].run.fingerprint.machine.insert("cpus".to_owned(), "64".to_owned());
    let error = lines(&runs, None).unwrap_err();
    let differs: Vec<&[String]> = error.groups.iter().map(|group| group.differs.as_slice()).collect();
    assert_eq!(differs[0], [] as [String; 0]);
    assert_eq!(differs[1], ["cpus: not recorded against 64".to_owned()]);
    assert_eq!(differs[2], ["CPUs of the servers: 1 against 0".to_owned()]);
    assert_eq!(error.groups[0].runs.len(), 14);
    // A run that counts for nothing forbids nothing.
    for at in [1, 2] {
        runs[at].points.iter_mut().for_each(|one| one.point.left_out = "a reason".to_owned());
    }
    assert!(lines(&runs, None).is_ok());
}

#[test]
fn other_conditions_or_another_anchor_are_another_line() {
    let mut runs = step();
    for (at, one) in runs.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0) {
        one.run.plan.throughput.connections = 8;
        if at % 4 == 0 {
            one.run.plan.baseline = "falcon/gunicorn".parse().unwrap();
        }
    }
    let all = lines(&runs, None).unwrap();
    let rates: Vec<(usize, &str, String)> = all
        .iter()
        .filter(|line| line.metric == Metric::Throughput)
        .map(|line| (line.points.len(), line.conditions.split(',').next().unwrap(), line.anchor.to_string()))
        .collect();
    assert_eq!(
        rates,
        [
            (4, "8 connections", "falcon/gunicorn".to_owned()),
            (8, "64 connections", "go-bun/go".to_owned()),
            (4, "8 connections", "go-bun/go".to_owned()),
        ]
    );
}

#[test]
fn what_decides_is_a_gate_of_two_revisions_or_the_ratio_anew() {
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let with = |before: Option<&str>, after: Option<&str>, change: fn(&mut Run)| {
        let mut runs = step();
        for (at, one) in runs.iter_mut().enumerate() {
            let revision = if at < 8 { before } else { after };
            let software = &mut one.run.fingerprint.software;
            software.extend(revision.map(|revision| (REVISION.to_owned(), revision.to_owned())));
            if at >= 8 {
                change(&mut one.run);
            }
        }
        let lines = lines(&runs, Some(&synthetic::run(&STACKS).plan.capacity)).unwrap();
        throughput(&lines).changes[0].clone()
    };
    let of_two = with(Some(&a), Some(&b), |run| run.prepared[1].lock_sha256 = "1".repeat(64));
    assert_eq!(
        of_two.decide,
        [format!(
            "dyno gate flask/gunicorn --base {a} --operation hello --connections 64 --metric throughput"
        )]
    );
    assert!(of_two.how.contains(&b), "{}", of_two.how);
    let facts: Vec<&str> = of_two.differs.iter().map(|one| one.fact.as_str()).collect();
    assert_eq!(facts, ["software: revision of stacks", "lock of flask/gunicorn"]);

    let of_anchor = with(Some(&a), Some(&b), |run| run.prepared[0].lock_sha256 = "1".repeat(64));
    assert_eq!(of_anchor.decide.len(), 2);
    assert!(of_anchor.decide[1].starts_with("dyno gate go-bun/go --base"), "{:?}", of_anchor.decide);

    let same = with(Some(&a), Some(&a), |_| ());
    assert_eq!(same.decide, ["dyno compare flask/gunicorn go-bun/go --operation hello --connections 64"]);

    let unknown = with(None, Some(&b), |_| ());
    let base = "--base \"$(git rev-list -1 --before=2026-01-08T00:00:00Z HEAD -- stacks)\"";
    assert!(unknown.decide[0].contains(base), "{:?}", unknown.decide);

    let dirty = with(Some(&format!("{a} and changes that aren't committed")), Some(&a), |_| ());
    assert!(dirty.decide[0].contains(&format!("--base {a} ")), "{:?}", dirty.decide);
    assert!(dirty.how.contains("weren't committed"), "{}", dirty.how);
}

#[test]
fn a_duet_gets_the_runs_own_capacity_and_connections() {
    let mut runs = step();
    runs.iter_mut().for_each(|one| one.run.plan.throughput.connections = 8);
    let usual = Capacity { workers: 9, ..runs[0].run.plan.capacity.clone() };
    let lines = lines(&runs, Some(&usual)).unwrap();
    let decide = &throughput(&lines).changes[0].decide[0];
    assert!(
        decide.starts_with("dyno gate flask/gunicorn:workers=2,threads=4,connections=8 --base"),
        "{decide}"
    );
    assert!(decide.contains("--operation hello --connections 8 --metric throughput"), "{decide}");
}
