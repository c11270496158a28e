//! RabbitMQ by choice: one that dyno starts carries the tasks of Celery, and a worker that can't use it says so.

use std::fs;

use dyno_model::{Operation, check::CheckOutcome, output::CheckOutput};

use crate::{
    bench::{Bench, skipped, text},
    choice::long_test_runs,
};

#[test]
fn a_rabbitmq_of_dynos_own_carries_the_tasks_of_celery() {
    if !long_test_runs(&["crates/provision/src/rabbitmq.rs", "crates/lab/src/broker.rs"]) {
        return;
    }
    let bench = Bench::real();
    let arguments =
        ["check", "flask/gunicorn", "tornado/tornado", "--broker", "rabbitmq", "--format", "json"];
    let output = bench.dyno(&arguments);
    let CheckOutput { rows, .. } =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    if let Some(row) = rows.iter().find(|row| row.detail.contains("rabbitmq is missing")) {
        skipped(&format!("no RabbitMQ here: {}", row.detail));
        return;
    }
    assert_eq!(output.status.code(), Some(1), "one stack can't be tried");
    let tasks =
        rows.iter().filter(|row| matches!(row.operation, Operation::TaskStart | Operation::TaskResult));
    let (celery, taskiq): (Vec<_>, Vec<_>) = tasks.partition(|row| row.stack.app == "flask");
    assert_eq!((celery.len(), taskiq.len()), (2, 2));
    assert!(celery.iter().all(|row| row.outcome == CheckOutcome::Pass), "{celery:#?}");
    let because = "its worker taskiq go over redis, and rabbitmq is amqp";
    assert!(taskiq.iter().all(|row| row.detail.contains(because)), "{taskiq:#?}");
    assert_eq!(bench.left_over(), Vec::<String>::new(), "Erlang's epmd goes to the background");
    assert_eq!(
        fs::read_dir(bench.home().join("brokers")).unwrap().count(),
        0,
        "their folders went with them"
    );
}
