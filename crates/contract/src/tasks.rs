//! Tasks: started, asked for until a worker is done with them, and their results compared with fibonacci as it is computed
//! here.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    difference::shorten,
    http::{Answer, Client},
};

/// Longest wait for a worker to be done with a task.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two questions after a task.
const PAUSE: Duration = Duration::from_millis(20);
/// Numbers of the tasks that are started at once: all different, so that a mixed-up result is seen.
const AT_ONCE: std::ops::Range<u64> = 2..18;

/// fib(0) = fib(1) = 1.
fn fibonacci(n: u64) -> u64 {
    (0..n).fold((1, 1), |(this, next), _| (next, this + next)).0
}

/// Starts a task; its id.
fn start(client: &Client, n: u64) -> Result<String, String> {
    let wrong = |what: String| format!("POST /v1/tasks of {n}: {what}");
    let body = json!({ "n": n }).to_string();
    let answer =
        client.ask("POST", "/v1/tasks", Some(("application/json", body.as_bytes()))).map_err(&wrong)?;
    let value = object(&answer, 202).map_err(&wrong)?;
    match value.as_object().map(|members| (members.len(), members.get("task_id"))) {
        Some((1, Some(Value::String(id)))) if !id.is_empty() => Ok(id.clone()),
        _ => Err(wrong(format!("{} instead of an object with a task_id", shorten(&value.to_string())))),
    }
}

/// The result of a task; `None` while no worker is done with it.
fn result(client: &Client, id: &str) -> Result<Option<u64>, String> {
    let wrong = |what: String| format!("GET /v1/tasks/{id}: {what}");
    let answer = client.ask("GET", &format!("/v1/tasks/{id}"), None).map_err(&wrong)?;
    let value = object(&answer, 200).map_err(&wrong)?;
    let members = value.as_object().map_or(0, serde_json::Map::len);
    match (members, value["task_id"].as_str(), value["state"].as_str(), &value["result"]) {
        (3, Some(told), Some("SUCCESS"), Value::Number(result)) if told == id => Ok(result.as_u64()),
        (3, Some(told), Some(state), Value::Null)
            if told == id && !["SUCCESS", "FAILURE"].contains(&state) && value.get("result").is_some() =>
        {
            Ok(None)
        }
        _ => Err(wrong(format!(
            "{} instead of this task with its state, and its result once the state is SUCCESS",
            shorten(&value.to_string())
        ))),
    }
}

fn object(answer: &Answer, status: u16) -> Result<Value, String> {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != status {
        return Err(format!("status {} instead of {status}: {}", answer.status, shorten(&text)));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("not JSON ({error}): {}", shorten(&text)))
}

/// A task from its start to its result.
pub fn task(client: &Client, n: u64) -> Result<(), String> {
    let id = start(client, n)?;
    let begin = Instant::now();
    loop {
        match result(client, &id)? {
            Some(result) if result == fibonacci(n) => return Ok(()),
            Some(result) => {
                return Err(format!("the task of {n} gives {result} instead of {}", fibonacci(n)));
            }
            None if begin.elapsed() > PATIENCE => {
                return Err(format!("the task of {n} isn't done after {} s", PATIENCE.as_secs()));
            }
            None => thread::sleep(PAUSE),
        }
    }
}

/// Several tasks at once, each with a result of its own.
pub fn tasks_at_once(client: &Client) -> Result<(), String> {
    let results: Vec<Result<(), String>> = thread::scope(|scope| {
        let threads: Vec<_> = AT_ONCE.map(|n| scope.spawn(move || task(client, n))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())))
            .collect()
    });
    let (count, failures) =
        (results.len(), results.into_iter().filter_map(Result::err).collect::<Vec<String>>());
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} of {count} tasks at once failed: {first}", failures.len())),
    }
}

/// The first task of a stack that has just been started: a worker that is done with one is ready.
pub struct FirstTask {
    client: Client,
    id: Option<String>,
}

impl FirstTask {
    /// For the stack at an address.
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::new(address), id: None }
    }

    /// Whether a worker is done with it; it is started by the first question.
    ///
    /// # Errors
    /// What the stack answers instead, in words.
    pub fn is_done(&mut self) -> Result<bool, String> {
        let id = match self.id.take() {
            Some(id) => id,
            None => start(&self.client, 1)?,
        };
        let result = result(&self.client, self.id.insert(id));
        Ok(result?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::{Ipv4Addr, TcpListener},
    };

    use super::*;

    /// Asks a stack that gives these answers, one after the other, each on a connection of its own.
    fn asked(
        answers: Vec<(u16, &'static str)>,
        ask: impl FnOnce(&Client) -> Result<(), String>,
    ) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        thread::scope(|scope| {
            scope.spawn(move || {
                for (status, body) in answers {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        reader.read_line(&mut line).unwrap();
                        let line = line.trim().to_lowercase();
                        if let Some(text) = line.strip_prefix("content-length:") {
                            length = text.trim().parse().unwrap();
                        }
                        if line.is_empty() {
                            break;
                        }
                    }
                    reader.read_exact(&mut vec![0; length]).unwrap();
                    write!(
                        stream,
                        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .unwrap();
                }
            });
            ask(&client)
        })
    }

    const STARTED: (u16, &str) = (202, r#"{"task_id": "a"}"#);
    const QUEUED: (u16, &str) = (200, r#"{"task_id": "a", "state": "QUEUED", "result": null}"#);

    #[test]
    fn a_task_is_asked_for_until_it_is_done() {
        let done = (200, r#"{"task_id": "a", "state": "SUCCESS", "result": 10946}"#);
        assert_eq!(asked(vec![STARTED, QUEUED, QUEUED, done], |client| task(client, 20)), Ok(()));
    }

    #[test]
    fn what_a_wrong_stack_answers_is_said() {
        for (answers, words) in [
            (vec![(200, r#"{"task_id": "a"}"#)], "status 200 instead of 202"),
            (vec![(202, r#"{"id": "a"}"#)], "instead of an object with a task_id"),
            (vec![STARTED, (404, r#"{"detail": "no task"}"#)], "status 404 instead of 200"),
            (
                vec![STARTED, (200, r#"{"task_id": "b", "state": "QUEUED", "result": null}"#)],
                "instead of this task",
            ),
            (
                vec![STARTED, (200, r#"{"task_id": "a", "state": "SUCCESS", "result": null}"#)],
                "once the state is SUCCESS",
            ),
            (vec![STARTED, (200, r#"{"task_id": "a", "state": "FAILURE", "result": null}"#)], "FAILURE"),
            (vec![STARTED, (200, r#"{"task_id": "a", "state": "QUEUED"}"#)], "instead of this task"),
            (
                vec![STARTED, QUEUED, (200, r#"{"task_id": "a", "state": "SUCCESS", "result": 6765}"#)],
                "6765 instead of 10946",
            ),
        ] {
            let told = asked(answers.clone(), |client| task(client, 20)).unwrap_err();
            assert!(told.contains(words), "{answers:?}: {told}");
        }
    }

    #[test]
    fn the_numbers_compared_with_are_right() {
        assert_eq!((0..8).map(fibonacci).collect::<Vec<_>>(), [1, 1, 2, 3, 5, 8, 13, 21]);
        assert_eq!(fibonacci(34), 9_227_465);
    }
}
