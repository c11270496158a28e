//! Settings from environment variables, as twelve-factor has it.

/// What the app is told.
#[derive(Debug)]
pub struct Settings {
    pub database: tokio_postgres::Config,
    /// Connections, all opened at start.
    pub pool_size: usize,
    /// Threads that serve.
    pub workers: usize,
    pub host: String,
    pub port: u16,
}

impl Settings {
    /// Reads them with `std::env::var` or the like.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str, otherwise: u16| match given(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .ok()
                .filter(|&number: &u16| number > 0)
                .ok_or_else(|| format!("{name} must be a whole number from 1 to 65535, not {text:?}")),
        };
        let url = given("DATABASE_URL")
            .ok_or("DATABASE_URL is not set: for instance postgres://me:secret@127.0.0.1/dyno")?;
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("DATABASE_URL isn't a postgres:// address".to_owned());
        }
        // What a pooler forgets between transactions would fail now and then, rather than at once.
        if given("DYNO_PREPARED_STATEMENTS").is_some_and(|value| value != "1") {
            return Err("DYNO_PREPARED_STATEMENTS isn't 1, and the portals of tokio-postgres need prepared \
                statements: take a pooler that keeps them, such as PgBouncer from 1.21 on"
                .to_owned());
        }
        Ok(Self {
            database: url.parse().map_err(|error| format!("DATABASE_URL: {error}"))?,
            pool_size: number("DYNO_POOL_SIZE", 4)?.into(),
            workers: number("DYNO_WORKERS", 1)?.into(),
            host: given("DYNO_HOST").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: number("DYNO_PORT", 8000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
    }

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://me:secret@127.0.0.1/dyno");

    #[test]
    fn what_is_given_is_taken() {
        let settings = read(&[
            URL,
            ("DYNO_POOL_SIZE", "8"),
            ("DYNO_WORKERS", "2"),
            ("DYNO_HOST", "::1"),
            ("DYNO_PORT", "11474"),
        ])
        .unwrap();
        assert_eq!((settings.pool_size, settings.workers), (8, 2));
        assert_eq!((settings.host.as_str(), settings.port), ("::1", 11474));
        assert_eq!(settings.database.get_dbname(), Some("dyno"));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_kept() {
        assert!(read(&[]).unwrap_err().contains("DATABASE_URL is not set"));
        for url in ["dyno", "mysql://me:secret@127.0.0.1/dyno", "postgres://me:secret@127.0.0.1:x/dyno"] {
            let error = read(&[("DATABASE_URL", url)]).unwrap_err();
            assert!(error.contains("DATABASE_URL") && !error.contains("secret"), "{url}: {error}");
        }
        let error = read(&[URL, ("DYNO_PREPARED_STATEMENTS", "0")]).unwrap_err();
        assert!(error.contains("DYNO_PREPARED_STATEMENTS"), "{error}");
        for name in ["DYNO_POOL_SIZE", "DYNO_WORKERS", "DYNO_PORT"] {
            for value in ["0", "-1", "x", "1.5", "65536"] {
                let error = read(&[URL, (name, value)]).unwrap_err();
                assert!(error.contains(name) && error.contains(value), "{error}");
            }
        }
    }
}
