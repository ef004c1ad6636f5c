//! What can go wrong with a fetch: what ends it, and what only costs a try.

use std::path::PathBuf;

use sp_types::ByteSize;

use super::super::error::ParamsError;
use super::source::BadSource;

/// Why parameters could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The directory is the one for development parameters.
    #[error(
        "{dir} is for development parameters; name a directory for published ones, with --dir DIR (--parameters DIR of a \
         worker) or FIL_PROOFS_PARAMETER_CACHE=DIR"
    )]
    Development {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds parameters whose proofs can be forged.
    #[error(
        "{dir} holds INSECURE parameters ({found}), and published ones are not mixed with them; choose another directory with \
         --dir DIR (--parameters DIR of a worker) or FIL_PROOFS_PARAMETER_CACHE=DIR"
    )]
    Insecure {
        /// The directory.
        dir: PathBuf,
        /// The marker, or a file that is not a published one.
        found: String,
    },
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] BadSource),
    /// This machine trusts no certificate.
    #[error(
        "this machine trusts no certificates, so nothing can be fetched by https ({why}); install the package \
         ca-certificates, or name a file of them with SSL_CERT_FILE=FILE"
    )]
    NoTrust {
        /// What was found.
        why: String,
    },
    /// The source did not give the file, however often it was asked.
    #[error(
        "cannot fetch {label} from {from}: {last} ({tries} tries in a row brought nothing). {kept}; run it again, or \
         name another source: `sp-ctl params fetch --from DIR|URL`, or a gateway with IPFS_GATEWAY=URL"
    )]
    GaveUp {
        /// The file.
        label: String,
        /// Its URL or path.
        from: String,
        /// What the last try came to.
        last: String,
        /// How many tries in a row.
        tries: u32,
        /// What becomes of the bytes that have come.
        kept: String,
    },
    /// The source has something else under this name.
    #[error(
        "what {from} gives for {label} is not the published file: {found}. Nothing of it is kept; name another source: \
         `sp-ctl params fetch --from DIR|URL`, or a gateway with IPFS_GATEWAY=URL"
    )]
    Wrong {
        /// The file.
        label: String,
        /// Its URL or path.
        from: String,
        /// What tells.
        found: String,
    },
    /// The disk is too small.
    #[error(
        "{dir} has room for {free} more, but {label} needs {need}; make room, or choose another directory with --dir DIR \
         (--parameters DIR of a worker)"
    )]
    NoSpace {
        /// The directory.
        dir: PathBuf,
        /// The file.
        label: String,
        /// What is missing of the file.
        need: ByteSize,
        /// What is free.
        free: ByteSize,
    },
    /// The files here could not be read, written or believed.
    #[error(transparent)]
    Files(#[from] ParamsError),
}

/// What one try came to, if not to the whole file.
#[derive(Debug)]
pub(super) enum Setback {
    /// The way there is broken, or the source has no time: what has come counts.
    Broken(String),
    /// The source says that it does not have it, or does not give it.
    Refused(String),
    /// What it gives cannot be the file: what has come counts for nothing.
    Nonsense(String),
    /// No try can help.
    Fatal(FetchError),
}

impl From<ParamsError> for Setback {
    fn from(error: ParamsError) -> Self {
        Self::Fatal(error.into())
    }
}

impl Setback {
    /// From a status of HTTP.
    pub(super) fn of_status(status: u16) -> Self {
        let what = format!("it answers with status {status}");
        match status {
            // Too slow, too early, too many: said of the moment and not of the file.
            408 | 425 | 429 | 500.. => Self::Broken(what),
            416 => Self::Nonsense(format!("{what}, as if it were shorter than what has come of it already")),
            _ => Self::Refused(what),
        }
    }
}
