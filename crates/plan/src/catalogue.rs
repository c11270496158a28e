//! The catalogue: what `stacks/` holds, read from manifests, never from code.

mod contradictions;
mod stack;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dyno_model::{
    StackName, StackPattern, Variant,
    catalogue::{App, Front, Interface, Language, Server, Worker},
};
use serde::de::DeserializeOwned;
use wildmatch::WildMatch;

pub use self::stack::{Meeting, ResolvedStack};
use self::stack::{meet, no_meeting};
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
        if name.variant.burn.is_some() && !wraps {
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

#[cfg(test)]
mod tests;
