//! Layer files: written whole and aside, read back, in upstream's format and under upstream's names.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::journal::LayerDigest;
use crate::kernels::sha256::{Words, from_bytes, to_bytes};

/// Nodes whose labels are written or read at a time: 1 MiB.
const BATCH_NODES: usize = 1 << 15;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// The file of a layer, from 1.
pub(super) fn layer_path(cache: &Path, layer: usize) -> PathBuf {
    cache.join(format!("sc-02-data-layer-{layer}.dat"))
}

/// Writes the labels of one stream out of `labels`, [node][stream], as layer `layer`. Durable when it returns.
pub(super) fn write_layer(
    cache: &Path,
    layer: usize,
    labels: &[Words],
    stream: usize,
    streams: usize,
) -> Result<LayerDigest, FileError> {
    let path = layer_path(cache, layer);
    let part = path.with_extension("part");
    let written = (|| {
        let mut file = File::create(&part)?;
        let (mut hasher, mut bytes) = (Sha256::new(), vec![0; BATCH_NODES * 32]);
        for nodes in labels.chunks(BATCH_NODES * streams) {
            let labels = nodes.iter().skip(stream).step_by(streams);
            let bytes = &mut bytes[..nodes.len() / streams * 32];
            for (bytes, label) in bytes.as_chunks_mut().0.iter_mut().zip(labels) {
                *bytes = to_bytes(label);
            }
            hasher.update(&bytes);
            file.write_all(bytes)?;
        }
        file.sync_all()?;
        fs::rename(&part, &path)?;
        sync_parent(&path)?;
        Ok(hasher.finalize().into())
    })();
    written.map_err(FileError::at(&path))
}

/// Reads a layer back into one stream of `labels`, [node][stream].
pub(super) fn read_layer(
    cache: &Path,
    layer: usize,
    labels: &mut [Words],
    stream: usize,
    streams: usize,
) -> Result<(), FileError> {
    let path = layer_path(cache, layer);
    let read = (|| {
        let (mut file, mut bytes) = (File::open(&path)?, vec![0; BATCH_NODES * 32]);
        for nodes in labels.chunks_mut(BATCH_NODES * streams) {
            let bytes = &mut bytes[..nodes.len() / streams * 32];
            file.read_exact(bytes)?;
            let labels = nodes.iter_mut().skip(stream).step_by(streams);
            for (label, bytes) in labels.zip(bytes.as_chunks().0) {
                *label = from_bytes(bytes);
            }
        }
        Ok(())
    })();
    read.map_err(FileError::at(&path))
}

/// Makes the entry of a file in its directory durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
