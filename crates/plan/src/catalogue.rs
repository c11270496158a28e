//! The catalogue: what `stacks/` holds, read from manifests, never from code.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dyno_model::{
    Operation, StackName, StackPattern, Variant,
    catalogue::{
        App, CannotRun, Front, Interface, Language, ListenAt, Processes, Protocol, Server, Upstream, Worker,
    },
};
use serde::de::DeserializeOwned;
use wildmatch::WildMatch;

use crate::error::PlanError;

/// An app and the folder that its manifest stands in.
#[derive(Clone, Debug)]
pub struct AppEntry {
    /// The manifest.
    pub app: App,
    /// Its folder.
    pub folder: PathBuf,
}

/// A server and the folder that its manifest stands in.
#[derive(Clone, Debug)]
pub struct ServerEntry {
    /// The manifest.
    pub server: Server,
    /// Its folder.
    pub folder: PathBuf,
}

/// A worker and the folder that its manifest stands in.
#[derive(Clone, Debug)]
pub struct WorkerEntry {
    /// The manifest.
    pub worker: Worker,
    /// Its folder.
    pub folder: PathBuf,
}

/// A front and the folder that its configurations stand in.
#[derive(Clone, Debug)]
pub struct FrontEntry {
    /// The manifest.
    pub front: Front,
    /// Its folder.
    pub folder: PathBuf,
}

/// Everything that can be put on the dyno.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The folder `stacks/`.
    pub folder: PathBuf,
    apps: BTreeMap<String, AppEntry>,
    servers: BTreeMap<String, ServerEntry>,
    workers: BTreeMap<String, WorkerEntry>,
    fronts: BTreeMap<String, FrontEntry>,
    /// The same folder in another revision, for stacks of the variant `base`.
    base: Option<Box<Catalogue>>,
}

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
}

impl Catalogue {
    /// Reads all manifests under `stacks`: `fronts/*/*.toml`, and `app.toml`, `server.toml` and `worker.toml` two levels down.
    ///
    /// # Errors
    /// A manifest that can't be read or says something unknown.
    pub fn read(stacks: &Path) -> Result<Self, PlanError> {
        let mut catalogue = Self {
            folder: stacks.to_owned(),
            apps: BTreeMap::new(),
            servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            fronts: BTreeMap::new(),
            base: None,
        };
        for folder in files(&stacks.join("fronts"))? {
            for path in files(&folder)? {
                if path.extension().is_some_and(|extension| extension == "toml") {
                    let front: Front = manifest(&path)?;
                    catalogue.fronts.insert(front.name.clone(), FrontEntry { front, folder: folder.clone() });
                }
            }
        }
        for folder in files(stacks)? {
            let nested = files(&folder)?;
            for folder in std::iter::once(folder).chain(nested) {
                let (app, server, worker) =
                    (folder.join("app.toml"), folder.join("server.toml"), folder.join("worker.toml"));
                if app.is_file() {
                    let app: App = manifest(&app)?;
                    catalogue.apps.insert(app.name.clone(), AppEntry { app, folder: folder.clone() });
                }
                if worker.is_file() {
                    let worker: Worker = manifest(&worker)?;
                    let entry = WorkerEntry { worker, folder: folder.clone() };
                    catalogue.workers.insert(entry.worker.name.clone(), entry);
                }
                if server.is_file() {
                    let server: Server = manifest(&server)?;
                    catalogue.servers.insert(server.name.clone(), ServerEntry { server, folder });
                }
            }
        }
        Ok(catalogue)
    }

    /// With another revision of the same folder, in which stacks of the variant `base` are looked up.
    pub fn with_base(self, base: Self) -> Self {
        Self { base: Some(Box::new(base)), ..self }
    }

    /// Every app on every server that serves its interface, without interpreters, in order of name: with the
    /// front `nginx` where a server speaks no HTTP of its own, else with none.
    pub fn stacks(&self) -> Vec<ResolvedStack> {
        let mut stacks = Vec::new();
        for app in self.apps.values() {
            for server in self.fitting(&app.app) {
                let name = |front: Option<&str>| StackName {
                    app: app.app.name.clone(),
                    server: server.server.name.clone(),
                    front: front.map(str::to_owned),
                    interpreter: None,
                    variant: Variant::default(),
                };
                stacks.extend(self.resolve(&name(None)).or_else(|_| self.resolve(&name(Some("nginx")))));
            }
        }
        stacks
    }

    /// The servers that may run an app, in order of name.
    fn fitting(&self, app: &App) -> impl Iterator<Item = &ServerEntry> {
        self.servers.values().filter(|entry| {
            entry.server.interfaces.contains(&app.interface)
                && (app.servers.is_empty() || app.servers.contains(&entry.server.name))
        })
    }

    /// Every row of the field, each kind of choice with each partner once, an app with every server in full:
    ///
    /// - each app on each server that serves it, on the plan's own interpreter;
    /// - each front before each server that it can meet, with the server's first app (fronts that differ only in their
    ///   event method before one server of each interface);
    /// - on each other interpreter, each app on the first server that may run it there, and each server with the
    ///   first app.
    pub fn field(&self, interpreters: &[String]) -> Vec<ResolvedStack> {
        let plain = self.stacks();
        let mut names: Vec<StackName> = plain.iter().map(|stack| stack.name.clone()).collect();
        let mut interfaces = Vec::new();
        for server in self.servers.values() {
            let first = plain.iter().find(|stack| stack.name.server == server.server.name);
            let Some(first) = first else { continue };
            let met = interfaces.contains(&first.app.app.interface);
            interfaces.push(first.app.app.interface);
            // How a front waits for events has nothing to do with the server behind it: one of each interface will do.
            let fronts = self.fronts.values().filter(|entry| !met || entry.front.event_method.is_none());
            names.extend(
                fronts.map(|entry| StackName { front: Some(entry.front.name.clone()), ..first.name.clone() }),
            );
        }
        for interpreter in interpreters {
            let python = || plain.iter().filter(|stack| stack.app.app.language == Language::Python);
            let at = |stack: &ResolvedStack| StackName {
                interpreter: Some(interpreter.clone()),
                ..stack.name.clone()
            };
            let possible = |stack: &&ResolvedStack| {
                stack.cannot_run(Some(interpreter)).is_none() && stack.has_locks(interpreter)
            };
            for app in self.apps.keys() {
                let mut on = python().filter(|stack| stack.name.app == *app);
                let chosen = on.clone().find(possible).or_else(|| on.next());
                names.extend(chosen.map(at));
            }
            for server in self.servers.keys() {
                let mut with = python().filter(|stack| stack.name.server == *server);
                let chosen = with.clone().find(possible).or_else(|| with.next());
                names.extend(chosen.map(at));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names.iter().filter_map(|name| self.resolve(name).ok()).collect()
    }

    /// The stacks that a pattern means, in order of name: one where it has no `*`, else all that fit together.
    ///
    /// # Errors
    /// None does.
    pub fn expand(&self, pattern: &StackPattern) -> Result<Vec<StackName>, PlanError> {
        let words = pattern.words();
        if !pattern.is_pattern() {
            return self.resolve(words).map(|stack| vec![stack.name]);
        }
        let matches = |pattern: &str, name: &str| WildMatch::new(pattern).matches(name);
        let fronts: Vec<Option<String>> = match &words.front {
            None => vec![None],
            Some(front) => {
                self.fronts.keys().filter(|name| matches(front, name)).cloned().map(Some).collect()
            }
        };
        let mut names = Vec::new();
        for app in self.apps.values().filter(|entry| matches(&words.app, &entry.app.name)) {
            for server in self.fitting(&app.app).filter(|entry| matches(&words.server, &entry.server.name)) {
                names.extend(fronts.iter().map(|front| StackName {
                    app: app.app.name.clone(),
                    server: server.server.name.clone(),
                    front: front.clone(),
                    interpreter: words.interpreter.clone(),
                    variant: words.variant.clone(),
                }));
            }
        }
        names.retain(|name| self.resolve(name).is_ok());
        if names.is_empty() {
            let message = "no stack is like that; `dyno list` shows them".to_owned();
            return Err(PlanError::UnknownStack { name: pattern.to_string(), message });
        }
        Ok(names)
    }

    /// The rows of `field` that any of the patterns means; each part of a pattern stands for that part of a name, and
    /// one that isn't there for none.
    ///
    /// # Errors
    /// A pattern that means no row.
    pub fn among(field: Vec<StackName>, patterns: &[StackPattern]) -> Result<Vec<StackName>, PlanError> {
        let part = |pattern: Option<&String>, name: Option<&String>| match (pattern, name) {
            (Some(pattern), Some(name)) => WildMatch::new(pattern).matches(name),
            (pattern, name) => pattern.is_none() && name.is_none(),
        };
        let means = |pattern: &StackPattern, name: &StackName| {
            let words = pattern.words();
            part(Some(&words.app), Some(&name.app))
                && part(Some(&words.server), Some(&name.server))
                && part(words.front.as_ref(), name.front.as_ref())
                && part(words.interpreter.as_ref(), name.interpreter.as_ref())
        };
        if let Some(none) = patterns.iter().find(|one| !field.iter().any(|name| means(one, name))) {
            let message = "no row of the field is like that; `dyno list --all` shows them".to_owned();
            return Err(PlanError::UnknownStack { name: none.to_string(), message });
        }
        let wanted = |name: &StackName| patterns.iter().any(|pattern| means(pattern, name));
        Ok(field.into_iter().filter(wanted).collect())
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// An app, server or front that isn't there, or a choice that doesn't fit together, with what would; the variant `base`
    /// in a catalogue that knows of no other revision.
    pub fn resolve(&self, name: &StackName) -> Result<ResolvedStack, PlanError> {
        let unknown = |message: String| PlanError::UnknownStack { name: name.to_string(), message };
        if name.variant.base {
            let base = self.base.as_ref().ok_or_else(|| {
                unknown("`base` is another revision of a stack, which `dyno gate` alone knows".to_owned())
            })?;
            return base.resolve_here(name);
        }
        self.resolve_here(name)
    }

    /// What a name stands for in this revision.
    fn resolve_here(&self, name: &StackName) -> Result<ResolvedStack, PlanError> {
        let unknown = |message: String| PlanError::UnknownStack { name: name.to_string(), message };
        let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let app = self
            .apps
            .get(&name.app)
            .ok_or_else(|| unknown(format!("the apps are {}", list(self.apps.keys().collect()))))?;
        let server =
            self.fitting(&app.app).find(|entry| entry.server.name == name.server).ok_or_else(|| {
                let fitting = self.fitting(&app.app).map(|entry| &entry.server.name).collect();
                unknown(format!("{} runs on {}", app.app.name, list(fitting)))
            })?;
        let worker = match &app.app.worker {
            None => None,
            Some(worker) => Some(self.workers.get(worker).ok_or_else(|| {
                let known = list(self.workers.keys().collect());
                unknown(format!("its manifest wants the worker {worker}, and the workers are {known}"))
            })?),
        };
        let front =
            match &name.front {
                None => None,
                Some(front) => Some(self.fronts.get(front).ok_or_else(|| {
                    unknown(format!("the fronts are {}", list(self.fronts.keys().collect())))
                })?),
            };
        let meeting =
            meet(&server.server, front.map(|entry| &entry.front)).ok_or_else(|| unknown(no_meeting(name)))?;
        let wraps = [Interface::Wsgi, Interface::Asgi].contains(&app.app.interface);
        if name.variant.burn_us.is_some() && !wraps {
            return Err(unknown(format!(
                "only an app behind WSGI or ASGI can burn, and {} isn't",
                app.app.name
            )));
        }
        if name.interpreter.is_some() && app.app.language != Language::Python {
            return Err(unknown(format!("{} has no interpreter to choose", app.app.name)));
        }
        Ok(ResolvedStack {
            name: name.clone(),
            app: app.clone(),
            server: server.clone(),
            worker: worker.cloned(),
            front: front.cloned(),
            meeting,
        })
    }

    /// Programs, which are their own server: an environment of theirs is nobody else's, so each is locked alone, with
    /// its worker's requirements. Folders from `stacks/` on.
    pub fn alone(&self) -> Vec<(PathBuf, Vec<PathBuf>)> {
        let own = |entry: &&AppEntry| self.servers.values().any(|server| server.folder == entry.folder);
        let workers = |entry: &AppEntry| {
            let named = entry.app.worker.iter().filter_map(|name| self.workers.get(name));
            named.map(|worker| worker.folder.clone()).collect()
        };
        let programs = self.apps.values().filter(own);
        programs.map(|entry| (entry.folder.clone(), workers(entry))).collect()
    }

    /// Interpreters that have locks, from the names of their constraints, the newest first.
    pub fn interpreters(&self) -> Vec<String> {
        let paths = files(&self.folder.join("constraints")).unwrap_or_default();
        let names = paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
        names.rev().collect()
    }

    /// The fronts' names.
    pub fn fronts(&self) -> impl Iterator<Item = &str> {
        self.fronts.keys().map(String::as_str)
    }
}

/// Where a server and a front meet; `None` when they can't.
fn meet(server: &Server, front: Option<&Front>) -> Option<Meeting> {
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

fn no_meeting(name: &StackName) -> String {
    match &name.front {
        None => format!(
            "{0} speaks no HTTP and needs a front, for instance `{1}/{0}/nginx`",
            name.server, name.app
        ),
        Some(front) => format!("{} doesn't listen where {front} would look for it", name.server),
    }
}

impl ResolvedStack {
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
                let burn = self.name.variant.burn_us.map(|_| "burn".to_owned());
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

/// The entries of a folder in order of name; an absent folder has none.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PlanError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |source| PlanError::Unreadable { path: folder.to_owned(), source };
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

fn manifest<T: DeserializeOwned>(path: &Path) -> Result<T, PlanError> {
    let text =
        fs::read_to_string(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| PlanError::toml(path, &text, &error, |_| "see CONTRIBUTING.md, \"A new stack\""))
}

/// Checks that hold between manifests; a test runs them over the committed catalogue.
impl Catalogue {
    /// What doesn't fit together: apps that no server runs, names that no manifest has, two stacks with one port.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (mut offsets, mut bases) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.apps.values() {
            let app = &entry.app;
            if self.fitting(app).next().is_none() {
                found.push(format!("{}: no server runs it", app.name));
            }
            for name in app.servers.iter().filter(|name| !self.servers.contains_key(*name)) {
                found.push(format!("{}: no server is called {name}", app.name));
            }
            let tasks = [Operation::TaskStart, Operation::TaskResult];
            let offered = tasks.iter().filter(|operation| !app.not_offered.contains_key(operation)).count();
            if offered != if app.worker.is_some() { tasks.len() } else { 0 } {
                found.push(format!(
                    "{}: with a worker it offers both operations on tasks, else none",
                    app.name
                ));
            }
            if let Some(worker) = app.worker.as_ref().filter(|name| !self.workers.contains_key(*name)) {
                found.push(format!("{}: no worker is called {worker}", app.name));
            }
            if app.port_offset > 99 {
                found.push(format!("{}: port_offset is 0 to 99", app.name));
            }
            if let Some(other) = offsets.insert(app.port_offset, &app.name) {
                found.push(format!("{} and {other} both have the port_offset {}", app.name, app.port_offset));
            }
            if (app.interface == Interface::Program) != app.command.is_some()
                || (app.interface == Interface::Program) == app.module.is_some()
            {
                found.push(format!("{}: a program has a command, every other app a module", app.name));
            }
        }
        for entry in self.servers.values() {
            let server = &entry.server;
            if let Some(other) = bases.insert(server.port_base, &server.name) {
                found.push(format!(
                    "{} and {other} both have the port_base {}",
                    server.name, server.port_base
                ));
            }
            if server.port_base % 100 != 0 {
                found.push(format!("{}: port_base is a number of hundreds", server.name));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks")).unwrap()
    }

    fn expanded(pattern: &str) -> Vec<String> {
        let names = catalogue().expand(&pattern.parse().unwrap()).unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn patterns_mean_what_fits_together() {
        assert_eq!(expanded("flask/gunicorn@3.12"), ["flask/gunicorn@3.12"]);
        let flask = expanded("flask/*");
        assert!(
            flask.contains(&"flask/gunicorn".to_owned())
                && flask.iter().all(|name| name.starts_with("flask/"))
        );
        assert!(!flask.contains(&"flask/uvicorn".to_owned()), "no ASGI server runs it");
        // uWSGI listens on no unix socket with HTTP.
        let unix = expanded("flask/*/nginx-unix");
        assert!(unix.contains(&"flask/gunicorn/nginx-unix".to_owned()));
        assert!(!unix.contains(&"flask/uwsgi/nginx-unix".to_owned()));
        assert!(catalogue().expand(&"x*/y*".parse().unwrap()).is_err());
    }

    #[test]
    fn the_variant_base_is_looked_up_in_the_other_revision() {
        let name: StackName = "flask/gunicorn:base".parse().unwrap();
        let error = catalogue().resolve(&name).unwrap_err().to_string();
        assert!(error.contains("`dyno gate` alone"), "{error}");
        let mut base = catalogue();
        base.apps.get_mut("flask").unwrap().folder = PathBuf::from("elsewhere/python/flask");
        let both = catalogue().with_base(base);
        assert_eq!(both.resolve(&name).unwrap().app.folder, Path::new("elsewhere/python/flask"));
        assert!(both.resolve(&"flask/gunicorn".parse().unwrap()).unwrap().app.folder.is_dir());
    }

    #[test]
    fn a_stack_is_made_of_what_it_imports_too() {
        let ends = |name: &str| -> Vec<String> {
            let catalogue = catalogue();
            let stack = catalogue.resolve(&name.parse().unwrap()).unwrap();
            let under = |path: &PathBuf| path.strip_prefix(&catalogue.folder).unwrap().display().to_string();
            stack.sources().unwrap().iter().map(under).collect()
        };
        let flask = ends("flask/gunicorn/nginx:burn=30us");
        for folder in [
            "python/flask",
            "python/flask_common",
            "python/core",
            "python/burn",
            "servers/gunicorn",
            "workers/celery",
        ] {
            assert!(flask.contains(&folder.to_owned()), "{folder}: {flask:?}");
        }
        assert!(!ends("flask/gunicorn").contains(&"python/burn".to_owned()));
        assert!(ends("go-bun/go").contains(&"go_core".to_owned()), "{:?}", ends("go-bun/go"));
        assert!(!ends("go-bun/go").contains(&"rust_axum".to_owned()));
    }

    #[test]
    fn the_field_has_each_choice_once() {
        let catalogue = catalogue();
        let field = catalogue.field(&["3.11".to_owned()]);
        let names: Vec<String> = field.iter().map(|stack| stack.name.to_string()).collect();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len());
        for stack in catalogue.stacks() {
            assert!(names.contains(&stack.name.to_string()), "{}", stack.name);
        }
        for front in catalogue.fronts() {
            assert!(field.iter().any(|stack| stack.name.front.as_deref() == Some(front)), "{front}");
        }
        for app in catalogue.apps.values().filter(|entry| entry.app.language == Language::Python) {
            let at =
                |stack: &&ResolvedStack| stack.name.app == app.app.name && stack.name.interpreter.is_some();
            assert!(field.iter().any(|stack| at(&stack)), "{} on another interpreter", app.app.name);
        }
    }
}
