//! Work for the processor alone.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{parameters::integer, refusal::Refusal};

/// Apart from the threads that serve: they must not be held up.
pub async fn answer(n: Result<Path<String>, PathRejection>) -> Result<Json<Value>, Refusal> {
    let n = integer("n", &n?, 0, 34)?;
    let result = spawn_blocking(move || fibonacci(n)).await;
    let result = result.map_err(|error| Refusal::Fault(error.to_string()))?;
    Ok(Json(json!({ "result": result })))
}

/// fib(0) = fib(1) = 1, by naive recursion: the point is the work, not the number.
fn fibonacci(n: i64) -> i64 {
    if n < 2 { 1 } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_with_two_ones() {
        let first: Vec<i64> = (0..8).map(fibonacci).collect();
        assert_eq!(first, [1, 1, 2, 3, 5, 8, 13, 21]);
    }
}
