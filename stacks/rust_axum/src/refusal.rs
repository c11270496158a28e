//! Answers with a status and a `detail`.

use axum::{
    Json,
    extract::rejection::{BytesRejection, PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use deadpool_postgres::PoolError;
use serde_json::json;

use crate::pool::with_causes;

/// Why a request isn't answered as asked.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// A parameter or a body that the contract refuses.
    Invalid(String),
    /// Something that isn't there.
    NotFound(String),
    /// A method that its path doesn't have.
    WrongMethod,
    /// The body couldn't be taken, mostly because it is too long.
    Body(StatusCode, String),
    /// A fault of the app or its database, which is logged and not told.
    Fault(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Invalid(detail) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, detail),
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "this method isn't allowed here".to_owned())
            }
            Self::Body(status, detail) => (status, detail),
            Self::Fault(why) => {
                eprintln!("{why}");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned())
            }
        };
        (status, Json(json!({ "detail": detail }))).into_response()
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Fault(with_causes(&error))
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        Self::Fault(with_causes(&error))
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        Self::Body(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}
