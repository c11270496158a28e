//! What the database says: the answers that are right.

use std::collections::{BTreeMap, HashMap};

use postgres::{Client, NoTls};
use serde_json::{Value, json};

use crate::{
    ContractError,
    cases::{Cases, Page},
};

/// Every contact as the contract has it, read straight from the tables.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    contacts: Vec<(i32, String, Value)>,
    /// Prefixes of the cases as the database's own lower() has them: other lower()s differ in a few scripts.
    lowered: BTreeMap<String, String>,
}

impl Truth {
    /// Reads the database.
    ///
    /// # Errors
    /// The database refuses.
    pub fn read(url: &str, cases: &Cases) -> Result<Self, ContractError> {
        let mut client = Client::connect(url, NoTls)?;
        let mut texts = |sql: &str| -> Result<HashMap<i32, Vec<String>>, postgres::Error> {
            let mut found: HashMap<i32, Vec<String>> = HashMap::new();
            for row in client.query(sql, &[])? {
                found.entry(row.get(0)).or_default().push(row.get(1));
            }
            Ok(found)
        };
        let mut phones = texts("select contact_id, phone_number from contact_phones order by phone_id")?;
        let mut emails = texts("select contact_id, email_address from contact_emails order by email_id")?;
        let types = texts("select type_id, type_name from contact_types")?;
        let sql = "select contact_id, first_name, last_name, type_id, lower(last_name) from contacts order by contact_id";
        let rows = client.query(sql, &[])?;
        let contacts = rows.iter().map(|row| {
            let (id, type_id): (i32, i32) = (row.get(0), row.get(3));
            let contact = json!({
                "contact_id": id,
                "first_name": row.get::<_, String>(1),
                "last_name": row.get::<_, String>(2),
                "contact_type": {"type_id": type_id, "type_name": types.get(&type_id).and_then(|names| names.first())},
                "phones": phones.remove(&id).unwrap_or_default(),
                "emails": emails.remove(&id).unwrap_or_default(),
            });
            (id, row.get(4), contact)
        });
        let contacts = contacts.collect();
        let mut lowered = BTreeMap::new();
        for prefix in cases.prefixes() {
            let lower: String = client.query_one("select lower($1)", &[&prefix])?.get(0);
            lowered.insert(prefix, lower);
        }
        Ok(Self { contacts, lowered })
    }

    /// Number of contacts.
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there is no contact.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    /// The highest contact's number.
    pub fn last(&self) -> i32 {
        self.contacts.last().map_or(0, |(id, _, _)| *id)
    }

    /// One contact.
    pub fn contact(&self, id: i32) -> Option<&Value> {
        let index = self.contacts.binary_search_by_key(&id, |(id, _, _)| *id).ok()?;
        Some(&self.contacts[index].2)
    }

    /// A page.
    pub(crate) fn page(&self, page: &Page) -> Value {
        let starts = self.lowered.get(&page.starts).unwrap_or(&page.starts);
        let found = self.contacts.iter().filter(|(_, lower, _)| lower.starts_with(starts.as_str()));
        Value::Array(
            found.skip(page.offset).take(page.limit).map(|(_, _, contact)| contact.clone()).collect(),
        )
    }
}
