//! The hidden file that a parameter file grows in, with the digest of what it holds so far.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blake2b_simd::State;

use super::super::error::ParamsError;
use super::super::{digest, place};

/// A file that is on its way. It is left where it is when it is dropped: whoever opens it next goes on.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    state: State,
    length: u64,
}

impl Part {
    /// Opens what an earlier run has left, or begins. What is there is read and digested; `progress` is told how much of
    /// how much. The caller holds the lock of the file.
    pub(super) fn open(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Self, ParamsError> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.map_err(ParamsError::io("create", path))?;
        let total = file.metadata().map_err(ParamsError::io("examine", path))?.len();
        let (state, length) =
            digest::of_reader(&mut file, &mut |done| progress(done, total)).map_err(ParamsError::io("read", path))?;
        Ok(Self { path: path.to_owned(), file, state, length })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The digest of what there is.
    pub(super) fn digest(&self) -> String {
        digest::finish(&self.state)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ParamsError> {
        self.file.write_all(bytes).map_err(ParamsError::io("write", &self.path))?;
        self.state.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what there is.
    pub(super) fn restart(&mut self) -> Result<(), ParamsError> {
        self.file.set_len(0).map_err(ParamsError::io("empty", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(ParamsError::io("empty", &self.path))?;
        (self.state, self.length) = (State::new(), 0);
        Ok(())
    }

    /// Removes it altogether.
    pub(super) fn discard(&self) -> Result<(), ParamsError> {
        fs::remove_file(&self.path).map_err(ParamsError::io("remove", &self.path))
    }

    /// Gives it its name, durably.
    pub(super) fn publish(self, path: &Path) -> Result<(), ParamsError> {
        place::publish(&self.file, &self.path, path)
    }
}
