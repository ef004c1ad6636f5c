//! The root of tree-r-last over a replica, streamed on all cores. No tree file is read or written.
//!
//! Every tree of a published size is Poseidon over groups of eight nodes, and over the last two where twice a power of
//! eight is left (64 GiB): base trees, the trees over them and the one on top follow from that alone.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use filecoin_hashers::{HashFunction, Hasher};
use filecoin_proofs::TreeRHasher;
use rayon::prelude::*;
use sp_types::Commitment;

use super::StageError;
use super::error::guard;
use super::fields::is_field_element;

/// Bytes of a node.
const NODE_BYTES: usize = 32;

/// Nodes under one.
const ARITY: usize = 8;

/// Bytes of leaves that one thread takes at a time: a power of eight of them.
const BLOCK_BYTES: u64 = (ARITY.pow(5) * NODE_BYTES) as u64;

/// The root over a file whose length is that of a sector. A file with a leaf that is no field element has none and is
/// [`StageError::Corrupt`].
pub(super) fn replica_root(stage: &'static str, path: &Path) -> Result<Commitment, StageError> {
    let file = File::open(path).map_err(StageError::io(stage, path))?;
    let size_bytes = fs::metadata(path).map_err(StageError::io(stage, path))?.len();
    let block_bytes = size_bytes.min(BLOCK_BYTES);
    let block = |number: u64| {
        let mut bytes = vec![0; block_bytes as usize];
        let offset = number * block_bytes;
        file.read_exact_at(&mut bytes, offset).map_err(StageError::io(stage, path))?;
        let nodes = bytes.as_chunks::<NODE_BYTES>().0;
        if let Some(at) = nodes.iter().position(|node| !is_field_element(node)) {
            let byte = offset + (at * NODE_BYTES) as u64;
            let message = format!("{} holds no field element at byte {byte}: it is damaged", path.display());
            return Err(StageError::corrupt(stage, message));
        }
        root(stage, bytes)
    };
    let roots: Vec<u8> =
        (0..size_bytes / block_bytes).into_par_iter().map(block).collect::<Result<Vec<_>, _>>()?.concat();
    let mut found = Commitment([0; NODE_BYTES]);
    found.0.copy_from_slice(&root(stage, roots)?);
    Ok(found)
}

/// The root over nodes, as many as a power of eight, or twice that.
fn root(stage: &'static str, mut row: Vec<u8>) -> Result<Vec<u8>, StageError> {
    guard(stage, || {
        while row.len() > NODE_BYTES {
            let group = row.len().min(ARITY * NODE_BYTES);
            let parent = |nodes: &[u8]| <TreeRHasher as Hasher>::Function::hash(nodes);
            row = row.chunks(group).flat_map(|nodes| <[u8; NODE_BYTES]>::from(parent(nodes))).collect();
        }
        Ok(row)
    })
}

#[cfg(test)]
mod tests {
    use filecoin_hashers::Domain;
    use filecoin_proofs::{MerkleTreeTrait, SectorShape32GiB, SectorShape64GiB, SectorShapeBase, generate_tree_r_last};
    use storage_proofs_core::merkle::get_base_tree_count;

    use super::*;

    fn upstream<Tree: 'static + MerkleTreeTrait>(dir: &Path, path: &Path, size_bytes: u64) -> Commitment {
        let mut root = Commitment([0; 32]);
        let found = generate_tree_r_last::<_, _, Tree>(size_bytes, path, dir).unwrap();
        found.write_bytes(&mut root.0).unwrap();
        root
    }

    fn replica(dir: &Path, size_bytes: u64) -> std::path::PathBuf {
        let node = |i: u64| {
            let mut node = [(i % 251) as u8; 32];
            node[..8].copy_from_slice(&i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            node[31] = (i % 0x73) as u8;
            node
        };
        let path = dir.join("replica");
        fs::write(&path, (0..size_bytes / 32).flat_map(node).collect::<Vec<u8>>()).unwrap();
        path
    }

    /// Below one block, one block, several; and the two shapes of several base trees, at a size that nobody publishes.
    #[test]
    fn is_the_root_of_upstreams_tree() {
        let dir = tempfile::tempdir().unwrap();
        let path = replica(dir.path(), 2048);
        assert_eq!(replica_root("scrub", &path).unwrap(), upstream::<SectorShapeBase>(dir.path(), &path, 2048));
        let size_bytes = 8 << 20;
        let path = replica(dir.path(), size_bytes);
        let known = upstream::<SectorShapeBase>(dir.path(), &path, size_bytes);
        assert_eq!(replica_root("scrub", &path).unwrap(), known);
        assert_eq!([get_base_tree_count::<SectorShape32GiB>(), get_base_tree_count::<SectorShape64GiB>()], [8, 16]);
        let path = replica(dir.path(), 8 * 512 * 32);
        let known = upstream::<SectorShape32GiB>(dir.path(), &path, 8 * 512 * 32);
        assert_eq!(replica_root("scrub", &path).unwrap(), known);
        let path = replica(dir.path(), 16 * 512 * 32);
        let known = upstream::<SectorShape64GiB>(dir.path(), &path, 16 * 512 * 32);
        assert_eq!(replica_root("scrub", &path).unwrap(), known);
    }

    #[test]
    fn what_is_no_field_element_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = replica(dir.path(), 2048);
        let mut bytes = fs::read(&path).unwrap();
        bytes[95] = 0xff;
        fs::write(&path, &bytes).unwrap();
        let refused = replica_root("scrub", &path).unwrap_err();
        assert_eq!(refused.code(), sp_types::ErrorCode::DigestMismatch);
        assert!(refused.to_string().contains("at byte 64"), "{refused}");
    }
}
