//! The cases as data: `contract/cases.toml`.

use std::{collections::BTreeMap, path::Path};

use dyno_model::Operation;
use serde::Deserialize;
use serde_json::Value;

use crate::ContractError;

/// All cases, by operation, with the OpenAPI document beside them.
#[derive(Clone, Debug)]
pub struct Cases {
    pub(crate) document: Value,
    by_operation: BTreeMap<Operation, Vec<Case>>,
}

/// One request and what must come back; see the head of `cases.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub request: String,
    #[serde(default, rename = "as")]
    pub content_type: Option<String>,
    #[serde(default)]
    pub send: Option<String>,
    #[serde(default)]
    pub status: Vec<u16>,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub json: Option<String>,
    #[serde(default)]
    pub page: Option<Page>,
    #[serde(default)]
    pub either: Vec<Page>,
    #[serde(default)]
    pub contact: Option<String>,
    #[serde(default)]
    pub detail: bool,
    #[serde(default)]
    pub stores: Option<bool>,
    #[serde(default)]
    pub cut: bool,
}

/// A page of contacts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    pub limit: usize,
    pub offset: usize,
    pub starts: String,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 100, offset: 0, starts: String::new() }
    }
}

/// What stands for text that is too long to be written out.
const PLACEHOLDERS: [(&str, &str, usize); 5] = [
    ("{10k}", "x", 10_000),
    ("{64KiB}", "x", 64 * 1024),
    ("{2MB}", "x", 2_000_000),
    ("{deep}", "[", 100_000),
    ("{digits}", "9", 5_000),
];
/// Stands for a byte that no UTF-8 has.
const NO_UTF8: &str = "{FF}";

fn filled(text: &str) -> String {
    PLACEHOLDERS
        .iter()
        .fold(text.to_owned(), |text, (name, one, times)| text.replace(name, &one.repeat(*times)))
}

impl Cases {
    /// Reads the cases of a `contract/` folder.
    ///
    /// # Errors
    /// A file can't be read, or says something unknown.
    pub fn read(folder: &Path) -> Result<Self, ContractError> {
        let mut cases = read(&folder.join("cases.toml"), Self::parse)?;
        cases.document = read(&folder.join("openapi.yaml"), |text| {
            serde_yaml_ng::from_str(text).map_err(|error| error.to_string())
        })?;
        Ok(cases)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut written: BTreeMap<String, Vec<Case>> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        // Both ways to a page get the same cases.
        let pages = written.remove("pages").unwrap_or_default();
        for (name, path) in [("contacts_for", "/contacts/for"), ("contacts_fetch", "/contacts/fetch")] {
            let at = |case: &Case| Case { request: format!("GET {path}{}", case.request), ..case.clone() };
            written.insert(name.to_owned(), pages.iter().map(at).collect());
        }
        let mut by_operation = BTreeMap::new();
        for (name, cases) in written {
            by_operation.insert(name.parse::<Operation>().map_err(|error| error.to_string())?, cases);
        }
        Ok(Self { document: Value::Null, by_operation })
    }

    /// The cases of an operation.
    pub fn of(&self, operation: Operation) -> &[Case] {
        self.by_operation.get(&operation).map_or(&[], Vec::as_slice)
    }

    /// Every prefix that a page starts with.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        let cases = self.by_operation.values().flatten();
        cases.flat_map(|case| case.page.iter().chain(&case.either)).map(|page| page.starts.clone()).collect()
    }
}

fn read<T>(path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ContractError> {
    let error = |reason: String| ContractError::Cases { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    parse(&text).map_err(error)
}

impl Case {
    /// Method and target, with the highest contact's number filled in.
    pub fn method_and_target(&self, last: i32) -> (String, String) {
        let request = filled(&self.request).replace("{last}", &last.to_string());
        match request.split_once(' ') {
            Some((method, target)) => (method.to_owned(), target.to_owned()),
            None => ("GET".to_owned(), request),
        }
    }

    /// The body to send, with its content type.
    pub fn body(&self) -> Option<(String, Vec<u8>)> {
        let send = filled(self.send.as_ref()?);
        let content_type = self.content_type.clone().unwrap_or_else(|| "application/json".to_owned());
        let parts: Vec<&[u8]> = send.split(NO_UTF8).map(str::as_bytes).collect();
        Some((content_type, parts.join(&0xFF)))
    }

    /// The text that is right.
    pub fn full_text(&self) -> Option<String> {
        self.text.as_deref().map(filled)
    }

    /// The statuses that are right.
    pub fn statuses(&self) -> Vec<u16> {
        match self.stores {
            _ if !self.status.is_empty() => self.status.clone(),
            Some(true) => vec![201],
            Some(false) => vec![422],
            None => vec![200],
        }
    }

    /// The JSON value that is right, if the case itself says it.
    pub fn json_value(&self, app: &str) -> Option<Value> {
        serde_json::from_str(&self.json.as_ref()?.replace("{app}", app)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contract")
    }

    #[test]
    fn every_operation_but_about_has_cases() {
        let cases = Cases::read(&folder()).unwrap();
        for operation in Operation::ALL {
            let proven_elsewhere = operation == Operation::About;
            assert_eq!(cases.of(operation).is_empty(), proven_elsewhere, "{operation}");
            for case in cases.of(operation) {
                assert_eq!(case.json.is_some(), case.json_value("x").is_some(), "{}: JSON", case.request);
            }
        }
        assert!(Cases::parse("[[types]]\nrequest = \"GET /types\"\ncolour = 1\n").is_err());
    }

    #[test]
    fn what_is_too_long_to_write_is_filled_in() {
        let text = "[[types]]\nrequest = \"GET /types?x={10k}\"\nsend = \"a{FF}b{2MB}\"\ntext = \"{10k}!\"\n";
        let cases = Cases::parse(text).unwrap();
        let case = &cases.of(Operation::Types)[0];
        assert_eq!(case.method_and_target(1).1.len(), "/types?x=".len() + 10_000);
        assert_eq!(case.full_text().unwrap().len(), 10_001);
        let (_, body) = case.body().unwrap();
        assert_eq!((&body[..4], body.len()), (b"a\xFFbx".as_slice(), 3 + 2_000_000));
    }

    #[test]
    fn a_case_that_stores_or_not_says_which_statuses_are_right() {
        let statuses = |rest: &str| {
            let cases = Cases::parse(&format!("[[types]]\nrequest = \"GET /\"\n{rest}\n")).unwrap();
            cases.of(Operation::Types)[0].statuses()
        };
        assert_eq!(statuses("stores = true"), [201]);
        assert_eq!(statuses("stores = false"), [422]);
        assert_eq!(statuses("stores = true\nstatus = [201, 422]"), [201, 422]);
        assert_eq!(statuses(""), [200]);
    }

    /// Nothing that a client sends may bring a server down to its own error.
    #[test]
    fn no_case_takes_a_servers_error_for_an_answer() {
        let cases = Cases::read(&folder()).unwrap();
        for operation in Operation::ALL {
            for case in cases.of(operation) {
                assert!(case.statuses().iter().all(|status| *status < 500), "{}", case.request);
                let stores = case.statuses().contains(&201);
                assert_eq!(stores, case.stores == Some(true), "{}: {:?}", case.request, case.send);
            }
        }
    }

    #[test]
    fn the_openapi_document_has_every_operation_at_the_path_of_its_cases() {
        let text = std::fs::read_to_string(folder().join("openapi.yaml")).unwrap();
        let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let mut documented = BTreeMap::new();
        for (path, methods) in document["paths"].as_mapping().unwrap() {
            for (method, operation) in methods.as_mapping().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                documented
                    .insert(id, (method.as_str().unwrap().to_owned(), path.as_str().unwrap().to_owned()));
            }
        }
        let cases = Cases::read(&folder()).unwrap();
        for operation in Operation::ALL {
            let (method, path) = &documented[operation.name()];
            let stem = path.split('{').next().unwrap();
            let mut asked = cases.of(operation).iter().map(|case| case.method_and_target(1));
            let first = asked.next();
            if let Some((asked_method, target)) = first {
                assert_eq!(asked_method.to_lowercase(), *method, "{operation}");
                assert!(target.starts_with(stem), "{operation}: {target} isn't {path}");
            }
        }
    }
}
