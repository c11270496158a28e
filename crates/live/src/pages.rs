//! The pages' files, within the program: nothing is fetched from anywhere.

use axum::{
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse},
};

const JS: &str = "text/javascript; charset=utf-8";

/// The admin page.
pub async fn admin() -> Html<&'static str> {
    Html(include_str!("pages/admin.html"))
}

/// A run's page.
pub async fn run() -> Html<&'static str> {
    Html(include_str!("pages/run.html"))
}

/// How both look.
pub async fn css() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("pages/page.css"))
}

/// What both do.
pub async fn page_js() -> impl IntoResponse {
    ([(CONTENT_TYPE, JS)], include_str!("pages/page.js"))
}

/// What the admin page does.
pub async fn admin_js() -> impl IntoResponse {
    ([(CONTENT_TYPE, JS)], include_str!("pages/admin.js"))
}

/// What a run's page does.
pub async fn run_js() -> impl IntoResponse {
    ([(CONTENT_TYPE, JS)], include_str!("pages/run.js"))
}
