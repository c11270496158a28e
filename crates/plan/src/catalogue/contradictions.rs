//! Checks that hold between manifests; a test runs them over the committed catalogue.

use std::collections::BTreeMap;

use dyno_model::{Operation, catalogue::Interface};

use super::Catalogue;

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
