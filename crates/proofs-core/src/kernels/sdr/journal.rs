//! Which layers of a sector are finished, and what they hold: a few lines of text beside the files, each made durable.
//!
//! A layer is believed only if its file has the digest in the journal. One that a crash left preallocated, cut off or
//! damaged has another digest; one that is not in the journal is as good as missing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::files::{FileError, layer_path, sync_parent};
use crate::kernels::sha256::{Words, to_bytes};

/// SHA-256 of a whole layer file.
pub(super) type LayerDigest = [u8; 32];

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

pub(super) struct Journal<'a> {
    path: &'a Path,
    file: File,
    /// Of layers 1 and on.
    digests: Vec<LayerDigest>,
    header: String,
}

impl<'a> Journal<'a> {
    /// Opens or begins the journal of the sector with this replica id. Of a journal of another sector, and after a line
    /// that was not written whole, nothing is kept.
    pub(super) fn open(path: &'a Path, replica_id: &Words) -> Result<Self, FileError> {
        let header = format!("sp-pc1 1 {}\n", hex::encode(to_bytes(replica_id)));
        let opened = (|| {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes);
            let lines = text.strip_prefix(&header);
            let digests: Vec<_> = lines.into_iter().flat_map(digests).collect();
            let mut journal = Self { path, file, digests, header };
            if lines.is_none() {
                journal.file.set_len(0)?;
                journal.file.rewind()?;
                journal.file.write_all(journal.header.as_bytes())?;
            }
            journal.cut(journal.digests.len())?;
            sync_parent(path)?;
            Ok(journal)
        })();
        opened.map_err(FileError::at(path))
    }

    /// How many layers in `cache`, from the first on, are what the journal says they are.
    pub(super) fn sound_layers(&self, cache: &Path) -> Result<usize, FileError> {
        let checked: Result<Vec<bool>, FileError> = self
            .digests
            .par_iter()
            .enumerate()
            .map(|(i, digest)| Ok(file_digest(&layer_path(cache, i + 1))?.as_ref() == Some(digest)))
            .collect();
        Ok(checked?.into_iter().take_while(|sound| *sound).count())
    }

    /// Forgets all layers after the first `count`.
    pub(super) fn keep(&mut self, count: usize) -> Result<(), FileError> {
        self.digests.truncate(count);
        self.cut(self.digests.len()).map_err(FileError::at(self.path))
    }

    /// Adds the next layer, whose file is durable.
    pub(super) fn record(&mut self, digest: LayerDigest) -> Result<(), FileError> {
        self.digests.push(digest);
        let line = line(self.digests.len(), &digest);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(FileError::at(self.path))
    }

    /// Ends the file after the first `count` lines, durably.
    fn cut(&mut self, count: usize) -> io::Result<()> {
        let lines = self.digests.iter().take(count).enumerate().map(|(i, digest)| line(i + 1, digest).len());
        let length = (self.header.len() + lines.sum::<usize>()) as u64;
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        self.file.sync_all()
    }
}

fn line(layer: usize, digest: &LayerDigest) -> String {
    format!("layer {layer} {}\n", hex::encode(digest))
}

/// The digests of the lines that are whole and in order.
fn digests(lines: &str) -> Vec<LayerDigest> {
    let mut found = Vec::new();
    for text in lines.split_inclusive('\n') {
        let digest = text.trim_end().rsplit(' ').next().and_then(|hex| {
            let mut digest = LayerDigest::default();
            hex::decode_to_slice(hex, &mut digest).ok().map(|()| digest)
        });
        match digest {
            Some(digest) if text == line(found.len() + 1, &digest) => found.push(digest),
            _ => break,
        }
    }
    found
}

/// SHA-256 of a file; none if it is missing.
fn file_digest(path: &Path) -> Result<Option<LayerDigest>, FileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at(path)(error)),
    };
    let (mut hasher, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        match file.read(&mut block).map_err(FileError::at(path))? {
            0 => return Ok(Some(hasher.finalize().into())),
            read => hasher.update(&block[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_torn_line_and_what_follows_it_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let ids = [[1; 8], [2; 8]];
        let mut journal = Journal::open(&path, &ids[0]).unwrap();
        journal.record([7; 32]).unwrap();
        journal.record([8; 32]).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let open = |text: &str, id| {
            fs::write(&path, text).unwrap();
            Journal::open(&path, id).unwrap().digests
        };
        assert_eq!(open(&whole, &ids[0]), [[7; 32], [8; 32]]);
        for end in whole.len() - 60..whole.len() {
            assert_eq!(open(&whole[..end], &ids[0]), [[7; 32]], "{end} bytes");
        }
        assert_eq!(open(&whole.replace("layer 1", "layer 3"), &ids[0]), [[0; 32]; 0]);
        assert_eq!(open(&whole, &ids[1]), [[0; 32]; 0], "another sector");
        assert_eq!(open("", &ids[0]), [[0; 32]; 0]);
        let mut journal = Journal::open(&path, &ids[0]).unwrap();
        journal.record([7; 32]).unwrap();
        journal.record([9; 32]).unwrap();
        journal.keep(1).unwrap();
        journal.record([8; 32]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
}
