//! Contacts in the database. A page is three statements, one after another on one connection, as for every stack: to send
//! two at once, which tokio-postgres could, would compare the drivers' tricks.

use std::{collections::HashMap, pin::pin};

use deadpool_postgres::{Client, GenericClient};
use futures_util::TryStreamExt;
use serde::Serialize;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::{
    parameters::{NewContact, Page, no_contact},
    refusal::Refusal,
};

macro_rules! select_contact {
    ($rest:literal) => {
        concat!(
            "select c.contact_id, c.first_name, c.last_name, t.type_id, t.type_name ",
            "from contacts c join contact_types t using (type_id) ",
            $rest
        )
    };
}

const PAGE: &str =
    select_contact!("where lower(c.last_name) like lower($1) order by c.contact_id limit $2 offset $3");
const ALL: &str = select_contact!("order by c.contact_id limit $1 offset $2");
const ONE: &str = select_contact!("where c.contact_id = $1");
const PHONES: &str =
    "select contact_id, phone_number from contact_phones where contact_id = any($1) order by phone_id";
const EMAILS: &str =
    "select contact_id, email_address from contact_emails where contact_id = any($1) order by email_id";
const TYPES: &str = "select type_id, type_name from contact_types order by type_id";
const INSERT: &str =
    "insert into contacts (first_name, last_name, type_id) values ($1, $2, $3) returning contact_id";
const INSERT_PHONE: &str = "insert into contact_phones (contact_id, phone_number) values ($1, $2)";
const INSERT_EMAIL: &str = "insert into contact_emails (contact_id, email_address) values ($1, $2)";

/// Rows that a portal hands over at a time, as many as asyncpg's cursors take.
const AT_A_TIME: i32 = 50;

/// A contact type as the contract has it.
#[derive(Debug, Serialize)]
pub struct ContactType {
    type_id: i32,
    type_name: String,
}

/// A contact as the contract has it.
#[derive(Debug, Serialize)]
pub struct Contact {
    contact_id: i32,
    first_name: String,
    last_name: String,
    contact_type: ContactType,
    phones: Vec<String>,
    emails: Vec<String>,
}

impl Contact {
    /// From (contact_id, first, last, type_id, type_name), without its phones and emails.
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            contact_id: row.try_get(0)?,
            first_name: row.try_get(1)?,
            last_name: row.try_get(2)?,
            contact_type: ContactType { type_id: row.try_get(3)?, type_name: row.try_get(4)? },
            phones: Vec::new(),
            emails: Vec::new(),
        })
    }
}

pub async fn types(client: &impl GenericClient) -> Result<Vec<ContactType>, Refusal> {
    let rows = client.query(&client.prepare_cached(TYPES).await?, &[]).await?;
    let read = |row: &Row| Ok(ContactType { type_id: row.try_get(0)?, type_name: row.try_get(1)? });
    rows.iter().map(read).collect()
}

/// The page's rows at once.
pub async fn fetch(client: &impl GenericClient, page: &Page) -> Result<Vec<Contact>, Refusal> {
    let like = page.like();
    let (statement, arguments) = select(page, &like);
    let rows = client.query(&client.prepare_cached(statement).await?, &arguments).await?;
    let mut contacts = rows.iter().map(Contact::from_row).collect::<Result<Vec<_>, _>>()?;
    attach(client, &mut contacts).await?;
    Ok(contacts)
}

/// The page's rows one by one, from a portal in a transaction.
pub async fn iterate(client: &mut Client, page: &Page) -> Result<Vec<Contact>, Refusal> {
    let like = page.like();
    let (statement, arguments) = select(page, &like);
    let statement = client.prepare_cached(statement).await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind(&statement, &arguments).await?;
    let mut contacts = Vec::new();
    loop {
        let mut rows = pin!(transaction.query_portal_raw(&portal, AT_A_TIME).await?);
        while let Some(row) = rows.try_next().await? {
            contacts.push(Contact::from_row(&row)?);
        }
        // Known once the portal has come to its end.
        if rows.rows_affected().is_some() {
            break;
        }
    }
    transaction.commit().await?;
    attach(client, &mut contacts).await?;
    Ok(contacts)
}

/// The statement for a page and its arguments.
fn select<'a>(page: &'a Page, like: &'a String) -> (&'static str, Vec<&'a (dyn ToSql + Sync)>) {
    if page.starts.is_empty() {
        return (ALL, vec![&page.limit, &page.offset]);
    }
    (PAGE, vec![like, &page.limit, &page.offset])
}

/// Gives contacts their phones and emails.
async fn attach(client: &impl GenericClient, contacts: &mut [Contact]) -> Result<(), Refusal> {
    let ids: Vec<i32> = contacts.iter().map(|contact| contact.contact_id).collect();
    let phones = client.query(&client.prepare_cached(PHONES).await?, &[&ids]).await?;
    let emails = client.query(&client.prepare_cached(EMAILS).await?, &[&ids]).await?;
    let mut by_id: HashMap<i32, &mut Contact> =
        contacts.iter_mut().map(|contact| (contact.contact_id, contact)).collect();
    for row in phones {
        if let Some(contact) = by_id.get_mut(&row.try_get(0)?) {
            contact.phones.push(row.try_get(1)?);
        }
    }
    for row in emails {
        if let Some(contact) = by_id.get_mut(&row.try_get(0)?) {
            contact.emails.push(row.try_get(1)?);
        }
    }
    Ok(())
}

pub async fn find(client: &impl GenericClient, contact_id: i32) -> Result<Contact, Refusal> {
    let row = client.query_opt(&client.prepare_cached(ONE).await?, &[&contact_id]).await?;
    let mut contact = Contact::from_row(&row.ok_or_else(|| no_contact(contact_id))?)?;
    attach(client, std::slice::from_mut(&mut contact)).await?;
    Ok(contact)
}

/// Stores a contact with its phones and emails and reads it back, all in one transaction. A request that is given up
/// drops the transaction, which rolls it back.
pub async fn store(client: &mut Client, new: &NewContact) -> Result<Contact, Refusal> {
    let transaction = client.transaction().await?;
    let insert = transaction.prepare_cached(INSERT).await?;
    let added = transaction.query_one(&insert, &[&new.first_name, &new.last_name, &new.type_id]).await;
    let contact_id: i32 = match added {
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
            return Err(Refusal::Invalid(format!("no contact type {}", new.type_id)));
        }
        added => added?.try_get(0)?,
    };
    for (statement, texts) in [(INSERT_PHONE, &new.phones), (INSERT_EMAIL, &new.emails)] {
        let insert = transaction.prepare_cached(statement).await?;
        for text in texts {
            transaction.execute(&insert, &[&contact_id, text]).await?;
        }
    }
    let stored = find(&transaction, contact_id).await?;
    transaction.commit().await?;
    Ok(stored)
}
