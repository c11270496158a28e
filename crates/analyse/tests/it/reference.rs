//! The statistics against an independent implementation: `fixtures/looks.json` is made by numpy and scipy
//! (`fixtures/make.py`), the anytime radii there by integrating noncentral t densities instead of the closed form.

use dyno_analyse::{
    anytime::radius,
    looks::{LEVEL, LOOKS, Looks, repeated_interval},
    statistics::{holm, sign_flip, skewness, t_quantile, wilson},
    warm_up::cut,
};
use serde_json::Value;

fn fixture(key: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/looks.json");
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect("JSON");
    let value = document[key].take();
    assert!(!value.is_null(), "no {key} in looks.json");
    value
}

fn entries(key: &str) -> Vec<Value> {
    let Value::Array(entries) = fixture(key) else { panic!("{key} is no list") };
    assert!(!entries.is_empty());
    entries
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn close(ours: f64, theirs: f64, relative: f64) -> bool {
    (ours - theirs).abs() <= relative * theirs.abs().max(1e-9)
}

#[test]
fn t_quantiles() {
    for entry in entries("t_quantiles") {
        let [p, freedom, theirs] = numbers(&entry)[..] else { panic!("{entry}") };
        let ours = t_quantile(p, freedom);
        assert!(close(ours, theirs, 1e-6) || (ours - theirs).abs() < 1e-9, "{entry}: {ours}");
    }
}

#[test]
fn repeated_intervals() {
    for entry in entries("intervals") {
        let ours = repeated_interval(&numbers(&entry["d"]), LEVEL).unwrap();
        let (low, high) = (number(&entry["low"]), number(&entry["high"]));
        let tolerance = 1e-6 * (high - low);
        assert!(
            (ours.low - low).abs() < tolerance && (ours.high - high).abs() < tolerance,
            "{ours:?} {entry}"
        );
    }
}

/// The table of factors is rounded; the simulation behind it, repeated, is good to a percent.
#[test]
fn factors_of_other_levels() {
    assert!((number(&fixture("any_miss")) - 0.0495).abs() < 4e-4);
    for entry in entries("factors") {
        let [level, theirs] = numbers(&entry)[..] else { panic!("{entry}") };
        let ours = Looks::of(level).reached(LOOKS[0].0).unwrap().alpha / LOOKS[0].1;
        assert!(close(ours, theirs, 0.015), "{level}: {ours} {theirs}");
    }
}

#[test]
fn sign_flips() {
    for entry in entries("sign_flips") {
        let d = numbers(&entry["d"]);
        let (ours, exact) = (sign_flip(&d, 3), number(&entry["p"]));
        // All patterns up to twelve values, else 4,999 of them: three standard errors.
        let error = if d.len() <= 12 { 1e-12 } else { 3.0 * (exact * (1.0 - exact) / 5_000.0).sqrt() + 4e-4 };
        assert!((ours - exact).abs() <= error, "{entry}: {ours}");
    }
}

#[test]
fn holms_rejections() {
    for entry in entries("holm") {
        let rejected: Vec<bool> =
            entry["rejected"].as_array().unwrap().iter().map(|one| one.as_bool().unwrap()).collect();
        assert_eq!(holm(&numbers(&entry["p"]), 0.05), rejected, "{entry}");
    }
}

#[test]
fn anytime_radii() {
    for entry in entries("radii") {
        let n = entry["n"].as_u64().unwrap() as usize;
        let ours = radius(n, number(&entry["level"])).unwrap();
        assert!(close(ours, number(&entry["radius"]), 1e-5), "{entry}: {ours}");
    }
}

#[test]
fn wilsons_intervals_and_skewness() {
    for entry in entries("wilson") {
        let [count, trials, low, high] = numbers(&entry)[..] else { panic!("{entry}") };
        let ours = wilson(count as u64, trials as u64);
        assert!((ours.0 - low).abs() < 1e-9 && (ours.1 - high).abs() < 1e-9, "{entry}: {ours:?}");
    }
    let skewed = fixture("skewness");
    assert!(close(skewness(&numbers(&skewed["d"])), number(&skewed["value"]), 1e-9));
}

#[test]
fn warm_up_cuts() {
    for entry in entries("mser5") {
        let runs: Vec<Vec<u64>> = entry["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect())
            .collect();
        assert_eq!(cut(&runs).unwrap().bins as u64, entry["bins"].as_u64().unwrap());
    }
}
