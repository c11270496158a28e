//! `stacks/interpreters.toml`: the interpreters that dyno knows.

use std::{fs, path::Path};

use dyno_model::interpreter::Interpreters;

use crate::error::PlanError;

const EXAMPLE: &str = "[[interpreter]]   name = \"3.14\"   uv = \"3.14\"   see stacks/interpreters.toml";

/// Reads the interpreters of the catalogue in `stacks`; an absent file knows none.
///
/// # Errors
/// The file can't be read, says something unknown, or names one twice.
pub fn read_interpreters(stacks: &Path) -> Result<Interpreters, PlanError> {
    let path = stacks.join("interpreters.toml");
    if !path.is_file() {
        return Ok(Interpreters::default());
    }
    let text =
        fs::read_to_string(&path).map_err(|source| PlanError::Unreadable { path: path.clone(), source })?;
    let known: Interpreters =
        toml::from_str(&text).map_err(|error| PlanError::toml(&path, &text, &error, |_| EXAMPLE))?;
    for (index, one) in known.interpreter.iter().enumerate() {
        if known.interpreter[..index].iter().any(|other| other.name == one.name) {
            let message = format!("`{}` is there twice", one.name);
            return Err(PlanError::at(&path, &text, &format!("name = \"{}\"", one.name), message, EXAMPLE));
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_ones_and_what_is_wrong() {
        let known = read_interpreters(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks")).unwrap();
        assert!(known.get("3.13").is_some() && known.get("pypy3.11").is_some() && known.get("2.7").is_none());
        for one in &known.interpreter {
            let debian = one.debian.iter().flat_map(|debian| &debian.libraries);
            assert!(one.debian.is_none() || debian.into_iter().any(|name| name == "libc6"), "{}", one.name);
        }

        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_interpreters(folder.path()).unwrap(), Interpreters::default());
        let refused = |text: &str| {
            fs::write(folder.path().join("interpreters.toml"), text).unwrap();
            read_interpreters(folder.path()).unwrap_err().to_string()
        };
        let error = refused("[[interpreter]]\nname = \"3.14\"\nconda = \"3.14\"\n");
        assert!(error.contains("interpreters.toml:3") && error.contains("conda"), "{error}");
        let error = refused("[[interpreter]]\nname = \"3.14\"\n[[interpreter]]\nname = \"3.14\"\n");
        assert!(error.contains("`3.14` is there twice") && error.contains("example: "), "{error}");
    }
}
