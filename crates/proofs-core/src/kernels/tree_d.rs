//! Tree-d: the binary SHA-256 tree over the data of a sector, written in upstream's format while it is hashed.
//!
//! The file holds the leaves, which are the data, and then every row up to the root. Blocks of leaves are independent:
//! all cores take them. Where the data is zero, as in all of a committed-capacity sector, the nodes are known.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use super::Cpu;
use super::sha256::{Words, from_bytes, hash_pairs, to_bytes};

/// Leaves that one thread takes at a time (1 MiB), a power of two.
const BLOCK_LEAVES: u64 = 1 << 15;

/// Bytes of a node.
const NODE_BYTES: u64 = 32;

/// Writes the tree over the first `leaves` nodes of 32 bytes of `data` into the empty file `tree`, (2 x `leaves` - 1) x 32
/// bytes, and returns its root: comm_d. Leaves that are zero are holes in the file.
///
/// # Panics
/// If `leaves` is no power of two from 2 on.
pub fn build_tree_d(cpu: Cpu, data: &File, leaves: u64, tree: &File) -> io::Result<[u8; 32]> {
    assert!(leaves.is_power_of_two() && leaves >= 2, "{leaves} leaves");
    tree.set_len((2 * leaves - 1) * NODE_BYTES)?;
    let tree = Tree { cpu, leaves, file: tree };
    let block = leaves.min(BLOCK_LEAVES);
    let zeros = ZeroBlock::new(cpu, block);
    let firsts = (0..leaves / block).into_par_iter().map(|number| number * block);
    let roots: Vec<Words> = firsts.map(|first| tree.block(data, first, &zeros)).collect::<io::Result<_>>()?;
    Ok(to_bytes(&tree.climb(block.ilog2(), 0, roots)?))
}

/// The root of the tree over `data`: a power of two of leaves of 32 bytes, on the calling thread.
pub fn data_root(cpu: Cpu, data: &[u8]) -> [u8; 32] {
    let mut row: Vec<Words> = data.as_chunks().0.iter().map(from_bytes).collect();
    while row.len() > 1 {
        row = hash_pairs(cpu, &row);
    }
    to_bytes(&row[0])
}

struct Tree<'a> {
    cpu: Cpu,
    leaves: u64,
    file: &'a File,
}

impl Tree<'_> {
    /// Writes the leaves from `first` on, a block of them, and all nodes that depend on nothing else. Returns the last.
    fn block(&self, data: &File, first: u64, zeros: &ZeroBlock) -> io::Result<Words> {
        let mut bytes = vec![0; zeros.rows[0].len()];
        data.read_exact_at(&mut bytes, first * NODE_BYTES)?;
        if bytes == zeros.rows[0] {
            for (level, row) in (0..).zip(&zeros.rows).skip(1) {
                self.write(level, first >> level, row)?;
            }
            return Ok(zeros.root);
        }
        self.write(0, first, &bytes)?;
        let leaves = bytes.as_chunks().0.iter().map(from_bytes).collect();
        self.climb(0, first, leaves)
    }

    /// Writes all rows above `row`, a power of two of nodes of `level` from the node `first` on. Returns the last.
    fn climb(&self, mut level: u32, mut first: u64, mut row: Vec<Words>) -> io::Result<Words> {
        while row.len() > 1 {
            row = hash_pairs(self.cpu, &row);
            (level, first) = (level + 1, first / 2);
            self.write(level, first, &row_bytes(&row))?;
        }
        Ok(row[0])
    }

    fn write(&self, level: u32, first: u64, bytes: &[u8]) -> io::Result<()> {
        let before = 2 * self.leaves - ((2 * self.leaves) >> level);
        self.file.write_all_at(bytes, (before + first) * NODE_BYTES)
    }
}

/// The rows over a block of zero leaves.
struct ZeroBlock {
    /// From the leaves to the root.
    rows: Vec<Vec<u8>>,
    root: Words,
}

impl ZeroBlock {
    fn new(cpu: Cpu, leaves: u64) -> Self {
        let mut root = Words::default();
        let mut rows = vec![row_bytes(&vec![root; leaves as usize])];
        for level in 1..=leaves.ilog2() {
            root = hash_pairs(cpu, &[root, root])[0];
            rows.push(row_bytes(&vec![root; leaves as usize >> level]));
        }
        Self { rows, root }
    }
}

fn row_bytes(row: &[Words]) -> Vec<u8> {
    let mut bytes = vec![0; row.len() * NODE_BYTES as usize];
    for (bytes, node) in bytes.as_chunks_mut().0.iter_mut().zip(row) {
        *bytes = to_bytes(node);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use filecoin_hashers::sha256::Sha256Hasher;
    use filecoin_proofs::StoreConfig;
    use storage_proofs_core::merkle::{BinaryMerkleTree, create_base_merkle_tree};

    use super::*;

    /// Data, zeros, and both, below one block and of several; every instruction set.
    #[test]
    fn the_file_is_upstreams() {
        for (leaves, from, to) in [(2, 0, 1), (64, 0, 64), (64, 0, 0), (1 << 17, 40_000, 100_000), (1 << 16, 0, 0)] {
            let dir = tempfile::tempdir().unwrap();
            let node = |i: u64| if (from..to).contains(&i) { [(i % 63) as u8 + 1; 32] } else { [0; 32] };
            let bytes: Vec<u8> = (0..leaves).flat_map(node).collect();
            let path = dir.path().join("data");
            fs::write(&path, &bytes).unwrap();
            let config = StoreConfig::new(dir.path(), "tree-d", 0);
            let theirs =
                create_base_merkle_tree::<BinaryMerkleTree<Sha256Hasher>>(Some(config), leaves as usize, &bytes);
            let root: [u8; 32] = theirs.unwrap().root().into();
            let known = fs::read(dir.path().join("sc-02-data-tree-d.dat")).unwrap();
            for cpu in Cpu::variants() {
                let tree = File::create(dir.path().join("tree")).unwrap();
                let found = build_tree_d(cpu, &File::open(&path).unwrap(), leaves, &tree).unwrap();
                assert_eq!(found, root, "{leaves} leaves, {cpu}");
                assert!(fs::read(dir.path().join("tree")).unwrap() == known, "{leaves} leaves, {cpu}");
            }
        }
    }
}
