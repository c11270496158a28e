//! The routes, and the operations that need the database.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{StatusCode, Uri},
    routing::get,
};
use deadpool_postgres::Pool;

use crate::{
    about, fibonacci, hello,
    parameters::{self, NewContact, Page, Pairs},
    refusal::Refusal,
    store::{self, Contact, ContactType},
};

/// Far more than any contact needs, in bytes.
const LONGEST_BODY: usize = 1 << 20;

pub fn routes(pool: Pool) -> Router {
    Router::new()
        .route("/v1/hello", get(hello::text).post(hello::text))
        .route("/v2/hello", get(hello::html).post(hello::html))
        .route("/heartbeat", get(about::heartbeat))
        .route("/about", get(about::about))
        .route("/version", get(about::version))
        .route("/types", get(types))
        .route("/contacts", axum::routing::post(contact_create))
        .route("/contacts/for", get(contacts_for))
        .route("/contacts/fetch", get(contacts_fetch))
        .route("/contacts/{contact_id}", get(contact))
        .route("/fibonacci/{n}", get(fibonacci::answer))
        .fallback(async |uri: Uri| Refusal::NotFound(format!("nothing is at {}", uri.path())))
        .method_not_allowed_fallback(async || Refusal::WrongMethod)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(pool)
}

async fn types(State(pool): State<Pool>) -> Result<Json<Vec<ContactType>>, Refusal> {
    Ok(Json(store::types(&pool.get().await?).await?))
}

async fn contacts_for(
    State(pool): State<Pool>,
    Query(query): Query<Pairs>,
) -> Result<Json<Vec<Contact>>, Refusal> {
    let page = Page::read(&query)?;
    Ok(Json(store::iterate(&mut pool.get().await?, &page).await?))
}

async fn contacts_fetch(
    State(pool): State<Pool>,
    Query(query): Query<Pairs>,
) -> Result<Json<Vec<Contact>>, Refusal> {
    let page = Page::read(&query)?;
    Ok(Json(store::fetch(&pool.get().await?, &page).await?))
}

async fn contact(
    State(pool): State<Pool>,
    contact_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Contact>, Refusal> {
    let contact_id = parameters::contact_id(&contact_id?)?;
    Ok(Json(store::find(&pool.get().await?, contact_id).await?))
}

async fn contact_create(
    State(pool): State<Pool>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Contact>), Refusal> {
    let new = NewContact::read(&body?)?;
    Ok((StatusCode::CREATED, Json(store::store(&mut pool.get().await?, &new).await?)))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::{Request, Response, header},
    };
    use deadpool_postgres::{Manager, tokio_postgres::NoTls};
    use tower::ServiceExt;

    use super::*;

    /// Asks an operation that needs no database: the pool opens nothing until it is asked.
    async fn ask(method: &str, target: &str, body: String) -> Response<Body> {
        let manager = Manager::new("host=127.0.0.1 port=1".parse().unwrap(), NoTls);
        let pool = Pool::builder(manager).max_size(1).build().unwrap();
        let mut request = Request::builder().method(method).uri(target);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        routes(pool).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
    }

    async fn told(answer: Response<Body>) -> String {
        String::from_utf8(to_bytes(answer.into_body(), LONGEST_BODY).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn greetings() {
        for (method, target, form, expected) in [
            ("GET", "/v1/hello", "", "Hello World!"),
            ("GET", "/v1/hello?name=Zo%C3%AB%20%F0%9F%90%99", "", "Hello Zoë 🐙!"),
            ("POST", "/v1/hello", "name=%E9%9D%99%E9%A6%99", "Hello 静香!"),
            ("POST", "/v1/hello?name=query", "name=form", "Hello query!"),
            ("POST", "/v1/hello?name=", "name=form", "Hello form!"),
            ("POST", "/v1/hello", "", "Hello World!"),
            (
                "GET",
                "/v2/hello?name=%3Cb%20a%3D%27%22%27%3E%26",
                "",
                "<blink>Hello &lt;b a=&#x27;&quot;&#x27;&gt;&amp;!</blink>",
            ),
        ] {
            let answer = ask(method, target, form.to_owned()).await;
            let kind = if target.starts_with("/v1") { "text/plain" } else { "text/html" };
            assert_eq!(answer.headers()[header::CONTENT_TYPE], format!("{kind}; charset=utf-8"));
            assert_eq!(told(answer).await, expected);
        }
    }

    #[tokio::test]
    async fn refusals_have_a_detail() {
        let long = "x".repeat(LONGEST_BODY + 1);
        for (method, target, body, status) in [
            ("GET", "/no/such/path", "", 404),
            ("GET", "/contacts/", "", 404),
            ("GET", "/contacts/99999999999999", "", 404),
            ("DELETE", "/types", "", 405),
            ("GET", "/contacts", "", 405),
            ("POST", "/contacts/for", "", 405),
            ("GET", "/fibonacci/35", "", 422),
            ("GET", "/fibonacci/-1", "", 422),
            ("GET", "/contacts/for?limit=0", "", 422),
            ("GET", "/contacts/seven", "", 422),
            ("GET", "/contacts/%FF", "", 422),
            ("POST", "/contacts", "{}", 422),
            ("POST", "/contacts", &long, 413),
            ("POST", "/v1/hello", &long, 413),
        ] {
            let answer = ask(method, target, body.to_owned()).await;
            assert_eq!(answer.status(), status, "{method} {target}");
            assert_eq!(answer.headers().contains_key(header::ALLOW), status == 405, "{method} {target}");
            let words = told(answer).await;
            assert!(words.starts_with("{\"detail\":\""), "{method} {target}: {words}");
        }
    }

    #[tokio::test]
    async fn faults_of_the_database_are_not_told_to_the_client() {
        let answer = ask("GET", "/types", String::new()).await;
        assert_eq!((answer.status().as_u16(), told(answer).await.contains("127.0.0.1")), (500, false));
        assert_eq!(ask("GET", "/heartbeat", String::new()).await.status(), 503);
    }
}
