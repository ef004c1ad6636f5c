//! The parents file of a graph: published whole, so that labelling never reads one that a crash left half written.
//!
//! Upstream makes the file where it lies, at its full length from the start, and believes it from then on. A process
//! killed meanwhile would spoil every later sealing on the machine. Same name, same bytes, made aside here, on all cores.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::{FileError, Graph, NodeParents, PARENTS};
use crate::kernels::Cpu;

/// Bytes of one node's parents: 32 bits each, little-endian.
const NODE_BYTES: usize = PARENTS * 4;

/// Nodes whose parents one thread computes and writes at a time (896 KiB).
const BATCH_NODES: usize = 1 << 14;

/// Files of up to so many nodes (8 MiB sectors) are compared whole with what they should be; it takes moments.
const CHECKED_NODES: u64 = 1 << 18;
/// Of larger files so many nodes are compared, evenly spread: enough to meet what a crash left unwritten.
const SAMPLES: u64 = 4096;

/// How long another process may take to make the file before this one gives up; 32 GiB takes minutes.
const WAIT_LIMIT: Duration = Duration::from_secs(3600);
const WAIT_STEP: Duration = Duration::from_millis(50);

/// The parents of all nodes of a graph, on disk: 56 bytes per node. Shared by everybody on the machine.
#[derive(Debug)]
pub struct ParentsFile {
    file: File,
    path: PathBuf,
    nodes: u64,
}

impl ParentsFile {
    /// Reads the parents of `count` nodes from `first` on, through `bytes`.
    ///
    /// A parent that is no node of the graph is an error: it would lead out of the layer.
    pub(super) fn read(&self, first: u64, count: usize, bytes: &mut Vec<u8>) -> Result<Vec<NodeParents>, FileError> {
        bytes.resize(count * NODE_BYTES, 0);
        self.file.read_exact_at(bytes, first * NODE_BYTES as u64).map_err(FileError::at(&self.path))?;
        let parents: Vec<_> = bytes.as_chunks::<NODE_BYTES>().0.iter().map(node_parents).collect();
        let largest = parents.as_flattened().iter().copied().max().unwrap_or(0);
        if u64::from(largest) >= self.nodes {
            let message = format!("it names node {largest} of {}; remove it, and it is made again", self.nodes);
            return Err(FileError::at(&self.path)(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(parents)
    }
}

fn node_parents(bytes: &[u8; NODE_BYTES]) -> NodeParents {
    let words = bytes.as_chunks::<4>().0;
    std::array::from_fn(|i| u32::from_le_bytes(words[i]))
}

/// Opens the parents file of `graph` in `dir`, and makes it before if it is missing or wrong. Upstream finds it there.
///
/// Errors name the file.
pub fn make_parents(graph: &Graph, cpu: Cpu, dir: &Path) -> Result<ParentsFile, FileError> {
    let path = dir.join(graph.parents_file_name());
    let maker = Maker { graph, cpu, path: &path };
    let file = maker.ensure().and_then(|()| File::open(&path)).map_err(FileError::at(&path))?;
    Ok(ParentsFile { file, path, nodes: graph.nodes() })
}

struct Maker<'a> {
    graph: &'a Graph,
    cpu: Cpu,
    path: &'a Path,
}

impl Maker<'_> {
    fn ensure(&self) -> io::Result<()> {
        if self.is_there()? {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let part = self.path.with_extension("part");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&part)?;
        self.lock(&file)?;
        // Whoever held the lock may have published it meanwhile; then `file` is the published one and stays as it is.
        if !self.is_there()? {
            file.set_len(0)?;
            self.write(&file)?;
            file.sync_all()?;
            fs::rename(&part, self.path)?;
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if started.elapsed() < WAIT_LIMIT => thread::sleep(WAIT_STEP),
                Err(TryLockError::WouldBlock) => {
                    let message = "another process makes it and does not finish";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
            }
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        let file = match File::open(self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let nodes = self.graph.nodes();
        if file.metadata()?.len() != nodes * NODE_BYTES as u64 {
            return Ok(false);
        }
        if nodes <= CHECKED_NODES {
            return self
                .batches()
                .map(|first| self.is_right(&file, first, BATCH_NODES))
                .find_any(is_not_yes)
                .unwrap_or(Ok(true));
        }
        let sample = |i: u64| self.is_right(&file, i * (nodes / SAMPLES), 1);
        (0..SAMPLES).into_par_iter().map(sample).find_any(is_not_yes).unwrap_or(Ok(true))
    }

    /// The first nodes of the batches.
    fn batches(&self) -> impl ParallelIterator<Item = u64> {
        let batches = self.graph.nodes().div_ceil(BATCH_NODES as u64);
        (0..batches).into_par_iter().map(|batch| batch * BATCH_NODES as u64)
    }

    fn is_right(&self, file: &File, first: u64, count: usize) -> io::Result<bool> {
        let expected = self.bytes(first, count);
        let mut found = vec![0; expected.len()];
        file.read_exact_at(&mut found, first * NODE_BYTES as u64)?;
        Ok(found == expected)
    }

    fn write(&self, file: &File) -> io::Result<()> {
        self.batches()
            .try_for_each(|first| file.write_all_at(&self.bytes(first, BATCH_NODES), first * NODE_BYTES as u64))
    }

    /// The file's bytes of `count` nodes from `first` on, fewer at its end.
    fn bytes(&self, first: u64, count: usize) -> Vec<u8> {
        let count = (self.graph.nodes() - first).min(count as u64) as usize;
        let mut parents = vec![[0; PARENTS]; count];
        self.graph.parents(self.cpu, first, &mut parents);
        parents.as_flattened().iter().flat_map(|parent| parent.to_le_bytes()).collect()
    }
}

fn is_not_yes(right: &io::Result<bool>) -> bool {
    !matches!(right, Ok(true))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use sp_types::{RegisteredSealProof, SectorSize};

    use super::super::GraphVersion;
    use super::*;

    fn graph(size: SectorSize) -> Graph {
        Graph::new(size.bytes() / 32, RegisteredSealProof::v1_1(size).porep_id(), GraphVersion::V1_1)
    }

    /// Names and SHA-256 of the whole files, from upstream's `parent_cache.json`.
    #[test]
    fn names_and_bytes_are_upstreams() {
        let known = [
            (
                SectorSize::KiB2,
                "v28-sdr-parent-494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b.cache",
                "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97",
            ),
            (
                SectorSize::MiB8,
                "v28-sdr-parent-5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5.cache",
                "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
            ),
        ];
        for (size, name, digest) in known {
            let dir = tempfile::tempdir().unwrap();
            make_parents(&graph(size), Cpu::detect(), dir.path()).unwrap();
            let bytes = fs::read(dir.path().join(name)).unwrap();
            assert_eq!(hex::encode(Sha256::digest(bytes)), digest);
        }
    }

    #[test]
    fn a_torn_file_is_replaced_and_one_published_meanwhile_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let graph = graph(SectorSize::KiB2);
        let path = dir.path().join(graph.parents_file_name());
        make_parents(&graph, Cpu::PORTABLE, dir.path()).unwrap();
        let good = fs::read(&path).unwrap();
        fs::write(&path, vec![0; good.len()]).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| make_parents(&graph, Cpu::PORTABLE, dir.path()).unwrap());
            }
        });
        assert!(fs::read(&path).unwrap() == good);
    }

    #[test]
    fn a_large_file_that_a_crash_left_unwritten_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let graph = graph(SectorSize::MiB512);
        let path: PathBuf = dir.path().join(graph.parents_file_name());
        File::create(&path).unwrap().set_len(graph.nodes() * NODE_BYTES as u64).unwrap();
        assert!(!Maker { graph: &graph, cpu: Cpu::detect(), path: &path }.is_there().unwrap());
    }

    #[test]
    fn a_parent_outside_the_graph_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let graph = graph(SectorSize::KiB2);
        let parents = make_parents(&graph, Cpu::PORTABLE, dir.path()).unwrap();
        let mut bytes = Vec::new();
        let found = parents.read(60, 4, &mut bytes).unwrap();
        assert_eq!((found.len(), found[3][0]), (4, 62));
        let path = dir.path().join(graph.parents_file_name());
        fs::write(&path, vec![64; 64 * NODE_BYTES]).unwrap();
        assert_eq!(parents.read(0, 1, &mut bytes).unwrap_err().source.kind(), io::ErrorKind::InvalidData);
    }
}
