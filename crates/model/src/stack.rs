//! The name of a stack: one choice of app, server, front and interpreter.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `app/server[/front][@interpreter]`, for instance `flask/uwsgi/nginx@3.13`.
///
/// Without `@interpreter` the plan's interpreter is meant, or for compiled apps their own toolchain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct StackName {
    /// Implementation of the contract, for instance `flask`.
    pub app: String,
    /// What runs the app, for instance `gunicorn`.
    pub server: String,
    /// What stands before the server, for instance `nginx`; `None` for nothing.
    pub front: Option<String>,
    /// Interpreter asked for, for instance `3.13` or `pypy3.11`.
    pub interpreter: Option<String>,
}

/// A stack's name in which `*` stands for any letters: `flask/*`, `*/uvicorn*`, `*/*/nginx`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct StackPattern(StackName);

impl StackPattern {
    /// The words between the slashes, as written.
    pub const fn words(&self) -> &StackName {
        &self.0
    }

    /// Whether it has a `*`.
    pub fn is_pattern(&self) -> bool {
        self.0.to_string().contains('*')
    }
}

impl FromStr for StackPattern {
    type Err = StackNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, |c| c == '*').map(Self)
    }
}

impl fmt::Display for StackPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for StackPattern {
    type Error = StackNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StackPattern> for String {
    fn from(pattern: StackPattern) -> Self {
        pattern.to_string()
    }
}

/// A text that isn't a stack's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` isn't a stack: write app/server[/front][@interpreter], for instance `flask/uwsgi/nginx@3.13`"
)]
pub struct StackNameError {
    /// What was written.
    pub text: String,
}

impl FromStr for StackName {
    type Err = StackNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, |_| false)
    }
}

/// A name whose words may have some more characters.
fn read(text: &str, more: fn(char) -> bool) -> Result<StackName, StackNameError> {
    let error = || StackNameError { text: text.to_owned() };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric() || more(c))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || more(c))
    };
    let (path, interpreter) = match text.split_once('@') {
        Some((path, interpreter)) => (path, Some(interpreter)),
        None => (text, None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    if !(2..=3).contains(&parts.len()) || !parts.iter().copied().chain(interpreter).all(is_word) {
        return Err(error());
    }
    Ok(StackName {
        app: parts[0].to_owned(),
        server: parts[1].to_owned(),
        front: parts.get(2).map(|front| (*front).to_owned()),
        interpreter: interpreter.map(str::to_owned),
    })
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.server)?;
        if let Some(front) = &self.front {
            write!(f, "/{front}")?;
        }
        if let Some(interpreter) = &self.interpreter {
            write!(f, "@{interpreter}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for StackName {
    type Error = StackNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StackName> for String {
    fn from(name: StackName) -> Self {
        name.to_string()
    }
}

impl StackName {
    /// The name as a file or cgroup name: letters, digits, `-`, `_`, `.` and `+` only.
    pub fn slug(&self) -> String {
        self.to_string().replace('/', "+").replace('@', "+at+")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_part() {
        let name: StackName = "flask/uwsgi/nginx@3.13".parse().unwrap();
        assert_eq!((name.app.as_str(), name.server.as_str()), ("flask", "uwsgi"));
        assert_eq!((name.front.as_deref(), name.interpreter.as_deref()), (Some("nginx"), Some("3.13")));
    }

    #[test]
    fn refuses_what_is_no_stack() {
        for text in ["", "flask", "flask/", "a/b/c/d", "a/b@", "a b/c", "../x/y", "a/b@3.13@x"] {
            assert!(text.parse::<StackName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(text in "[a-z][a-z-]{0,8}/[a-z]{1,9}(/[a-z]{1,5})?(@[a-z0-9][a-z0-9.]{0,5})?") {
            let name: StackName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
