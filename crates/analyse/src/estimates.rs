//! Estimates with 95 % intervals, one number per block at the bottom of each.

use dyno_model::{
    histogram::LatencyHistogram,
    output::{Estimate, Metric},
};

use crate::{
    Curve, FIRST_BLOCKS, Series,
    cells::{Cell, Closed},
    health::Health,
    percentiles::woodruff,
    statistics::{mean, t_interval},
};

/// Requests beyond a percentile that it needs to be told at all.
const BEYOND: f64 = 10.0;

/// The quantile of a latency metric.
pub const fn quantile(metric: Metric) -> Option<f64> {
    match metric {
        Metric::LatencyP50 => Some(0.5),
        Metric::LatencyP90 => Some(0.9),
        Metric::LatencyP99 => Some(0.99),
        _ => None,
    }
}

/// The value of each block for every cell and metric.
pub fn series(cells: &[Cell]) -> Vec<Series> {
    let mut all = Vec::new();
    for cell in cells {
        for metric in Metric::ALL {
            let values: Vec<Option<f64>> = match quantile(metric) {
                Some(quantile) if enough(cell, quantile) => cell
                    .latency
                    .iter()
                    .map(|open| Some(open.as_ref()?.latency.quantile_ns(quantile)? as f64 / 1e3))
                    .collect(),
                Some(_) => continue,
                None => cell.throughput.iter().map(|closed| value(metric, closed.as_ref()?)).collect(),
            };
            if values.iter().any(Option::is_some) && !uncounted(metric, cell, &values) {
                all.push(Series { stack: cell.stack.clone(), operation: cell.operation, metric, values });
            }
        }
    }
    all
}

/// Whether a part's CPU was too little for its counter in some block: the blocks where it wasn't would be a choice of
/// the largest, and a ratio over them one of rounding.
fn uncounted(metric: Metric, cell: &Cell, values: &[Option<f64>]) -> bool {
    metric == Metric::DatabaseCpuPerRequest
        && cell.throughput.iter().zip(values).any(|(closed, value)| closed.is_some() && value.is_none())
}

fn value(metric: Metric, closed: &Closed) -> Option<f64> {
    let per_request_us = |ns: f64| (closed.completed > 0).then(|| ns / 1e3 / closed.completed as f64);
    let value = match metric {
        Metric::Throughput => {
            (closed.given_ns > 0.0).then(|| closed.completed as f64 / (closed.given_ns / 1e9))
        }
        Metric::CpuPerRequest => per_request_us(closed.stack_cpu_adjusted_ns),
        Metric::DatabaseCpuPerRequest => per_request_us(closed.database_cpu_adjusted_ns),
        Metric::Memory => Some(closed.memory_bytes as f64 / f64::from(1 << 20)),
        Metric::LatencyP50 | Metric::LatencyP90 | Metric::LatencyP99 => None,
    };
    // Zero is a counter that wasn't read (a database that isn't dyno's), not a measurement.
    value.filter(|value| *value > 0.0)
}

/// All latencies of a cell.
pub fn pooled(cell: &Cell) -> LatencyHistogram {
    let mut pooled = LatencyHistogram::default();
    cell.latency.iter().flatten().for_each(|open| pooled.merge(&open.latency));
    pooled
}

/// Whether enough requests lie beyond a percentile for it to be told.
pub fn enough(cell: &Cell, quantile: f64) -> bool {
    pooled(cell).count() as f64 * (1.0 - quantile) >= BEYOND
}

/// Every estimate that the blocks allow.
pub fn estimates(cells: &[Cell], series: &[Series], health: &Health) -> Vec<Estimate> {
    let mut results = Vec::new();
    for one in series {
        if health.overloaded(&one.stack, one.operation) && quantile(one.metric).is_some() {
            continue;
        }
        let values: Vec<f64> = one.values.iter().flatten().copied().collect();
        let interval = match quantile(one.metric) {
            Some(quantile) => {
                let cell =
                    cells.iter().find(|cell| cell.stack == one.stack && cell.operation == one.operation);
                cell.map(|cell| percentile(cell, quantile))
            }
            None => Some(geometric(&values)),
        };
        let Some((estimate, interval)) = interval else { continue };
        let interval = interval.filter(|_| values.len() >= FIRST_BLOCKS);
        results.push(Estimate {
            stack: one.stack.clone(),
            operation: one.operation,
            metric: one.metric,
            unit: one.metric.unit().to_owned(),
            estimate,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            blocks: u32::try_from(values.len()).unwrap_or(u32::MAX),
            rank: None,
        });
    }
    results
}

type Interval = Option<(f64, f64)>;

/// Geometric mean over blocks with its t interval, computed on logarithms: rates and times vary by factors.
fn geometric(values: &[f64]) -> (f64, Interval) {
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    match t_interval(&logs) {
        Some((mean, low, high)) => (mean.exp(), Some((low.exp(), high.exp()))),
        None => (mean(&logs).exp(), None),
    }
}

/// A percentile of all requests, in microseconds, with its interval.
fn percentile(cell: &Cell, quantile: f64) -> (f64, Interval) {
    let blocks: Vec<&LatencyHistogram> = cell.latency.iter().flatten().map(|open| &open.latency).collect();
    let Some(percentile) = woodruff(&blocks, quantile) else { return (0.0, None) };
    let interval = percentile.low_ns.zip(percentile.high_ns);
    (percentile.estimate_ns / 1e3, interval.map(|(low, high)| (low / 1e3, high / 1e3)))
}

/// Latency by percentile, from the median to where ten requests are left.
pub fn curves(cells: &[Cell]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for cell in cells {
        let pooled = pooled(cell);
        let steps = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999];
        let told = steps.into_iter().filter(|quantile| pooled.count() as f64 * (1.0 - quantile) >= BEYOND);
        let points: Vec<(f64, f64)> = told
            .filter_map(|quantile| Some((quantile, pooled.quantile_ns(quantile)? as f64 / 1e3)))
            .collect();
        if points.len() > 1 {
            let (stack, operation) = (cell.stack.clone(), cell.operation);
            curves.push(Curve { stack, operation, points, requests: pooled.count() });
        }
    }
    curves
}
