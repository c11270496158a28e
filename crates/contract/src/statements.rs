//! How many statements an operation sends to the database, counted by pg_stat_statements.

use postgres::{Client, NoTls};

/// Statements on the contract's tables of this database so far, dyno's own left out.
///
/// A cursor is one statement: with `track = top` its DECLARE is counted and its inner query, nested in
/// FETCH, is not; FETCH, CLOSE, BEGIN and COMMIT name no table. Drivers that use the protocol's own portals
/// (asyncpg) are counted like a plain query.
const COUNT: &str = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements \
    where dbid = (select oid from pg_database where datname = current_database()) \
    and query ~* 'contact' and query !~* '^\\s*(fetch|close|move)' and query !~ 'pg_stat_statements'";

/// Counts statements on this database while `work` runs; what others do meanwhile in other databases of the server doesn't
/// count, and neither is disturbed by it: nothing is reset. `Err` says why they can't be counted.
pub fn count(url: &str, work: &mut dyn FnMut()) -> Result<i64, String> {
    let words = |error: postgres::Error| match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    let mut client = Client::connect(url, NoTls).map_err(words)?;
    let mut so_far = || client.query_one(COUNT, &[]).map(|row| row.get::<_, i64>(0)).map_err(words);
    let before = so_far()?;
    work();
    Ok(so_far()? - before)
}
