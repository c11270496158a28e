//! RabbitMQ by choice: one that dyno starts carries the tasks of Celery, and a worker that can't use it says so.
#![allow(clippy::unwrap_used, missing_docs)]

#[expect(dead_code, reason = "this test needs a part of it")]
mod bench;

use std::fs;

use bench::{Bench, home, left_over, text};
use dyno_model::{Operation, check::CheckOutcome, output::CheckOutput};

#[test]
fn a_rabbitmq_of_dynos_own_carries_the_tasks_of_celery() {
    let bench = Bench::new();
    let arguments =
        ["check", "flask/gunicorn", "tornado/tornado", "--broker", "rabbitmq", "--format", "json"];
    let output = bench.dyno(&arguments);
    let CheckOutput { rows, .. } =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    if let Some(row) = rows.iter().find(|row| row.detail.contains("rabbitmq is missing")) {
        println!("skipped: no RabbitMQ here: {}", row.detail);
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
    assert_eq!(left_over(), Vec::<String>::new(), "Erlang's epmd goes to the background");
    assert_eq!(fs::read_dir(home().join("brokers")).unwrap().count(), 0, "their folders went with them");
}
