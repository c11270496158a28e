//! Writes the table of METHOD's procedure on machines made up and recorded, as Markdown.
//!
//! `cargo run --release -p dyno-analyse --example calibration [SESSIONS]`; two thousand sessions a figure take a few minutes.
//! The session's number is the seed: the table is the same each time.

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
    BLOCK_S, Clockwork, HIT, Machine, SETTING, TIE, Table, machines, one_stack_is_hit, recorded_misses,
    verdict,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let sessions: u64 = std::env::args().nth(1).map_or(Ok(2_000), |count| {
        count.parse().map_err(|error| format!("sessions: {count}: {error}; for instance 2000"))
    })?;
    let machines: Vec<Machine> = machines();
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
    Ok(())
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
    let seen = standard_deviation(&(0..1_000).map(|_| clockwork.block(0.0)).collect::<Vec<_>>());
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
