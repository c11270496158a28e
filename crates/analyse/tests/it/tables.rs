//! Tables of nine stacks and few blocks on noisy machines: how often moderated intervals and ranks are right, and what they decide. All
//! figures are in `evidence/2026-11-30-noisy/simulation.md`.

use crate::noise::{
    machines,
    tables::{Growing, Tally},
};
use dyno_analyse::statistics::wilson;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const TABLES: u64 = 60;
/// Tables of each machine whose ranks are told: that takes longest.
const RANKED: u64 = 2;
/// Where the promises are asked for.
const BLOCKS: [usize; 3] = [3, 5, 8];

#[test]
fn few_blocks_of_a_table_are_told_as_surely_as_stated() {
    let mut all = [Tally::default(); BLOCKS.len()];
    for (stream, machine) in (0u64..).zip(machines()).filter(|(_, machine)| machine.has_one_ratio()) {
        let mut of = [Tally::default(); BLOCKS.len()];
        for at in 0..TABLES {
            let mut rng = ChaCha8Rng::seed_from_u64(1_000 + stream);
            rng.set_stream(at);
            let mut growing = Growing::new(&machine, rng);
            for blocks in 1..=BLOCKS[BLOCKS.len() - 1] {
                growing.grow();
                if let Some(place) = BLOCKS.iter().position(|&one| one == blocks) {
                    growing.tell(&mut of[place], at < RANKED);
                }
            }
        }
        for ((tally, all), blocks) in of.iter().zip(&mut all).zip(BLOCKS) {
            let name = format!("{}, {blocks} blocks: {tally:?}", machine.name);
            println!("{name}");
            // The 36 pairs of nine stacks have eight independent differences.
            let missed = tally.missed as f64 / tally.pairs as f64;
            let least = wilson((missed * 8.0 * TABLES as f64).round() as u64, 8 * TABLES).0;
            assert!(least <= 0.06, "coverage: {name}");
            assert!(wilson(tally.twins_told, tally.tables).0 <= 0.05, "twin: {name}");
            // Wrong by a quarter and more: as good as never.
            assert!(tally.wrong * 1_000 <= tally.clear, "wrong: {name}");
            if blocks == 8 && machine.usable {
                assert!(tally.decided * 100 >= tally.clear * 98, "decided: {name}");
            }
            *all = all.plus(tally);
        }
    }
    for (tally, blocks) in all.iter().zip(BLOCKS) {
        assert!(
            tally.missed * 100 <= 5 * tally.pairs,
            "coverage over all machines, {blocks} blocks: {tally:?}"
        );
        assert!(
            tally.twins_told * 100 <= 5 * tally.tables,
            "twins over all machines, {blocks} blocks: {tally:?}"
        );
        assert!(
            tally.ranks_hold * 100 >= 94 * tally.ranked,
            "ranks over all machines, {blocks} blocks: {tally:?}"
        );
    }
}

/// What `dyno run` does after each block of a table: a stack whose order is sure leaves. Whether it was rightly sure depends on the same
/// numbers as what is told of it then.
#[test]
fn a_table_from_which_sure_stacks_leave_is_told_as_surely() {
    const TABLES: u64 = 6;
    const LAST: usize = 8;
    let (mut tally, mut gone) = (Tally::default(), 0);
    for (stream, machine) in (0u64..).zip(machines()).filter(|(_, machine)| machine.has_one_ratio()) {
        for at in 0..TABLES {
            let mut rng = ChaCha8Rng::seed_from_u64(2_000 + stream);
            rng.set_stream(at);
            let mut growing = Growing::new(&machine, rng);
            for blocks in 1..=LAST {
                growing.grow();
                if (3..LAST).contains(&blocks) {
                    growing.let_go();
                }
            }
            growing.tell_staying(&mut tally);
            gone += growing.gone();
        }
    }
    println!("{gone} left: {tally:?}");
    assert!(gone as u64 > 2 * tally.tables, "{gone} stacks left {} tables", tally.tables);
    assert!(tally.missed * 100 <= 5 * tally.pairs, "coverage: {tally:?}");
    assert!(wilson(tally.twins_told, tally.tables).0 <= 0.05, "twins: {tally:?}");
    assert!(tally.wrong * 1_000 <= tally.clear, "wrong: {tally:?}");
}
