//! The statistics against other implementations: `fixtures/make_numbers.py` says which, and writes what they answer.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{
    capacity::Search,
    history::change_points_of,
    percentiles::woodruff,
    ranks::{LEVEL, critical, rank_intervals, rank_sets},
    scaling::{Law, Point, Scaling},
    shift::shift,
};
use dyno_model::{histogram::LatencyHistogram, scaling::Figure};
use serde_json::Value;

fn numbers() -> Value {
    serde_json::from_str(include_str!("../fixtures/numbers.json")).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect()
}

fn ranks(value: &Value) -> Vec<(u32, u32)> {
    value.as_array().unwrap().iter().map(floats).map(|both| (both[0] as u32, both[1] as u32)).collect()
}

#[track_caller]
fn near(ours: f64, theirs: f64, share: f64) {
    assert!((ours - theirs).abs() <= share * theirs.abs().max(1e-300), "{ours}, and theirs {theirs}");
}

/// Lehmer's generator with Park and Miller's second multiplier, as in the script.
struct Minstd(u64);

impl Minstd {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        self.0 as f64 / 2_147_483_647.0
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn latencies(&mut self, scale: f64, slower: bool) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        for _ in 0..2_000 {
            let us = (scale * (500.0 + 1_500.0 * self.uniform().powi(3))) as u64;
            histogram.record_ns(1_000 * if slower && us > 1_300 { us + us / 12 } else { us });
        }
        histogram
    }
}

fn latency_blocks() -> Vec<(LatencyHistogram, LatencyHistogram)> {
    let mut random = Minstd(11);
    (0..10)
        .map(|_| {
            let (a, b) = (1.0 + 0.02 * random.normal(), 1.0 + 0.02 * random.normal());
            (random.latencies(a, false), random.latencies(b, true))
        })
        .collect()
}

#[test]
fn woodruffs_interval() {
    let blocks = latency_blocks();
    let a: Vec<&LatencyHistogram> = blocks.iter().map(|(a, _)| a).collect();
    let theirs = numbers();
    for quantile in [0.5, 0.9, 0.99] {
        let theirs = floats(&theirs["woodruff_us"][quantile.to_string()]);
        let ours = woodruff(&a, quantile).unwrap();
        let ours = [ours.estimate_ns, ours.low_ns.unwrap(), ours.high_ns.unwrap()];
        // The histogram's digits: 0.1 % and a microsecond that it adds to the share above.
        ours.iter().zip(theirs).for_each(|(ours, theirs)| near(ours / 1e3, theirs, 2e-3));
    }
}

#[test]
fn the_shift_table_with_holm() {
    let blocks = latency_blocks();
    let ours = shift(&blocks.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    let theirs = numbers();
    let rows = theirs["shift"].as_array().unwrap();
    assert_eq!(ours.rows.len(), rows.len());
    for (ours, theirs) in ours.rows.iter().zip(rows) {
        assert_eq!(ours.quantile, theirs["quantile"].as_f64().unwrap());
        let ratio = floats(&theirs["ratio"]);
        for (ours, theirs) in [ours.ratio, ours.low, ours.high].into_iter().zip(ratio) {
            near(ours.unwrap(), theirs, 1e-3);
        }
        assert_eq!(ours.different, theirs["different"].as_bool().unwrap());
        near(ours.p.unwrap().ln(), theirs["p"].as_f64().unwrap().ln(), 0.06);
    }
    let superiority = ours.superiority.unwrap();
    let interval = floats(&theirs["superiority"]["interval"]);
    for (ours, theirs) in [superiority.estimate, superiority.low, superiority.high].into_iter().zip(interval)
    {
        near(ours, theirs, 1e-3);
    }
    near(superiority.p, theirs["superiority"]["p"].as_f64().unwrap(), 2e-2);
}

const SPECSDM91: [Point; 7] = [
    (1.0, 64.9),
    (18.0, 995.9),
    (36.0, 1652.4),
    (72.0, 1853.2),
    (108.0, 1828.9),
    (144.0, 1775.0),
    (216.0, 1702.2),
];
const RAYTRACER: [Point; 11] = [
    (1.0, 20.0),
    (4.0, 78.0),
    (8.0, 130.0),
    (12.0, 170.0),
    (16.0, 190.0),
    (20.0, 200.0),
    (24.0, 210.0),
    (28.0, 230.0),
    (32.0, 260.0),
    (48.0, 280.0),
    (64.0, 310.0),
];

#[test]
fn the_scalability_law_on_logarithms() {
    let theirs = numbers();
    for (points, name) in [(&SPECSDM91[..], "usl_specsdm91"), (&RAYTRACER, "usl_raytracer")] {
        let (law, theirs) = (Law::fit(points), floats(&theirs[name]));
        near(law.lambda_per_s, theirs[0], 1e-5);
        near(law.sigma, theirs[1], 1e-3);
        near(law.kappa, theirs[2], 1e-3);
    }
    let mut random = Minstd(5);
    let truth = Law { lambda_per_s: 900.0, sigma: 0.06, kappa: 0.012 };
    let mut block = || {
        let ns = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0];
        ns.map(|n| (n, truth.at(n) * (0.01 * random.normal()).exp())).to_vec()
    };
    let blocks: Vec<Vec<Point>> = (0..8).map(|_| block()).collect();
    let ours = Scaling::fit(&blocks).unwrap().result();
    let same = |ours: Figure, name: &str| {
        let theirs = floats(&theirs["usl_blocks"][name]);
        for (ours, theirs) in [ours.estimate, ours.low, ours.high].into_iter().zip(theirs) {
            near(ours, theirs, 1e-4);
        }
    };
    same(ours.lambda_per_s, "lambda");
    same(ours.sigma, "sigma");
    same(ours.kappa, "kappa");
}

#[test]
fn rank_sets_of_pisa_2018_are_those_that_csranks_describes() {
    let theirs = &numbers()["ranks_pisa"];
    let variances: Vec<f64> = floats(&theirs["errors"]).iter().map(|error| error * error).collect();
    let q = critical(&variances, f64::INFINITY, LEVEL);
    near(q, theirs["q"].as_f64().unwrap(), 0.015);
    let theirs_q = theirs["q"].as_f64().unwrap();
    let ours = rank_sets(&floats(&theirs["scores"]), &variances, theirs_q);
    assert_eq!(ours, ranks(&theirs["ranks"]));
    let rank = |country: &str| {
        let at = theirs["countries"].as_array().unwrap().iter().position(|name| name == country);
        ours[at.unwrap()]
    };
    // The vignette: Germany's and Korea's sets both hold rank 7; Chile, Mexico and Colombia (Costa Rica has joined since)
    // don't overlap with the others.
    assert_eq!((rank("Korea").1, rank("Germany").0), (7, 7));
    let last = ["Chile", "Mexico", "Colombia", "Costa Rica"].map(|country| rank(country).0);
    assert_eq!(last.into_iter().min(), Some(35));
    assert_eq!(ours.iter().filter(|set| set.1 >= 35).count(), 4);
}

#[test]
fn rank_intervals_of_a_table() {
    let mut random = Minstd(3);
    let means = [0.0, 0.01, 0.05, 0.055, 0.2, 0.21, 0.3];
    let mut table = vec![Vec::new(); means.len()];
    for _ in 0..10 {
        let common = 0.05 * random.normal();
        for (row, mean) in table.iter_mut().zip(means) {
            row.push(Some(mean + common + 0.02 * random.normal()));
        }
    }
    assert_eq!(rank_intervals(&table, LEVEL).unwrap(), ranks(&numbers()["ranks_table"]["ranks"]));
}

#[test]
fn the_posterior_of_a_capacity() {
    let theirs = &numbers()["capacity"];
    let mut search = Search::new(1.0).unwrap();
    for trial in theirs["trials"].as_array().unwrap() {
        search.observe(trial[0].as_f64().unwrap(), trial[1].as_bool().unwrap()).unwrap();
    }
    for (at, theirs) in floats(&theirs["at"]).into_iter().zip(floats(&theirs["quantiles"])) {
        near(search.quantile(at), theirs, 1e-6);
    }
}

#[test]
fn change_points_of_histories() {
    let numbers = numbers();
    let mut random = Minstd(77);
    for history in numbers["histories"].as_array().unwrap() {
        let steps: Vec<Vec<f64>> = history["steps"].as_array().unwrap().iter().map(floats).collect();
        let series: Vec<f64> = (0..history["runs"].as_u64().unwrap())
            .map(|run| {
                let level = steps.iter().rev().find(|step| run as f64 >= step[0]).map_or(0.0, |step| step[1]);
                level + history["noise"].as_f64().unwrap() * random.normal()
            })
            .collect();
        let ours = change_points_of(&series, 0.0);
        let indices: Vec<f64> = ours.iter().map(|one| one.index as f64).collect();
        assert_eq!(indices, floats(&history["indices"]), "{steps:?}");
        // What is as clear as these are Hunter's own code finds too, though its p are smaller.
        assert_eq!(indices, floats(&history["hunter"]), "{steps:?}");
        for (ours, theirs) in ours.iter().zip(floats(&history["p"])) {
            near(ours.p.ln(), theirs.ln(), 1e-6);
        }
    }
}
