//! What a request may ask for.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A query or a form, in its order, with what is repeated.
pub type Pairs = Vec<(String, String)>;

/// A page of contacts.
#[derive(Debug, PartialEq)]
pub struct Page {
    pub limit: i64,
    pub offset: i64,
    pub starts: String,
}

impl Page {
    /// Reads it from a query.
    pub fn read(query: &Pairs) -> Result<Self, Refusal> {
        let starts = single(query, "starts", "")?;
        if starts.contains('\0') {
            return Err(Refusal::Invalid("starts must not contain NUL".to_owned()));
        }
        Ok(Self {
            limit: integer("limit", single(query, "limit", "100")?, 1, 200)?,
            offset: integer("offset", single(query, "offset", "0")?, 0, i64::MAX)?,
            starts: starts.to_owned(),
        })
    }

    /// The prefix as a LIKE pattern in which nothing is a wildcard but the end.
    pub fn like(&self) -> String {
        let literal = self.starts.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        literal + "%"
    }
}

fn single<'a>(query: &'a Pairs, name: &str, otherwise: &'a str) -> Result<&'a str, Refusal> {
    let mut values = query.iter().filter(|pair| pair.0 == name);
    match (values.next(), values.next()) {
        (None, _) => Ok(otherwise),
        (Some((_, value)), None) => Ok(value),
        _ => Err(Refusal::Invalid(format!("{name} is given more than once"))),
    }
}

/// A whole number in ASCII digits.
pub fn integer(name: &str, text: &str, low: i64, high: i64) -> Result<i64, Refusal> {
    match text.parse() {
        Ok(number) if (low..=high).contains(&number) && !text.starts_with('+') => Ok(number),
        _ => Err(Refusal::Invalid(format!("{name} must be a whole number from {low} to {high}"))),
    }
}

/// A contact's number. One that no row can have isn't found rather than invalid.
pub fn contact_id(text: &str) -> Result<i32, Refusal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Invalid("contact_id must be a whole number".to_owned()));
    }
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| no_contact(text))
}

/// The contact isn't there.
pub fn no_contact(number: impl std::fmt::Display) -> Refusal {
    Refusal::NotFound(format!("no contact {number}"))
}

/// A contact to store.
#[derive(Debug, PartialEq)]
pub struct NewContact {
    pub first_name: String,
    pub last_name: String,
    pub type_id: i32,
    pub phones: Vec<String>,
    pub emails: Vec<String>,
}

impl NewContact {
    /// Reads it from a request's body. A derived `Deserialize` would take a list for the object, and refuse a name that is
    /// given twice, which other stacks take.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let document: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Refusal::Invalid(format!("the body isn't a JSON object: {error}")))?;
        let type_id = document.get("type_id").and_then(Value::as_i64).filter(|&number| number > 0);
        let type_id = type_id.and_then(|number| i32::try_from(number).ok());
        Ok(Self {
            first_name: text("first_name", document.get("first_name"), 100)?,
            last_name: text("last_name", document.get("last_name"), 100)?,
            type_id: type_id
                .ok_or_else(|| Refusal::Invalid("type_id must be the number of a contact type".to_owned()))?,
            phones: texts("phones", document.get("phones"), 30)?,
            emails: texts("emails", document.get("emails"), 256)?,
        })
    }
}

fn text(name: &str, value: Option<&Value>, longest: usize) -> Result<String, Refusal> {
    let fits = |text: &&str| (1..=longest).contains(&text.chars().count()) && !text.contains('\0');
    value.and_then(Value::as_str).filter(fits).map(str::to_owned).ok_or_else(|| {
        Refusal::Invalid(format!("{name} must be text of 1 to {longest} characters without NUL"))
    })
}

fn texts(name: &str, values: Option<&Value>, longest: usize) -> Result<Vec<String>, Refusal> {
    match values {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(|value| text(name, Some(value), longest)).collect(),
        Some(_) => Err(Refusal::Invalid(format!("{name} must be a list"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(pairs: &[(&str, &str)]) -> Result<Page, Refusal> {
        Page::read(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn pages_that_are_taken() {
        for (pairs, limit, offset, starts) in [
            (&[][..], 100, 0, ""),
            (&[("limit", "200"), ("offset", "7"), ("starts", "Sm"), ("other", "1")], 200, 7, "Sm"),
            (&[("offset", "9223372036854775807"), ("starts", "")], 100, i64::MAX, ""),
        ] {
            assert_eq!(page(pairs), Ok(Page { limit, offset, starts: starts.to_owned() }));
        }
    }

    #[test]
    fn pages_that_are_refused() {
        for (name, value) in [
            ("limit", "0"),
            ("limit", "201"),
            ("limit", "-1"),
            ("limit", "x"),
            ("limit", ""),
            ("limit", "+5"),
            ("limit", " 5"),
            ("limit", "1.0"),
            ("limit", "1_0"),
            ("limit", "١"),
            ("offset", "-1"),
            ("offset", "9223372036854775808"),
            ("offset", "99999999999999999999"),
            ("starts", "a\0b"),
        ] {
            assert!(matches!(page(&[(name, value)]), Err(Refusal::Invalid(_))), "{name}={value}");
        }
        assert!(matches!(page(&[("limit", "1"), ("limit", "1")]), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn the_prefix_is_literal() {
        for (starts, like) in [
            ("", "%"),
            ("ab", "ab%"),
            ("100%", r"100\%%"),
            ("a_b", r"a\_b%"),
            (r"\", r"\\%"),
            ("D'A", "D'A%"),
        ] {
            assert_eq!(Page { limit: 1, offset: 0, starts: starts.to_owned() }.like(), like);
        }
    }

    #[test]
    fn contact_numbers() {
        assert_eq!(contact_id("1"), Ok(1));
        assert_eq!(contact_id("2147483647"), Ok(i32::MAX));
        for text in ["0", "-1", "2147483648", "99999999999999999999999", "-99999999999999999999999"] {
            assert_eq!(contact_id(text), Err(no_contact(text)));
        }
        for text in ["seven", "+1", "1.0", " 1", "", "-", "--1"] {
            assert!(matches!(contact_id(text), Err(Refusal::Invalid(_))), "{text}");
        }
    }

    fn with(more: &str) -> String {
        format!(r#"{{"first_name": "A", "last_name": "B", {more}}}"#)
    }

    #[test]
    fn contacts_that_are_taken() {
        let body = r#"{"first_name": "静香", "last_name": "O'Brien \ud83d\udc19", "type_id": 3,
            "phones": ["+1 2", "+3 4"], "emails": ["a@example.org"], "more": null}"#;
        let expected = NewContact {
            first_name: "静香".to_owned(),
            last_name: "O'Brien 🐙".to_owned(),
            type_id: 3,
            phones: vec!["+1 2".to_owned(), "+3 4".to_owned()],
            emails: vec!["a@example.org".to_owned()],
        };
        assert_eq!(NewContact::read(body.as_bytes()), Ok(expected));
        let longest = "静".repeat(100);
        let twice = with(&format!(r#""first_name": "{longest}", "type_id": 2"#));
        assert_eq!(NewContact::read(twice.as_bytes()).unwrap().first_name, longest);
    }

    #[test]
    fn contacts_that_are_refused() {
        let first = |name: &str| format!(r#"{{"first_name": {name}, "last_name": "B", "type_id": 2}}"#);
        let mut bodies: Vec<Vec<u8>> = vec![
            b"{\"first_name\": \"\xff\", \"last_name\": \"B\", \"type_id\": 2}".to_vec(),
            "[".repeat(1 << 16).into_bytes(),
        ];
        for body in ["", "[]", "null", "{", "{}", r#"["A", "B", 2]"#, &(with(r#""type_id": 2"#) + "x")] {
            bodies.push(body.into());
        }
        let long = format!("\"{}\"", "静".repeat(101));
        for name in ["\"\"", "7", "null", r#""\u0000""#, r#""\ud800""#, r#""\udc19\ud83d""#, &long] {
            bodies.push(first(name).into_bytes());
        }
        for more in [
            r#""type_id": 0"#,
            r#""type_id": -1"#,
            r#""type_id": "2""#,
            r#""type_id": null"#,
            r#""type_id": true"#,
            r#""type_id": 2.0"#,
            r#""type_id": 2147483648"#,
            r#""type_id": 99999999999999999999"#,
            r#""type_id": 2, "phones": "1""#,
            r#""type_id": 2, "phones": null"#,
            r#""type_id": 2, "phones": ["1", ""]"#,
            r#""type_id": 2, "phones": [1]"#,
            r#""type_id": 2, "phones": ["1234567890123456789012345678901"]"#,
            r#""type_id": 2, "emails": {}"#,
        ] {
            bodies.push(with(more).into_bytes());
        }
        for body in bodies {
            let read = NewContact::read(&body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
            assert!(matches!(read, Err(Refusal::Invalid(_))), "{shown}: {read:?}");
        }
    }
}
