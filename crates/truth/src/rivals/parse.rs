//! What rivals print, to figures. Pure; the fixtures are real outputs.

use serde_json::Value;

use super::{NONE, Rival, RivalError};
use crate::table::{Figure, Figures, Reported};

/// Reads a rival's output: what it prints, for k6 its exported summary.
///
/// # Errors
/// The output lacks what this rival always tells.
pub fn parse(rival: Rival, text: &str) -> Result<Reported, RivalError> {
    match rival {
        Rival::Wrk => wrk(text),
        Rival::Wrk2 => wrk2(text),
        Rival::Oha | Rival::OhaCorrected => oha(text),
        Rival::Hey => hey(text),
        Rival::K6 => k6(text),
    }
}

/// A number with a unit as wrk prints it: `1.09ms`. Its step is its last digit.
fn timed(text: &str) -> Option<Figure> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit_ns = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    figure(number, unit_ns)
}

/// A printed number in units of so many nanoseconds.
fn figure(number: &str, unit_ns: f64) -> Option<Figure> {
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let ns = number.parse::<f64>().ok()? * unit_ns;
    Some(Figure { ns, step_ns: unit_ns / 10f64.powi(i32::try_from(decimals).ok()?) })
}

/// The first word after a label at the beginning of a line.
fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
    rest.split_whitespace().next()
}

/// The word before `label` in a line that has it.
fn before<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.split_once(label)?.0.split_whitespace().next_back())
}

fn count(word: Option<&str>) -> Result<u64, RivalError> {
    word.and_then(|word| word.parse().ok()).ok_or(RivalError::Output("number of requests"))
}

fn wrk(text: &str) -> Result<Reported, RivalError> {
    let percentile = |label| after(text, label).and_then(timed);
    let figures = Figures {
        p50: percentile("50%"),
        p90: percentile("90%"),
        p99: percentile("99%"),
        mean: after(text, "Latency ").and_then(timed),
        ..NONE
    };
    figures.p50.ok_or(RivalError::Output("latency distribution"))?;
    Ok(Reported { figures, requests: count(before(text, " requests in"))? })
}

fn wrk2(text: &str) -> Result<Reported, RivalError> {
    let percentile = |label| after(text, label).and_then(timed);
    // Only the detailed spectrum has it, in milliseconds.
    let spectrum = |share: &str| {
        let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let value = row.filter(|row| row.len() == 4 && row[1] == share).map(|row| row[0]).next()?;
        figure(value, 1e6)
    };
    let mean = text.lines().find_map(|line| line.strip_prefix("#[Mean")?.split(['=', ',']).nth(1));
    let figures = Figures {
        p50: percentile("50.000%"),
        p90: percentile("90.000%"),
        p95: spectrum("0.950000"),
        p99: percentile("99.000%"),
        p99_9: percentile("99.900%"),
        mean: mean.and_then(|mean| figure(mean.trim(), 1e6)),
    };
    figures.p50.ok_or(RivalError::Output("latency distribution"))?;
    Ok(Reported { figures, requests: count(before(text, " requests in"))? })
}

fn oha(text: &str) -> Result<Reported, RivalError> {
    let json: Value = serde_json::from_str(text).map_err(|_| RivalError::Output("JSON"))?;
    let seconds = |value: &Value| value.as_f64().map(|seconds| Figure { ns: seconds * 1e9, step_ns: 1.0 });
    let percentile = |name| seconds(&json["latencyPercentiles"][name]);
    let figures = Figures {
        p50: percentile("p50"),
        p90: percentile("p90"),
        p95: percentile("p95"),
        p99: percentile("p99"),
        p99_9: percentile("p99.9"),
        mean: seconds(&json["summary"]["average"]),
    };
    figures.p50.ok_or(RivalError::Output("latencyPercentiles"))?;
    let statuses = json["statusCodeDistribution"].as_object();
    let statuses = statuses.ok_or(RivalError::Output("statusCodeDistribution"))?;
    Ok(Reported { figures, requests: statuses.values().filter_map(Value::as_u64).sum() })
}

fn hey(text: &str) -> Result<Reported, RivalError> {
    // `50%% in 0.0012 secs`: the doubled sign is hey's.
    let percentile = |share: &str| {
        let labels = [format!("{share}%% in "), format!("{share}% in ")];
        labels.iter().find_map(|label| after(text, label)).and_then(|word| figure(word, 1e9))
    };
    let figures = Figures {
        p50: percentile("50"),
        p90: percentile("90"),
        p95: percentile("95"),
        p99: percentile("99"),
        p99_9: None,
        mean: after(text, "Average:").and_then(|word| figure(word, 1e9)),
    };
    figures.p50.ok_or(RivalError::Output("latency distribution"))?;
    let statuses = text.lines().filter(|line| line.trim_end().ends_with(" responses"));
    let counts = statuses.map(|line| count(line.split_whitespace().nth(1)));
    Ok(Reported { figures, requests: counts.sum::<Result<u64, _>>()? })
}

fn k6(text: &str) -> Result<Reported, RivalError> {
    let json: Value = serde_json::from_str(text).map_err(|_| RivalError::Output("JSON"))?;
    let durations = &json["metrics"]["http_req_duration"];
    let value = |name: &str| durations[name].as_f64().map(|ms| Figure { ns: ms * 1e6, step_ns: 1.0 });
    let figures = Figures {
        p50: value("med"),
        p90: value("p(90)"),
        p95: value("p(95)"),
        p99: value("p(99)"),
        p99_9: value("p(99.9)"),
        mean: value("avg"),
    };
    figures.p50.ok_or(RivalError::Output("http_req_duration"))?;
    let requests = json["metrics"]["http_reqs"]["count"].as_u64();
    Ok(Reported { figures, requests: requests.ok_or(RivalError::Output("number of requests"))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds, and the step in microseconds.
    fn told(figure: Option<Figure>) -> Option<(f64, f64)> {
        figure.map(|figure| ((figure.ns / 1e3).round() / 1e3, (figure.step_ns / 1e3 * 1e3).round() / 1e3))
    }

    fn read(rival: Rival, text: &str) -> (u64, Vec<Option<(f64, f64)>>) {
        let reported = parse(rival, text).unwrap();
        (reported.requests, reported.figures.all().map(|figure| told(*figure)).to_vec())
    }

    #[test]
    fn wrk_tells_three_percentiles() {
        let (requests, figures) = read(Rival::Wrk, include_str!("../../fixtures/wrk.txt"));
        assert_eq!(requests, 14_547);
        let ms = |ms| Some((ms, 10.0));
        assert_eq!(figures, [ms(1.09), ms(69.22), None, ms(98.0), None, ms(17.22)]);
    }

    #[test]
    fn wrk2_tells_p95_in_its_spectrum() {
        let (requests, figures) = read(Rival::Wrk2, include_str!("../../fixtures/wrk2.txt"));
        assert_eq!(requests, 2799);
        let (ms, fine) = (|ms| Some((ms, 10.0)), |ms| Some((ms, 1.0)));
        assert_eq!(figures, [ms(1.89), ms(2.42), fine(2.675), ms(52.35), ms(101.25), fine(3.195)]);
    }

    #[test]
    fn oha_tells_all_in_seconds() {
        for rival in [Rival::Oha, Rival::OhaCorrected] {
            let (requests, figures) = read(rival, include_str!("../../fixtures/oha.json"));
            assert_eq!(requests, 600);
            let ms: Vec<f64> = figures.into_iter().map(|figure| figure.unwrap().0).collect();
            assert_eq!(ms, [1.187, 1.237, 1.257, 100.129, 100.376, 2.179]);
        }
    }

    #[test]
    fn hey_tells_tenths_of_a_millisecond_and_no_p99_9() {
        let (requests, figures) = read(Rival::Hey, include_str!("../../fixtures/hey.txt"));
        assert_eq!(requests, 594);
        let ms = |ms| Some((ms, 100.0));
        assert_eq!(figures, [ms(1.2), ms(1.5), ms(1.6), ms(100.2), None, ms(2.3)]);
    }

    #[test]
    fn k6_exports_its_summary_in_milliseconds() {
        let (requests, figures) = read(Rival::K6, include_str!("../../fixtures/k6.json"));
        assert_eq!(requests, 601);
        let ms: Vec<f64> = figures.into_iter().map(|figure| figure.unwrap().0).collect();
        assert_eq!(ms, [1.168, 1.225, 1.246, 2.654, 100.212, 2.165]);
    }

    #[test]
    fn another_output_is_an_error_that_says_what_is_missing() {
        for rival in Rival::ALL {
            assert!(matches!(parse(rival, "unable to connect"), Err(RivalError::Output(_))), "{rival:?}");
            assert!(matches!(parse(rival, "{}"), Err(RivalError::Output(_))), "{rival:?}");
        }
        assert!(timed("1.09 parsecs").is_none());
    }
}
