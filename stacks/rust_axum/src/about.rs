//! Facts about the running app.

use std::{process, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use deadpool_postgres::Pool;
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::timeout};

use crate::pool::with_causes;

/// The app's name in the catalogue.
pub const APP: &str = env!("CARGO_PKG_NAME");

/// What this program was linked from.
const LOCK: &str = include_str!("../Cargo.lock");

/// How long the database may take to answer a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// One process; what `DYNO_WORKERS` gives it are threads.
pub async fn about(State(pool): State<Pool>) -> Json<Value> {
    Json(json!({
        "app": APP,
        "framework": "axum",
        "framework_version": locked_version("axum"),
        "server": "hyper",
        "server_version": locked_version("hyper"),
        "interpreter": env!("RUSTC_VERSION"),
        "implementation": "rust",
        "gil": false,
        "event_loop": "tokio",
        "driver": "tokio-postgres",
        "driver_version": locked_version("tokio-postgres"),
        "pid": process::id(),
        "workers": 1,
        "threads": Handle::current().metrics().num_workers(),
        "pool_size": pool.status().max_size,
    }))
}

/// The version of a crate in the lock.
fn locked_version(name: &str) -> Option<&'static str> {
    let (_, after) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next()
}

pub async fn version() -> Json<Value> {
    Json(json!({ "version": "1.0.0" }))
}

/// Alive, the database included.
pub async fn heartbeat(State(pool): State<Pool>) -> (StatusCode, Json<Value>) {
    let (status, words) = match timeout(HEARTBEAT, ask(&pool)).await {
        Ok(Ok(())) => (StatusCode::OK, "ok".to_owned()),
        Ok(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("no database: {why}")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no database: it doesn't answer".to_owned()),
    };
    (status, Json(json!({ (format!("{APP}-server")): words })))
}

async fn ask(pool: &Pool) -> Result<(), String> {
    let client = pool.get().await.map_err(|error| with_causes(&error))?;
    client.simple_query("select 1").await.map_err(|error| with_causes(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock() {
        for name in ["axum", "hyper", "tokio-postgres"] {
            let version = locked_version(name).unwrap();
            assert!(version.split('.').count() == 3, "{name} {version}");
        }
        assert_eq!(locked_version("no-such-crate"), None);
    }
}
