//! The pool of connections, one for the whole process.

use std::{error::Error, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use futures_util::future::try_join_all;
use tokio_postgres::NoTls;

use crate::settings::Settings;

/// How long a request waits for a connection.
const WAIT: Duration = Duration::from_secs(30);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);

/// Opens the pool with all its connections, so that none is opened while requests wait.
pub async fn open(settings: &Settings) -> Result<Pool, String> {
    // Fast: a connection that is known to be closed is replaced; none is asked whether it still lives.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(settings.database.clone(), NoTls, recycling);
    let pool = Pool::builder(manager)
        .max_size(settings.pool_size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(CONNECT))
        .build()
        .map_err(|error| error.to_string())?;
    let all = try_join_all((0..settings.pool_size).map(|_| pool.get())).await;
    all.map_err(|error| format!("the database refuses: {}", with_causes(&error)))?;
    Ok(pool)
}

/// An error and what lies beneath it: the drivers' own words say only that something failed.
pub fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let more = one.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = one.source();
    }
    words
}
