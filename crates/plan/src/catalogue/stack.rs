//! What a stack's name stands for.

use std::path::PathBuf;

use dyno_model::{
    Operation, StackName,
    catalogue::{CannotRun, Front, Language, ListenAt, Processes, Protocol, Server, Upstream},
};

use super::{AppEntry, FrontEntry, ServerEntry, WorkerEntry, files};
use crate::error::PlanError;

/// Where a server listens in one stack, and how the front, if any, meets it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// TCP or a unix socket.
    pub upstream: Upstream,
    /// The server's arguments and protocol there.
    pub listen: ListenAt,
}

/// A stack's name with what it stands for.
#[derive(Clone, Debug)]
pub struct ResolvedStack {
    /// The name.
    pub name: StackName,
    /// The app.
    pub app: AppEntry,
    /// The server.
    pub server: ServerEntry,
    /// The worker that does the app's tasks.
    pub worker: Option<WorkerEntry>,
    /// The front.
    pub front: Option<FrontEntry>,
    /// Where the server listens.
    pub meeting: Meeting,
}

impl ResolvedStack {
    /// Operations that the app offers, in the contract's order.
    pub fn offers(&self) -> Vec<Operation> {
        Operation::ALL
            .into_iter()
            .filter(|operation| !self.app.app.not_offered.contains_key(operation))
            .collect()
    }

    /// Whether it has as many processes, or a compiled program threads, as it is given workers.
    pub fn scales(&self) -> bool {
        self.server.server.processes == Processes::Workers
    }

    /// Why the manifests say that it can't run on this interpreter.
    pub fn cannot_run(&self, interpreter: Option<&str>) -> Option<&CannotRun> {
        let worker = self.worker.iter().flat_map(|entry| &entry.worker.cannot_run);
        let mut known = self.app.app.cannot_run.iter().chain(&self.server.server.cannot_run).chain(worker);
        known.find(|one| one.is_about(&self.name, interpreter))
    }

    /// The folders whose locks together make its environment; a program's own lock holds all of it.
    pub fn lock_folders(&self) -> Vec<PathBuf> {
        if self.app.folder == self.server.folder {
            return vec![self.app.folder.clone()];
        }
        let worker = self.worker.iter().map(|entry| &entry.folder);
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in [&self.app.folder, &self.server.folder].into_iter().chain(worker) {
            if folder.join("requirements.in").is_file() && !found.contains(folder) {
                found.push(folder.clone());
            }
        }
        found
    }

    /// The folders, and the files, whose bytes decide what runs: app, server, front, worker, locks, and what they import of
    /// this catalogue. Of a compiled app that is every folder of `stacks/` that its toolchain builds.
    ///
    /// # Errors
    /// A folder can't be read.
    pub fn sources(&self) -> Result<Vec<PathBuf>, PlanError> {
        let (app, worker) = (&self.app, self.worker.as_ref());
        let mut found = vec![app.folder.clone(), self.server.folder.clone()];
        found.extend(worker.map(|entry| entry.folder.clone()));
        found.extend(self.front.as_ref().map(|entry| entry.folder.clone()));
        let beside = app.folder.parent().unwrap_or(&app.folder);
        let built = match app.app.language {
            Language::Python => None,
            Language::Go => Some("go.mod"),
            Language::Rust => Some("Cargo.toml"),
        };
        match built {
            None => {
                let imported = app.app.python_path.iter();
                let imported = imported.chain(worker.iter().flat_map(|entry| &entry.worker.python_path));
                let burn = self.name.variant.burn.map(|_| "burn".to_owned());
                found.extend(imported.chain(&burn).map(|folder| beside.join(folder)));
            }
            Some(file) => {
                found.extend(files(beside)?.into_iter().filter(|folder| folder.join(file).is_file()))
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Whether each of them has a lock for an interpreter, or the resolver's words why there is none.
    pub fn was_locked(&self, interpreter: &str) -> bool {
        let there = |folder: &PathBuf| {
            ["txt", "because"].iter().any(|end| folder.join(format!("locks/{interpreter}.{end}")).is_file())
        };
        self.lock_folders().iter().all(there)
    }

    /// Whether each of them has a lock for an interpreter.
    pub fn has_locks(&self, interpreter: &str) -> bool {
        self.lock_folders()
            .iter()
            .all(|folder| folder.join("locks").join(format!("{interpreter}.txt")).is_file())
    }
}

/// Where a server and a front meet; `None` when they can't.
pub(super) fn meet(server: &Server, front: Option<&Front>) -> Option<Meeting> {
    let (tcp, unix) = (server.listen.tcp.clone(), server.listen.unix.clone());
    let http = |at: &ListenAt| at.protocol == Protocol::Http;
    let at = |upstream, listen| Some(Meeting { upstream, listen });
    let Some(front) = front else { return at(Upstream::Tcp, tcp.filter(http)?) };
    match (front.upstream, unix) {
        (_, Some(unix)) if unix.protocol == Protocol::Uwsgi => {
            front.uwsgi_configuration.as_ref().filter(|_| front.upstream == Upstream::Tcp)?;
            at(Upstream::Unix, unix)
        }
        (Upstream::Unix, unix) => front.http_configuration.as_ref().and(at(Upstream::Unix, unix?)),
        (Upstream::Tcp, _) => front.http_configuration.as_ref().and(at(Upstream::Tcp, tcp.filter(http)?)),
    }
}

pub(super) fn no_meeting(name: &StackName) -> String {
    match &name.front {
        None => format!(
            "{0} speaks no HTTP and needs a front, for instance `{1}/{0}/nginx`",
            name.server, name.app
        ),
        Some(front) => format!("{} doesn't listen where {front} would look for it", name.server),
    }
}
