//! What a stage may fail with: the stage, the cause as text, and a stable code.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sp_types::{ErrorCode, SectorSize};

/// Why a stage did not do its work. Nothing that it was asked to write counts then.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The request makes no sense as it stands; trying it again changes nothing.
    #[error("{stage}: {message}")]
    BadInput {
        /// Short name of the stage.
        stage: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The piece does not fit into the sector.
    #[error("{stage}: {message}")]
    PieceTooLarge {
        /// Short name of the stage.
        stage: &'static str,
        /// Which size does not fit into which room.
        message: String,
    },
    /// The piece holds no data.
    #[error("{stage}: the piece is empty; give at least one byte of data")]
    EmptyPiece {
        /// Short name of the stage.
        stage: &'static str,
    },
    /// A proof parameter file is missing or damaged.
    #[error("{stage}: parameter file {} {problem}; {}", file.display(), remedy(file, *size))]
    Parameters {
        /// Short name of the stage.
        stage: &'static str,
        /// The file.
        file: PathBuf,
        /// Sector size that the file belongs to.
        size: SectorSize,
        /// What is wrong with it: `is missing`, `has 12 bytes, too few for its header`.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{stage}: {}: {source}", path.display())]
    Io {
        /// Short name of the stage.
        stage: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sector file does not hold what its commitment promises.
    #[error("{stage}: {message}")]
    Corrupt {
        /// Short name of the stage.
        stage: &'static str,
        /// Which file, and what was expected.
        message: String,
    },
    /// Upstream's library refused or panicked.
    #[error("{stage}: {message}")]
    Upstream {
        /// Short name of the stage.
        stage: &'static str,
        /// Upstream's chain of causes.
        message: String,
    },
}

impl StageError {
    /// The stable code that goes over the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BadInput { .. } => ErrorCode::BadRequest,
            Self::PieceTooLarge { .. } => ErrorCode::PieceTooLarge,
            Self::EmptyPiece { .. } => ErrorCode::EmptyPiece,
            Self::Parameters { .. } => ErrorCode::BadParameters,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorCode::FileMissing,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
                _ => ErrorCode::Internal,
            },
            Self::Corrupt { .. } => ErrorCode::DigestMismatch,
            Self::Upstream { .. } => ErrorCode::ExecutorFailed,
        }
    }

    pub(super) fn bad_input(stage: &'static str, message: impl Into<String>) -> Self {
        Self::BadInput { stage, message: message.into() }
    }

    pub(super) fn corrupt(stage: &'static str, message: impl Into<String>) -> Self {
        Self::Corrupt { stage, message: message.into() }
    }

    pub(super) fn upstream(stage: &'static str, message: impl Into<String>) -> Self {
        Self::Upstream { stage, message: message.into() }
    }

    /// For `map_err` on calls of `std::fs`.
    pub(super) fn io(stage: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { stage, path, source }
    }
}

/// Runs upstream code of `stage`: its errors and its panics become [`StageError::Upstream`].
///
/// Upstream indexes and unwraps on damaged files; a damaged file must cost one attempt, never the process.
/// Unwind safety: callers drop everything the closure touched when it fails, and upstream's process-wide caches
/// hold only finished values.
pub(super) fn guard<T>(stage: &'static str, work: impl FnOnce() -> anyhow::Result<T>) -> Result<T, StageError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StageError::upstream(stage, format!("{error:#}"))),
        Err(panic) => Err(StageError::upstream(stage, format!("upstream panicked: {}", panic_text(panic.as_ref())))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let fixed = panic.downcast_ref::<&str>().copied();
    fixed.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// How to get a parameter file: the key that aggregates are made under is one that cannot be generated.
fn remedy(file: &Path, size: SectorSize) -> String {
    if file.extension().is_some_and(|extension| extension == "srs") {
        return "put the published file there; `sp-ctl params generate` makes none of this kind".to_owned();
    }
    format!("run `sp-ctl params generate --sector-size {size}` (development sizes) or put the published file there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_become_upstream_errors() {
        let panicked = guard::<()>("PC1", || panic!("index {} out of bounds", 3)).unwrap_err();
        assert_eq!(panicked.to_string(), "PC1: upstream panicked: index 3 out of bounds");
        assert_eq!(panicked.code(), ErrorCode::ExecutorFailed);
        let refused = guard::<()>("PC1", || Err(anyhow::anyhow!("inner").context("outer"))).unwrap_err();
        assert_eq!(refused.to_string(), "PC1: outer: inner");
    }

    #[test]
    fn missing_files_and_full_disks_have_their_own_codes() {
        let of = |kind: io::ErrorKind| StageError::io("AP", Path::new("f"))(kind.into()).code();
        assert_eq!(of(io::ErrorKind::NotFound), ErrorCode::FileMissing);
        assert_eq!(of(io::ErrorKind::StorageFull), ErrorCode::NoSpace);
        assert_eq!(of(io::ErrorKind::PermissionDenied), ErrorCode::Internal);
    }

    #[test]
    fn missing_parameters_say_what_to_run() {
        let file = PathBuf::from("v28-x.params");
        let problem = "is missing".to_owned();
        let text = StageError::Parameters { stage: "C2", file, size: SectorSize::KiB2, problem }.to_string();
        assert!(text.contains("v28-x.params is missing; run `sp-ctl params generate --sector-size 2KiB`"), "{text}");
    }

    #[test]
    fn a_missing_aggregation_key_is_not_said_to_be_generated() {
        let (file, problem) = (PathBuf::from("v28-fil-inner-product-v1.srs"), "is missing".to_owned());
        let text = StageError::Parameters { stage: "C2", file, size: SectorSize::KiB2, problem }.to_string();
        assert!(text.contains(".srs is missing; put the published file there"), "{text}");
    }
}
