//! What is seen of a load while it runs, on standard error: made of the intervals that it tells, whoever looks.

use std::{
    collections::{BTreeMap, VecDeque},
    io::IsTerminal,
    time::{Duration, Instant},
};

use dyno_load::Interval;
use dyno_model::{Span, histogram::LatencyHistogram};
use dyno_report::spark;
use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal a line is written this often.
const LINE_PAUSE: Duration = Duration::from_secs(5);
/// Rates that are drawn.
const DRAWN: usize = 30;

/// The picture.
pub struct Picture {
    bar: Option<ProgressBar>,
    lines: bool,
    length: Option<Duration>,
    rates: VecDeque<f64>,
    latency: LatencyHistogram,
    statuses: BTreeMap<u16, u64>,
    failed: u64,
    last_line: Instant,
}

impl Picture {
    /// For a load of this length, if it is known. `quiet`: nothing is shown.
    pub fn new(quiet: bool, length: Option<Duration>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (!quiet && terminal).then(|| {
            let bar = length
                .map_or_else(ProgressBar::no_length, |length| ProgressBar::new(length.as_millis() as u64));
            let template = if length.is_some() { "[{bar:24}] {msg}" } else { "{spinner} {msg}" };
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Self {
            bar,
            lines: !quiet && !terminal,
            length,
            rates: VecDeque::new(),
            latency: LatencyHistogram::default(),
            statuses: BTreeMap::new(),
            failed: 0,
            last_line: Instant::now(),
        }
    }

    /// Shows one more interval.
    pub fn show(&mut self, interval: &Interval) {
        if self.bar.is_none() && !self.lines {
            return;
        }
        let rate = interval.counts.completed as f64 / interval.length.as_secs_f64().max(1e-9);
        self.rates.push_back(rate);
        if self.rates.len() > DRAWN {
            self.rates.pop_front();
        }
        self.latency.merge(&interval.latency);
        for (status, count) in &interval.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.failed += interval.counts.failed.total() + interval.counts.not_sent;
        let end = interval.at + interval.length;
        let message = self.message(interval, rate, end);
        if let Some(bar) = &self.bar {
            bar.set_position(end.as_millis() as u64);
            bar.set_message(message);
        } else if self.last_line.elapsed() >= LINE_PAUSE {
            self.last_line = Instant::now();
            eprintln!("load: {}", message.replace('\n', "; "));
        }
    }

    fn message(&self, interval: &Interval, rate: f64, end: Duration) -> String {
        let left = self.length.map_or_else(String::new, |length| {
            format!("{:.0}s left, ", length.saturating_sub(end).as_secs_f64().ceil())
        });
        let ms = |histogram: &LatencyHistogram, quantile: f64| {
            histogram
                .quantile_ns(quantile)
                .map_or_else(|| "–".to_owned(), |ns| format!("{:.2}", ns as f64 / 1e6))
        };
        format!(
            "{left}{rate:.0}/s, {}/s in, {} in flight, {} failed; {}\nnow  p50 {} p99 {} ms; all p50 {} p99 {} p99.9 {} ms\n{}",
            dyno_report::load_size(interval.bytes.received as f64 / interval.length.as_secs_f64().max(1e-9)),
            interval.in_flight,
            self.failed,
            dyno_report::load_statuses(&self.statuses),
            ms(&interval.latency, 0.5),
            ms(&interval.latency, 0.99),
            ms(&self.latency, 0.5),
            ms(&self.latency, 0.99),
            ms(&self.latency, 0.999),
            sparkline(&self.rates)
        )
    }

    /// Says that the load was stopped, and what that means.
    pub fn stopping(&self, in_flight: u64, patience: Duration) {
        let wait = if in_flight == 0 {
            String::new()
        } else {
            format!(", waiting up to {}, Ctrl-C again ends now", Span(patience))
        };
        let words = format!("stopping: {in_flight} in flight{wait}");
        match &self.bar {
            Some(bar) => bar.println(words),
            None if self.lines => eprintln!("{words}"),
            None => {}
        }
    }

    /// Takes it away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Rates as blocks, from 0 to the largest.
fn sparkline(rates: &VecDeque<f64>) -> String {
    let largest = rates.iter().copied().fold(0.0, f64::max);
    rates.iter().map(|rate| spark(if largest > 0.0 { rate / largest } else { 0.0 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_begins_at_zero() {
        assert_eq!(sparkline(&[0.0, 50.0, 100.0].into()), "▁▅█");
        assert_eq!(sparkline(&[0.0].into()), "▁");
    }
}
