//! A file that is to become a piece: its length and its digest, read once before anything is promised.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::PART_BYTES;
use crate::error::{CommandError, Exit};

/// A file with the digest of its content.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    /// BLAKE2s-256.
    pub(crate) digest: [u8; 32],
}

impl Source {
    /// Reads the file once to its end.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        let shown = path.display();
        let mut file = File::open(path).map_err(|cause| {
            let exit = if cause.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
            CommandError::new(exit, anyhow::Error::new(cause).context(format!("cannot open {shown}")))
        })?;
        if !file.metadata().with_context(|| format!("cannot look at {shown}"))?.is_file() {
            return Err(CommandError::failed(format!("{shown} is not a regular file")));
        }
        let (mut state, mut size_bytes, mut part) = (blake2s_simd::State::new(), 0, vec![0; PART_BYTES]);
        loop {
            let read = file.read(&mut part).with_context(|| format!("cannot read {shown}"))?;
            if read == 0 {
                break;
            }
            state.update(&part[..read]);
            size_bytes += read as u64;
        }
        if size_bytes == 0 {
            let error = CommandError::failed(format!("{shown} is empty: a piece has at least one byte"));
            return Err(error.hint("`sp-ctl sectors pledge` makes a sector without data"));
        }
        Ok(Self { path: path.to_owned(), size_bytes, digest: *state.finalize().as_array() })
    }

    /// The file's name without its directory, for the log.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
