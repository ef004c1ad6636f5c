//! Error codes on the wire: each `SP-...` code as a gRPC status, and back.

use sp_types::ErrorCode;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Metadata key that carries the stable code.
pub const CODE_KEY: &str = "sp-code";

/// A status with the stable code in its metadata and the nearest gRPC code.
pub fn to_status(code: ErrorCode, message: impl Into<String>) -> Status {
    let mut status = Status::new(grpc_code(code), message);
    status.metadata_mut().insert(CODE_KEY, MetadataValue::from_static(code.as_str()));
    status
}

/// The stable code of a status; none when it comes from the transport or from a peer that is not ours.
pub fn code_of(status: &Status) -> Option<ErrorCode> {
    ErrorCode::from_text(status.metadata().get(CODE_KEY)?.to_str().ok()?)
}

/// The stable code of a status, or the one that fits its gRPC code best.
pub fn nearest_code(status: &Status) -> ErrorCode {
    code_of(status).unwrap_or(match status.code() {
        Code::InvalidArgument | Code::OutOfRange => ErrorCode::BadRequest,
        Code::NotFound => ErrorCode::NotFound,
        Code::FailedPrecondition | Code::AlreadyExists => ErrorCode::WrongState,
        Code::Unimplemented => ErrorCode::WrongProtocol,
        Code::Unavailable | Code::ResourceExhausted => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::TimedOut,
        Code::Cancelled | Code::Aborted => ErrorCode::Cancelled,
        _ => ErrorCode::Internal,
    })
}

/// What a status says, for people: `SP-...: message`, or the gRPC code where there is no stable one.
pub fn message_of(status: &Status) -> String {
    match code_of(status) {
        Some(code) => format!("{code}: {}", status.message()),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::BadRequest | ErrorCode::PieceTooLarge | ErrorCode::EmptyPiece => Code::InvalidArgument,
        ErrorCode::UnknownSector | ErrorCode::NotFound | ErrorCode::FileMissing => Code::NotFound,
        ErrorCode::WrongState
        | ErrorCode::WrongCluster
        | ErrorCode::WrongProtocol
        | ErrorCode::AttemptEnded
        | ErrorCode::BadParameters => Code::FailedPrecondition,
        ErrorCode::BadTicket => Code::PermissionDenied,
        ErrorCode::DigestMismatch | ErrorCode::InvalidProof => Code::DataLoss,
        ErrorCode::Locked => Code::Aborted,
        ErrorCode::NoSpace => Code::ResourceExhausted,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::TimedOut => Code::DeadlineExceeded,
        ErrorCode::Cancelled => Code::Cancelled,
        ErrorCode::ExecutorFailed | ErrorCode::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in ErrorCode::ALL {
            let status = to_status(*code, "why");
            assert_eq!(code_of(&status), Some(*code));
            assert_eq!(message_of(&status), format!("{code}: why"));
        }
        assert_eq!(code_of(&Status::unavailable("x")), None);
        assert_eq!(nearest_code(&Status::unavailable("x")), ErrorCode::Unavailable);
        assert_eq!(message_of(&Status::unavailable("x")), "Unavailable: x");
    }
}
