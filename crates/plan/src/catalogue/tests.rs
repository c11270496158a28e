//! The committed catalogue, and names in it.

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
        flask.contains(&"flask/gunicorn".to_owned()) && flask.iter().all(|name| name.starts_with("flask/"))
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
    let flask = ends("flask/gunicorn/nginx:burn=2000loops");
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
        let at = |stack: &&ResolvedStack| stack.name.app == app.app.name && stack.name.interpreter.is_some();
        assert!(field.iter().any(|stack| at(&stack)), "{} on another interpreter", app.app.name);
    }
}
