//! The operations of the contract (`contract/openapi.yaml`).

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One row of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `GET`/`POST /v1/hello`: plain text.
    Hello,
    /// `GET`/`POST /v2/hello`: HTML, the name escaped.
    HelloHtml,
    /// `GET /heartbeat`: alive, database included.
    Heartbeat,
    /// `GET /about`: facts observed at run time.
    About,
    /// `GET /version`.
    Version,
    /// `GET /types`: three rows from the database.
    Types,
    /// `GET /contacts/for`: a page of contacts, rows iterated one by one.
    ContactsFor,
    /// `GET /contacts/fetch`: the same page, rows fetched at once.
    ContactsFetch,
    /// `GET /contacts/{contact_id}`.
    Contact,
    /// `POST /contacts`.
    ContactCreate,
    /// `GET /fibonacci/{n}`: naive recursion in the app's own language.
    Fibonacci,
    /// `POST /v1/tasks`.
    TaskStart,
    /// `GET /v1/tasks/{id}`.
    TaskResult,
}

/// A text that names no operation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no operation is called `{0}`: the operations are {list}", list = Operation::names().join(", "))]
pub struct UnknownOperation(pub String);

impl Operation {
    /// Every operation, in the contract's order.
    pub const ALL: [Operation; 13] = [
        Self::Hello,
        Self::HelloHtml,
        Self::Heartbeat,
        Self::About,
        Self::Version,
        Self::Types,
        Self::ContactsFor,
        Self::ContactsFetch,
        Self::Contact,
        Self::ContactCreate,
        Self::Fibonacci,
        Self::TaskStart,
        Self::TaskResult,
    ];

    /// The name in plans, records and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::HelloHtml => "hello_html",
            Self::Heartbeat => "heartbeat",
            Self::About => "about",
            Self::Version => "version",
            Self::Types => "types",
            Self::ContactsFor => "contacts_for",
            Self::ContactsFetch => "contacts_fetch",
            Self::Contact => "contact",
            Self::ContactCreate => "contact_create",
            Self::Fibonacci => "fibonacci",
            Self::TaskStart => "task_start",
            Self::TaskResult => "task_result",
        }
    }

    /// All names, in the contract's order.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|operation| operation.name()).collect()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == text)
            .ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}
