//! METHOD's procedure on machines made up and recorded: how often it is wrong, and how often it finds 3 %. The figures are
//! a table that `cargo run -p dyno-analyse --example calibration` writes.

use crate::noise::{
    BLOCK_S, BURNER, Clockwork, HIT, QUADS, SETTING, TIE, Table, machines, one_stack_is_hit, out_of_sight,
    recorded_misses, verdict,
};
use dyno_analyse::{
    looks::{LEVEL, Looks, Place},
    placebo::{Setting, calibrate},
    statistics::{standard_deviation, wilson},
};
use dyno_model::output::Verdict;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn rng(machine: &str, session: u64) -> ChaCha8Rng {
    // Names give the streams, so that another machine in the list changes none of the others.
    let name = machine.bytes().fold(17u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = ChaCha8Rng::seed_from_u64(name);
    rng.set_stream(session);
    rng
}

fn count(sessions: u64, holds: impl FnMut(u64) -> bool) -> u64 {
    (0..sessions).map(holds).filter(|held| *held).count() as u64
}

/// Sessions of each machine that are asked whether they are right.
const SESSIONS: u64 = 400;

/// All machines, those too on which others take CPU time in sight of the kernel.
#[test]
fn a_against_a_is_seldom_different_on_any_machine() {
    let looks = Looks::default();
    for machine in machines().iter().filter(|machine| machine.has_one_ratio()) {
        let mut missed = 0;
        let different = count(SESSIONS, |at| {
            let decision = verdict(&looks, machine, 0.0, rng(&machine.name, at), at).0;
            missed += u64::from(decision.interval.low > 0.0 || decision.interval.high < 0.0);
            decision.verdict == Verdict::Different
        });
        // The promises are 5 % of each; those of so many sessions that a promise kept just so passes by chance.
        let (name, least) = (&machine.name, |count| wilson(count, SESSIONS).0);
        assert!(least(different) <= 0.05, "{name}: {different} of {SESSIONS} are different");
        assert!(least(missed) <= 0.05, "{name}: the last interval misses 0 in {missed} of {SESSIONS}");
    }
}

#[test]
fn a_against_a_is_not_different_more_than_once_in_twenty_where_noise_is_plain() {
    let (looks, sessions) = (Looks::default(), 1_200);
    let chosen = ["white noise", "fresh processes differ", "recorded: 2026-11-25-busy-2-cpus"];
    for machine in machines().iter().filter(|machine| chosen.contains(&machine.name.as_str())) {
        let different = count(sessions, |at| {
            verdict(&looks, machine, 0.0, rng(&machine.name, at), at).0.verdict == Verdict::Different
        });
        let (_, upper) = wilson(different, sessions);
        assert!(different as f64 <= 0.05 * sessions as f64, "{}: {different} of {sessions}", machine.name);
        assert!(upper < 0.065, "{}: {different} of {sessions}", machine.name);
    }
}

#[test]
fn three_percent_is_found_where_blocks_spread_by_less_than_five() {
    let (looks, sessions) = (Looks::default(), 200);
    let mut blocks_of = std::collections::BTreeMap::new();
    for machine in machines().iter().filter(|machine| machine.usable) {
        let (mut blocks, mut wrong, mut missed) = (0, 0, 0);
        let found = count(sessions, |at| {
            let (decision, done) = verdict(&looks, machine, -TIE, rng(&machine.name, at), at);
            blocks += done;
            let (beyond, interval) = (decision.beyond_zero(), decision.interval);
            wrong += u32::from(beyond && interval.mean > 0.0);
            missed += u64::from(interval.low > -TIE || interval.high < -TIE);
            beyond
        });
        let name = machine.name.as_str();
        assert!(found * 10 >= sessions * 9, "{name}: {found} of {sessions} in {blocks} blocks");
        assert_eq!(wrong, 0, "{name}: slower was called faster");
        assert!(wilson(missed, sessions).0 <= 0.05, "{name}: the last interval misses in {missed}");
        blocks_of.insert(name.to_owned(), blocks as f64 / sessions as f64);
    }
    assert!(blocks_of[BURNER] <= 3.0 * blocks_of["quiet"], "three times the calm time: {blocks_of:?}");
    let calm_minutes = blocks_of["typical"] * BLOCK_S / 60.0;
    assert!(calm_minutes <= 5.0, "3 % takes {calm_minutes} minutes on a calm machine");
}

/// Claims whose truth lies just at an end of their region: supported in 2.5 % at most for each finite end, refuted in 5 %.
#[test]
fn claims_are_wrong_as_seldom_as_stated() {
    let looks = Looks::of(LEVEL);
    let sessions = 500;
    // "Faster by less than 1.5 times" and "scales to 4 workers": truth at either end.
    let cases =
        [(0.0, 1.5f64.ln(), 0.0), (0.0, 1.5f64.ln(), 1.5f64.ln()), (3.2f64.ln(), f64::INFINITY, 3.2f64.ln())];
    let chosen = ["typical", "bursts", "fresh processes differ", "recorded: 2026-11-25-busy-2-cpus"];
    let machines = machines();
    let (mut supported, mut refuted, mut all) = (0, 0, 0);
    for (case, (low, high, truth)) in (0u64..).zip(cases) {
        for name in chosen {
            let machine = machines.iter().find(|machine| machine.name == name).unwrap();
            let (mut here_supported, mut here_refuted) = (0, 0);
            for at in 0..sessions {
                let mut place = Place::Astride;
                // Other sessions for each case: a truth only moves the same noise.
                Clockwork::new(machine, rng(name, at + 100_000 * case)).session(truth, |d| {
                    place = looks.interval(d).unwrap().place_in(low, high);
                    place != Place::Astride
                });
                here_supported += u64::from(place == Place::Inside);
                here_refuted += u64::from(place == Place::Outside);
            }
            // The promise, and three standard errors of as many sessions.
            let within = |count: u64, promise: f64| {
                let error = 3.0 * (promise * (1.0 - promise) / sessions as f64).sqrt();
                count as f64 / sessions as f64 <= promise + error
            };
            assert!(within(here_supported, 0.025), "{name}: supported {here_supported} of {sessions}");
            assert!(within(here_refuted, 0.05), "{name}: refuted {here_refuted} of {sessions}");
            supported += here_supported;
            refuted += here_refuted;
            all += sessions;
        }
    }
    // All together the estimate is sharp; and a procedure that never errs would decide too late.
    let share = |count: u64| count as f64 / all as f64;
    assert!((0.018..=0.031).contains(&share(supported)), "supported {supported} of {all}");
    assert!((0.018..=0.031).contains(&share(refuted)), "refuted {refuted} of {all}");
}

/// Real blocks are somewhat skewed. Random labels take that away; where two stacks differ, it costs about half a percent.
#[test]
fn blocks_of_kept_runs_keep_the_promise() {
    let sessions = 20_000;
    let labelled = recorded_misses(sessions, true, &mut rng("labelled", 0));
    assert!(labelled as f64 <= 0.054 * sessions as f64, "{labelled} of {sessions}");
    let as_they_were = recorded_misses(sessions, false, &mut rng("as they were", 0));
    assert!(as_they_were as f64 <= 0.065 * sessions as f64, "{as_they_were} of {sessions}");
}

/// A true claim in the middle of its region is supported.
#[test]
fn true_claims_are_supported() {
    let looks = Looks::of(LEVEL);
    let machines = machines();
    for machine in machines.iter().filter(|machine| machine.usable) {
        let supported = count(30, |at| {
            let mut place = Place::Astride;
            Clockwork::new(machine, rng(&machine.name, at)).session(1.2f64.ln(), |d| {
                place = looks.interval(d).unwrap().place_in(0.0, 1.5f64.ln());
                place != Place::Astride
            });
            place == Place::Inside
        });
        assert!(supported >= 29, "{}: {supported}", machine.name);
    }
}

/// What a placebo of two minutes predicts for blocks, against blocks. It can't know what a fresh start brings, so those are
/// told; and a trace of minutes may miss what is rare.
#[test]
fn the_placebo_predicts_the_spread_of_blocks() {
    for machine in out_of_sight() {
        let setting = Setting { between_sd: machine.restart * 2f64.sqrt(), ..SETTING };
        let mut squares = 0.0;
        for at in 0..20 {
            let trace = Clockwork::new(&machine, rng(&machine.name, 1_000_000 + at)).trace(120.0);
            let quarter = calibrate(&trace, setting).unwrap().candidates[1];
            assert_eq!((quarter.slice_s, quarter.quads, quarter.block_s), (0.25, QUADS, BLOCK_S));
            squares += quarter.block_sd.powi(2) / 20.0;
        }
        let mut clockwork = Clockwork::new(&machine, rng(&machine.name, 2_000_000));
        let blocks = clockwork.blocks(0.0, 600);
        let ratio = squares.sqrt() / standard_deviation(&blocks);
        // Nor does it have weights, which take away much of what bursts do.
        let expected = if machine.bursts.is_some() { 1.05..3.0 } else { 0.75..1.33 };
        assert!(expected.contains(&ratio), "{}: predicted over seen {ratio}", machine.name);
    }
}

/// Where one stack alone is hit now and then, a session with one such block says that it is fragile. One that has met none yet
/// can't know: that is why the rate of misses is stated for noise that hits both.
#[test]
fn a_block_that_stands_out_makes_a_session_fragile() {
    let (looks, machine) = (Looks::default(), one_stack_is_hit());
    let (mut with_one, mut marked, mut without, mut marked_without) = (0, 0, 0, 0);
    for at in 0..400 {
        let d = Clockwork::new(&machine, rng(&machine.name, at)).session(0.0, |d| d.len() == 12);
        let fragile = looks.decide(&d, TIE, None, at).unwrap().fragile;
        match d.iter().filter(|&&block| block < HIT * 0.7).count() {
            0 => (without, marked_without) = (without + 1, marked_without + u32::from(fragile)),
            1 => (with_one, marked) = (with_one + 1, marked + u32::from(fragile)),
            _ => {}
        }
    }
    assert!(with_one > 100 && without > 80, "{with_one} {without}");
    assert_eq!(marked, with_one);
    assert!(marked_without * 20 <= without, "{marked_without} of {without}");
}

/// Why a table's stacks are all up together (docs/design/2026-11-26-tables.md): the same time gives no design less variance.
#[test]
fn stacks_together_are_told_apart_soonest() {
    for machine in out_of_sight().iter().filter(|machine| machine.usable) {
        let of = |design: Table| design.variance_minutes(machine, 8, 300, rng(&machine.name, 7));
        let together = of(Table::Together);
        for other in Table::ALL {
            let (variance, words) = (of(other), other.words());
            // Quiet machines, and white noise, where slices gain nothing over long trials: as good as these.
            let most = if other == Table::AnchorDuets { 1.0 } else { 1.3 };
            assert!(together <= most * variance, "{}: {together} against {words}' {variance}", machine.name);
        }
    }
}
