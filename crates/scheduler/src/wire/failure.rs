//! Failures with their stable codes.

use sp_proto::v1;
use sp_sched_core::event::Failure;
use sp_types::ErrorCode;

/// A failure from the wire. A code that this build does not know keeps its text and counts as internal.
pub(crate) fn failure(message: v1::Failure) -> Failure {
    let v1::Failure { code, message } = message;
    match ErrorCode::from_text(&code) {
        Some(code) => Failure { code, message },
        None => Failure { code: ErrorCode::Internal, message: format!("{code}: {message}") },
    }
}

/// A failure for the wire.
pub(crate) fn failure_message(code: ErrorCode, message: impl Into<String>) -> v1::Failure {
    v1::Failure { code: code.as_str().to_owned(), message: message.into() }
}
