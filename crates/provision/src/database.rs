//! The contract's data: the same seed gives the same rows on every machine.

use std::{collections::BTreeMap, io::Write};

use postgres::{Client, Config, NoTls};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::error::ProvisionError;

/// Marks tables that dyno made, so that it never drops anybody else's.
const MARK: &str = "made by dyno";

const SCHEMA: &str = "
create table contact_types (
    type_id serial primary key, type_name varchar(30) not null);
create table contacts (
    contact_id serial primary key, first_name varchar(100) not null, last_name varchar(100) not null,
    type_id int not null references contact_types);
create table contact_phones (
    phone_id serial primary key, phone_number varchar(30) not null,
    contact_id int not null references contacts on delete cascade);
create table contact_emails (
    email_id serial primary key, email_address varchar(256) not null,
    contact_id int not null references contacts on delete cascade);
insert into contact_types (type_name) values ('Relatives'), ('Friends'), ('Colleagues');
";

const INDEXES: &str = "
create index on contact_phones (contact_id);
create index on contact_emails (contact_id);
create index on contacts (lower(last_name) text_pattern_ops);
select setval('contacts_contact_id_seq', (select max(contact_id) from contacts)),
    setval('contact_phones_phone_id_seq', (select max(phone_id) from contact_phones)),
    setval('contact_emails_email_id_seq', (select max(email_id) from contact_emails));
analyze;
";

const TABLES: [&str; 4] = ["contact_types", "contacts", "contact_phones", "contact_emails"];

const FIRST: [&str; 24] = [
    "Ada",
    "Bruno",
    "Chloé",
    "Dmitri",
    "Élise",
    "Fatima",
    "Grace",
    "Hanna",
    "Igor",
    "João",
    "Kwame",
    "Łucja",
    "Mei",
    "Noor",
    "Olga",
    "Pál",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomáš",
    "Ömer",
    "Ивана",
    "Νίκος",
    "静香",
];
const LAST: [&str; 32] = [
    "Abbott",
    "Baker",
    "Čapek",
    "D'Angelo",
    "Eriksson",
    "Fernández",
    "García",
    "Hughes",
    "Ivanova",
    "Jørgensen",
    "Kowalski",
    "Lovelace",
    "Müller",
    "Nguyễn",
    "O'Brien",
    "Papadopoulos",
    "Quiñones",
    "Rossi",
    "Smith",
    "Turing",
    "Ünal",
    "Vasić",
    "Watanabe",
    "Xu",
    "Yılmaz",
    "Žižek",
    "Петров",
    "Παππάς",
    "田中",
    "100%",
    "under_score",
    "back\\slash",
];

/// Rows loaded, and what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Contacts.
    pub contacts: u32,
    /// SHA-256 of all rows as they were sent.
    pub sha256: String,
}

/// An address without its password, for people and records.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "(not an address)".to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or("")),
        None => url.to_owned(),
    }
}

fn refused(url: &str) -> impl Fn(postgres::Error) -> ProvisionError {
    let url = without_password(url);
    move |error| {
        let reason = match error.as_db_error() {
            Some(error) => format!("{}: {}", error.severity(), error.message()),
            None => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                format!("{error}{}", cause.unwrap_or_default())
            }
        };
        ProvisionError::Database { url: url.clone(), reason }
    }
}

/// Connects, within five seconds.
///
/// # Errors
/// The address is wrong or the server refuses, in its own words.
pub fn connect(url: &str) -> Result<Client, ProvisionError> {
    let mut config: Config = url.parse().map_err(refused(url))?;
    config.connect_timeout(std::time::Duration::from_secs(5));
    config.application_name("dyno");
    config.connect(NoTls).map_err(refused(url))
}

/// Makes a database unless it is there.
///
/// # Errors
/// The server refuses.
pub fn create(admin_url: &str, name: &str) -> Result<(), ProvisionError> {
    let mut client = connect(admin_url)?;
    let there = client.query_opt("select 1 from pg_database where datname = $1", &[&name]);
    if there.map_err(refused(admin_url))?.is_none() {
        client.batch_execute(&format!("create database \"{name}\"")).map_err(refused(admin_url))?;
    }
    Ok(())
}

/// Makes a database that is a copy of another, to which nobody may be connected meanwhile.
///
/// # Errors
/// The server refuses.
pub fn copy(admin_url: &str, original: &str, name: &str) -> Result<(), ProvisionError> {
    let statement = format!("create database \"{name}\" template \"{original}\"");
    connect(admin_url)?.batch_execute(&statement).map_err(refused(admin_url))
}

/// Removes a database and what was counted of its statements, and ends who is still connected to it. `url` is its own address.
///
/// # Errors
/// The server refuses.
pub fn remove(admin_url: &str, url: &str, name: &str) -> Result<(), ProvisionError> {
    // The server has room for so many counts, and those of a database that is gone would drive out those that are needed.
    let forget =
        "select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = current_database()";
    let _ = connect(url)?.batch_execute(forget);
    let statement = format!("drop database if exists \"{name}\" with (force)");
    connect(admin_url)?.batch_execute(&statement).map_err(refused(admin_url))
}

/// Makes and fills the contract's tables. Tables of the same names that dyno didn't make are left alone.
///
/// # Errors
/// The server refuses, or such tables are in the way.
pub fn load(url: &str, contacts: u32, seed: u64) -> Result<Loaded, ProvisionError> {
    let mut client = connect(url)?;
    for table in TABLES {
        let found = client
            .query_opt("select obj_description(to_regclass($1)::oid) from (select 1) x where to_regclass($1) is not null", &[&table])
            .map_err(refused(url))?;
        if let Some(row) = found
            && row.get::<_, Option<&str>>(0) != Some(MARK)
        {
            let reason =
                format!("it has a table {table} that dyno didn't make: give dyno a database of its own");
            return Err(ProvisionError::Database { url: without_password(url), reason });
        }
    }
    // Not every server offers it; the contract's cases say when statements aren't counted.
    let _ = client.batch_execute("create extension if not exists pg_stat_statements");
    let mut transaction = client.transaction().map_err(refused(url))?;
    let drop = format!("drop table if exists {} cascade", TABLES.join(", "));
    transaction.batch_execute(&format!("{drop}; {SCHEMA}")).map_err(refused(url))?;
    let mut hash = Sha256::new();
    for (table, columns, rows) in rows(contacts, seed) {
        hash.update(&rows);
        let statement = format!("copy {table} ({columns}) from stdin");
        let mut writer = transaction.copy_in(&statement).map_err(refused(url))?;
        writer.write_all(rows.as_bytes()).map_err(ProvisionError::io(table))?;
        writer.finish().map_err(refused(url))?;
    }
    let marks: String = TABLES.map(|table| format!("comment on table {table} is '{MARK}';")).concat();
    transaction.batch_execute(&format!("{INDEXES} {marks}")).map_err(refused(url))?;
    transaction.commit().map_err(refused(url))?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Loaded { contacts, sha256 })
}

/// COPY's text for each table.
fn rows(contacts: u32, seed: u64) -> [(&'static str, &'static str, String); 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut people, mut phones, mut emails) = (String::new(), String::new(), String::new());
    for id in 1..=contacts {
        let first = FIRST[rng.random_range(0..FIRST.len())];
        let last = LAST[rng.random_range(0..LAST.len())].replace('\\', "\\\\");
        people += &format!("{id}\t{first}\t{last}\t{}\n", rng.random_range(1..=3));
        // One phone with probability .4, then each further one with .2.
        let mut chance = 0.4;
        while rng.random_bool(chance) {
            phones +=
                &format!("+{} {:07}\t{id}\n", rng.random_range(1..=99), rng.random_range(0..10_000_000));
            chance = 0.2;
        }
        if rng.random_bool(0.7) {
            emails += &format!("contact{id}@example{}.org\t{id}\n", rng.random_range(1..=9));
        }
    }
    [
        ("contacts", "contact_id, first_name, last_name, type_id", people),
        ("contact_phones", "phone_number, contact_id", phones),
        ("contact_emails", "email_address, contact_id", emails),
    ]
}

/// Version and the settings that a number depends on.
///
/// # Errors
/// The server refuses.
pub fn facts(url: &str) -> Result<BTreeMap<String, String>, ProvisionError> {
    let mut client = connect(url)?;
    let names = [
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "max_connections",
        "jit",
        "autovacuum",
    ];
    let rows = client
        .query("select name, current_setting(name) from unnest($1::text[]) name", &[&names.as_slice()])
        .map_err(refused(url))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_rows_and_the_contracts_shares() {
        let [(_, _, people), (_, _, phones), (_, _, emails)] = rows(10_000, 1);
        assert_eq!(rows(10_000, 1)[0].2, people);
        assert_ne!(rows(10_000, 2)[0].2, people);
        assert_eq!(people.lines().count(), 10_000);
        // .4 x (1 + .2 + .04 + …) = .5 phones and .7 emails a contact, within four standard errors.
        assert!((4_700..5_300).contains(&phones.lines().count()), "{}", phones.lines().count());
        assert!((6_800..7_200).contains(&emails.lines().count()), "{}", emails.lines().count());
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_password("postgres://u:p@ss@h:1/d"), "postgres://u@h:1/d");
        let error = connect("postgres://u:secret@127.0.0.1:1/d").err().unwrap().to_string();
        assert!(error.contains("postgres://u@127.0.0.1:1/d") && !error.contains("secret"), "{error}");
        assert!(error.contains("refused"), "{error}");
    }
}
