//! Files that are to become pieces: their lengths and digests, read once before anything is promised, and their bytes one
//! after the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sp_proto::v1::DataPiece;

use super::PART_BYTES;
use crate::error::{CommandError, Exit};

/// The data of a sector: a file for each of its pieces.
#[derive(Debug)]
pub(crate) struct Source {
    files: Vec<PieceFile>,
    /// Of all files together.
    pub(crate) size_bytes: u64,
    /// BLAKE2s-256 of all files, one after the other.
    pub(crate) digest: [u8; 32],
}

/// One file with the digest of its content.
#[derive(Debug)]
struct PieceFile {
    path: PathBuf,
    size_bytes: u64,
    /// BLAKE2s-256.
    digest: [u8; 32],
}

impl Source {
    /// Reads every file once to its end.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, CommandError> {
        let mut all = blake2s_simd::State::new();
        let files = paths.iter().map(|path| PieceFile::open(path, &mut all)).collect::<Result<Vec<_>, _>>()?;
        let size_bytes = files.iter().map(|file| file.size_bytes).sum();
        Ok(Self { files, size_bytes, digest: *all.finalize().as_array() })
    }

    /// What the scheduler is told: the data, and its pieces where there are several.
    pub(crate) fn announced(&self) -> (DataPiece, Vec<DataPiece>) {
        let mut pieces: Vec<DataPiece> = self.files.iter().map(PieceFile::announced).collect();
        let all = DataPiece { data_bytes: self.size_bytes, data_digest: self.digest.to_vec(), name: String::new() };
        if pieces.len() == 1 { (pieces.remove(0), vec![]) } else { (all, pieces) }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match &self.files[..] {
            [first, _, ..] => format!("{} and {} more", first.path.display(), self.files.len() - 1),
            [only] => only.path.display().to_string(),
            [] => String::new(),
        }
    }

    /// The bytes from `offset` on.
    pub(crate) fn read_from(&self, offset: u64) -> Result<impl Read + Send + use<>, CommandError> {
        let (mut before, mut files) = (0u64, VecDeque::new());
        for PieceFile { path, size_bytes, .. } in &self.files {
            let skipped = offset.saturating_sub(before).min(*size_bytes);
            before += size_bytes;
            if skipped < *size_bytes {
                files.push_back(FileRange {
                    path: path.clone(),
                    start: skipped,
                    rest: size_bytes - skipped,
                    file: None,
                });
            }
        }
        if let Some(first) = files.front_mut() {
            let shown = first.path.display().to_string();
            first.opened().with_context(|| format!("cannot open {shown}"))?;
        }
        Ok(OneAfterTheOther(files))
    }
}

impl PieceFile {
    fn open(path: &Path, all: &mut blake2s_simd::State) -> Result<Self, CommandError> {
        let shown = path.display();
        let mut file = File::open(path).map_err(|cause| {
            let exit = if cause.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
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
            all.update(&part[..read]);
            size_bytes += read as u64;
        }
        if size_bytes == 0 {
            let error = CommandError::failed(format!("{shown} is empty: a piece has at least one byte"));
            return Err(error.hint("`sp-ctl sectors pledge` makes a sector without data"));
        }
        Ok(Self { path: path.to_owned(), size_bytes, digest: *state.finalize().as_array() })
    }

    /// Its name is without its directory, for the log.
    fn announced(&self) -> DataPiece {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        DataPiece { data_bytes: self.size_bytes, data_digest: self.digest.to_vec(), name }
    }
}

/// What is left to read of a file; opened when its turn comes, so that many pieces need no many open files.
struct FileRange {
    path: PathBuf,
    start: u64,
    rest: u64,
    file: Option<File>,
}

impl FileRange {
    fn opened(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.start))?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("a file that was just opened is gone"))
    }
}

struct OneAfterTheOther(VecDeque<FileRange>);

impl Read for OneAfterTheOther {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(first) = self.0.front_mut() else { return Ok(0) };
        let most = usize::try_from(first.rest).unwrap_or(usize::MAX).min(buffer.len());
        let got = first.opened()?.read(&mut buffer[..most])?;
        if got == 0 && most > 0 {
            let message = format!("{} became shorter", first.path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        first.rest -= got as u64;
        if first.rest == 0 {
            self.0.pop_front();
        }
        Ok(got)
    }
}

#[cfg(test)]
// Tests write on the real disk.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_one_after_the_other_from_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let contents: [&[u8]; 3] = [b"ab", b"cde", b"f"];
        let paths: Vec<PathBuf> = (0..3).map(|at| directory.path().join(format!("{at}.bin"))).collect();
        for (path, content) in paths.iter().zip(contents) {
            std::fs::write(path, content).unwrap();
        }
        let source = Source::open(&paths).unwrap();
        assert_eq!((source.size_bytes, &source.digest), (6, blake2s_simd::blake2s(b"abcdef").as_array()));
        for offset in 0..=6 {
            let mut read = Vec::new();
            source.read_from(offset as u64).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, b"abcdef"[offset..]);
        }
        let (all, pieces) = source.announced();
        assert_eq!((all.data_bytes, all.name.as_str()), (6, ""));
        let told: Vec<_> = pieces.iter().map(|p| (p.name.as_str(), p.data_bytes)).collect();
        assert_eq!(told, [("0.bin", 2), ("1.bin", 3), ("2.bin", 1)]);
        assert!(source.describe().ends_with("0.bin and 2 more"), "{}", source.describe());

        let (only, pieces) = Source::open(&paths[..1]).unwrap().announced();
        assert_eq!((only.name.as_str(), only.data_bytes, pieces.len()), ("0.bin", 2, 0));
    }
}
