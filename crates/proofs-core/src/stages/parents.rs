//! The parents file of a graph: published whole, so that labelling never reads one that a crash left half written.
//!
//! Upstream makes the file where it lies, at its full length from the start, and believes it from then on. A process
//! killed meanwhile would spoil every later sealing on the machine. Same name, same bytes, made aside here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use filecoin_hashers::Hasher;
use filecoin_proofs::parameters::public_params;
use filecoin_proofs::{DRG_DEGREE, EXP_DEGREE, MerkleTreeTrait, PoRepConfig};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use storage_proofs_core::crypto::{FEISTEL_DST, derive_porep_domain_seed};
use storage_proofs_core::drgraph::Graph;
use storage_proofs_core::parameter_cache::{ParameterSetMetadata, VERSION};
use storage_proofs_core::settings::SETTINGS;
use storage_proofs_porep::stacked::StackedBucketGraph;

/// Parents of a node.
const DEGREE: usize = DRG_DEGREE + EXP_DEGREE;

/// Nodes whose parents are computed at a time.
const BATCH_NODES: usize = 1 << 16;

/// Files of up to so many nodes (8 MiB sectors) are compared with what they should be at each use; it takes moments.
const CHECKED_NODES: usize = 1 << 18;

/// How long another process may take to make the file before this one gives up; 32 GiB takes minutes.
const WAIT_LIMIT: Duration = Duration::from_secs(3600);
const WAIT_STEP: Duration = Duration::from_millis(50);

/// Makes the parents file of this configuration if it is missing or, where that is quick to see, wrong.
pub(super) fn ensure_parents<Tree: 'static + MerkleTreeTrait>(config: &PoRepConfig) -> anyhow::Result<()> {
    let params = public_params::<Tree>(config)?;
    let parents = Parents { graph: &params.graph, path: path::<Tree::Hasher>(&params.graph, config.porep_id) };
    parents.ensure().map_err(|e| anyhow::anyhow!("parents file {}: {e}", parents.path.display()))
}

struct Parents<'a, H: Hasher + 'static> {
    graph: &'a StackedBucketGraph<H>,
    path: PathBuf,
}

/// Upstream's name of the file.
fn path<H: Hasher + 'static>(graph: &StackedBucketGraph<H>, porep_id: [u8; 32]) -> PathBuf {
    let digest = Sha256::new()
        .chain_update(H::name())
        .chain_update(graph.identifier())
        // The four Feistel keys, little-endian, are the bytes of this seed.
        .chain_update(derive_porep_domain_seed(FEISTEL_DST, porep_id))
        .chain_update((graph.size() as u32).to_le_bytes())
        .finalize();
    Path::new(&SETTINGS.parent_cache).join(format!("v{VERSION}-sdr-parent-{}.cache", hex::encode(digest)))
}

impl<H: Hasher + 'static> Parents<'_, H> {
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
            fs::rename(&part, &self.path)?;
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
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another process makes it and does not finish",
                    ));
                }
            }
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        let found = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let nodes = self.graph.size();
        if found != (nodes * DEGREE * 4) as u64 {
            return Ok(false);
        }
        Ok(nodes > CHECKED_NODES || fs::read(&self.path)? == self.bytes(0, nodes)?)
    }

    fn write(&self, file: &File) -> io::Result<()> {
        let mut out = BufWriter::new(file);
        for first in (0..self.graph.size()).step_by(BATCH_NODES) {
            out.write_all(&self.bytes(first, self.graph.size().min(first + BATCH_NODES))?)?;
        }
        out.flush()
    }

    /// The parents of the nodes `first..end`: six of the DRG, eight of the expander, 32 bits each, little-endian.
    fn bytes(&self, first: usize, end: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (end - first) * DEGREE * 4];
        bytes.par_chunks_mut(DEGREE * 4).enumerate().try_for_each(|(at, entry)| {
            let mut parents = [0; DEGREE];
            self.graph.parents(first + at, &mut parents).map_err(io::Error::other)?;
            for (bytes, parent) in entry.chunks_exact_mut(4).zip(parents) {
                bytes.copy_from_slice(&parent.to_le_bytes());
            }
            Ok::<_, io::Error>(())
        })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use filecoin_proofs::SectorShapeBase;
    use sp_types::{RegisteredSealProof, SectorSize};

    use super::super::config::porep_config;
    use super::*;

    type Shape = <SectorShapeBase as MerkleTreeTrait>::Hasher;

    fn with_parents(size: SectorSize, test: impl FnOnce(Parents<'_, Shape>)) {
        let config = porep_config(RegisteredSealProof::v1_1(size)).unwrap();
        let params = public_params::<SectorShapeBase>(&config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let name = path::<Shape>(&params.graph, config.porep_id);
        test(Parents { graph: &params.graph, path: dir.path().join(name.file_name().unwrap()) });
    }

    /// Names and SHA-256 of the whole files, from upstream's `parent_cache.json`.
    #[test]
    fn names_and_bytes_are_upstreams() {
        let known = [
            (
                SectorSize::KiB2,
                "v28-sdr-parent-494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b",
                "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97",
            ),
            (
                SectorSize::MiB8,
                "v28-sdr-parent-5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5",
                "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
            ),
        ];
        for (size, name, digest) in known {
            with_parents(size, |parents| {
                parents.ensure().unwrap();
                assert_eq!(parents.path.file_stem().unwrap(), name);
                assert_eq!(hex::encode(Sha256::digest(fs::read(&parents.path).unwrap())), digest);
            });
        }
    }

    #[test]
    fn a_torn_file_is_replaced_and_one_published_meanwhile_is_taken() {
        with_parents(SectorSize::KiB2, |parents| {
            parents.ensure().unwrap();
            let good = fs::read(&parents.path).unwrap();
            fs::write(&parents.path, vec![0; good.len()]).unwrap();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| parents.ensure().unwrap());
                }
            });
            assert!(fs::read(&parents.path).unwrap() == good);
        });
    }
}
