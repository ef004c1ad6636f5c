//! What can go wrong with parameters; every text names the file and says what to do next.

use std::io;
use std::path::{Path, PathBuf};

use sp_types::SectorSize;

use super::Kind;

/// Where published files go. Never to development ones: every network but `dev` refuses a directory that holds any.
const OWN_DIRECTORY: &str = "DIR must hold no development parameters, and is named with --parameters DIR or \
                             FIL_PROOFS_PARAMETER_CACHE=DIR";

/// Why parameters could not be made, found or believed.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// Neither `FIL_PROOFS_PARAMETER_CACHE` nor `XDG_CACHE_HOME` nor `HOME` says where parameters are.
    #[error("no directory for parameters: set FIL_PROOFS_PARAMETER_CACHE or HOME, or name one with --dir")]
    NoDirectory,
    /// The circuit is too large to generate here.
    #[error(
        "{kind} parameters for {size} sectors cannot be generated here ({why}); fetch the published files {stem}.params and \
         {stem}.vk with `{}`: {OWN_DIRECTORY}",
        fetch_command(*kind, *size)
    )]
    CannotGenerate {
        /// What was asked for.
        kind: Kind,
        /// For which sectors.
        size: SectorSize,
        /// The reason.
        why: String,
        /// Name of the published files, without extension.
        stem: String,
    },
    /// The directory holds parameters that did not come from here.
    #[error(
        "{dir} holds parameters that are not development ones (found {found}); insecure development parameters are not mixed with \
         them, choose another directory with --dir"
    )]
    ForeignFiles {
        /// The directory.
        dir: PathBuf,
        /// One of the files.
        found: String,
    },
    /// Another process has been making or fetching the same files for too long.
    #[error(
        "another process holds {lock} since {waited_s} s and is still at work; end it or wait for it, then try again"
    )]
    Busy {
        /// The lock file.
        lock: PathBuf,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// A file is not there.
    #[error("parameter file {path} is missing; {remedy}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A file is there, but cut short or not what it should be.
    #[error("parameter file {path} is damaged: {problem}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Upstream's circuit could not be synthesised.
    #[error("upstream's {kind} circuit for {size} sectors cannot be synthesised: {source}")]
    Circuit {
        /// Which circuit.
        kind: Kind,
        /// For which sectors.
        size: SectorSize,
        /// Upstream's reason.
        source: anyhow::Error,
    },
}

impl ParamsError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What to do about a missing or damaged file of a set.
pub(crate) fn remedy(kind: Kind, size: SectorSize) -> String {
    let fetch = format!("the published ones with `{}`: {OWN_DIRECTORY}", fetch_command(kind, size));
    match super::generate::feasible(kind, size) {
        Ok(_) => format!("run `sp-ctl params generate --sector-size {size}` for development ones, or fetch {fetch}"),
        Err(_) => format!("fetch {fetch}"),
    }
}

fn fetch_command(kind: Kind, size: SectorSize) -> String {
    format!("sp-ctl params fetch --sector-size {size} --kinds {kind} --dir DIR")
}
