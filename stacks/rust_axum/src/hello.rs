//! The greetings.

use axum::{
    extract::{Form, Query, rejection::FormRejection},
    http::StatusCode,
    response::Html,
};

use crate::{parameters::Pairs, refusal::Refusal};

/// `Form` of a GET is its query; of a POST its body.
type MaybeForm = Result<Form<Pairs>, FormRejection>;

pub async fn text(Query(query): Query<Pairs>, form: MaybeForm) -> Result<String, Refusal> {
    Ok(format!("Hello {}!", name(query, form)?))
}

pub async fn html(Query(query): Query<Pairs>, form: MaybeForm) -> Result<Html<String>, Refusal> {
    Ok(Html(format!("<blink>Hello {}!</blink>", escape(&name(query, form)?))))
}

/// The name in the query, else in the form, else World. No form is no fault.
fn name(query: Pairs, form: MaybeForm) -> Result<String, Refusal> {
    let form = match form {
        Ok(Form(form)) => form,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Refusal::Body(rejection.status(), rejection.body_text()));
        }
        Err(_) => Pairs::new(),
    };
    let mut pairs = query.into_iter().chain(form);
    let named = pairs.find(|(name, value)| name == "name" && !value.is_empty());
    Ok(named.map_or_else(|| "World".to_owned(), |(_, value)| value))
}

/// Entities as the contract (and Python's `html.escape`) spells them.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#x27;")
}
