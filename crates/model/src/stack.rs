//! The name of a stack: one choice of app, server, front and interpreter, and in which variant.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `app/server[/front][@interpreter][:variant]`, for instance `flask/uwsgi/nginx@3.13` or `flask/gunicorn:workers=4`.
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
    /// What is different from the plan's own settings, or from the app as it is.
    pub variant: Variant,
}

/// Most loops that a request may burn: some 0.2 s on CPython.
pub const MOST_LOOPS: u32 = 10_000_000;

/// How a stack differs from the plan's own settings: `workers=4,threads=2`, so that one plan can compare them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// Worker processes instead of the plan's, 1 to 64.
    pub workers: Option<u32>,
    /// Threads of each worker instead of the plan's, 1 to 256.
    pub threads: Option<u32>,
    /// Database connections of the whole stack instead of the plan's, 1 to 1000.
    pub connections: Option<u32>,
    /// Turns of an empty loop that each request burns before the app sees it, 1 to 10,000,000: a known slowdown.
    pub burn: Option<u32>,
    /// As it is in the base revision that `dyno gate` compares the work tree with.
    pub base: bool,
    /// The same stack once more, as a null control.
    pub twin: bool,
}

impl Variant {
    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Variant {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut variant = Self::default();
        for word in text.split(',') {
            let flag = match word {
                "base" => Some(&mut variant.base),
                "twin" => Some(&mut variant.twin),
                _ => None,
            };
            if let Some(flag) = flag {
                if std::mem::replace(flag, true) {
                    return Err(());
                }
                continue;
            }
            let (key, value) = word.split_once('=').ok_or(())?;
            let (slot, value, most) = match key {
                "workers" => (&mut variant.workers, value, 64),
                "threads" => (&mut variant.threads, value, 256),
                "connections" => (&mut variant.connections, value, 1000),
                "burn" => (&mut variant.burn, value.strip_suffix("loops").ok_or(())?, MOST_LOOPS),
                _ => return Err(()),
            };
            let value: u32 = value.parse().map_err(|_| ())?;
            if slot.is_some() || !(1..=most).contains(&value) {
                return Err(());
            }
            *slot = Some(value);
        }
        Ok(variant)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures =
            [("workers", self.workers), ("threads", self.threads), ("connections", self.connections)];
        let figures = figures.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let burn = self.burn.map(|loops| format!("burn={loops}loops"));
        let flags = [("base", self.base), ("twin", self.twin)].into_iter().filter(|(_, is_set)| *is_set);
        let words: Vec<String> = figures.chain(burn).chain(flags.map(|(word, _)| word.to_owned())).collect();
        f.write_str(&words.join(","))
    }
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
    "`{text}` isn't a stack: write app/server[/front][@interpreter][:variant], for instance `flask/uwsgi/nginx@3.13` or \
     `flask/gunicorn:workers=4,threads=2` (a variant has workers, threads, connections, burn=2000loops, base, twin)"
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
    let (name, variant) = match text.split_once(':') {
        Some((name, variant)) => (name, variant.parse().map_err(|()| error())?),
        None => (text, Variant::default()),
    };
    let (path, interpreter) = match name.split_once('@') {
        Some((path, interpreter)) => (path, Some(interpreter)),
        None => (name, None),
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
        variant,
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
        if !self.variant.is_none() {
            write!(f, ":{}", self.variant)?;
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
        self.to_string().replace([',', '/', ':'], "+").replace('@', "+at+").replace('=', "-")
    }

    /// The same stack as it is in the base revision.
    pub fn base(&self) -> Self {
        Self { variant: Variant { base: true, ..self.variant.clone() }, ..self.clone() }
    }

    /// The same stack once more, under a name of its own.
    pub fn twin(&self) -> Self {
        Self { variant: Variant { twin: true, ..self.variant.clone() }, ..self.clone() }
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
        let variants = [
            "a/b:",
            "a/b:workers",
            "a/b:workers=0",
            "a/b:workers=1,workers=2",
            "a/b:burn=3",
            "a/b:burn=3us",
            "a/b:burn=0loops",
            "a/b:twin,twin",
            "a/b:base,base",
        ];
        let names = ["", "flask", "flask/", "a/b/c/d", "a/b@", "a b/c", "../x/y", "a/b@3.13@x"];
        for text in names.into_iter().chain(variants) {
            assert!(text.parse::<StackName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(text in "[a-z][a-z-]{0,8}/[a-z]{1,9}(/[a-z]{1,5})?(@[a-z0-9][a-z0-9.]{0,5})?(:workers=[1-9](,burn=[1-9]0loops)?(,base)?(,twin)?)?") {
            let name: StackName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
