//! How a command fails: the exit code, the cause, and one hint what to do next.

use std::fmt::Display;
use std::process::ExitCode;

use sp_types::ErrorCode;
use tonic::Code;

use crate::output;

/// Metadata key under which services send their stable error code.
const CODE_KEY: &str = "sp-code";

/// Exit codes, the same for every verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    NotFound,
    Unavailable,
    /// The code of a program that was run instead, or of a signal; nothing more is said.
    Silent(u8),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unavailable => 4,
            Self::Silent(code) => code,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) exit: Exit,
    pub(crate) cause: anyhow::Error,
    hint: Option<String>,
    /// The stable code, when a service gave one.
    pub(crate) code: Option<ErrorCode>,
}

impl CommandError {
    /// From a text or an error.
    pub(crate) fn new(exit: Exit, cause: impl IntoCause) -> Self {
        Self { exit, cause: cause.into_cause(), hint: None, code: None }
    }

    /// Failed, for a reason in words.
    pub(crate) fn failed(cause: impl IntoCause) -> Self {
        Self::new(Exit::Failed, cause)
    }

    /// The reader of our output has gone: that is no failure.
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(Exit::Silent(code), "")
    }

    /// From the `Failure` that a service put into a reply.
    pub(crate) fn from_failure(failure: sp_proto::v1::Failure) -> Self {
        let code = ErrorCode::from_text(&failure.code);
        let text = format!("{} ({})", failure.message, failure.code);
        Self { exit: exit_of(code, Code::Unknown), cause: anyhow::anyhow!(text), hint: None, code }
    }

    /// Says what to do next; the first hint given stays.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Says what was being done.
    pub(crate) fn context(mut self, doing: impl Display + Send + Sync + 'static) -> Self {
        self.cause = self.cause.context(doing);
        self
    }

    /// Is it worth asking again in a moment?
    pub(crate) fn may_pass(&self) -> bool {
        self.exit == Exit::Unavailable
    }

    /// The causes on one line.
    pub(crate) fn line(&self) -> String {
        format!("{:#}", self.cause)
    }

    /// Prints cause and hint to standard error; gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self.exit, Exit::Silent(_)) {
            output::note(&format!("error: {}", self.line()));
            if let Some(hint) = self.advice() {
                output::note(&format!("hint: {hint}"));
            }
        }
        ExitCode::from(self.exit.code())
    }

    /// What to do next, if anything is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| self.default_hint())
    }

    fn default_hint(&self) -> Option<&'static str> {
        match self.code {
            Some(ErrorCode::UnknownSector) => Some("`sp-ctl sectors list` shows the sectors there are"),
            Some(ErrorCode::NotFound) => {
                Some("`sp-ctl workers`, `sealing jobs` and `proving deadlines --all` list ids")
            }
            Some(ErrorCode::WrongState) => {
                Some("`sp-ctl sectors status N --log` shows where the sector stands and why")
            }
            Some(ErrorCode::BadParameters) => Some("`sp-ctl params check` names the missing or damaged files"),
            Some(ErrorCode::NoSpace) => Some("`sp-ctl storage list` shows how full the paths are"),
            Some(ErrorCode::Unavailable | ErrorCode::TimedOut) => {
                Some("`sp-ctl workers` and `sp-ctl sealing jobs --reasons` show who is missing")
            }
            _ if self.exit == Exit::Unavailable => Some("is the service up? its log says more; then try again"),
            _ => None,
        }
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(cause: anyhow::Error) -> Self {
        Self::failed(cause)
    }
}

impl From<tonic::Status> for CommandError {
    fn from(status: tonic::Status) -> Self {
        let text = status.metadata().get(CODE_KEY).and_then(|value| value.to_str().ok());
        let code = text.and_then(ErrorCode::from_text);
        let message = match (status.message(), text) {
            ("", _) => status.code().description().to_lowercase(),
            (message, Some(text)) if !message.contains(text) => format!("{message} ({text})"),
            (message, _) => message.to_owned(),
        };
        Self { exit: exit_of(code, status.code()), cause: anyhow::anyhow!(message), hint: None, code }
    }
}

fn exit_of(code: Option<ErrorCode>, status: Code) -> Exit {
    match (code, status) {
        (Some(ErrorCode::UnknownSector | ErrorCode::NotFound), _) => Exit::NotFound,
        (Some(ErrorCode::Unavailable | ErrorCode::TimedOut), _) => Exit::Unavailable,
        (Some(ErrorCode::BadRequest), _) => Exit::Usage,
        (Some(_), _) => Exit::Failed,
        (None, Code::NotFound) => Exit::NotFound,
        // Our own limit of a call ends it as cancelled or as past its deadline.
        (None, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => Exit::Unavailable,
        (None, Code::InvalidArgument) => Exit::Usage,
        (None, _) => Exit::Failed,
    }
}

/// What can be the cause of a failure: a text or an error.
pub(crate) trait IntoCause {
    fn into_cause(self) -> anyhow::Error;
}

impl IntoCause for &str {
    fn into_cause(self) -> anyhow::Error {
        anyhow::Error::msg(self.to_owned())
    }
}

impl IntoCause for String {
    fn into_cause(self) -> anyhow::Error {
        anyhow::Error::msg(self)
    }
}

impl IntoCause for anyhow::Error {
    fn into_cause(self) -> anyhow::Error {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    #[test]
    fn the_stable_code_decides_over_the_grpc_code() {
        let mut status = tonic::Status::failed_precondition("sector 9 does not exist");
        status.metadata_mut().insert(CODE_KEY, MetadataValue::from_static("SP-UNKNOWN-SECTOR"));
        let error = CommandError::from(status);
        assert_eq!(error.exit, Exit::NotFound);
        assert_eq!(error.line(), "sector 9 does not exist (SP-UNKNOWN-SECTOR)");
        assert!(error.default_hint().is_some());
    }

    #[test]
    fn without_a_stable_code_the_grpc_code_decides() {
        for (status, exit) in [
            (tonic::Status::not_found("x"), Exit::NotFound),
            (tonic::Status::unavailable("x"), Exit::Unavailable),
            (tonic::Status::deadline_exceeded(""), Exit::Unavailable),
            (tonic::Status::invalid_argument("x"), Exit::Usage),
            (tonic::Status::internal("x"), Exit::Failed),
        ] {
            assert_eq!(CommandError::from(status).exit, exit);
        }
    }
}
