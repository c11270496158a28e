//! Writes the table of METHOD's procedure on machines made up and recorded, as Markdown.
//!
//! `cargo run --release -p dyno-analyse --example calibration [SESSIONS [duets|tables|spreads]]`; two thousand sessions a figure take a few minutes.
//! With `duets` or `tables` only those of the rules before 2026-11-30 beside today's. The session's number is the seed: the tables are the same
//! each time.

#[path = "../tests/noise/mod.rs"]
mod noise;

use std::{error::Error, ops::Range};

use dyno_analyse::{
    looks::{LEVEL, Looks, Place, blocks_expected},
    placebo::{Setting, calibrate},
    statistics::{standard_deviation, wilson},
};
use dyno_model::output::Verdict;
use noise::{
    BLOCK_S, Clockwork, HIT, Machine, SETTING, TIE, Table,
    estimators::{Adjusted, side_by_side},
    machines, one_stack_is_hit, out_of_sight, recorded_misses,
    tables::{Growing, Tally},
    verdict,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let sessions: u64 = std::env::args().nth(1).map_or(Ok(2_000), |count| {
        count.parse().map_err(|error| format!("sessions: {count}: {error}; for instance 2000"))
    })?;
    match std::env::args().nth(2).as_deref() {
        Some("duets") => old_and_new_duets(sessions),
        Some("tables") => old_and_new_tables(sessions),
        Some("spreads") => spreads(),
        Some(other) => {
            return Err(format!("{other}: give \"duets\", \"tables\", \"spreads\" or nothing").into());
        }
        None => everything(sessions)?,
    }
    Ok(())
}

fn everything(sessions: u64) -> Result<(), Box<dyn Error>> {
    let machines: Vec<Machine> = out_of_sight();
    println!("# The procedure on {} machines, {sessions} sessions a figure", machines.len());
    println!();
    println!(
        "Blocks of {} quads of slices of 0.25 s, {BLOCK_S} s a block, looks at 8, 12, 16, 24, 32 and 48 blocks. Intervals are",
        noise::QUADS
    );
    println!(
        "Wilson's at 95 %. σ is the standard deviation of a block's log-ratio: seen in 1,000 blocks, and what the"
    );
    println!("placebo says after two minutes that know what fresh processes bring.");
    println!();
    println!("## Verdicts");
    println!();
    println!(
        "| machine | usable for 3 % | σ seen | placebo | slice | A/A different | blocks | 3 % slower found | blocks | minutes | \
         blocks by normal theory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for machine in &machines {
        println!("{}", verdicts(machine, sessions)?);
    }
    println!();
    println!("## Claims whose truth lies just at an end of their region");
    println!();
    println!("Supported should be 2.5 % at most, refuted 5 %.");
    println!();
    println!("| machine | region | truth | supported | refuted | blocks |");
    println!("|---|---|---|---|---|---|");
    for machine in &machines {
        let cases =
            [("(1,1.5)", 1.0, 1.5, 1.0), ("(1,1.5)", 1.0, 1.5, 1.5), ("[3.2,inf)", 3.2, f64::INFINITY, 3.2)];
        for (case, (region, low, high, truth)) in (0u64..).zip(cases) {
            // Other sessions for each case: a truth only moves the same noise.
            let seeds = case * 1_000_000..case * 1_000_000 + sessions;
            println!("{}", claims(machine, seeds, region, (f64::ln(low), f64::ln(high)), f64::ln(truth)));
        }
    }
    println!();
    println!("## Blocks of kept runs");
    println!();
    println!("{}", kept_runs(20 * sessions));
    println!();
    println!("## Tables of many stacks");
    println!();
    println!(
        "Variance of a log-ratio that a minute of measuring leaves, as a standard deviation in percent; two stacks of so many, neither"
    );
    println!("of them the anchor. Blocks: {TABLE_BLOCKS} each.");
    println!();
    let words: Vec<&str> = Table::ALL.iter().map(|design| design.words()).collect();
    println!("| machine | stacks | {} |", words.join(" | "));
    println!("|---|---|{}", "---|".repeat(words.len()));
    for machine in &machines {
        for stacks in [4, 8, 24] {
            println!("{}", tables(machine, stacks));
        }
    }
    println!();
    println!("## Where no promise holds");
    println!();
    println!("{}", one_sided(sessions));
    println!();
    old_and_new_duets(sessions);
    println!();
    old_and_new_tables(sessions);
    println!();
    spreads();
    Ok(())
}

/// The rules before 2026-11-30 beside today's, on all machines.
fn old_and_new_duets(sessions: u64) {
    println!("## Old rules | new rules: duets");
    println!();
    println!(
        "{sessions} sessions of two equal stacks and as many of one that is slower by 3 %, of the same blocks by both rules. \"Said nothing\":"
    );
    println!(
        "no interval and no verdict within 48 blocks, void ones included. Coverage is of the truth by the last interval that was told."
    );
    println!("Time is that of all sessions with 3 %.");
    println!();
    println!(
        "| machine | said nothing | A/A different | truth in the interval | 3 % found | minutes | ± at 8 blocks |"
    );
    println!("|---|---|---|---|---|---|---|");
    for machine in &machines() {
        println!("{}", duets(machine, sessions));
    }
}

/// What adjusting slices and weighting quads each do to the spread of blocks, as they are fitted over runs of eight.
fn spreads() {
    println!("## The spread of a duet's blocks, by estimator");
    println!();
    println!("Standard deviation of a block's log-ratio within {RUNS} runs of eight blocks.");
    println!();
    println!("| machine | all slices alike | quads weighted | slices adjusted | both |");
    println!("|---|---|---|---|---|");
    for machine in &machines() {
        let mut squares = [0.0; 4];
        for run in 0..RUNS {
            let (mut clockwork, mut adjusted) = (Clockwork::new(machine, rng(run)), Adjusted::default());
            (0..8).for_each(|_| adjusted.add(clockwork.measure(&[0.0, 0.0], noise::QUADS)));
            let ways = [(false, false), (false, true), (true, false), (true, true)];
            for (square, (adjusting, weighting)) in squares.iter_mut().zip(ways) {
                let sd = standard_deviation(&adjusted.log_ratios_by(adjusting, weighting));
                *square += sd.powi(2) / RUNS as f64;
            }
        }
        let cells = squares.map(|square: f64| format!("{:.1} %", 100.0 * square.sqrt()));
        println!("| {} | {} |", machine.name, cells.join(" | "));
    }
}

const RUNS: u64 = 60;

/// The same for tables.
fn old_and_new_tables(sessions: u64) {
    println!("## Old rules | new rules: tables of nine stacks, one a twin");
    println!();
    println!(
        "{} tables. Old rules say nothing of fewer than eight blocks. Clear pairs differ by 25 % or more.",
        sessions
    );
    println!();
    println!(
        "| machine | blocks | pairs with an interval | truth in the interval | twin told apart | clear pairs decided | ± of a pair | all ranks hold |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for machine in &machines() {
        grown(machine, sessions).into_iter().for_each(|row| println!("{row}"));
    }
}

fn duets(machine: &Machine, sessions: u64) -> String {
    let looks = Looks::default();
    let mut of: [Duets; 2] = Default::default();
    for (case, effect) in [(0, 0.0), (1, -TIE)] {
        for at in 0..sessions {
            let mut clockwork = Clockwork::new(machine, rng(2 * at + case));
            for (of, ended) in of.iter_mut().zip(side_by_side(&looks, &mut clockwork, effect, at)) {
                if case == 1 {
                    of.blocks += ended.blocks as u64;
                }
                if let Some(half) = ended.half_at_8 {
                    of.halves += half;
                    of.reached_8 += 1;
                }
                let Some(decision) = ended.decision else { continue };
                of.said += 1;
                of.covered += u64::from(decision.interval.low <= effect && effect <= decision.interval.high);
                match case {
                    0 => of.different += u64::from(decision.verdict == Verdict::Different),
                    _ => of.found += u64::from(decision.beyond_zero()),
                }
            }
        }
    }
    let cell = |write: &dyn Fn(&Duets) -> String| of.iter().map(write).collect::<Vec<_>>().join(" \\| ");
    let percent = |count: u64, of: u64| match of {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * count as f64 / of as f64),
    };
    let columns = [
        cell(&|one| percent(2 * sessions - one.said, 2 * sessions)),
        cell(&|one| percent(one.different, sessions)),
        cell(&|one| percent(one.covered, one.said)),
        cell(&|one| percent(one.found, sessions)),
        cell(&|one| format!("{:.1}", one.blocks as f64 / sessions as f64 * BLOCK_S / 60.0)),
        cell(&|one| match one.reached_8 {
            0 => "-".to_owned(),
            reached => format!("{:.1} %", 100.0 * one.halves / reached as f64),
        }),
    ];
    format!("| {} | {} |", machine.name, columns.join(" | "))
}

/// Counts over duets.
#[derive(Default)]
struct Duets {
    said: u64,
    different: u64,
    covered: u64,
    found: u64,
    blocks: u64,
    reached_8: u64,
    halves: f64,
}

/// Tables whose ranks are told: each costs a simulation of its own.
const RANKED: u64 = 8;
const BLOCKS: [usize; 4] = [3, 5, 8, 12];

fn grown(machine: &Machine, tables: u64) -> Vec<String> {
    let (mut old, mut new) = ([Tally::default(); BLOCKS.len()], [Tally::default(); BLOCKS.len()]);
    for at in 0..tables {
        let mut growing = Growing::new(machine, rng(at));
        for blocks in 1..=BLOCKS[BLOCKS.len() - 1] {
            growing.grow();
            if let Some(place) = BLOCKS.iter().position(|&one| one == blocks) {
                growing.tell(&mut new[place], at < RANKED);
                growing.tell_before(&mut old[place]);
            }
        }
    }
    let percent = |count: u64, of: u64| match of {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * count as f64 / of as f64),
    };
    let rows = BLOCKS.iter().zip(old.iter().zip(&new)).map(|(blocks, both)| {
        let both = [both.0, both.1];
        let cell = |write: &dyn Fn(&Tally) -> String| both.map(write).join(" \\| ");
        let columns = [
            cell(&|one| percent(one.pairs, one.tables * 36)),
            cell(&|one| percent(one.pairs - one.missed, one.pairs)),
            cell(&|one| percent(one.twins_told, one.tables)),
            cell(&|one| percent(one.decided, one.clear)),
            cell(&|one| match one.pairs {
                0 => "-".to_owned(),
                pairs => format!("{:.1} %", 100.0 * one.halves / pairs as f64),
            }),
            percent(new_ranks(both[1]).0, new_ranks(both[1]).1),
        ];
        format!("| {} | {blocks} | {} |", machine.name, columns.join(" | "))
    });
    rows.collect()
}

fn new_ranks(tally: &Tally) -> (u64, u64) {
    (tally.ranks_hold, tally.ranked)
}

fn rng(session: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(2026);
    rng.set_stream(session);
    rng
}

fn share(count: u64, trials: u64) -> String {
    let (low, high) = wilson(count, trials);
    let percent = |share: f64| share * 100.0;
    format!("{:.1} % ({:.1} to {:.1})", percent(count as f64 / trials as f64), percent(low), percent(high))
}

fn verdicts(machine: &Machine, sessions: u64) -> Result<String, Box<dyn Error>> {
    let looks = Looks::default();
    let mut clockwork = Clockwork::new(machine, rng(u64::MAX));
    let seen = standard_deviation(&clockwork.blocks(0.0, 1_000));
    let setting = Setting { between_sd: machine.restart * 2f64.sqrt(), ..SETTING };
    let placebo = calibrate(&Clockwork::new(machine, rng(u64::MAX - 1)).trace(120.0), setting)?;
    let quarter = placebo
        .candidates
        .iter()
        .find(|candidate| candidate.slice_s == 0.25)
        .ok_or("the placebo doesn't know slices of 0.25 s")?;
    let (mut different, mut alone, mut found, mut blocks) = (0, 0, 0, 0);
    for at in 0..sessions {
        let (decision, done) = verdict(&looks, machine, 0.0, rng(at), at);
        different += u64::from(decision.verdict == Verdict::Different);
        alone += done;
        let (decision, done) = verdict(&looks, machine, -TIE, rng(at), at);
        found += u64::from(decision.beyond_zero());
        blocks += done;
    }
    let mean = |blocks: usize| blocks as f64 / sessions as f64;
    Ok(format!(
        "| {} | {} | {:.1} % | {:.1} % | {} s | {} | {:.1} | {} | {:.1} | {:.1} | {:.1} |",
        machine.name,
        if machine.usable { "yes" } else { "no" },
        seen * 100.0,
        quarter.block_sd * 100.0,
        placebo.best.slice_s,
        share(different, sessions),
        mean(alone),
        share(found, sessions),
        mean(blocks),
        mean(blocks) * BLOCK_S / 60.0,
        blocks_expected(seen, TIE, TIE).blocks
    ))
}

fn claims(machine: &Machine, seeds: Range<u64>, region: &str, (low, high): (f64, f64), truth: f64) -> String {
    let looks = Looks::of(LEVEL);
    let sessions = seeds.end - seeds.start;
    let (mut supported, mut refuted, mut blocks) = (0, 0, 0);
    for at in seeds {
        let mut place = Place::Astride;
        let d = Clockwork::new(machine, rng(at)).session(truth, |d| {
            place = looks.interval(d).map_or(Place::Astride, |interval| interval.place_in(low, high));
            place != Place::Astride
        });
        supported += u64::from(place == Place::Inside);
        refuted += u64::from(place == Place::Outside);
        blocks += d.len();
    }
    format!(
        "| {} | `{region}` | {} | {} | {} | {:.1} |",
        machine.name,
        truth.exp(),
        share(supported, sessions),
        share(refuted, sessions),
        blocks as f64 / sessions as f64
    )
}

/// Blocks of each figure of the designs for tables.
const TABLE_BLOCKS: usize = 500;

fn tables(machine: &Machine, stacks: usize) -> String {
    let of = |design: Table| {
        let variance = design.variance_minutes(machine, stacks, TABLE_BLOCKS, rng(u64::MAX - 3));
        format!("{:.2}", variance.sqrt() * 100.0)
    };
    format!("| {} | {stacks} | {} |", machine.name, Table::ALL.map(of).join(" | "))
}

fn kept_runs(sessions: u64) -> String {
    let missed = |labels| share(recorded_misses(sessions, labels, &mut rng(u64::MAX - 2)), sessions);
    format!(
        "Log-ratios of real stacks, each pair's scaled alike, drawn at random: some look's interval misses the mean in {} of \
         {sessions} sessions with random labels, and in {} as they were.",
        missed(true),
        missed(false)
    )
}

fn one_sided(sessions: u64) -> String {
    let (looks, machine) = (Looks::default(), one_stack_is_hit());
    let mean = machine.hit_one * HIT;
    let (mut missed, mut marked) = (0, 0);
    for at in 0..sessions {
        let decision = verdict(&looks, &machine, 0.0, rng(at), at).0;
        if decision.interval.low > mean || decision.interval.high < mean {
            missed += 1;
            marked += u64::from(decision.fragile);
        }
    }
    format!(
        "Where {}, the mean ratio is {:.3}; the last interval misses it in {}, and {} of these are marked fragile.",
        machine.name,
        mean.exp(),
        share(missed, sessions),
        share(marked, missed)
    )
}
