//! The directory that files come into: that it may have them, which it has already, and publishing among others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::super::digest;
use super::super::error::ParamsError;
use super::super::place::{self, INSECURE_MARKER};
use super::error::FetchError;
use super::part::Part;
use super::progress::Reporter;
use super::seen;
use super::wanted::Wanted;

/// A directory that may have published parameters.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory if there is none; one that is for insecure parameters or holds some is refused. Keys of the
    /// wanted files count as published.
    pub(super) fn check_in(path: &Path, wanted: &[Wanted]) -> Result<Self, FetchError> {
        if place::development_dir().as_deref() == Some(path) {
            return Err(FetchError::Development { dir: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(ParamsError::io("create directory", path))?;
        let keys: BTreeMap<_, _> = wanted.iter().map(|file| (file.name.as_str(), file.digest.as_str())).collect();
        let published = |name: &str| keys.get(name).copied().or_else(|| place::published_digest(name));
        let found = if path.join(INSECURE_MARKER).exists() {
            Some(INSECURE_MARKER.to_owned())
        } else {
            place::foreign_file(path, &published)?
        };
        match found {
            Some(found) => Err(FetchError::Insecure { dir: path.to_owned(), found }),
            None => Ok(Self { path: path.to_owned() }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that is whole visible, unless the directory was claimed for development parameters since.
    pub(super) fn publish(&self, part: Part, path: &Path) -> Result<(), FetchError> {
        let _claim = place::lock_claims(&self.path)?;
        if self.path.join(INSECURE_MARKER).exists() {
            return Err(FetchError::Insecure { dir: self.path.clone(), found: INSECURE_MARKER.to_owned() });
        }
        Ok(part.publish(path)?)
    }
}

/// The length of a file that is there and has this digest, which is then recorded.
pub(super) fn right_length(path: &Path, digest: &str, reporter: &mut Reporter) -> Result<Option<u64>, FetchError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(ParamsError::io("open", path))?,
    };
    let metadata = file.metadata().map_err(ParamsError::io("examine", path))?;
    let (state, length) = digest::of_reader(&mut file, &mut |done| reporter.checking(done, metadata.len()))
        .map_err(ParamsError::io("read", path))?;
    if digest::finish(&state) != digest {
        return Ok(None);
    }
    seen::record(path, &metadata, digest);
    Ok(Some(length))
}
