use dyno_model::{
    Operation, Span,
    calibration::{CALIBRATION_FORMAT, CalibrationSetting},
};

use super::*;
use crate::synthetic;

fn calibration(sessions: Vec<Session>) -> Calibration {
    Calibration {
        format: CALIBRATION_FORMAT,
        calibration: "made up".to_owned(),
        setting: CalibrationSetting {
            stack: "flask/gunicorn".parse().unwrap(),
            operation: Operation::Hello,
            slowdown: 0.03,
            aa: 4,
            ab: 4,
            budget: Span::seconds(360),
            connections: None,
            slice: Span::milliseconds(250),
            slices: 16,
            placebo: false,
            guard: None,
            warm_up: Span::seconds(2),
            burn_blocks: 4,
        },
        seed: 1,
        started: "2026-01-01T00:00:00Z".to_owned(),
        command: Vec::new(),
        order: order(4, 4, 1),
        burn: None,
        fingerprint: None,
        sessions,
    }
}

/// A session of made-up runs: the first stack by `ratio` as fast as the second.
fn made_up(kind: SessionKind, ratio: f64, noise: f64, seed: u64) -> Session {
    let mut run = synthetic::run(&[("flask/gunicorn:twin", 5000.0 * ratio), ("flask/gunicorn", 5000.0)]);
    run.plan.baseline = "flask/gunicorn".parse().unwrap();
    run.plan.operations = vec![Operation::Hello];
    run.plan.design.looks = true;
    let blocks = synthetic::blocks_of_seed(&run, &[5000.0 * ratio, 5000.0], 16, noise, seed);
    session(kind, &run, &blocks)
}

#[test]
fn the_alarm_rule_has_the_numbers_of_the_method() {
    assert_eq!([60, 100, 200].map(most_different), [6, 9, 16]);
    assert_eq!([60, 100].map(fewest_found), [52, 88]);
    assert_eq!((most_different(1), fewest_found(1)), (1, 0), "one session raises no alarm");
    for of in 1..200 {
        assert!(most_different(of) <= most_different(of + 1) && fewest_found(of) <= fewest_found(of + 1));
    }
}

/// A pilot that makes a stack slower by `share`, and how large the slowdown of 3 % must be.
fn pilot(share: f64, loops: u32, slowdown: f64) -> Pilot {
    let rates = [5000.0 / (1.0 + share), 5000.0];
    let mut run = synthetic::run(&[
        ("flask/gunicorn:burn=10000loops", rates[0]),
        ("flask/gunicorn:burn=1loops", rates[1]),
    ]);
    run.plan.baseline = "flask/gunicorn:burn=1loops".parse().unwrap();
    run.plan.operations = vec![Operation::Hello];
    burn_size(&run, &synthetic::blocks_of_seed(&run, &rates, 4, 0.01, 3), loops, slowdown).unwrap()
}

#[test]
fn a_burn_is_a_share_of_what_a_larger_one_costs() {
    let Pilot::Size(size) = pilot(0.4, 10_000, 0.03) else { panic!("a pilot of 40 % is right") };
    assert!((600..900).contains(&size.loops), "{size:?}");
    assert!((size.share - 0.03).abs() < 0.001 && size.low < size.share && size.share < size.high, "{size:?}");
    assert_eq!((size.pilot, size.blocks, size.base), (10_000, 4, 1));
    // One turn more than the base has, for two: their number is whole, and its share is said.
    let Pilot::Size(least) = pilot(0.4, 3, 0.03) else { panic!() };
    assert!(least.loops == 2 && (0.15..0.25).contains(&least.share), "{least:?}");
}

#[test]
fn a_pilot_that_costs_too_little_or_too_much_is_tried_again() {
    let again = |share, slowdown| match pilot(share, 10_000, slowdown) {
        Pilot::Again(loops) => loops,
        size @ Pilot::Size(_) => panic!("{size:?}"),
    };
    assert!((30_000..60_000).contains(&again(0.1, 0.03)));
    assert!((1_000..2_000).contains(&again(3.0, 0.03)));
    assert_eq!(again(-0.02, 0.03), 1 + 9_999 * 100, "not seen at all");
    assert!(again(0.4, 2.0) > 40_000, "a slowdown that is larger than a pilot wants a larger pilot");
}

#[test]
fn the_order_is_random_complete_and_repeatable() {
    let once = order(40, 20, 7);
    let aa = once.iter().filter(|&&kind| kind == SessionKind::Aa).count();
    assert_eq!((once.len(), aa), (60, 40));
    assert_eq!(order(40, 20, 7), once);
    assert_ne!(order(40, 20, 8), once);
    assert!(once[..40].contains(&SessionKind::Ab));
}

#[test]
fn twins_stay_quiet_and_a_planted_slowdown_is_found_with_its_size() {
    let mut sessions: Vec<Session> = (0..4).map(|seed| made_up(SessionKind::Aa, 1.0, 0.002, seed)).collect();
    sessions.extend((0..4).map(|seed| made_up(SessionKind::Ab, 1.0 / 1.05, 0.002, 10 + seed)));
    let summary = summarise(&calibration(sessions));
    assert_eq!((summary.different.count, summary.different.of), (0, 4));
    assert_eq!((summary.found.count, summary.found.of), (4, 4));
    assert_eq!((summary.wrong_sign, summary.no_verdict), (0, (0, 0)));
    let seen = summary.ab_estimates.unwrap();
    assert!(seen.low.unwrap() < 0.05 && 0.05 < seen.high.unwrap(), "{seen:?}");
    assert!(summary.aa_estimates.unwrap().mean.abs() < 0.005);
    assert_eq!(summary.aa_length.unwrap().median_blocks, 16.0);
    assert!(summary.alarms.iter().all(|alarm| !alarm.raised), "{:?}", summary.alarms);
    assert_eq!(summary.floor, None, "40 sessions are needed");
    let (low, high) = wilson(4, 4);
    assert_eq!((summary.found.low, summary.found.high), (low, high));
}

#[test]
fn what_is_faster_was_not_found_slower_and_a_refused_session_is_no_verdict() {
    let faster = made_up(SessionKind::Ab, 1.05, 0.002, 1);
    let mut refused = made_up(SessionKind::Ab, 1.0 / 1.05, 0.002, 2);
    (refused.verdict, refused.beyond_zero) = (Verdict::NoVerdict, false);
    let summary = summarise(&calibration(vec![faster, refused]));
    assert_eq!((summary.found.count, summary.wrong_sign, summary.no_verdict), (0, 1, (0, 1)));
    assert_eq!(summary.found_by_numbers.count, 1);
}

#[test]
fn nothing_done_is_no_division_by_zero() {
    let summary = summarise(&calibration(Vec::new()));
    assert_eq!((summary.different.low, summary.different.high), (0.0, 1.0));
    assert_eq!((summary.aa_length, summary.ab_estimates), (None, None));
    assert_eq!(summary.alarms, []);
}

#[test]
fn too_many_false_alarms_raise_one() {
    let sessions = (0..10).map(|seed| made_up(SessionKind::Aa, 1.1, 0.002, seed)).collect();
    let summary = summarise(&calibration(sessions));
    assert_eq!(summary.different.count, 10);
    assert!(summary.alarms[0].raised && summary.alarms[0].words.contains("10 were"), "{:?}", summary.alarms);
}
