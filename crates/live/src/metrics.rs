//! `/metrics` in the text form that Prometheus reads.

use std::sync::atomic::AtomicU64;

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use dyno_model::up::{Phase, UpState};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::run::RunView;

type Labels = Vec<(String, String)>;
type Figures = Family<Labels, Gauge<f64, AtomicU64>>;

fn figures(registry: &mut Registry, name: &str, help: &str) -> Figures {
    let family = Figures::default();
    registry.register(name, help, family.clone());
    family
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Figures of what is up.
pub fn of_up(state: &UpState) -> Registry {
    let mut registry = Registry::with_prefix("dyno");
    let up = figures(&mut registry, "process_up", "1 while the process runs and answers");
    let cpu = figures(&mut registry, "process_cpu_cores", "CPU of the tree over the last second, in cores");
    let memory = figures(&mut registry, "process_memory_bytes", "Memory of the tree");
    let restarts = figures(&mut registry, "process_restarts", "Starts after a crash");
    let busy = figures(&mut registry, "uwsgi_busy_ratio", "Share of threads' time within requests");
    let queue = figures(&mut registry, "uwsgi_queue", "Connections that wait to be accepted");
    let active = figures(&mut registry, "nginx_connections", "Open connections");
    let database = figures(&mut registry, "database_connections", "Connections of clients to the database");
    for one in &state.processes {
        let labels = vec![label("process", &one.name), label("role", &one.role)];
        up.get_or_create(&labels).set(f64::from(u8::from(one.phase == Phase::Running)));
        cpu.get_or_create(&labels).set(one.cpu_cores);
        memory.get_or_create(&labels).set(one.memory_bytes as f64);
        restarts.get_or_create(&labels).set(f64::from(one.restarts));
        if let Some(uwsgi) = one.uwsgi {
            busy.get_or_create(&labels).set(uwsgi.busy);
            queue.get_or_create(&labels).set(uwsgi.queue as f64);
        }
        if let Some(nginx) = one.nginx {
            active.get_or_create(&labels).set(nginx.active as f64);
        }
    }
    if let Some(state) = state.database {
        database.get_or_create(&Vec::new()).set(f64::from(state.connections));
    }
    registry
}

/// Figures of a run.
pub fn of_run(view: &RunView) -> Registry {
    let mut registry = Registry::with_prefix("dyno");
    let blocks = figures(&mut registry, "run_blocks", "Complete blocks");
    let left = figures(&mut registry, "run_left_seconds", "Time left, where it is known");
    let estimate = figures(&mut registry, "run_estimate", "Estimate; `bound` is estimate, low or high");
    let failed = figures(&mut registry, "run_failed_requests", "Requests without a right answer");
    blocks.get_or_create(&Vec::new()).set(f64::from(view.blocks));
    if let Some(left_s) = view.left_s {
        left.get_or_create(&Vec::new()).set(left_s);
    }
    for one in &view.results {
        let bounds = [("estimate", Some(one.estimate)), ("low", one.low), ("high", one.high)];
        for (bound, value) in bounds {
            if let Some(value) = value {
                let labels = vec![
                    label("stack", &one.stack.to_string()),
                    label("operation", &one.operation.to_string()),
                    label("metric", one.metric.name()),
                    label("unit", &one.unit),
                    label("bound", bound),
                ];
                estimate.get_or_create(&labels).set(value);
            }
        }
    }
    for one in &view.processes {
        failed.get_or_create(&vec![label("stack", &one.stack)]).set(one.failed as f64);
    }
    registry
}

/// A registry as an answer.
pub fn answer(registry: Registry) -> Response {
    let mut text = String::new();
    // Writing into a text doesn't fail.
    let _ = encode(&mut text, &registry);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
