//! The catalogue: what `stacks/` holds, read from manifests, never from code.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dyno_model::{
    Operation, StackName,
    catalogue::{App, Front, Interface, Language, Protocol, Server},
};
use serde::de::DeserializeOwned;

use crate::error::PlanError;

/// An app and the folder that its manifest stands in.
#[derive(Clone, Debug)]
pub struct AppEntry {
    /// The manifest.
    pub app: App,
    /// Its folder.
    pub folder: PathBuf,
}

/// A server's manifest.
#[derive(Clone, Debug)]
pub struct ServerEntry {
    /// The manifest.
    pub server: Server,
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
    fronts: BTreeMap<String, FrontEntry>,
}

/// A stack's name with what it stands for.
#[derive(Clone, Debug)]
pub struct ResolvedStack {
    /// The name.
    pub name: StackName,
    /// The app.
    pub app: AppEntry,
    /// The server.
    pub server: Server,
    /// The front.
    pub front: Option<FrontEntry>,
}

impl ResolvedStack {
    /// Operations that the app offers, in the contract's order.
    pub fn offers(&self) -> Vec<Operation> {
        Operation::ALL
            .into_iter()
            .filter(|operation| !self.app.app.not_offered.contains_key(operation))
            .collect()
    }
}

impl Catalogue {
    /// Reads all manifests under `stacks`: `servers/*.toml`, `fronts/*/front.toml` and `**/app.toml` (two levels).
    ///
    /// # Errors
    /// A manifest that can't be read or says something unknown.
    pub fn read(stacks: &Path) -> Result<Self, PlanError> {
        let mut catalogue = Self {
            folder: stacks.to_owned(),
            apps: BTreeMap::new(),
            servers: BTreeMap::new(),
            fronts: BTreeMap::new(),
        };
        for path in files(&stacks.join("servers"))? {
            if path.extension().is_some_and(|extension| extension == "toml") {
                let server: Server = manifest(&path)?;
                catalogue.servers.insert(server.name.clone(), ServerEntry { server });
            }
        }
        for folder in files(&stacks.join("fronts"))? {
            let path = folder.join("front.toml");
            if path.is_file() {
                let front: Front = manifest(&path)?;
                catalogue.fronts.insert(front.name.clone(), FrontEntry { front, folder });
            }
        }
        for folder in files(stacks)? {
            let nested = if folder.is_dir() { files(&folder)? } else { Vec::new() };
            for folder in std::iter::once(folder).chain(nested) {
                let path = folder.join("app.toml");
                if path.is_file() {
                    let app: App = manifest(&path)?;
                    catalogue.apps.insert(app.name.clone(), AppEntry { app, folder });
                }
            }
        }
        Ok(catalogue)
    }

    /// Every stack that the manifests make possible, without interpreters, in order of name.
    pub fn stacks(&self) -> Vec<ResolvedStack> {
        let mut stacks = Vec::new();
        for entry in self.apps.values() {
            for server in entry.app.servers.iter().filter_map(|name| self.servers.get(name)) {
                let name = |front: Option<&str>| StackName {
                    app: entry.app.name.clone(),
                    server: server.server.name.clone(),
                    front: front.map(str::to_owned),
                    interpreter: None,
                };
                let names = match server.server.protocol {
                    Protocol::Http => vec![name(None)],
                    Protocol::Uwsgi => self.fronts.keys().map(|front| name(Some(front))).collect(),
                };
                stacks.extend(names.iter().filter_map(|name| self.resolve(name).ok()));
            }
        }
        stacks
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// An app, server or front that isn't there, or a choice that doesn't fit together, with what would.
    pub fn resolve(&self, name: &StackName) -> Result<ResolvedStack, PlanError> {
        let unknown = |message: String| PlanError::UnknownStack { name: name.to_string(), message };
        let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let app = self
            .apps
            .get(&name.app)
            .ok_or_else(|| unknown(format!("the apps are {}", list(self.apps.keys().collect()))))?;
        if !app.app.servers.contains(&name.server) {
            return Err(unknown(format!(
                "{} runs on {}",
                app.app.name,
                list(app.app.servers.iter().collect())
            )));
        }
        let server = self
            .servers
            .get(&name.server)
            .ok_or_else(|| unknown(format!("the servers are {}", list(self.servers.keys().collect()))))?;
        let front =
            match &name.front {
                None => None,
                Some(front) => Some(self.fronts.get(front).ok_or_else(|| {
                    unknown(format!("the fronts are {}", list(self.fronts.keys().collect())))
                })?),
            };
        if server.server.protocol == Protocol::Uwsgi && front.is_none() {
            return Err(unknown(format!(
                "{} speaks the uwsgi protocol and needs a front, for instance `{}/{}/nginx`",
                name.server, name.app, name.server
            )));
        }
        if name.interpreter.is_some() && app.app.language != Language::Python {
            return Err(unknown(format!("{} has no interpreter to choose", app.app.name)));
        }
        Ok(ResolvedStack {
            name: name.clone(),
            app: app.clone(),
            server: server.server.clone(),
            front: front.cloned(),
        })
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
    /// What doesn't fit together: servers that no manifest describes, interfaces that don't meet, two apps
    /// with one port.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut ports = BTreeMap::new();
        for entry in self.apps.values() {
            let app = &entry.app;
            for name in &app.servers {
                match self.servers.get(name) {
                    None => found.push(format!("{}: no server is called {name}", app.name)),
                    Some(server) if !server.server.interfaces.contains(&app.interface) => {
                        found.push(format!("{}: {name} can't serve its interface", app.name));
                    }
                    Some(server) => {
                        let port = server.server.port_base * 10 + app.port_digit;
                        if let Some(other) = ports.insert(port, &app.name) {
                            found.push(format!("{} and {other} both want port {port}", app.name));
                        }
                    }
                }
            }
            if (app.interface == Interface::Program) != app.command.is_some()
                || (app.interface == Interface::Program) == app.module.is_some()
            {
                found.push(format!("{}: a program has a command, every other app a module", app.name));
            }
        }
        found
    }
}
