//! Why an attempt, or a request to the data plane, did not work: a stable code and a text for people.

use sp_net::status;
use sp_proto::convert::WireError;
use sp_proto::v1;
use sp_sectors::{ManifestError, ReceiveError, StoreError};
use sp_types::ErrorCode;
use tonic::Status;

use crate::executor::ExecError;

/// A failure on its way to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorCode::Cancelled, "cancelled")
    }

    /// Says what was being done.
    pub(crate) fn while_doing(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub(crate) fn to_wire(&self) -> v1::Failure {
        v1::Failure { code: self.code.as_str().to_owned(), message: self.message.clone() }
    }

    pub(crate) fn from_wire(wire: &v1::Failure) -> Self {
        let code = ErrorCode::from_text(&wire.code).unwrap_or(ErrorCode::Internal);
        Self { code, message: wire.message.clone() }
    }

    pub(crate) fn to_status(&self) -> Status {
        status::to_status(self.code, self.message.clone())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::new(ErrorCode::BadRequest, error.to_string())
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        Self::from_wire(&error.to_failure())
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        Self::new(status::nearest_code(status), status.message())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        use std::io::ErrorKind;
        let code = match &error {
            StoreError::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
                ErrorKind::NotFound => ErrorCode::FileMissing,
                ErrorKind::TimedOut => ErrorCode::Unavailable,
                _ => ErrorCode::Internal,
            },
            StoreError::Missing { .. }
            | StoreError::OtherRoot { .. }
            | StoreError::NoSuchFile { .. }
            | StoreError::NotHeld { .. } => ErrorCode::FileMissing,
            StoreError::BadOffset(_)
            | StoreError::AlreadyStore(_)
            | StoreError::NotAStore(_)
            | StoreError::Filtered { .. }
            | StoreError::OfAnother { .. }
            | StoreError::ReadOnly => ErrorCode::BadRequest,
            StoreError::Manifest(ManifestError::Differs { .. } | ManifestError::Root { .. }) => {
                ErrorCode::DigestMismatch
            }
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::from(StoreError::from(error))
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Store(error) => error.into(),
            // Whatever else is wrong with a chunk: the sender does not have the bytes that the manifest names.
            other => Self::new(ErrorCode::DigestMismatch, other.to_string()),
        }
    }
}
