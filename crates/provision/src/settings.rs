//! `settings.toml` in dyno's cache: parts of the user's own that dyno wouldn't find, or should prefer.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::ProvisionError;

/// The file's name.
pub const FILE: &str = "settings.toml";

const EXAMPLE: &str = "[interpreters]   \"3.14t\" = \"/opt/python3.14t/bin/python3.14t\"   [programs]   nginx = \"/opt/nginx/sbin/nginx\"";

/// What the file says; all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Interpreters by their name in stacks, for instance `"3.14t" = "/opt/python3.14t/bin/python3.14t"`.
    #[serde(default)]
    pub interpreters: BTreeMap<String, PathBuf>,
    /// Other programs.
    #[serde(default)]
    pub programs: Programs,
}

/// `[programs]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Programs {
    /// nginx, for instance one that was built with `--with-poll_module`.
    #[serde(default)]
    pub nginx: Option<PathBuf>,
    /// PgBouncer.
    #[serde(default)]
    pub pgbouncer: Option<PathBuf>,
}

impl Settings {
    /// Reads the settings in the cache `home`; an absent file says nothing.
    ///
    /// # Errors
    /// The file can't be read, says something unknown, or names a program that isn't there.
    pub fn read(home: &Path) -> Result<Self, ProvisionError> {
        let path = home.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).map_err(ProvisionError::io(&path))?;
        let settings: Self = toml::from_str(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..offset].matches('\n').count() + 1;
            let message = error.message().to_owned();
            ProvisionError::Settings { path: path.display().to_string(), line, message, example: EXAMPLE }
        })?;
        let Programs { nginx, pgbouncer } = &settings.programs;
        let programs = [("nginx", nginx), ("pgbouncer", pgbouncer)];
        let programs = programs.into_iter().filter_map(|(name, program)| Some((name, program.as_ref()?)));
        let interpreters = settings.interpreters.iter().map(|(name, program)| (name.as_str(), program));
        for (name, program) in interpreters.chain(programs) {
            if !program.is_absolute() || !program.is_file() {
                let words = if program.is_absolute() { "isn't there" } else { "isn't a whole path" };
                return Err(wrong(home, name, format!("`{name} = {program:?}` {words}")));
            }
        }
        Ok(settings)
    }
}

/// The error that what the settings say of `name` can't be.
pub fn wrong(home: &Path, name: &str, message: String) -> ProvisionError {
    let path = home.join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let says =
        |line: &str| line.split('=').next().is_some_and(|key| key.trim().trim_matches(['"', '\'']) == name);
    let line = text.lines().position(says).map_or(1, |index| index + 1);
    ProvisionError::Settings { path: path.display().to_string(), line, message, example: EXAMPLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_example() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Settings::read(folder.path()).unwrap(), Settings::default());
        let read = |text: &str| {
            fs::write(folder.path().join(FILE), text).unwrap();
            Settings::read(folder.path())
        };
        let settings =
            read("[interpreters]\n\"3.13\" = \"/bin/sh\"\n[programs]\nnginx = \"/bin/sh\"\n").unwrap();
        assert_eq!(settings.interpreters["3.13"], PathBuf::from("/bin/sh"));
        assert_eq!(settings.programs.nginx, Some(PathBuf::from("/bin/sh")));
        for (text, line, words) in [
            ("[interpreters]\n[program]\n", 2, "unknown field `program`"),
            ("[programs]\nngnix = \"/bin/sh\"\n", 2, "unknown field `ngnix`"),
            ("[interpreters]\n\n\"3.13\" = 3\n", 3, "invalid type"),
            ("[interpreters]\n\"3.13\" = \"/no/such\"\n", 2, "`3.13 = \"/no/such\"` isn't there"),
            ("[programs]\n# mine\nnginx = \"sh\"\n", 3, "`nginx = \"sh\"` isn't a whole path"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{FILE}:{line}: ")) && error.contains(words), "{error}");
            assert!(error.contains("example: [interpreters]"), "{error}");
        }
    }
}
