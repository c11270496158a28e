//! Keeps what `dyno up` has up: starts crashed processes again, carries out what a person asks, and samples.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use dyno_model::{
    event::Event,
    up::{DatabaseState, UpState},
};
use dyno_provision::database::connect;

use crate::{
    bench::Bench,
    broker::Broker,
    desk::Desk,
    error::LabError,
    preparing::{Ready, prepare_all},
    up::{Running, TrialFolder},
    upkeep::post::Post,
};

mod post;

/// Pause of the loop: the longest that an order or a crash waits to be seen.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two samples at least.
const SAMPLE: Duration = Duration::from_secs(1);
/// Samples take this share of one core at most, and so do readings of memory, however many stacks are up: the kernel walks
/// all pages of a process to tell its memory, which takes about ten times as long as all the rest.
const SHARE: u32 = 300;

/// Brings stacks up on the catalogue's ports, for a person to look around, and keeps them up until the stop.
///
/// # Errors
/// A part is missing, a port is taken, or a stack doesn't get ready the first time. Whoever crashes later is started again.
pub fn up(bench: &Bench<'_>, desk: &Desk) -> Result<(), LabError> {
    let Ready { prepared, not_run, mut database } = prepare_all(bench, bench.order.plan.stacks.len())?;
    if let Some(first) = not_run.first() {
        return Err(LabError::NothingToMeasure(format!("{}: {}", first.stack, first.reason)));
    }
    // Dropped after the posts, before the database.
    let mut folders: Vec<TrialFolder> = Vec::new();
    let mut crew = Crew {
        posts: Vec::new(),
        client: None,
        url: database.url.clone(),
        sample: Pace::default(),
        memory: Pace::default(),
    };
    for (role, spec, child) in database.hand_over() {
        crew.posts.push(Post::shared(role, spec, child));
    }
    for one in &prepared {
        let port = one.stack.server.server.port_base + one.stack.app.app.port_offset;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let taken = |source| LabError::System {
            what: format!("{} wants {address} and can't have it", one.name()),
            source,
        };
        drop(TcpListener::bind(address).map_err(taken)?);
        let stack = Running::start(bench, one, &database, Some(port), 0, true)?;
        // The first stack with a worker brings the broker up. Before the stack: it is ended after it.
        for (spec, child) in bench.started_broker().into_iter().flat_map(Broker::hand_over) {
            crew.posts.push(Post::shared("broker", spec, child));
        }
        stack.wait_ready(bench.order.stop)?;
        bench.tell(Event::Note(format!("{} answers on http://{address}", one.name())));
        let stats = stack.stats_socket();
        let parts = stack.into_parts();
        for (role, spec, child) in parts.children {
            let place = (parts.address, parts.folder.path(), stats.as_deref());
            crew.posts.push(Post::of_stack(one.name(), role, spec, child, place));
        }
        folders.push(parts.folder);
        crew.tick(bench, desk);
    }
    bench.tell(Event::Note("Ctrl-C stops them, and so does `dyno down`".to_owned()));
    while !bench.stopped() && !desk.is_down() {
        crew.tick(bench, desk);
        thread::sleep(PAUSE);
    }
    crew.end(desk);
    drop(folders);
    Ok(())
}

/// All processes that are kept up.
struct Crew {
    posts: Vec<Post>,
    client: Option<postgres::Client>,
    url: String,
    sample: Pace,
    memory: Pace,
}

/// When something that takes its time is to be done again.
#[derive(Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn is_due(&self, now: Instant) -> bool {
        self.0.is_none_or(|due| due <= now)
    }

    fn began(&mut self, at: Instant, took: Duration) {
        self.0 = Some(at + (took * SHARE).max(SAMPLE));
    }
}

impl Crew {
    fn tick(&mut self, bench: &Bench<'_>, desk: &Desk) {
        let answers =
            desk.take_orders(|name, action| match self.posts.iter_mut().find(|post| post.name() == name) {
                Some(post) => post.act(action),
                None => Err(format!("{name} is gone")),
            });
        for post in &mut self.posts {
            if let Some(note) = post.tick(&bench.supervisor) {
                bench.tell(Event::Note(note));
            }
        }
        let mut database = desk.state().database;
        let begin = Instant::now();
        if self.sample.is_due(begin) {
            self.posts.iter_mut().for_each(Post::sample);
            database = self.ask_database();
            self.sample.began(begin, begin.elapsed());
        }
        let begin = Instant::now();
        let all = self.memory.is_due(begin);
        // One that was just started isn't shown without memory until all are read again.
        self.posts.iter_mut().filter(|post| all || post.lacks_memory()).for_each(Post::read_memory);
        if all {
            self.memory.began(begin, begin.elapsed());
        }
        desk.publish(UpState { processes: self.posts.iter().map(Post::state).collect(), database });
        answers.send();
    }

    /// Counts the database's connections; `None` while it doesn't answer.
    fn ask_database(&mut self) -> Option<DatabaseState> {
        if self.client.is_none() {
            self.client = connect(&self.url).ok();
        }
        let state = self.client.as_mut().and_then(|client| count(client).ok());
        if state.is_none() {
            self.client = None;
        }
        state
    }

    /// Stops all: those that were started last first, so that fronts go before servers, and the database goes last.
    fn end(mut self, desk: &Desk) {
        self.client = None;
        self.posts.iter_mut().for_each(Post::goes_down);
        loop {
            desk.publish(UpState { processes: self.posts.iter().map(Post::state).collect(), database: None });
            let Some(post) = self.posts.pop() else { return };
            post.end();
        }
    }
}

/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW>
fn count(client: &mut postgres::Client) -> Result<DatabaseState, postgres::Error> {
    let row = client.query_one(
        "select count(*), count(*) filter (where state = 'active'), current_setting('max_connections')::int \
         from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
        &[],
    )?;
    let (connections, active, most): (i64, i64, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let small = |number: i64| u32::try_from(number).unwrap_or(0);
    Ok(DatabaseState { connections: small(connections), active: small(active), most: small(most.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_is_done_less_often() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::default();
        assert!(pace.is_due(begin));
        pace.began(begin, Duration::from_millis(1));
        assert!(!pace.is_due(begin + second / 2) && pace.is_due(begin + second));
        pace.began(begin, Duration::from_millis(20));
        assert!(!pace.is_due(begin + 5 * second) && pace.is_due(begin + 6 * second), "a three-hundredth");
    }
}
